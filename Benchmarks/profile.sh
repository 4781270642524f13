#!/usr/bin/env bash
# Shows where nbdmount's CPU time goes in the workloads that miss their targets. Writes Docs/benchmarks/profile/: README.md,
# and a flame graph of each workload.
#
#   Benchmarks/profile.sh                                       all of them: about a minute
#   Benchmarks/profile.sh --only rr32,sr1M --seconds 10 --output DIRECTORY
#
# It samples every process, which the kernel allows root alone (others where kernel.perf_event_paranoid is -1).
set -euo pipefail
# shellcheck source=Scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../Scripts/lib.sh"
# shellcheck source=Benchmarks/lib.sh
. "$repo/Benchmarks/lib.sh"

install_build_packages
install_packages nbdkit fio libnbd-bin python3 coreutils
# Debian's package; elsewhere perf comes with the kernel's.
command -v perf >/dev/null || install_packages linux-perf
open_fuse_device
require_swift
build_nbdmount
# A later --output wins.
PYTHONPATH=$repo/Benchmarks PYTHONDONTWRITEBYTECODE=1 exec python3 -m profiles \
  --output "$repo/Docs/benchmarks/profile" "${measured_programs[@]}" "$@"
