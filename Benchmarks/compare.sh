#!/usr/bin/env bash
# Measures nbdmount (both engines), nbdfuse and qemu-storage-daemon's FUSE export side by side, and the two limits, in one
# run. Writes Docs/benchmarks/{results.json,README.md,chart.svg}.
#
#   Benchmarks/compare.sh                       everything, 5 rounds: more than an hour on a machine that does nothing else
#   Benchmarks/compare.sh --quick               2 rounds of 1 s: a smoke test, its numbers are worth nothing
#   Benchmarks/compare.sh --only rr32,rw32 --groups nbdkit-unix --output DIRECTORY
#   Benchmarks/compare.sh --list                what there is to choose from
set -euo pipefail
# shellcheck source=Scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../Scripts/lib.sh"
# shellcheck source=Benchmarks/lib.sh
. "$repo/Benchmarks/lib.sh"

prepare_swift
install_packages nbdkit qemu-utils qemu-system-common libnbd-bin fio gnuplot-nox python3 strace coreutils
open_fuse_device
build_measured_programs
# A later --output wins.
PYTHONPATH=$repo/Benchmarks PYTHONDONTWRITEBYTECODE=1 exec python3 -m comparison \
  --output "$repo/Docs/benchmarks" "${measured_programs[@]}" "$@"
