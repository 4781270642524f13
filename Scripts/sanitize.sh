#!/usr/bin/env bash
# Runs the protocol tests under a sanitizer: Scripts/sanitize.sh thread|address
#
# Slow (minutes), and so not a part of Scripts/test.sh. Fails on any report.
set -euo pipefail
# shellcheck source=Scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

sanitizer=${1:-}
case $sanitizer in
  thread | address) ;;
  *) die "usage: Scripts/sanitize.sh thread|address" ;;
esac
scratch=$repo/.build-$sanitizer
log=$scratch/sanitizer.log
cd "$repo"
swift build --build-tests --sanitize="$sanitizer" --scratch-path "$scratch"

export TSAN_OPTIONS="suppressions=$repo/Scripts/tsan.supp"
# Swift's runtime keeps what it has allocated once and for all, which the leak checker takes for leaks.
export ASAN_OPTIONS="detect_leaks=0"
status=0
swift test --skip-build --sanitize="$sanitizer" --scratch-path "$scratch" --filter ProtocolTests >"$log" 2>&1 || status=$?
reports=$(grep -cE 'WARNING: ThreadSanitizer|ERROR: AddressSanitizer' "$log") || [ "$reports" = 0 ]
tail -n 3 "$log"
say "$reports reports of the $sanitizer sanitizer; the log is $log"
[ "$status" -eq 0 ] && [ "$reports" -eq 0 ]
