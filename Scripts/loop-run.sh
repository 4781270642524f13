#!/usr/bin/env bash
# The inner half of Scripts/loop.sh, which runs it as root in namespaces for mounts and processes:
#
#   loop-run.sh GROUP SECONDS RESULTS LOG FILESYSTEM...
#
# GROUP is the name of the control group to make, of which Scripts/contained.sh leaves nothing. RESULTS gets a line for each
# pass: passed, failed or skipped, and its name.
set -euo pipefail
# shellcheck source=Scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

group=$1 seconds=$2 results=$3 log=$4
shift 4
filesystems=("$@")

# What nbdmount is started with, in each pass. Both engines, and memory that is locked and memory that is not.
passes=("--engine reactor" "--engine threads --mlock")
limit=$((256 << 20)) ballast=$((64 << 20)) disk_size=1G
# What fio writes in a round, see run_fio.
mebibytes=$((192 + 48 + 8))

# fail WORDS: why this pass fails; what can be known about it goes to the log.
fail() {
  say "-- $*"
  {
    printf '\n== %s\n' "$*"
    printf '== memory of the group\n'
    cat "$cgroup"/memory.stat
    printf '== nbdmount\n'
    cat "$TMPDIR"/nbdmount.log
    printf '== the kernel\n'
    kernel_log | tail -n 100
  } >>"$log" 2>&1
  exit 1
}

# --- The control group

# The kernel has the controller in one hierarchy only: version 1 names it, 0 is version 2.
make_group() {
  local root=$TMPDIR/cgroup version
  mkdir "$root"
  version=$(awk '$1 == "memory" { print ($2 > 0 ? 1 : 2) }' /proc/cgroups)
  if [ "${version:-2}" -eq 1 ]; then
    mount -t cgroup -o memory cgroup "$root" || die "control groups (version 1) for memory cannot be mounted"
    cgroup=$root/$group
    mkdir "$cgroup" || die "no control group can be made"
    printf '%s\n' "$limit" >"$cgroup/memory.limit_in_bytes" || die "a control group's memory cannot be limited"
    printf '0\n' >"$cgroup/memory.swappiness"
  else
    mount -t cgroup2 cgroup2 "$root" || die "control groups (version 2) cannot be mounted"
    grep -q -w memory "$root/cgroup.controllers" || die "control groups without the memory controller"
    printf '+memory\n' >"$root/cgroup.subtree_control" ||
      die "the memory controller cannot be passed on to a control group of ours (as in some containers)"
    cgroup=$root/$group
    mkdir "$cgroup" || die "no control group can be made"
    printf '%s\n' "$limit" >"$cgroup/memory.max" || die "a control group's memory cannot be limited"
    [ ! -e "$cgroup/memory.swap.max" ] || printf '0\n' >"$cgroup/memory.swap.max"
  fi
  mkdir "$TMPDIR/ballast"
  mount -t tmpfs ballast "$TMPDIR/ballast"
  confined head -c "$ballast" /dev/zero >"$TMPDIR/ballast/file" || die "the control group does not work"
}

# How often the limit was reached, and how many processes were killed for it.
limit_hits() { if [ -e "$cgroup/memory.failcnt" ]; then cat "$cgroup/memory.failcnt"; else event max; fi; }
kills() {
  if [ -e "$cgroup/memory.oom_control" ]; then
    awk '$1 == "oom_kill" { print $2 }' "$cgroup/memory.oom_control"
  else
    event oom_kill
  fi
}
event() { awk -v name="$1" '$1 == name { print $2 }' "$cgroup/memory.events"; }

# confined COMMAND...: runs it, a function too, in the group.
confined() (echo 0 >"$cgroup/cgroup.procs" && "$@")

# --- What the kernel says

# Since this script began: after the mark. A container may be denied to write or read that log.
mark="nbdmount loop.sh $group begins"
kernel_log() { dmesg 2>/dev/null | awk -v mark="$mark" 'found; index($0, mark) { found = 1 }'; }
can_read_kernel_log() { { printf '%s\n' "$mark" >/dev/kmsg; } 2>/dev/null && dmesg 2>/dev/null | grep -q -F "$mark"; }

