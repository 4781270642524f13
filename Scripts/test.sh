#!/usr/bin/env bash
# Installs what the tests need, builds, runs every test, and counts. What .ci/run runs.
#
#   Scripts/test.sh                  everything
#   Scripts/test.sh --filter REGEX   the tests whose names match (other arguments, too, go to the test runner)
#
# The last line is always `N passed, N failed`. The exit status is 0 only when every test passed, at least one
# ran, and nothing was skipped. What Scripts/loop.sh cannot run on this machine, it says. Logs: .build/logs/*.log.
#
#   NBDMOUNT_TEST_TIMEOUT   seconds that the whole test run may take (2700)
#   CI=true                 ends with Scripts/fresh.sh
#
# The tests find the release binary in $NBDMOUNT and the newer peers (Scripts/peers.sh) in $NBDMOUNT_PEERS.
set -euo pipefail
# shellcheck source=Scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
cd -- "$repo"

passed=0 failed=0 started=$SECONDS phase_name=

# Prints the closing line on every way out, so that an early failure is never mistaken for "no failure".
finish() {
  local status=$?
  end_contained
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

# What is going to happen to this machine, before it does.
announce() {
  local user=root
  [ "$(id -u)" -eq 0 ] || user="root, through sudo"
  say "Installs the Debian packages that are missing (up to 600 MB); builds in .build (1 GB) and unpacks newer NBD servers
into .peers (100 MB). Runs the tests as $user, in namespaces of their own for mounts and processes; they need
3 GiB in memory or in /tmp. All of it takes 35 to 40 minutes on two processors."
}

install() {
  install_test_packages
  install_packages shellcheck python3
  open_fuse_device
}

check_scripts() { shellcheck --external-sources Scripts/*.sh Benchmarks/*.sh .ci/run; }

# The tests that need them fail without, by name; the others need not wait for a mirror.
fetch_peers() { Scripts/peers.sh || say "-- The newer peers are not there."; }

# It is to start where Swift never was.
check_program() {
  local libraries
  libraries=$(ldd "$NBDMOUNT")
  [[ $libraries != *libswift* ]] || die "the program needs Swift's libraries: $libraries"
  strip -o "$NBDMOUNT.stripped" "$NBDMOUNT"
  say "nbdmount: $(stat --format %s "$NBDMOUNT" | numfmt --to=iec-i)B, without symbols $(
    stat --format %s "$NBDMOUNT.stripped" | numfmt --to=iec-i)B"
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

# Reads the closing line of the runner, Swift Testing's:
#   Test run with 12 tests in 3 suites passed after 0.1 seconds.
# where 12 includes the skipped ones.
count_tests() {
  local log=$1 total skipped
  total=$(sed -n -E 's/.*Test run with ([0-9]+) tests?.*/\1/p' "$log" | tail -n 1)
  failed=$(awk '/✘ Test .* failed after / && !/✘ Test (run with|case )/ { n++ } END { print n + 0 }' "$log")
  skipped=$(awk '/➜ Test / { n++ } END { print n + 0 }' "$log")
  failed=$((failed + skipped))
  passed=$((${total:-0} - failed))
  if [ "$skipped" -gt 0 ]; then
    say "-- skipped: $skipped. A test that did not run has not passed, so these count as failed."
    sed -n -e '/➜ Test /p' "$log"
  fi
}

run_tests() {
  local log=$logs/test.log status=0 limit=${NBDMOUNT_TEST_TIMEOUT:-2700} runner
  # What `swift test` starts, which would write to .build, as root here.
  runner=$(swift build --show-bin-path)/nbdmountPackageTests.xctest
  contained '' env NBDMOUNT="$NBDMOUNT" NBDMOUNT_PEERS="$repo/.peers" \
    timeout "$limit" "$runner" --testing-library swift-testing "$@" >"$log" 2>&1 || status=$?
  count_tests "$log"

  if [ "$status" -ne 0 ]; then
    say "-- failures"
    awk '
      /✘ Test |: error: |^error: |Fatal error:|Program crashed|Thread .* crashed:/ { left = 4 }
      left > 0 && !/^(◇|✔|━|➜) / { print; if (++lines == 200) exit }
      { left-- }' "$log"
    unfinished_tests "$log"
    [ "$status" -ne 124 ] || say "The tests did not end within $limit s."
    say "-- all output: $log"
    # A runner that crashed leaves no count of what it did not run.
    [ "$failed" -gt 0 ] || failed=1
  fi
  # What some tests have found out, in rows: which way to which server TLS connects, and how many violations are caught.
  sed -n -E -e '/^TLS \| /p' -e '/^Violations:/p' "$log" | sort
  sed -n '/Test run with/p' "$log"
  if [ "$((passed + failed))" -eq 0 ]; then
    failed=1
    die "no test ran"
  fi
  [ "$failed" -eq 0 ] || die "tests failed"
}

on_exit finish
announce
phase "swift" prepare_swift
swift --version 2>&1 | sed -n 1p
phase "install" install
phase "scripts" check_scripts
phase "layers" Scripts/layers.py
phase "catalogue" Scripts/catalogue.py --check
phase "coverage" Scripts/coverage.py --check
phase "named tests" Scripts/named-tests.py
phase "newer peers" fetch_peers
phase "release build" build_nbdmount
check_program
phase "test build" swift_build "$logs/tests.log" --build-tests
phase "mutations" Scripts/mutations.sh --check
phase "tests" run_tests "$@"
# Whoever names tests wants those only.
if [ "$#" -eq 0 ]; then
  phase "conformance" env NBDMOUNT="$NBDMOUNT" Scripts/conformance.sh
  phase "allocations" Benchmarks/check-allocations.sh
  phase "memory pressure" env NBDMOUNT="$NBDMOUNT" Scripts/loop.sh --minutes 1
  phase "storm" env NBDMOUNT="$NBDMOUNT" Scripts/storm.sh --kills 12
  phase "fuzzing" Scripts/fuzz.sh --seconds 20
  [ "${CI:-}" != true ] || phase "fresh machine" Scripts/fresh.sh bookworm demo user
fi
