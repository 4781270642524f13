#!/usr/bin/env bash
# Installs what the tests need, builds, runs every test, and counts. What .ci/run runs.
#
#   Scripts/test.sh                  everything
#   Scripts/test.sh --filter REGEX   the tests whose names match (more arguments go to `swift test` too)
#
# The last line is always `N passed, N failed`. The exit status is 0 only when every test passed, at least one
# ran, and nothing was skipped. Logs: .build/logs/*.log.
#
#   NBDMOUNT_TEST_TIMEOUT   seconds that the whole test run may take (2700)
#
# The tests find the release binary in $NBDMOUNT and the newer peers (Scripts/peers.sh) in $NBDMOUNT_PEERS.
set -euo pipefail
# shellcheck source=Scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

passed=0 failed=0 started=$SECONDS phase_name=

# Prints the closing line on every way out, so that an early failure is never mistaken for "no failure".
finish() {
  local status=$?
  if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
    failed=1
  fi
  [ -z "$phase_name" ] || say "== $phase_name: failed"
  say "Total: $((SECONDS - started)) s"
  say "$passed passed, $failed failed"
  exit "$status"
}

# phase NAME COMMAND...: runs it and says how long it took.
phase() {
  local name=$1 from=$SECONDS
  phase_name=$name
  shift
  say "== $name"
  "$@"
  say "== $name: $((SECONDS - from)) s"
  phase_name=
}

# A test that starts a program needs its package here.
install() {
  install_packages nbdkit nbd-server qemu-utils fio e2fsprogs xfsprogs openssl mount util-linux netbase
  install_program fincore util-linux-extra
  open_fuse_device
}

# Names of Swift Testing tests that began and never ended: where a runner crashed or hung, one of these did it.
unfinished_tests() {
  awk '
    match($0, /Test .* started\.$/) && !/Test run started|Test case / {
      name = substr($0, RSTART + 5, RLENGTH - 14); running[name] = 1
    }
    match($0, /Test .* (passed|failed) after /) && !/Test run with|Test case / {
      name = substr($0, RSTART + 5, RLENGTH - 5)
      sub(/ (passed|failed) after $/, "", name); sub(/ with [0-9]+ test cases?$/, "", name)
      delete running[name]
    }
    END { for (name in running) print "  unfinished: " name }' "$1"
}

# The number in the last match of a pattern whose one group is a number; 0 where there is none.
last_number() {
  local number
  number=$(sed -n -E "s/.*$1.*/\1/p" "$2" | tail -n 1)
  printf '%s\n' "${number:-0}"
}

# How many lines contain a text.
count_lines() {
  awk -v text="$1" 'index($0, text) { count++ } END { print count + 0 }' "$2"
}

# Adds up the closing lines of both runners: Swift Testing's
#   Test run with 12 tests in 3 suites passed after 0.1 seconds.
# where 12 includes the skipped ones, and XCTest's, which comes once for each suite and last for all:
#   Executed 3 tests, with 1 test skipped and 1 failure (0 unexpected) in 0.1 (0.1) seconds
count_tests() {
  local log=$1 total testing_failed testing_skipped xctest_total xctest_failed xctest_skipped skipped
  total=$(last_number 'Test run with ([0-9]+) tests?' "$log")
  testing_failed=$(awk '/✘ Test .* failed after / && !/✘ Test (run with|case )/ { n++ } END { print n + 0 }' "$log")
  testing_skipped=$(count_lines '➜ Test ' "$log")
  xctest_total=$(last_number 'Executed ([0-9]+) tests?, with' "$log")
  xctest_failed=$(last_number 'Executed [0-9]+ tests?, with.*[^0-9]([0-9]+) failures? \(' "$log")
  xctest_skipped=$(last_number 'Executed [0-9]+ tests?, with ([0-9]+) tests? skipped' "$log")

  skipped=$((testing_skipped + xctest_skipped))
  failed=$((testing_failed + xctest_failed + skipped))
  passed=$((total + xctest_total - failed))
  if [ "$skipped" -gt 0 ]; then
    say "-- skipped: $skipped. A test that did not run has not passed, so these count as failed."
    sed -n -e '/➜ Test /p' -e '/: Test skipped - /p' "$log"
  fi
}

run_tests() {
  local log=$logs/test.log status=0
  export NBDMOUNT NBDMOUNT_PEERS=$repo/.peers
  (cd "$repo" && timeout --kill-after=20 "${NBDMOUNT_TEST_TIMEOUT:-2700}" swift test --skip-build "$@") \
    >"$log" 2>&1 </dev/null || status=$?
  count_tests "$log"

  if [ "$status" -ne 0 ]; then
    say "-- failures"
    awk '
      /✘ Test |: error: |^error: |Fatal error:|Program crashed|Thread .* crashed:/ { left = 4 }
      left > 0 && !/^(◇|✔|━|➜) |^Test (Case|Suite)/ { print; if (++lines == 200) exit }
      { left-- }' "$log"
    unfinished_tests "$log"
    [ "$status" -ne 124 ] || say "The tests did not end within ${NBDMOUNT_TEST_TIMEOUT:-2700} s."
    say "-- all output: $log"
    # A runner that crashed leaves no count of what it did not run.
    [ "$failed" -gt 0 ] || failed=1
  fi
  sed -n -E '/Test run with|^\t Executed/p' "$log" | tail -n 2
  if [ "$((passed + failed))" -eq 0 ]; then
    failed=1
    die "no test ran"
  fi
  [ "$failed" -eq 0 ] || die "tests failed"
}

trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
phase "swift" prepare_swift
phase "install" install
swift --version 2>&1 | sed -n 1p
phase "newer peers" "$repo/Scripts/peers.sh"
phase "release build" build_nbdmount
phase "test build" swift_build "$logs/tests.log" --build-tests
phase "tests" run_tests "$@"
# Whoever names tests wants those only.
[ "$#" -gt 0 ] || phase "allocations" "$repo/Benchmarks/check-allocations.sh"
