#!/usr/bin/env bash
# Shows that a mount outlives its server and loses nothing: servers are killed, stalled and cut off, and lose what they had not
# made durable, while programs write and read, and every byte is checked.
#
#   Scripts/storm.sh [--kills N] [nbdkit|qemu-nbd|nbd-server]...     all three, and 30 kills in all, where nothing else is said
#
# N kills (-9) are shared by the servers, after outages of up to 3 s; each server is also stalled N/15 times, for up to 1 s, and its
# connections are cut N/15 times in the middle of a message. nbdkit with a cache of its own that is lost with it is killed N/5 times,
# and a tenth of that under an ext4 on a loop device. Each row of the table is a mount of its own; the engines and the numbers of
# connections take turns.
#
# Eight writers write and read blocks of their own, each block with its number and a count, so that whatever comes back tells what it
# is: the last that was answered (right), an older one (lost), or anything else (wrong). After each row all is flushed, the mount and
# the server are ended, and what is on the server's disk is compared. The ext4 is checked there, and so are its files.
#
# recovery: from the moment the server listens again to the first answer. The last line is `N passed, N failed`, by rows. Fails where
# anything is wrong, lost or an error, or where nothing goes on for 30 s. Takes root (sudo). The log is .build/logs/storm.log.
#
#   NBDMOUNT=PROGRAM   uses that program instead of building one
set -euo pipefail
# shellcheck source=Scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
[ -z "${NBDMOUNT:-}" ] || NBDMOUNT=$(realpath -- "$NBDMOUNT")
cd -- "$repo"

kills=30 servers=()
while [ "$#" -gt 0 ]; do
  case $1 in
  --kills)
    kills=${2:-}
    [[ $kills =~ ^[1-9][0-9]{0,5}$ ]] || die "--kills takes a number from 1 to 999999"
    shift
    ;;
  nbdkit | qemu-nbd | nbd-server) servers+=("$1") ;;
  -h | --help)
    usage
    exit
    ;;
  *) die "usage: Scripts/storm.sh [--kills N] [nbdkit|qemu-nbd|nbd-server]..." ;;
  esac
  shift
done
[ "${#servers[@]}" -gt 0 ] || servers=(nbdkit qemu-nbd nbd-server)

on_exit end_contained
install_packages nbdkit qemu-utils nbd-server fuse3 e2fsprogs mount util-linux python3
[ -n "${NBDMOUNT:-}" ] || { prepare_swift && build_nbdmount; }
open_fuse_device
mkdir -p "$logs"

contained '' env NBDMOUNT="$NBDMOUNT" PYTHONPATH=Scripts PYTHONDONTWRITEBYTECODE=1 \
  python3 -m storm "$logs/storm.log" "$kills" "${servers[@]}" || die "the mounts' and servers' output is in $logs/storm.log"
