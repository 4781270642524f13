#!/usr/bin/env bash
# The first process of the namespaces in which `contained` of Scripts/lib.sh runs a command, as root:
#
#   contained.sh FOLDER COMMAND...   FOLDER: where to make the command's TMPDIR; empty: in memory where there is enough
#
# Ends when the command does, or when standard input does: whoever holds its other end may end in any way. Then nothing
# is left of what the command started, mounted, or wrote to its TMPDIR.
set -uo pipefail

scratch=$(mktemp -d -- "${1:-/tmp}/nbdmount-tests.XXXXXX") || exit 1
if [ -z "$1" ] && [ "$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)" -ge 8 ]; then
  mount -t tmpfs -o size=4g nbdmount-tests "$scratch"
fi
chmod 1777 "$scratch"
shift

# As on every Debian that has booted: how a FUSE connection is aborted.
connections=/sys/fs/fuse/connections
[ ! -d "$connections" ] || mountpoint --quiet "$connections" || mount -t fusectl fusectl "$connections"

mounts_below() {
  awk -v path="$1" '$5 == path || index($5, path "/") == 1 { print $5 }' /proc/self/mountinfo | tac
}

# Everything but this process, which the kernel spares. bash says of each child how it died, which is no news here.
kill_all() {
  local rounds
  for ((rounds = 0; rounds < 200; rounds++)); do
    kill -KILL -1 || return 0
    sleep 0.05
  done
} 2>/dev/null

# A loop device outlives the process and the namespace that made it.
detach_loop_devices() {
  losetup --list --noheadings --raw --output NAME,BACK-FILE |
    awk -v path="$scratch/" 'index($2, path) == 1 { print $1 }' |
    while IFS= read -r device; do losetup --detach "$device"; done
}

# Control groups that a command made in those it mounted at its TMPDIR/cgroup. One can go when its processes have gone.
remove_control_groups() {
  local folder rounds
  for folder in "$scratch"/cgroup/nbdmount-*/; do
    for ((rounds = 0; rounds < 100; rounds++)); do
      [ -d "$folder" ] || break
      rmdir -- "$folder" || sleep 0.05
    done
  done
} 2>/dev/null

# Aborts the FUSE mounts: frees those who wait for a daemon that is stuck itself, and so could not even be killed.
abort_mounts() {
  local number
  awk -v path="$scratch/" 'index($5, path) == 1 && / - fuse[. ]/ { sub(/.*:/, "", $3); print $3 }' /proc/self/mountinfo |
    while IFS= read -r number; do printf '1\n' >"$connections/$number/abort"; done
} 2>/dev/null

clean_up() {
  abort_mounts
  kill_all
  remove_control_groups
  detach_loop_devices
  mounts_below "$scratch" | while IFS= read -r point; do umount --lazy -- "$point"; done
  rm -rf --one-file-system -- "$scratch"
}

# Ctrl-C reaches the whole terminal; what follows from it is the business of who holds the other end of the input.
trap '' HUP INT QUIT TERM
exec 3<&0 </dev/null
export TMPDIR=$scratch NBDMOUNT_TEST_DIR=$scratch
env --default-signal "$@" 3<&- &
command=$!
cat <&3 >/dev/null &

status=0 ended=
wait -n -p ended || status=$?
[ "$ended" = "$command" ] || status=143
clean_up
exit "$status"
