#!/usr/bin/env bash
# Shows that a filesystem on a loop device over the mounted file stays alive and loses nothing while memory is short:
#
#   Scripts/loop.sh [--minutes N] [ext4|xfs|btrfs]...     all three, and 3 minutes in all, where nothing else is said
#
# nbdmount, fio and the filesystem are in one control group of 256 MiB, of which a file in memory that cannot go takes 64; the
# server (nbdkit) is outside, as it is on another machine. Each filesystem is tried with `--engine reactor`, and with `--engine
# threads --mlock`. In rounds, with the loop device's direct I/O off and on in turn, fio writes and verifies three files,
# buffered, direct and synced, while others are copied, compared and removed. Afterwards everything is unmounted, the filesystem
# is checked where the server has it, and there the last round's data is verified once more.
#
# Without CAP_SYS_RESOURCE nbdmount cannot become an I/O flusher, and has to be outside of the group of those who use it (see
# README): so it is outside then, and the passes with it inside count as not run. A filesystem that this kernel does not have is
# not run either. Both are said. Without control groups, loop devices or ext4 this fails.
#
# Fails also when data is wrong, when the limit was never reached, when a process was killed for want of memory, and when a task
# of the group or of the kernel has been in uninterruptible sleep for a minute, which is then named with what it waits for.
#
# The last line is always `N passed, N failed, N not run`. The log is .build/logs/loop.log. Takes root (sudo).
#
#   NBDMOUNT=PROGRAM   uses that program instead of building one
set -euo pipefail
# shellcheck source=Scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
[ -z "${NBDMOUNT:-}" ] || NBDMOUNT=$(realpath -- "$NBDMOUNT")
cd -- "$repo"

minutes=3 filesystems=() results='' leash_of_watch='' log=$logs/loop.log group=nbdmount-loop.$$

count() { [ ! -e "$results" ] || grep -c "^$1 " "$results" || true; }

finish() {
  local status=$? passed failed skipped
  set +e
  trap '' INT TERM HUP USR1
  end_contained
  [ -z "$leash_of_watch" ] || exec {leash_of_watch}>&-
  [ -n "$results" ] || exit "$status"
  passed=$(count passed) failed=$(count failed) skipped=$(count skipped)
  [ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
  [ "$status" -ne 0 ] || [ "$failed" -eq 0 ] || status=1
  rm -f -- "$results"
  say "$passed passed, $failed failed, $skipped not run"
  exit "$status"
}

while [ "$#" -gt 0 ]; do
  case $1 in
  --minutes)
    minutes=${2:-}
    [[ $minutes =~ ^[1-9][0-9]{0,3}$ ]] || die "--minutes takes a number from 1 to 9999"
    shift
    ;;
  ext4 | xfs | btrfs) filesystems+=("$1") ;;
  -h | --help)
    usage
    exit
    ;;
  *) die "usage: Scripts/loop.sh [--minutes N] [ext4|xfs|btrfs]..." ;;
  esac
  shift
done
[ "${#filesystems[@]}" -gt 0 ] || filesystems=(ext4 xfs btrfs)

on_exit finish
results=$(mktemp)
install_packages nbdkit fio fuse3 e2fsprogs xfsprogs btrfs-progs mount util-linux python3
[ -n "${NBDMOUNT:-}" ] || { prepare_swift && build_nbdmount; }
open_fuse_device
mkdir -p "$logs"
: >"$log"

# Outside of the namespaces, where the kernel's own threads can be seen. It says once what is stuck, and ends all.
trap 'die "a task is stuck; all output is in $log"' USR1
exec {leash_of_watch}> >(as_root Scripts/stuck.py "$group" $$)

contained '' env NBDMOUNT="$NBDMOUNT" Scripts/loop-run.sh "$group" "$((minutes * 60))" "$results" "$log" "${filesystems[@]}" ||
  die "all output is in $log"
