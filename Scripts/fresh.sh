#!/usr/bin/env bash
# Runs the demo or the tests on a machine that has nothing but Debian's minimal system and Swift: a copy of HEAD, in a root
# that debootstrap made, in namespaces of its own. Ends with their exit status, and leaves nothing but the minimal systems
# in .build-fresh/, from which the next run starts.
#
#   Scripts/fresh.sh [bookworm|trixie] [demo|test] [root|user]     bookworm demo user, where nothing else is said
#
# Of this machine, the root has the folder of the Swift toolchain, the folders that git is told to fetch from instead of
# the network, with these and the proxies in git's settings, and apt's mirror and proxies. "user" is an ordinary user who
# may use sudo.
set -euo pipefail
# shellcheck source=Scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
cd -- "$repo"

suite=bookworm command=demo user=user
for word in "$@"; do
  case $word in
  bookworm | trixie) suite=$word ;;
  demo | test) command=$word ;;
  root | user) user=$word ;;
  -h | --help)
    usage
    exit
    ;;
  *) die "usage: Scripts/fresh.sh [bookworm|trixie] [demo|test] [root|user]" ;;
  esac
done

cache=$repo/.build-fresh
base=$cache/$suite
machine=

clean_up() {
  set +e
  end_contained
  [ -z "$machine" ] || rm -rf -- "$machine"
}
on_exit clean_up

# The minimal system, made once. A run that is interrupted here leaves none.
make_base() {
  local mirror http_proxy=${http_proxy:-}
  [ ! -d "$base" ] || return 0
  install_packages debootstrap debian-archive-keyring
  mirror=$(debian_mirror)
  [ -n "$http_proxy" ] || eval "$(apt-config shell http_proxy Acquire::http::Proxy)"
  say "Making a minimal $suite from $mirror"
  # shellcheck disable=SC2016
  contained "$cache" env http_proxy="$http_proxy" sh -c 'debootstrap --variant=minbase --keyring="$1" "$2" "$TMPDIR/base" "$3" >&2 &&
    rm -f "$TMPDIR"/base/var/cache/apt/archives/*.deb && mv "$TMPDIR/base" "$4"' \
    sh "$debian_keyring" "$suite" "$mirror" "$base" 2>"$machine/debootstrap.log" || {
    tail -n 20 "$machine/debootstrap.log"
    die "debootstrap failed"
  }
}

# The folder of the toolchain, as the toolchain knows it: what is on PATH may be a link, or a program that chooses one.
swift_folder() {
  local folder
  folder=$(swift -print-target-info | sed -n 's|.*"runtimeResourcePath": "\(.*\)/lib/swift".*|\1|p')
  [ -x "$folder/bin/swift" ] || die "'swift -print-target-info' names no folder of a toolchain"
  [ "$folder" != /usr ] || die "Swift is installed in /usr here, and cannot be brought into the root without the rest"
  printf '%s\n' "$folder"
}

# Git's settings of this machine that say where to fetch from, one as KEY VALUE on each line.
git_settings() {
  git config --get-regexp '^(url\..*\.insteadof|https?\.(.*\.)?(proxy|sslcainfo))$' || true
}

# The folders among them, one on each line.
git_folders() {
  git_settings | sed -n -E 's|^url\.(file://)?(/.*)\.insteadof .*|\2|p' | sort -u
}

# describe_machine: what the root gets from this machine. In $machine: files to lay over the root; `folders`, to be bound
# into it; `nbdmount`, the copy of HEAD.
describe_machine() {
  local files=$machine/files key value
  mkdir -p "$files/etc/apt/apt.conf.d" "$files/etc/profile.d" "$files/usr/local/share"
  # shellcheck disable=SC2016
  printf 'PATH=%s/bin:$PATH\n' "$1" >"$files/etc/profile.d/swift.sh"
  { printf '%s\n' "$1" && git_folders; } >"$machine/folders"
  git_settings | while read -r key value; do
    git config --file "$files/etc/gitconfig" --add "$key" "$value"
  done
  # Those folders belong to root.
  git config --file "$files/etc/gitconfig" safe.directory '*'
  # A mirror that keeps a state of the past has lists whose time is over.
  apt-config dump | grep -iE '^Acquire::([a-z]+::)?(proxy|Check-Valid-Until|Check-Date|ForceIPv4)\b' \
    >"$files/etc/apt/apt.conf.d/99machine" || true
  env | grep -iE '^(https?|ftp|all|no)_proxy=' >"$files/etc/environment" || true
  cp -L /etc/resolv.conf /etc/hosts "$files/etc/"
  # Certificates of this machine's own, which a proxy may have.
  [ ! -d /usr/local/share/ca-certificates ] || cp -rL /usr/local/share/ca-certificates "$files/usr/local/share/"

  git clone --quiet -- "$repo" "$machine/nbdmount"
  [ -z "$(git status --porcelain)" ] || say "What is not committed is not tried"
}

swift=$(swift_folder)
mkdir -p "$cache"
machine=$(mktemp -d)
exec 9>"$cache/lock"
flock 9
make_base
exec 9>&-
describe_machine "$swift"
say "$command on a minimal $suite, as $user"
contained "$cache" unshare --mount "$repo/Scripts/fresh-root.sh" "$base" "$machine" "$user" "$command"
