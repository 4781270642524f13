#!/usr/bin/env bash
# Runs `nbdmount conformance` against the NBD servers of Debian and of Debian testing, in several configurations each, and
# compares what it finds with what is known (Docs/conformance/expected.tsv).
#
#   Scripts/conformance.sh            all servers; fails where a verdict is not as expected
#   Scripts/conformance.sh NAME...    only those whose names begin so, such as nbdkit or qemu-nbd-testing-raw
#   Scripts/conformance.sh --keep     writes the reports and the page that shows them side by side to Docs/conformance
#
# The reports are in .build/conformance, with every byte that was said. A run takes about a quarter of a minute.
set -euo pipefail
# shellcheck source=Scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
cd -- "$repo"

out=$repo/.build/conformance
peers=$repo/.peers/bin
keep=no
wanted=()
for word in "$@"; do
  case $word in
  --keep) keep=yes ;;
  -*)
    usage
    exit 2
    ;;
  *) wanted+=("$word") ;;
  esac
done

scratch=
server=
clean_up() {
  set +e
  [ -z "$server" ] || kill -KILL "$server" 2>/dev/null
  [ -z "$scratch" ] || rm -rf -- "$scratch"
}
on_exit clean_up

is_wanted() {
  local word
  [ "${#wanted[@]}" -gt 0 ] || return 0
  for word in "${wanted[@]}"; do [[ $1 != "$word"* ]] || return 0; done
  return 1
}

names=()
# check NAME WORD...: the words are nbdmount's, after its options.
check() {
  local name=$1 status=0
  shift
  # An export is as it was made, whoever wrote to another one.
  "$NBDMOUNT" conformance --write --format json "$@" >"$out/$name.json" 2>"$out/$name.log" || status=$?
  [ "$status" -le 1 ] || die "$name: $(tail -n 3 "$out/$name.log")"
  names+=("$name")
  say "$name: $(python3 -c '
import collections, json, sys
found = collections.Counter(check["verdict"] for check in json.load(open(sys.argv[1]))["checks"])
print(", ".join(f"{found[verdict]} {verdict}" for verdict in ("pass", "warn", "fail", "skip")))' "$out/$name.json")"
}

# started NAME WORD...: a server that nbdmount starts, and starts again where it dies. $export is the export's name.
started() {
  local name=$1
  shift
  if is_wanted "$name"; then check "$name" ${export:+--export="$export"} [ "$@" ]; fi
}

# A disk with data at its start, in its middle and at its end.
image() {
  rm -f -- "$1"
  truncate -s 64M "$1"
  local place
  for place in 0 32 63; do
    dd if="$scratch/data" of="$1" bs=1M seek="$place" conv=notrunc status=none
  done
}

nbdkits() {
  local name=$1 program=$2
  image "$scratch/disk.img"
  started "$name-memory" "$program" memory 64M
  started "$name-file" "$program" file "$scratch/disk.img"
  started "$name-read-only" "$program" -r file "$scratch/disk.img"
  started "$name-sparse" "$program" data '0x55*100000 @1048576 0x66*100000' size=64M
  started "$name-blocks" "$program" --filter=blocksize-policy memory 64M blocksize-minimum=4096 blocksize-preferred=4096 \
    blocksize-maximum=1M blocksize-error-policy=error
  started "$name-nozero" "$program" --filter=nozero --filter=noextents --filter=nocache memory 64M
  started "$name-few" "$program" --no-sr memory 64M
  started "$name-mask-0" "$program" --mask-handshake=0 memory 64M
  started "$name-mask-1" "$program" --mask-handshake=1 memory 64M
  started "$name-exports" "$program" --filter=exportname memory 64M exportname-list=explicit exportname=disk exportname=other default-export=disk
  started "$name-oldstyle" "$program" --oldstyle memory 64M
}

qemus() {
  local name=$1 program=$2
  image "$scratch/disk.img"
  qemu-img convert -q -f raw -O qcow2 "$scratch/disk.img" "$scratch/disk.qcow2"
  qemu-img convert -q -f raw -O qcow2 "$scratch/disk.img" "$scratch/bitmap.qcow2"
  qemu-img bitmap --add "$scratch/bitmap.qcow2" changes
  started "$name-raw" "$program" -t -e 0 -f raw "$scratch/disk.img"
  started "$name-qcow2" "$program" -t -e 0 -f qcow2 --discard=unmap "$scratch/disk.qcow2"
  export=disk started "$name-bitmap" "$program" -t -e 0 -r -f qcow2 -A -B changes -x disk -D "a disk" "$scratch/bitmap.qcow2"
  qemu-img create -q -f qcow2 "$scratch/large.qcow2" 8G
  started "$name-large" "$program" -t -e 0 -f qcow2 "$scratch/large.qcow2"
}

# nbd_server NAME PROGRAM LINE...: the lines are options of the export.
nbd_server() {
  local name=$1 program=$2
  shift 2
  is_wanted "$name" || return 0
  image "$scratch/disk.img"
  rm -f -- "$scratch/pid" "$scratch/socket"
  printf '%s\n' '[generic]' "unixsock = $scratch/socket" 'allowlist = true' '[disk]' "exportname = $scratch/disk.img" "$@" >"$scratch/conf"
  # It forks for each client only as a daemon.
  "$program" -C "$scratch/conf" -p "$scratch/pid" 2>>"$out/$name.server.log"
  local rounds=200
  while [ ! -S "$scratch/socket" ] || [ ! -s "$scratch/pid" ]; do
    rounds=$((rounds - 1))
    [ "$rounds" -gt 0 ] || die "$name does not listen"
    sleep 0.05
  done
  server=$(tr -d ' \n' <"$scratch/pid")
  check "$name" "nbd+unix:///disk?socket=$scratch/socket"
  kill -TERM "$server" 2>/dev/null || true
  server=
}

nbd_servers() {
  local name=$1 program=$2
  nbd_server "$name-plain" "$program"
  nbd_server "$name-full" "$program" 'flush = true' 'fua = true' 'trim = true' 'sparse_file = true'
  nbd_server "$name-read-only" "$program" 'readonly = true'
  nbd_server "$name-copyonwrite" "$program" 'copyonwrite = true' 'flush = true'
}

prepare_swift
install_packages nbdkit nbd-server qemu-utils python3
Scripts/peers.sh >/dev/null || die "the servers of Debian testing are not there"
[ -n "${NBDMOUNT:-}" ] || build_nbdmount
mkdir -p "$out"
scratch=$(mktemp -d)
head -c 1048576 /dev/urandom >"$scratch/data"

nbdkits nbdkit nbdkit
nbdkits nbdkit-testing "$peers/nbdkit-testing"
qemus qemu-nbd qemu-nbd
qemus qemu-nbd-testing "$peers/qemu-nbd-testing"
nbd_servers nbd-server nbd-server
nbd_servers nbd-server-testing "$peers/nbd-server-testing"

[ "${#names[@]}" -gt 0 ] || die "no server has such a name"
python3 Scripts/conformance-verdicts.py "$keep" "$out" "${names[@]}"
if [ "$keep" = yes ]; then
  reports=()
  for name in "${names[@]}"; do reports+=("Docs/conformance/reports/$name.json"); done
  "$NBDMOUNT" conformance --compare --format html "${reports[@]}" >Docs/conformance/comparison.html || [ "$?" -eq 1 ]
  "$NBDMOUNT" conformance --compare "${reports[@]}" >Docs/conformance/comparison.txt || [ "$?" -eq 1 ]
  say "Docs/conformance has the reports, and the comparison of ${#names[@]} servers."
fi
