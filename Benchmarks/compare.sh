#!/usr/bin/env bash
# Measures nbdmount (both engines), nbdfuse and qemu-storage-daemon's FUSE export side by side, of this system and of Debian
# testing, and the two limits, in one run. Writes Docs/benchmarks/{results.json,README.md,chart.svg}.
#
#   Benchmarks/compare.sh                       everything: about an hour on two CPUs that do nothing else; needs root
#   Benchmarks/compare.sh --quick               one round of 0.5 s: a smoke test, its numbers are worth nothing
#   Benchmarks/compare.sh --only rr32,rw32 --groups nbdkit-unix --output DIRECTORY
#   Benchmarks/compare.sh --without applications    where there are no loop devices
#   Benchmarks/compare.sh --list                what there is to choose from
set -euo pipefail
# shellcheck source=Scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../Scripts/lib.sh"
# shellcheck source=Benchmarks/lib.sh
. "$repo/Benchmarks/lib.sh"

# Before what is built here, which the average remembers for minutes.
load=$(cut -d ' ' -f 1 /proc/loadavg)

prepare_swift
install_packages nbdkit qemu-utils qemu-system-common libnbd-bin fio gnuplot-nox python3 strace coreutils \
  e2fsprogs mount util-linux diffutils tar git sqlite3
open_fuse_device
# A group that needs them fails without, by name.
"$repo/Scripts/peers.sh" || say "-- The newer peers are not there."
build_measured_programs
# With mounts of its own, root's comparison leaves none behind; and no program that starts meanwhile, in a mount namespace
# of its own, takes a copy of a mount with it and so holds it.
own_mounts=()
[ "$(id -u)" -ne 0 ] || own_mounts=(unshare --mount)
# A later --output wins.
PYTHONPATH=$repo/Benchmarks PYTHONDONTWRITEBYTECODE=1 exec "${own_mounts[@]}" python3 -m comparison \
  --output "$repo/Docs/benchmarks" --load-before "$load" "${measured_programs[@]}" "$@"
