#!/usr/bin/env bash
# Runs the tests under a sanitizer:
#
#   Scripts/sanitize.sh thread|address             the tests that need no mount in a sanitized test runner, then the mount
#                                                  tests with a sanitized nbdmount
#   Scripts/sanitize.sh thread|address REGEX       of both, the tests whose names (SUITE/TEST) match
#
# Slow (many minutes), and so not a part of Scripts/test.sh. Installs what is needed. Fails on any report, on any test that
# fails, and when no test ran. Not run: the matrix, unless REGEX is given, since it is long; what measures memory, which is the
# sanitizer's then; what is about the signals of crashes, which it takes for itself; and a limit on the size of files, which
# ends its own start.
set -euo pipefail
# shellcheck source=Scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

sanitizer=${1:-} filter=${2:-}
case $sanitizer in
  thread | address) ;;
  -h | --help)
    usage
    exit
    ;;
  *) die "usage: Scripts/sanitize.sh thread|address [REGEX]" ;;
esac
scratch=$repo/.build-$sanitizer
cd -- "$repo"

reports=
clean_up() {
  set +e
  end_contained
  [ -z "$reports" ] || rm -rf -- "$reports"
}
on_exit clean_up

prepare_swift
install_test_packages
open_fuse_device
Scripts/peers.sh

# A sanitizer writes each process's reports to a file of its own: the tests take nbdmount's standard error for themselves.
# Every user's nbdmount has to be able to.
reports=$(mktemp -d "${TMPDIR:-/tmp}/sanitizer.XXXXXX")
chmod 1777 "$reports"
# A sanitizer's allocator ends the program where there is not so much memory, which some tests see refused. Swift's runtime
# keeps what it has allocated once and for all, which the leak checker takes for leaks.
common="log_path=$reports/report:allocator_may_return_null=1"
options=(
  TSAN_OPTIONS="$common:suppressions=$repo/Scripts/tsan.supp"
  ASAN_OPTIONS="$common:detect_leaks=0"
  NBDMOUNT="$scratch/debug/nbdmount" NBDMOUNT_PEERS="$repo/.peers"
  # Swift's runtime leaves crashes to the sanitizer, and nbdmount, which sees that it was told so, does not interfere.
  SWIFT_BACKTRACE=enable=no
)
# libfuse ends its workers with pthread_cancel, which the thread sanitizer does not survive ("finished with ignores
# enabled").
[ "$sanitizer" = address ] || options+=(NBDMOUNT_ENGINE=reactor)

# tests NAME FOLDER MODULES ARGUMENT...: runs the tests of some targets with the test runner of a build folder.
status=0 ran=0
tests() {
  local name=$1 runner=$2/debug/nbdmountPackageTests.xctest modules=$3 log=$scratch/$1.log result=0 number
  shift 3
  contained '' env "${options[@]}" \
    "$runner" --testing-library swift-testing --filter "^($modules)\\..*($filter)" "$@" >"$log" 2>&1 || result=$?
  # EX_UNAVAILABLE: none of these matches.
  [ "$result" -eq 0 ] || [ "$result" -eq 69 ] || status=1
  number=$(sed -n -E 's/.*Test run with ([0-9]+) tests?.*/\1/p' "$log" | tail -n 1)
  ran=$((ran + ${number:-0}))
  tail -n 1 "$log"
  say "$name: the log is $log"
}

swift build --build-tests --sanitize="$sanitizer" --scratch-path "$scratch"
tests units "$scratch" 'ProtocolTests|CommandLineTests|FileSystemTests'

skipped='BoundedMemory|memoryAndThreadsAreBounded|crashesAreLeftToTheKernel|aLimitOnFileSizes'
[ -n "$filter" ] || skipped+='|MatrixTests'
swift build --build-tests
tests mount "$repo/.build" MountTests --skip "$skipped"

count=0
for report in "$reports"/report*; do
  [ -e "$report" ] || continue
  # A test has seen memory refused, which is no report.
  grep -q -v 'Sanitizer failed to allocate' "$report" || continue
  count=$((count + 1))
  cp -- "$report" "$scratch/"
  say "report: $scratch/${report##*/}"
done
say "$ran tests, $count processes with reports of the $sanitizer sanitizer"
[ "$ran" -gt 0 ] || die "no test ran"
[ "$status" -eq 0 ] && [ "$count" -eq 0 ]
