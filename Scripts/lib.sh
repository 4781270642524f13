# Functions that the scripts beside this file share. Sourced, never run.
# shellcheck shell=bash

repo=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

# Debian's PATH for ordinary users has no sbin, where mkfs, debugfs, losetup and others are.
PATH=$PATH:/usr/sbin:/sbin

# Where the output of builds and tests goes.
logs=$repo/.build/logs

say() { printf '%s\n' "$*"; }

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# on_exit FUNCTION: calls it on every way out of the script: the end, an error, Ctrl-C.
on_exit() {
  # shellcheck disable=SC2064
  trap "$1" EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# Prints the comment at the head of the script that runs.
usage() { sed -n -e '1d' -e '/^#/!q' -e 's/^# \{0,1\}//p' "$0"; }

# as_root COMMAND...: runs it as root, through sudo where this is an ordinary user.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo -- "$@"
  else
    die "needs root for: $* (run as root, or install sudo)"
  fi
}

# One line for each architecture of the package that dpkg knows.
is_installed() {
  # shellcheck disable=SC2016
  dpkg-query --show --showformat '${db:Status-Status}\n' "$1" 2>/dev/null | grep -x installed >/dev/null
}

apt_lists_are_fresh=no

# Package lists are fetched once a run, and only when something is missing: a machine that has
# everything needs no network.
refresh_apt_lists() {
  [ "$apt_lists_are_fresh" = no ] || return 0
  as_root apt-get update -q
  apt_lists_are_fresh=yes
}

# Whether apt knows of such a package.
is_known() { [ -n "$(apt-cache show --no-all-versions "$1" 2>/dev/null)" ]; }

