#!/usr/bin/env bash
# Fails when a heap allocation appears on the data path: in the codec and the reply machine, by the micro benchmarks
# (Benchmarks/Thresholds), and in a whole mount, by counting the calls of malloc in it (Benchmarks/mount-allocations.json).
#
#   Benchmarks/check-allocations.sh
#
# Where a threshold has to change: swift package --package-path Benchmarks --allow-writing-to-package-directory \
#   benchmark thresholds update --target TransmissionBenchmarks --metric Allocations --path Benchmarks/Thresholds
set -euo pipefail
# shellcheck source=Scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../Scripts/lib.sh"
# shellcheck source=Benchmarks/lib.sh
. "$repo/Benchmarks/lib.sh"

# Fails where a threshold is undercut, too: that one is to be lowered.
check_machine() {
  local log=$logs/micro-benchmarks.log status=0
  swift_build "$logs/micro-build.log" --package-path Benchmarks -c release --product TransmissionBenchmarks
  (cd "$repo" && swift package --package-path Benchmarks benchmark thresholds check --no-progress \
    --target TransmissionBenchmarks --metric Allocations --path "$repo/Benchmarks/Thresholds") >"$log" 2>&1 || status=$?
  if [ "$status" -ne 0 ]; then
    tail -n 60 "$log"
    die "the reply machine's allocations are not those of Benchmarks/Thresholds (status $status); all output is in $log"
  fi
  say "codec and reply machine: as in Benchmarks/Thresholds"
}

prepare_swift
install_packages nbdkit fio libnbd-bin python3
open_fuse_device
build_measured_programs
check_machine
PYTHONPATH=$repo/Benchmarks PYTHONDONTWRITEBYTECODE=1 exec python3 -m comparison.allocations \
  --thresholds "$repo/Benchmarks/mount-allocations.json" "${measured_programs[@]}"
