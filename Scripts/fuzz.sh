#!/usr/bin/env bash
# Fuzzes what parses a server's bytes and a user's URI: libFuzzer with AddressSanitizer, over the targets of
# Tests/ProtocolTests/Harness/FuzzTarget.swift.
#
#   Scripts/fuzz.sh                        each target for 10 s, as many at a time as there are processors
#   Scripts/fuzz.sh --seconds N [TARGET]...  these targets, or all, for N seconds each
#   Scripts/fuzz.sh --list                 the targets
#   Scripts/fuzz.sh --reproduce TARGET FILE  one input again
#
# A finding is a trap, a failed check, memory that is not the library's own, an input that takes 20 s, a heap that grows with
# each execution, or more than 1 GiB. It is kept, printed, and makes the exit status 1. What has reached new code is kept in
# .build/fuzz and taken up by the next run. Logs: .build/logs/fuzz-TARGET.log.
#
# The last line is always `N executions, N findings`.
set -euo pipefail
# shellcheck source=Scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
cd -- "$repo"

seconds=10 targets=() running=() executions=0 findings=0 folder=$repo/.build/fuzz

finish() {
  local status=$? pid
  for pid in "${running[@]}"; do end "$pid" 5; done
  say "$executions executions, $findings findings"
  exit "$status"
}

# The runtime's own report of a crash would come in the way of the sanitizer's. One frame for each allocation: more is known
# when the input is run again.
options=(SWIFT_BACKTRACE=enable=no ASAN_OPTIONS=detect_leaks=0:malloc_context_size=1:quarantine_size_mb=32)

build() {
  prepare_swift
  swift_build "$logs/fuzz-build.log" --package-path Fuzz -c release
  fuzz=$(swift build --package-path Fuzz -c release --show-bin-path)/Fuzz
  mapfile -t known < <("$fuzz")
}

# start TARGET: in the background.
start() {
  local place=$folder/$1
  mkdir -p "$place/corpus"
  rm -rf -- "$place/seeds" "$place/findings"
  mkdir "$place/seeds" "$place/findings"
  env "${options[@]}" FUZZ_TARGET="$1" FUZZ_SEEDS="$place/seeds" "$fuzz"
  # An input is seconds at most, so that one which is not over by then hangs in a way that libFuzzer does not see.
  env "${options[@]}" FUZZ_TARGET="$1" timeout --kill-after=10 "$((seconds + 120))" "$fuzz" \
    -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 -malloc_limit_mb=64 -max_len=4096 -print_final_stats=1 \
    -artifact_prefix="$place/findings/" "$place/corpus" "$place/seeds" >"$logs/fuzz-$1.log" 2>&1 &
  running+=("$!")
}

# judge TARGET STATUS
judge() {
  local log=$logs/fuzz-$1.log count speed coverage input kept=0
  count=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  speed=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
  coverage=$(sed -n 's/^#.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
  executions=$((executions + ${count:-0}))
  for input in "$folder/$1/findings"/*; do
    [ -e "$input" ] || continue
    kept=$((kept + 1))
    say "-- $1: ${input#"$repo"/}
   again: Scripts/fuzz.sh --reproduce $1 ${input#"$repo"/}
   as a test: { echo '# WHAT IT DID'; od -An -v -tx1 ${input#"$repo"/}; } >Fixtures/corpus/$1/NAME.txt"
  done
  if [ "$kept" -gt 0 ] || [ "$2" -ne 0 ] || [ "${count:-0}" -eq 0 ]; then
    findings=$((findings + (kept > 0 ? kept : 1)))
    grep -E -A 12 'Fatal error|^==[0-9]+==|SUMMARY' "$log" | head -n 60 || true
    say "$1: status $2; all output is in $log"
  fi
  say "$1: ${count:-0} executions, ${speed:-0} a second, $coverage places reached"
}

run() {
  local target status at=0
  mkdir -p "$logs"
  for target in "${targets[@]}"; do
    while [ "$((${#running[@]} - at))" -ge "$(nproc)" ]; do
      wait_for "$at"
      at=$((at + 1))
    done
    start "$target"
  done
  while [ "$at" -lt "${#running[@]}" ]; do
    wait_for "$at"
    at=$((at + 1))
  done
  running=()
}

# wait_for NUMBER: the target that was started as that, counted from 0.
wait_for() {
  local status=0
  wait "${running[$1]}" || status=$?
  judge "${targets[$1]}" "$status"
}

main() {
  local mode=run target
  while [ "$#" -gt 0 ]; do
    case $1 in
      -h | --help)
        usage
        exit
        ;;
      --seconds)
        seconds=${2:-}
        [[ $seconds =~ ^[1-9][0-9]{0,6}$ ]] || die "--seconds wants a number from 1 up, not '$seconds'"
        shift
        ;;
      --list) mode=list ;;
      --reproduce)
        [ "$#" -eq 3 ] || die "--reproduce wants TARGET FILE"
        [ -f "$3" ] || die "there is no file $3"
        mode=reproduce
        targets=("$2")
        input=$3
        shift 2
        ;;
      -*) die "there is no option $1; see --help" ;;
      *) targets+=("$1") ;;
    esac
    shift
  done
  build
  for target in "${targets[@]}"; do
    printf '%s\n' "${known[@]}" | grep -F -x -q -e "$target" || die "there is no target $target; there are ${known[*]}"
  done
  case $mode in
    list) printf '%s\n' "${known[@]}" ;;
    reproduce) FUZZ_TARGET=${targets[0]} SWIFT_BACKTRACE=enable=no ASAN_OPTIONS=detect_leaks=0 "$fuzz" "$input" ;;
    run)
      [ "${#targets[@]}" -gt 0 ] || targets=("${known[@]}")
      on_exit finish
      run
      [ "$findings" -eq 0 ]
      ;;
  esac
}

main "$@"