check_kernel_log() {
  local name=${device##*/} found
  found=$(kernel_log | { grep -E "blocked for more than|BUG:|$name.*(rror|orrupt|hut ?down)|rror.*$name" || true; } | head -n 5)
  [ -z "$found" ] || fail "the kernel says: $found"
}

# --- One pass

make_filesystem() {
  case $1 in
  ext4) confined mkfs.ext4 -q -F "$device" ;;
  xfs) confined mkfs.xfs -q -f "$device" ;;
  btrfs) confined mkfs.btrfs -q -f "$device" ;;
  esac
}

check_filesystem() {
  case $1 in
  ext4) fsck.ext4 -f -n "$2" ;;
  xfs) xfs_repair -n -f "$2" ;;
  btrfs) btrfs check --readonly "$2" ;;
  esac
}

start_server() {
  rm -f -- "$TMPDIR"/disk "$TMPDIR"/nbd.sock "$TMPDIR"/*.pid
  truncate --size "$disk_size" "$TMPDIR/disk"
  nbdkit --foreground --unix "$TMPDIR/nbd.sock" --pidfile "$TMPDIR/nbdkit.pid" file "$TMPDIR/disk" >>"$log" 2>&1 &
  server=$!
  wait_for_file "$TMPDIR/nbdkit.pid" "$server" 30 || fail "nbdkit did not start"
}

# shellcheck disable=SC2086
start_mount() {
  $around_mount "$NBDMOUNT" $1 --pidfile "$TMPDIR/nbdmount.pid" "$TMPDIR/mnt" "nbd+unix:///?socket=$TMPDIR/nbd.sock" \
    >"$TMPDIR/nbdmount.log" 2>&1 &
  mount=$!
  wait_for_file "$TMPDIR/nbdmount.pid" "$mount" 30 || fail "nbdmount did not mount: $(cat "$TMPDIR/nbdmount.log")"
  device=$(confined losetup --find --show "$TMPDIR/mnt/nbd") || fail "no loop device over the mounted file"
}

# run_fio FOLDER SEED ARGUMENT...: each file's data and its places follow from the seed, so that what an earlier round wrote is
# not taken for this one's. All of it is read and verified, which fio's exit status alone does not tell.
run_fio() {
  local folder=$1 seed=$2
  shift 2
  timeout --kill-after=10 900 fio --directory="$folder" --randseed="$seed" --thread --rw=randwrite --fallocate=none \
    --verify=crc32c --verify_fatal=1 --verify_state_save=0 --output-format=terse --terse-version=3 "$@" \
    --name=buffered --size=192m --bs=16k \
    --name=direct --size=48m --bs=64k --direct=1 --ioengine=libaio --iodepth=16 \
    --name=synced --size=8m --bs=4k --fsync=32 >"$TMPDIR/fio.log" 2>&1 || { cat "$TMPDIR/fio.log" >>"$log" && return 1; }
  cat "$TMPDIR/fio.log" >>"$log"
  # The version, of the terse format as of fio; the name; group and error; KiB that were read.
  [ "$(awk -F ';' '$1 == 3 && $5 == 0 { sum += $6 } END { print sum }' "$TMPDIR/fio.log")" = $((mebibytes << 10)) ]
}

# copy_files SEED: a tree beside those of the round before, which goes.
copy_files() {
  cp -r -- "$repo/Sources" "$TMPDIR/fs/files.$1" && diff -r -- "$repo/Sources" "$TMPDIR/fs/files.$1" &&
    rm -rf -- "$TMPDIR/fs/files.$(($1 - 1))"
} >>"$log" 2>&1

round() {
  local copier direct=off
  [ $(($1 % 2)) -eq 1 ] || direct=on
  losetup --direct-io=$direct "$device" || fail "the loop device's direct I/O cannot be turned $direct"
  confined copy_files "$1" &
  copier=$!
  confined run_fio "$TMPDIR/fs" "$1" || fail "fio failed in round $1"
  wait "$copier" || fail "copied files differ, or could not be copied, in round $1"
}

finish_mount() {
  local rounds
  confined umount "$TMPDIR/fs" || fail "the filesystem cannot be unmounted"
  losetup --detach "$device"
  # Detaching closes the mounted file a little later.
  for ((rounds = 200; rounds > 0; rounds--)); do
    [ -e "/sys/block/${device##*/}/loop" ] || break
    sleep 0.05
  done
  fusermount3 -u "$TMPDIR/mnt" || fail "the mount cannot be unmounted"
  wait "$mount" || fail "nbdmount failed: $(cat "$TMPDIR/nbdmount.log")"
  [ ! -s "$TMPDIR/nbdmount.log" ] || say "-- nbdmount: $(cat "$TMPDIR/nbdmount.log")"
}

