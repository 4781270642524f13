#!/usr/bin/env bash
# Finds out whether the tests notice mistakes: makes each of those in Fixtures/mutations, one at a time, in a copy of this
# folder, and runs the tests that must then fail.
#
#   Scripts/mutations.sh                   all
#   Scripts/mutations.sh NAME...           these
#   Scripts/mutations.sh --shard K/N       every Nth, from the Kth on: N runs with 1/N to N/N do all
#   Scripts/mutations.sh --list            what there is; nothing is done
#   Scripts/mutations.sh --check           that each patch applies, and that its tests are in the runner that
#                                          `swift build --build-tests` has left in .build
#
# A mutation is NAME.patch: a line that says what the mistake is, a line `Tests: REGEX`, as for `swift test --filter`, and a
# unified diff. It is killed when a test fails, when the runner crashes, or when it hangs. One that does not apply, does not
# build, or names no tests is broken.
#
# The last line is always `N killed, N survived, N broken`. The exit status is 0 only when all that were to be tried were
# killed. Logs: .build/logs/mutations/NAME.*.
#
#   NBDMOUNT_MUTATION_TIMEOUT   seconds that the tests of one mutation may take (120)
set -euo pipefail
# shellcheck source=Scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
cd -- "$repo"

folder=$repo/Fixtures/mutations
limit=${NBDMOUNT_MUTATION_TIMEOUT:-120}
mode=run names=() first=1 copy='' killed=0 survived=0 broken=0

finish() {
  local status=$?
  set +e
  end_contained
  [ -z "$copy" ] || rm -rf -- "$copy"
  [ "$mode" = check ] || say "$killed killed, $survived survived, $broken broken"
  exit "$status"
}

# What the mistake is, and which tests find it.
description() { sed -n 1p "$folder/$1.patch"; }
tests() { sed -n '1,/^diff /s/^Tests: //p' "$folder/$1.patch"; }

# report VERDICT NAME WORDS
report() { printf '%-9s %-32s %s\n' "$@"; }

is_broken() {
  broken=$((broken + 1))
  report BROKEN "$1" "$2"
}

# apply FOLDER NAME ARGUMENT...: in a folder that need not be a repository.
apply() { (cd -- "$1" && GIT_CEILING_DIRECTORIES=$1/.. git apply --whitespace=nowarn "${@:3}" "$folder/$2.patch"); }

# run_tests LOG REGEX: those tests of the copy's runner, as Scripts/test.sh runs them.
run_tests() {
  contained '' env NBDMOUNT="$bin/nbdmount" timeout --kill-after=10 "$limit" \
    "$bin/nbdmountPackageTests.xctest" --testing-library swift-testing --filter "$2" >"$1" 2>&1
}

list_tests() { "$1/nbdmountPackageTests.xctest" --testing-library swift-testing --list-tests; }

# check_tests NAME LIST: it names tests, and all of them are there.
check_tests() {
  local tests part
  tests=$(tests "$1")
  [ -n "$tests" ] || return 1
  # Each of several, since none may be left out unnoticed.
  while IFS= read -r part; do
    grep --extended-regexp --quiet -e "$part" <<<"$2" || return 1
  done < <(tr '|' '\n' <<<"$tests")
}

check() {
  local name list
  list=$(list_tests "$(swift build --show-bin-path)")
  for name in "${names[@]}"; do
    if ! apply "$repo" "$name" --check; then
      is_broken "$name" "does not apply"
    elif ! check_tests "$name" "$list"; then
      is_broken "$name" "names no tests, or some that are not there: $(tests "$name")"
    fi
  done
  say "${#names[@]} mutations, of which $broken do not fit"
  [ "$broken" -eq 0 ]
}

# Everything that git knows or would take, as it is now, and the dependencies, which then need no network.
make_copy() {
  copy=$(mktemp -d -- "${TMPDIR:-/tmp}/nbdmount-mutations.XXXXXX")
  git ls-files -z --cached --others --exclude-standard |
    tar --create --null --files-from=- --ignore-failed-read --warning=no-failed-read |
    tar --extract --directory="$copy"
  mkdir "$copy/.build"
  for part in checkouts repositories workspace-state.json; do
    [ ! -e ".build/$part" ] || cp -a -- ".build/$part" "$copy/.build"
  done
  cp -a -- Package.resolved "$copy" 2>/dev/null || true
}

build_copy() { swift build --package-path "$copy" --build-tests >"$1" 2>&1; }

