#!/usr/bin/env bash
# Runs the client on a server that fails, in virtual time, as each of many seeds decides: Tests/ProtocolTests/Simulation.
#
#   Scripts/simulate.sh [SEEDS [FIRST]]    so many seeds (100,000), from that one on (0)
#   Scripts/simulate.sh --seed N           one again, with all that happens
#   Scripts/simulate.sh --without RULE ... with one of the rules left out, which is to be found: fence, order, stop or log
#
# A seed is wrong when a read sees what it may not, when something that was answered is not on the disk after a flush, when anything
# never ends, or a thread never sleeps. It is printed, and makes the exit status 1.
#
# The last line is always `N seeds a second` where there were many. Logs: .build/logs/simulate.log.
set -euo pipefail
# shellcheck source=Scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
cd -- "$repo"

seeds=100000 first=0 rule=() seed=''

build() {
  prepare_swift
  swift_build "$logs/simulate.log" --package-path Simulation -c release
  program=$(swift build --package-path Simulation -c release --show-bin-path)/Simulate
}

is_number() { [[ $1 =~ ^[0-9]{1,15}$ ]]; }

many() {
  local start=$SECONDS status=0 took
  "$program" "$seeds" "$first" "$(nproc)" "${rule[@]}" || status=$?
  took=$((SECONDS - start))
  say "$((seeds / (took > 0 ? took : 1))) seeds a second"
  exit "$status"
}

main() {
  local numbers=()
  while [ "$#" -gt 0 ]; do
    case $1 in
      -h | --help)
        usage
        exit
        ;;
      --seed)
        seed=${2:-}
        is_number "$seed" || die "--seed wants a number, not '$seed'"
        shift
        ;;
      --without)
        case ${2:-} in
          fence | order | stop | log) rule=("$2") ;;
          *) die "--without wants fence, order, stop or log, not '${2:-}'" ;;
        esac
        shift
        ;;
      *)
        is_number "$1" || die "there is no option $1; see --help"
        numbers+=("$1")
        ;;
    esac
    shift
  done
  [ "${#numbers[@]}" -le 2 ] || die "wants SEEDS and FIRST at most; see --help"
  seeds=${numbers[0]:-$seeds}
  first=${numbers[1]:-$first}
  build
  [ -z "$seed" ] || exec "$program" --seed "$seed" "${rule[@]}"
  many
}

main "$@"
