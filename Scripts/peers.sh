#!/usr/bin/env bash
# Brings the newest NBD servers and clients from Debian testing into .peers/, beside the ones that this
# machine has installed, so that the tests meet old and new peers. Nothing is installed on the machine.
#
#   Scripts/peers.sh             fetch what is not there yet, then check that every program works
#   Scripts/peers.sh --refresh   fetch again
#
#   .peers/bin/NAME-testing      nbdkit, qemu-nbd, qemu-storage-daemon, nbd-server, nbdfuse, nbdinfo, nbdcopy
#   .peers/versions.txt          what they are
#
# apt itself fetches and resolves, with its own settings (mirror, proxy, keys) but lists, cache and status of
# its own under .peers/apt: an empty status makes it name the whole closure, libc included. The packages are
# only unpacked. Each wrapper starts its program with the tree's own dynamic loader, so it runs as an ordinary
# process in the machine's file system: it sees the same sockets, files and mounts as everything else, by any
# user, with no chroot. (debootstrap would need root, a chroot for that reason, and ten times as long.)
set -euo pipefail
# shellcheck source=Scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

peers=$repo/.peers
tree=$peers/testing
# Raised when the wanted packages change, so that a tree from before is replaced.
layout=1
packages=(nbdkit qemu-utils nbd-server libnbd-bin)
programs=(nbdkit qemu-nbd qemu-storage-daemon nbd-server nbdfuse nbdinfo nbdcopy)

# Points apt at lists, cache and status of our own. Everything else stays as the machine has it.
write_apt_settings() {
  local apt=$peers/apt mirror
  mirror=$(debian_mirror)
  # Of a run that was interrupted nothing is used.
  rm -rf -- "$apt"
  mkdir -p "$apt/lists/partial" "$apt/archives/partial"
  : >"$apt/status"
  printf 'Types: deb\nURIs: %s\nSuites: testing\nComponents: main\nSigned-By: %s\n' \
    "$mirror" "$debian_keyring" >"$apt/testing.sources"
  cat >"$apt/apt.conf" <<SETTINGS
Dir::State::lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::State::extended_states "$apt/extended_states";
Dir::Cache::archives "$apt/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist "$apt/testing.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Install-Recommends "false";
APT::Sandbox::User "";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
SETTINGS
}

fetch_tree() {
  local apt=$peers/apt new=$tree.new package
  install_packages debian-archive-keyring
  write_apt_settings
  say "Fetching ${packages[*]} and their libraries from Debian testing"
  # --config-file is read after the machine's own settings (APT_CONFIG would be before), so ours win.
  apt-get --config-file "$apt/apt.conf" update -qq
  apt-get --config-file "$apt/apt.conf" install -qq -y --download-only "${packages[@]}" >"$apt/install.log"

  rm -rf -- "$new"
  mkdir -p "$new"
  for package in "$apt"/archives/*.deb; do
    # The libraries and the programs, without what nothing at run time reads.
    dpkg-deb --fsys-tarfile "$package" |
      tar -x -C "$new" --exclude './usr/share/*' --exclude './usr/lib/python3*' --no-same-owner
  done
  # nbd-server, for one, does not say its version right, so the packages' own are kept too.
  for package in "${packages[@]}"; do
    # shellcheck disable=SC2016
    dpkg-deb --show --showformat 'package ${Package}: ${Version}\n' "$apt/archives/${package}"_*.deb
  done >"$new/packages.txt"
  rm -rf -- "$tree"
  mv -- "$new" "$tree"
  # The packages have served; the lists would be stale next time.
  rm -rf -- "$apt"
}

# The one match of a pattern in the tree, relative to it.
in_tree() {
  local found
  found=$(cd "$tree" && find . -path "$1" \( -type f -o -type l \) | sort | sed -n 1p)
  [ -n "$found" ] || die "Debian testing's packages hold no $1"
  printf '%s\n' "${found#./}"
}

# write_wrapper NAME LINES: .peers/bin/NAME-testing. LINES run before the program; "$@" may be rewritten there.
write_wrapper() {
  local name=$1 lines=$2 program loader libraries wrapper=$peers/bin/$1-testing
  program=$(in_tree "./usr/*bin/$name")
  loader=$(in_tree './usr/lib*/ld-linux*.so.*')
  libraries=$(dirname "$(in_tree './usr/lib/*/libc.so.6')")
  # Renamed into place: another run may be executing the old one.
  cat >"$wrapper.new" <<WRAPPER
#!/bin/sh
# $name of Debian testing, on its own libraries. Written by Scripts/peers.sh.
set -eu
tree=\$(CDPATH='' cd -- "\$(dirname -- "\$0")/../testing" && pwd)
libraries=\$tree/$libraries
$lines
exec "\$tree/$loader" --inhibit-cache --library-path "\$libraries" --argv0 $name "\$tree/$program" "\$@"
WRAPPER
  chmod +x "$wrapper.new"
  mv -- "$wrapper.new" "$wrapper"
}

