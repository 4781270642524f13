# Functions that the scripts beside this file share. Sourced, never run.
# shellcheck shell=bash

repo=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s\n' "$*"; }

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

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

# install_packages NAME...: installs those Debian packages that are not there yet.
install_packages() {
  local name missing=()
  if ! command -v apt-get >/dev/null; then
    die "needs apt-get (Debian, Ubuntu). Elsewhere, install the equivalents of: $*"
  fi
  for name in "$@"; do
    is_installed "$name" || missing+=("$name")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  refresh_apt_lists
  say "Installing ${missing[*]}"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# Swift is not in Debian's stable release, so it cannot be installed from there.
require_swift() {
  local version major minor
  if ! command -v swift >/dev/null; then
    die "Swift 6.2 or newer is needed, and no 'swift' is on PATH.
Get it from https://www.swift.org/install/linux/ (swiftly, or an archive to unpack), then open a new shell.
Under sudo, PATH may have lost it: run this script as yourself; it calls sudo where it must."
  fi
  version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9][0-9]*\.[0-9][0-9]*\).*/\1/p')
  major=${version%%.*}
  minor=${version##*.}
  [ -n "$version" ] || die "'swift --version' names no version"
  if [ "$major" -lt 6 ] || { [ "$major" -eq 6 ] && [ "$minor" -lt 2 ]; }; then
    die "Swift 6.2 or newer is needed, this is $version. See https://www.swift.org/install/linux/"
  fi
}

# What the Swift toolchain itself needs to compile and link, and what the package links to.
install_build_packages() {
  install_packages binutils git g++ libc6-dev pkg-config libxml2-dev libfuse3-dev fuse3
}

# Opens /dev/fuse to every user, as udev does on most systems; containers and minimal systems often do not.
open_fuse_device() {
  [ -e /dev/fuse ] || die "no /dev/fuse: load the kernel's fuse module, or pass the device to this container"
  if [ "$(stat -c %a /dev/fuse)" != 666 ]; then
    as_root chmod 666 /dev/fuse
  fi
}

# Lets ordinary users mount with -o allow_other. Root may do so anyway, and needs no change of the system.
permit_allow_other() {
  [ "$(id -u)" -ne 0 ] || return 0
  if ! grep -q '^user_allow_other' /etc/fuse.conf 2>/dev/null; then
    say "Adding user_allow_other to /etc/fuse.conf"
    printf 'user_allow_other\n' | as_root tee -a /etc/fuse.conf >/dev/null
  fi
}

# own_warnings LOG: prints the compiler's warnings about this repository's own files, once each, and fails
# when there are none. Warnings of the dependencies are not ours to fix.
own_warnings() {
  grep -E "^(${repo}/(Sources|Tests|Benchmarks)/.*|Package.swift:.*|${repo}/Package.swift:.*): warning:|^warning: '${repo##*/}':" "$1" |
    sort -u
}

# swift_build LOG ARGUMENT...: swift build, its output in LOG, failing on a warning about our own code.
swift_build() {
  local log=$1 file
  shift
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