# check_disk FILESYSTEM ROUND: what the server has is whole.
check_disk() {
  check_filesystem "$1" "$TMPDIR/disk" >>"$log" 2>&1 || fail "the filesystem is not clean"
  mount -o loop "$TMPDIR/disk" "$TMPDIR/fs" || fail "the server's disk cannot be mounted"
  run_fio "$TMPDIR/fs" "$2" --verify_only || fail "the server does not have what was written"
  diff -r -- "$repo/Sources" "$TMPDIR/fs/files.$2" >>"$log" || fail "the server does not have the files that were copied"
  umount "$TMPDIR/fs"
}

# pass FILESYSTEM OPTIONS SECONDS
pass() {
  local filesystem=$1 until hits number=0
  hits=$(limit_hits)
  start_server
  start_mount "$2"
  make_filesystem "$filesystem" >>"$log" 2>&1 || fail "no $filesystem can be made"
  confined mount -t "$filesystem" "$device" "$TMPDIR/fs" || fail "the $filesystem cannot be mounted"
  until=$((SECONDS + $3))
  # Both ways of the loop device at least.
  while [ "$number" -lt 2 ] || [ "$SECONDS" -lt "$until" ]; do
    number=$((number + 1))
    round "$number"
  done
  finish_mount
  end "$server" 10
  check_disk "$filesystem" "$number"
  check_kernel_log
  [ "$(kills)" -eq 0 ] || fail "processes were killed for want of memory: $(kills)"
  hits=$(($(limit_hits) - hits))
  [ "$hits" -gt 0 ] || fail "the limit of $limit bytes was never reached"
  say "$filesystem, $2, $place: $number rounds of $mebibytes MiB, the limit reached $hits times, nothing stuck, clean"
}

knows() { grep -q -w "$1" /proc/filesystems; }
# Whether this kernel has it, built in or as a module.
has_filesystem() { knows "$1" || { modprobe -q "$1" 2>/dev/null && knows "$1"; }; }

# CAP_SYS_RESOURCE, which is number 24 of <linux/capability.h>.
may_be_flusher() { [ $((0x$(awk '$1 == "CapEff:" { print $2 }' /proc/self/status) >> 24 & 1)) -eq 1 ]; }

# not_run FILESYSTEM WHY: every pass with it.
not_run() {
  local options
  say "-- NOT RUN: $1, $2"
  for options in "${passes[@]}"; do printf 'skipped %s, %s\n' "$1" "$options" >>"$results"; done
}

cgroup=
[ -e /dev/loop-control ] || die "no loop devices (/dev/loop-control)"
mkdir "$TMPDIR/mnt" "$TMPDIR/fs"
: >"$TMPDIR/nbdmount.log"
make_group
can_read_kernel_log || say "-- The kernel's log cannot be read here: hung tasks are found by their state alone."

around_mount=confined place=inside
if ! may_be_flusher; then
  around_mount='' place=outside
  say "-- No CAP_SYS_RESOURCE here: nbdmount cannot become an I/O flusher, and stays outside of the control group."
fi

share=$((seconds / (${#filesystems[@]} * ${#passes[@]})))
for filesystem in "${filesystems[@]}"; do
  if ! has_filesystem "$filesystem"; then
    [ "$filesystem" != ext4 ] || die "this kernel has no ext4"
    not_run "$filesystem" "which this kernel does not have"
    continue
  fi
  [ "$place" = inside ] || not_run "$filesystem" "with nbdmount inside of the control group"
  for options in "${passes[@]}"; do
    printf '\n== %s, %s\n' "$filesystem" "$options" >>"$log"
    pass "$filesystem" "$options" "$share"
    printf 'passed %s\n' "$filesystem, $options" >>"$results"
  done
done