# nbdkit's folder of plugins is compiled in, and it has no setting for it; but it takes paths where it takes
# names. The first word that is no option is the plugin. Options listed take their value from the next word.
# shellcheck disable=SC2016
nbdkit_lines='
plugin_is_next=yes value_is_next=no filter_is_next=no
count=$#
while [ "$count" -gt 0 ]; do
  word=$1
  shift
  count=$((count - 1))
  if [ "$filter_is_next" = yes ]; then
    filter_is_next=no
    path=$libraries/nbdkit/filters/nbdkit-$word-filter.so
    [ ! -e "$path" ] || word=$path
  elif [ "$value_is_next" = yes ]; then
    value_is_next=no
  else
    case $word in
    --filter) filter_is_next=yes ;;
    --filter=*)
      path=$libraries/nbdkit/filters/nbdkit-${word#--filter=}-filter.so
      [ ! -e "$path" ] || word=--filter=$path
      ;;
    -[DegipPtuU] | --debug | --export | --export-name | --exportname | --group | --ip-addr | --ipaddr | --log | \
      --mask-handshake | --name | --pid-file | --pidfile | --port | --run | --selinux-label | --threads | \
      --time-out | --timeout | --tls | --tls-certificates | --tls-priority | --tls-psk | --unix | --user)
      value_is_next=yes
      ;;
    -*) ;;
    *)
      path=$libraries/nbdkit/plugins/nbdkit-$word-plugin.so
      [ "$plugin_is_next" = no ] || [ ! -e "$path" ] || word=$path
      plugin_is_next=no
      ;;
    esac
  fi
  set -- "$@" "$word"
done'

# shellcheck disable=SC2016
qemu_lines='export QEMU_MODULE_DIR="$libraries/qemu"'

write_wrappers() {
  local name
  mkdir -p "$peers/bin"
  for name in "${programs[@]}"; do
    case $name in
    nbdkit) write_wrapper "$name" "$nbdkit_lines" ;;
    qemu-*) write_wrapper "$name" "$qemu_lines" ;;
    *) write_wrapper "$name" '' ;;
    esac
  done
}

# Runs every program. A library that is missing, or a loader that this kernel refuses, shows here.
record_versions() {
  local name output
  for name in "${programs[@]}"; do
    output=$("$peers/bin/$name-testing" --version 2>&1) ||
      die "$name of Debian testing does not run: $output"
    printf '%s: %s\n' "$name" "$(printf '%s\n' "$output" | sed -n 1p)"
  done
}

scratch=
server=
clean_up() {
  set +e
  [ -z "$server" ] || end "$server" 5
  [ -z "$scratch" ] || rm -rf -- "$scratch"
}
on_exit clean_up

# What these peers are here for: 64-bit requests (NBD_OPT_EXTENDED_HEADERS), which Debian 12's do not speak.
check_extended_headers() {
  local report uri socket=$scratch/nbd.sock
  uri="nbd+unix:///?socket=$socket"
  truncate -s 1M "$scratch/disk.img"
  # A server must not inherit the lock's descriptor: it would hold the lock.
  "$peers/bin/qemu-nbd-testing" --persistent --fork --pid-file="$scratch/pid" --format=raw \
    --socket="$socket" "$scratch/disk.img" 9>&-
  server=$(cat "$scratch/pid")
  report=$("$peers/bin/nbdinfo-testing" "$uri")
  case $report in
  *'using extended packets'*) ;;
  *) die "qemu-nbd of Debian testing did not agree to extended headers: $report" ;;
  esac
  end "$server" 5
  server=
}

# nbdkit comes with plugins and filters: a wrapper that mixed them up with the machine's own would not run.
check_nbdkit() {
  local report
  report=$("$peers/bin/nbdkit-testing" --filter=noextents --filter truncate -U - memory 1M round-up=1K \
    --run "'$peers/bin/nbdinfo-testing' --size \"\$uri\"") || die "nbdkit of Debian testing cannot serve"
  [ "$report" = 1048576 ] || die "nbdkit of Debian testing serves $report bytes, not 1048576"
}

main() {
  case ${1:-} in
  '') ;;
  --refresh) rm -f -- "$peers/versions.txt" ;;
  *) die "usage: Scripts/peers.sh [--refresh]" ;;
  esac
  command -v apt-get >/dev/null || die "needs apt (Debian, Ubuntu)"

  mkdir -p "$peers"
  exec 9>"$peers/lock"
  flock 9

  # versions.txt is written last: where it is, the tree is whole.
  if [ ! -e "$peers/versions.txt" ] || ! grep -qx "layout: $layout" "$peers/versions.txt"; then
    rm -f -- "$peers/versions.txt"
    fetch_tree
  fi
  write_wrappers
  scratch=$(mktemp -d)
  {
    record_versions
    cat "$tree/packages.txt"
    printf 'layout: %s\n' "$layout"
  } >"$scratch/versions.txt"
  check_extended_headers
  check_nbdkit
  mv -- "$scratch/versions.txt" "$peers/versions.txt"
  sed '/^layout:/d' "$peers/versions.txt"
}

main "$@"