# All tests that are named must pass as long as nothing is wrong, or it would prove nothing that they fail.
check_unmutated() {
  local log=$logs/mutations/unmutated-$$ regex list name
  build_copy "$log.build" || die "the tests do not build: $log.build"
  bin=$(swift build --package-path "$copy" --show-bin-path)
  list=$(list_tests "$bin")
  regex=$(for name in "${names[@]}"; do tests "$name"; done | sort -u | paste -s -d '|')
  for name in "${names[@]}"; do
    check_tests "$name" "$list" || die "$name names no tests, or some that are not there: $(tests "$name")"
  done
  limit=2700 run_tests "$log.test" "$regex" || {
    grep -E '✘|Fatal' "$log.test" | head -n 20
    die "tests fail without a mutation: $log.test"
  }
  ! grep '➜ Test ' "$log.test" || die "some tests do not run on this machine: $log.test"
  sed -n '/Test run with/p' "$log.test"
  rm -f -- "$log".*
}

# How the tests of a mutation ended, from their exit status and output.
judge() {
  local name=$1 status=$2 log=$3 count by
  count=$(sed -n -E 's/.*Test run with ([0-9]+) tests?.*/\1/p' "$log" | tail -n 1)
  by=$(sed -n -E '/✘ Test (run with|case )/!s/.*✘ Test ([^ ]+) .*failed after .*/\1/p' "$log" | sed -n 1p)
  # What is found on another thread has a place and no test.
  [ -n "$by" ] || by=$(sed -n -E 's/.*✘ Test .* recorded an issue.* at ([^ ]+:[0-9]+):[0-9]+: .*/\1/p' "$log" | sed -n 1p)
  if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
    killed=$((killed + 1))
    report killed "$name" "it hangs: no end within $limit s${by:+, and $by failed}"
  elif [ "$status" -ne 0 ] && [ -z "$count" ]; then
    killed=$((killed + 1))
    report killed "$name" "the runner crashed${by:+, and $by failed}"
  elif [ "$status" -ne 0 ]; then
    killed=$((killed + 1))
    report killed "$name" "by ${by:-a test} ($((SECONDS - begun)) s)"
  elif [ "${count:-0}" -eq 0 ]; then
    is_broken "$name" "no test ran: $log"
  else
    survived=$((survived + 1))
    report SURVIVED "$name" "$(description "$name")"
  fi
}

try() {
  local name=$1 log=$logs/mutations/$1 status=0 begun=$SECONDS
  apply "$copy" "$name" 2>"$log.build" || {
    is_broken "$name" "does not apply: $log.build"
    return
  }
  if build_copy "$log.build"; then
    run_tests "$log.test" "$(tests "$name")" || status=$?
    judge "$name" "$status" "$log.test"
  else
    is_broken "$name" "does not build: $log.build"
  fi
  apply "$copy" "$name" --reverse
}

# In a function, which bash reads whole before it begins: the script may be edited while it runs.
main() {
  local shard=1/1 step name
  while [ "$#" -gt 0 ]; do
    case $1 in
      -h | --help)
        usage
        exit
        ;;
      --list | --check) mode=${1#--} ;;
      --shard)
        shard=${2:-}
        shift
        ;;
      -*) die "there is no option $1; see --help" ;;
      *)
        [ -f "$folder/$1.patch" ] || die "there is no mutation $1; see --list"
        names+=("$1")
        ;;
    esac
    shift
  done
  [[ $shard =~ ^([1-9][0-9]*)/([1-9][0-9]*)$ ]] || die "--shard wants K/N, not '$shard'"
  first=${BASH_REMATCH[1]} step=${BASH_REMATCH[2]}
  if [ "${#names[@]}" -eq 0 ]; then
    mapfile -t names < <(cd "$folder" && printf '%s\n' *.patch | sed 's/\.patch$//' | awk "NR % $step == $first % $step")
  fi

  if [ "$mode" = list ]; then
    for name in "${names[@]}"; do printf '%-32s %s\n' "$name" "$(description "$name")"; done
    exit
  fi
  on_exit finish
  if [ "$mode" = check ]; then
    check
    exit
  fi
  prepare_swift
  install_test_packages
  open_fuse_device
  mkdir -p "$logs/mutations"
  say "Copying and building, then ${#names[@]} mutations of which most take less than ten seconds"
  make_copy
  check_unmutated
  for name in "${names[@]}"; do try "$name"; done
  [ "$((survived + broken))" -eq 0 ]
}

main "$@"