# install_packages NAME...: installs those Debian packages that are not there yet. NAME|OTHER is either of two names,
# which a package has in different releases.
install_packages() {
  local names name missing=() chosen=()
  if ! command -v apt-get >/dev/null; then
    die "needs apt-get (Debian, Ubuntu). Elsewhere, install the equivalents of: $*"
  fi
  for names in "$@"; do
    is_installed "${names%%|*}" || is_installed "${names##*|}" || missing+=("$names")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  refresh_apt_lists
  for names in "${missing[@]}"; do
    name=${names%%|*}
    is_known "$name" || name=${names##*|}
    chosen+=("$name")
  done
  say "Installing ${chosen[*]}"
  # Another apt may be at work, as it is on a machine that was started a moment ago.
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -o DPkg::Lock::Timeout=300 install -q -y --no-install-recommends "${chosen[@]}"
}

# install_program NAME PACKAGE: installs the package where there is no such program: for one that releases keep in
# different packages, of which the older needs no name.
install_program() {
  command -v "$1" >/dev/null || install_packages "$2"
}

# shellcheck disable=SC2034
debian_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The mirror that apt uses on this machine for Debian itself (not security, not a vendor's archive); where it has none, as
# on Ubuntu, Debian's own. NBDMOUNT_DEBIAN_MIRROR names another.
# shellcheck disable=SC2016
debian_mirror() {
  local mirror=${NBDMOUNT_DEBIAN_MIRROR:-}
  if [ -z "$mirror" ]; then
    # apt reads its lists for the mirror's name, so they must be there.
    [ -n "$(apt-get indextargets 'Created-By: Packages')" ] || refresh_apt_lists >&2
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' |
      sed -n 1p)
  fi
  printf '%s\n' "${mirror:-http://deb.debian.org/debian}"
}

# Makes Swift ready to build: finds it, installs what it loads and links and what the package links to, and starts it.
# Swift itself is not in Debian's stable release, so it cannot be installed from there.
prepare_swift() {
  local output version major minor
  if ! command -v swift >/dev/null; then
    die "Swift 6.2 or newer is needed, and no 'swift' is on PATH.
Get it from https://www.swift.org/install/linux/ (swiftly, or an archive to unpack), then open a new shell.
Under sudo, PATH may have lost it: run this script as yourself; it calls sudo where it must."
  fi
  # The first line is to link a program, the second what the toolchain's own programs load (see ldd), the third to
  # fetch the packages that this one depends on.
  install_packages binutils g++ libc6-dev pkg-config libfuse3-dev fuse3 libgnutls28-dev \
    'libcurl4t64|libcurl4' libncurses6 libsqlite3-0 libxml2 \
    git ca-certificates
  output=$(swift --version 2>&1) || die "'swift --version' fails: $output
This Swift ($(command -v swift)) may be made for another system: see https://www.swift.org/install/linux/"
  version=$(sed -n 's/.*Swift version \([0-9][0-9]*\.[0-9][0-9]*\).*/\1/p' <<<"$output")
  [ -n "$version" ] || die "'swift --version' names no version: $output"
  major=${version%%.*}
  minor=${version##*.}
  if [ "$major" -lt 6 ] || { [ "$major" -eq 6 ] && [ "$minor" -lt 2 ]; }; then
    die "Swift 6.2 or newer is needed, this is $version. See https://www.swift.org/install/linux/"
  fi
}

# Opens /dev/fuse to every user, as udev does on most systems; containers and minimal systems often do not. Root
# needs no change of the system.
open_fuse_device() {
  [ -e /dev/fuse ] || die "no /dev/fuse: load the kernel's fuse module, or pass the device to this container"
  if [ ! -r /dev/fuse ] || [ ! -w /dev/fuse ]; then
    say "Opening /dev/fuse to every user, until the next start of this machine"
    as_root chmod 666 /dev/fuse
  fi
}

# own_warnings LOG: prints the compiler's warnings about this repository's own files, once each, and fails
# when there are none. Warnings of the dependencies are not ours to fix.
own_warnings() {
  grep -E "^(${repo}/(Sources|Tests|Benchmarks|Fuzz)/.*|Package.swift:.*|${repo}/Package.swift:.*): warning:|^warning: '${repo##*/}':" "$1" |
    sort -u
}

# swift_build LOG ARGUMENT...: swift build, its output in LOG, failing on a warning about our own code.
swift_build() {
  local log=$1 file
  shift
  mkdir -p "$(dirname -- "$log")"
  if ! (cd "$repo" && swift build "$@") >"$log" 2>&1; then
    grep -E -A 4 'error:' "$log" || tail -n 40 "$log"
    die "swift build $* failed; all of its output is in $log"
  fi
  if own_warnings "$log" >"$log.warnings"; then
    cat "$log.warnings"
    # A compiler that has nothing to do repeats no warnings: these files must be compiled again next time.
    sed -n "s|^\(${repo}/[^:]*\.swift\):.*|\1|p" "$log.warnings" | sort -u | while IFS= read -r file; do
      touch "$file"
    done
    die "swift build $* gave warnings about our own code"
  fi
  rm -f "$log.warnings"
}

# Builds the program, which needs no Swift where it runs, and sets NBDMOUNT to it.
build_nbdmount() {
  swift_build "$logs/release.log" -c release --static-swift-stdlib --product nbdmount
  NBDMOUNT=$(cd "$repo" && swift build -c release --show-bin-path)/nbdmount
  [ -x "$NBDMOUNT" ] || die "the release build left no $NBDMOUNT"
}

# wait_for_file FILE PID SECONDS: returns when FILE has content, fails when the process ends first or
# the time is over. Servers and mounts say "ready" with their pid file, and nothing else.
wait_for_file() {
  local file=$1 pid=$2 rounds=$(($3 * 20))
  while [ ! -s "$file" ]; do
    kill -0 "$pid" 2>/dev/null || return 1
    rounds=$((rounds - 1))
    [ "$rounds" -gt 0 ] || return 1
    sleep 0.05
  done
}

# end PID SECONDS: asks a process to end, and kills it where it is still there after that time. One that hangs in
# the kernel is left.
end() {
  local signal rounds
  for signal in TERM KILL; do
    kill "-$signal" "$1" 2>/dev/null || return 0
    for ((rounds = $2 * 20; rounds > 0; rounds--)); do
      kill -0 "$1" 2>/dev/null || return 0
      sleep 0.05
    done
  done
}

leash='' container=''

# contained FOLDER COMMAND...: runs it as root, without input, in namespaces of its own for mounts and processes. When it
# ends, and when this script ends, in whatever way, all that it started, mounted or wrote to its TMPDIR is gone. FOLDER is
# where that is made; empty: in memory where there is enough. A script that calls this calls end_contained on its way out.
contained() {
  local status=0
  exec {leash}> >(as_root unshare --mount --pid --fork --kill-child --mount-proc "$repo/Scripts/contained.sh" "$@")
  container=$!
  wait "$container" || status=$?
  end_contained
  return "$status"
}

# Ends what `contained` runs, and returns when nothing is left of it.
end_contained() {
  [ -n "$container" ] || return 0
  exec {leash}>&-
  wait "$container" || true
  container=
}

# What the tests start, apart from nbdmount: a test that needs another program names its package here.
install_test_packages() {
  install_packages nbdkit nbd-server qemu-utils libnbd-bin fio e2fsprogs xfsprogs openssl gnutls-bin strace mount util-linux netbase
  install_program fincore util-linux-extra
}
