#!/usr/bin/env bash
# Runs `nbdmount conformance` against the NBD servers of Debian and of Debian testing, in several configurations each, and
# compares what it finds with what is known (Docs/conformance/expected.tsv).
#
#   Scripts/conformance.sh            all servers; fails where a verdict is not as expected
#   Scripts/conformance.sh NAME...    only those whose names begin so, such as nbdkit or qemu-nbd-testing-raw
#   Scripts/conformance.sh --keep     writes the reports and the page that shows them side by side to Docs/conformance
#
# The last line says how many are as expected. What this machine has installed is compared where that is Debian 12, whose servers
# expected.tsv is about. Six run at a time, as they mostly wait; the reports are in .build/conformance, with every byte that was
# said.
#
#   NBDMOUNT   the program; built where this is not set
set -euo pipefail
# shellcheck source=Scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
cd -- "$repo"

out=$repo/.build/conformance
peers=$repo/.peers/bin
places=6
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
running=()
clean_up() {
  local status=$? pid
  set +e
  for pid in "${running[@]}"; do kill -TERM "$pid" 2>/dev/null; done
  for pid in "${running[@]}"; do wait "$pid"; done
  [ -z "$scratch" ] || rm -rf -- "$scratch"
  exit "$status"
}
on_exit clean_up

is_wanted() {
  local word
  [ "${#wanted[@]}" -gt 0 ] || return 0
  for word in "${wanted[@]}"; do [[ $1 != "$word"* ]] || return 0; done
  return 1
}

names=()
failed=()
# Waits for the one that was started first.
wait_for_first() {
  local pid=${running[0]} name=${names[${#names[@]} - ${#running[@]}]}
  wait "$pid" || failed+=("$name")
  running=("${running[@]:1}")
}

# configuration NAME COMMAND...: runs it beside others, in a folder of its own.
configuration() {
  local name=$1
  shift
  is_wanted "$name" || return 0
  [ "${#running[@]}" -lt "$places" ] || wait_for_first
  mkdir -p "$scratch/$name"
  (
    trap - EXIT HUP INT TERM
    cd -- "$scratch/$name"
    "$@"
  ) &
  running+=("$!")
  names+=("$name")
}

# Options about TLS.
tls=()

# check NAME WORD...: the words are nbdmount's, after its options.
check() {
  local name=$1 status=0
  shift
  "$NBDMOUNT" conformance --write --format json "${tls[@]}" "$@" >"$out/$name.json" 2>"$out/$name.log" &
  # shellcheck disable=SC2064
  trap "kill -TERM $! 2>/dev/null; exit 143" TERM
  wait "$!" || status=$?
  [ "$status" -le 1 ] || die "$name: $(tail -n 3 "$out/$name.log")"
}

# A server that nbdmount starts, and starts again where it dies. $export is the export's name.
started() {
  local name=$1
  shift
  check "$name" ${export:+--export="$export"} [ "$@" ]
}

# A disk with data at its start, in its middle and at its end.
image() {
  local place
  truncate -s 64M disk.img
  for place in 0 32 63; do
    dd if="$scratch/data" of=disk.img bs=1M seek="$place" conv=notrunc status=none
  done
}

# with_image COMMAND...: an export is as it was made, whoever wrote to another one.
with_image() {
  image
  "$@"
}

# Keys and certificates, under the names that servers and nbdmount look for, in folders of $scratch: keys, server and client.
make_keys() {
  local who
  mkdir "$scratch/keys" "$scratch/server" "$scratch/client"
  psktool --username alice --pskfile "$scratch/keys/keys.psk" >/dev/null
  chmod 600 "$scratch/keys/keys.psk"
  (
    # Left of "||" the shell goes on after a command that fails.
    cd -- "$scratch" || exit
    printf '%s\n' 'cn = authority' ca cert_signing_key 'expiration_days = 30' >ca.info
    printf '%s\n' 'cn = server' 'dns_name = localhost' tls_www_server signing_key encryption_key 'expiration_days = 30' >server.info
    printf '%s\n' 'cn = client' tls_www_client signing_key 'expiration_days = 30' >client.info
    certtool --generate-privkey --key-type rsa --bits 2048 --outfile ca-key.pem || exit
    certtool --generate-self-signed --load-privkey ca-key.pem --template ca.info --outfile ca-cert.pem || exit
    for who in server client; do
      cp ca-cert.pem "$who" || exit
      certtool --generate-privkey --key-type rsa --bits 2048 --outfile "$who/$who-key.pem" || exit
      certtool --generate-certificate --load-privkey "$who/$who-key.pem" --load-ca-certificate ca-cert.pem \
        --load-ca-privkey ca-key.pem --template "$who.info" --outfile "$who/$who-cert.pem" || exit
      chmod 600 "$who/$who-key.pem"
    done
  ) 2>"$out/keys.log" || die "no keys: $(tail -n 3 "$out/keys.log")"
}

# with_key COMMAND..., with_certificates COMMAND...: the checks run inside TLS.
with_key() {
  tls=(--tls-psk-file "$scratch/keys/keys.psk" --tls-username alice)
  "$@"
}

with_certificates() {
  tls=(--tls-certificates "$scratch/client" --tls-hostname localhost)
  "$@"
}

nbdkits() {
  local name=$1 program=$2
  configuration "$name-memory" started "$name-memory" "$program" memory 64M
  configuration "$name-file" with_image started "$name-file" "$program" file disk.img
  configuration "$name-read-only" with_image started "$name-read-only" "$program" -r file disk.img
  configuration "$name-sparse" started "$name-sparse" "$program" data '0x55*100000 @1048576 0x66*100000' size=64M
  configuration "$name-blocks" started "$name-blocks" "$program" --filter=blocksize-policy memory 64M \
    blocksize-minimum=4096 blocksize-preferred=4096 blocksize-maximum=1M blocksize-error-policy=error
  configuration "$name-nozero" started "$name-nozero" "$program" --filter=nozero --filter=noextents --filter=nocache memory 64M
  configuration "$name-few" started "$name-few" "$program" --no-sr memory 64M
  configuration "$name-mask-0" started "$name-mask-0" "$program" --mask-handshake=0 memory 64M
  configuration "$name-mask-1" started "$name-mask-1" "$program" --mask-handshake=1 memory 64M
  configuration "$name-exports" started "$name-exports" "$program" --filter=exportname memory 64M exportname-list=explicit \
    exportname=disk exportname=other default-export=disk
  configuration "$name-oldstyle" started "$name-oldstyle" "$program" --oldstyle memory 64M
  configuration "$name-tls-psk" with_key started "$name-tls-psk" "$program" --tls=require --tls-psk="$scratch/keys/keys.psk" \
    memory 64M
  configuration "$name-tls-on" with_key started "$name-tls-on" "$program" --tls=on --tls-psk="$scratch/keys/keys.psk" memory 64M
  configuration "$name-tls-x509" with_certificates started "$name-tls-x509" "$program" --tls=require \
    --tls-certificates="$scratch/server" --tls-verify-peer memory 64M
}

qcow2() {
  image
  qemu-img convert -q -f raw -O qcow2 disk.img disk.qcow2
  "$@"
}

bitmap() {
  image
  qemu-img convert -q -f raw -O qcow2 disk.img bitmap.qcow2
  qemu-img bitmap --add bitmap.qcow2 changes
  export=disk
  "$@"
}

large() {
  qemu-img create -q -f qcow2 large.qcow2 8G
  "$@"
}

qemus() {
  local name=$1 program=$2
  configuration "$name-raw" with_image started "$name-raw" "$program" -t -e 0 -f raw disk.img
  configuration "$name-qcow2" qcow2 started "$name-qcow2" "$program" -t -e 0 -f qcow2 --discard=unmap disk.qcow2
  configuration "$name-bitmap" bitmap started "$name-bitmap" "$program" -t -e 0 -r -f qcow2 -A -B changes -x disk -D "a disk" \
    bitmap.qcow2
  configuration "$name-tls-psk" with_image with_key started "$name-tls-psk" "$program" -t -e 0 \
    --object "tls-creds-psk,id=t,endpoint=server,dir=$scratch/keys" --tls-creds t -f raw disk.img
  configuration "$name-tls-x509" with_image with_certificates started "$name-tls-x509" "$program" -t -e 0 \
    --object "tls-creds-x509,id=t,endpoint=server,dir=$scratch/server,verify-peer=yes" --tls-creds t -f raw disk.img
  configuration "$name-large" large started "$name-large" "$program" -t -e 0 -f qcow2 large.qcow2
  # One client at a time.
  configuration "$name-single" with_image started "$name-single" "$program" -t -f raw disk.img
}

# Options of nbd-server that are no export's.
generic=()

# nbd_server NAME PROGRAM LINE...: the lines are options of the export, and may begin another.
nbd_server() {
  local name=$1 program=$2 here rounds=200 server
  shift 2
  here=$PWD
  image
  printf '%s\n' '[generic]' "unixsock = $here/socket" 'allowlist = true' "${generic[@]}" '[disk]' "exportname = $here/disk.img" "$@" >conf
  # It forks for each client only as a daemon.
  "$program" -C "$here/conf" -p "$here/pid" 2>>"$out/$name.server.log"
  while [ ! -S socket ] || [ ! -s pid ]; do
    rounds=$((rounds - 1))
    [ "$rounds" -gt 0 ] || die "$name does not listen"
    sleep 0.05
  done
  server=$(tr -d ' \n' <pid)
  # shellcheck disable=SC2064
  trap "kill -TERM $server 2>/dev/null" EXIT
  check "$name" "nbd+unix:///disk?socket=$here/socket"
}

# with_server_certificate LINE COMMAND...: nbd-server has TLS. The line is one more such option.
with_server_certificate() {
  generic=("certfile = $scratch/server/server-cert.pem" "keyfile = $scratch/server/server-key.pem"
    "cacertfile = $scratch/server/ca-cert.pem" "$1")
  shift
  "$@"
}

nbd_servers() {
  local name=$1 program=$2
  configuration "$name-plain" nbd_server "$name-plain" "$program"
  configuration "$name-full" nbd_server "$name-full" "$program" 'flush = true' 'fua = true' 'trim = true' 'sparse_file = true'
  configuration "$name-read-only" nbd_server "$name-read-only" "$program" 'readonly = true'
  configuration "$name-tls-forced" with_certificates with_server_certificate 'force_tls = true' nbd_server "$name-tls-forced" \
    "$program" 'flush = true'
  configuration "$name-tls-selective" with_certificates with_server_certificate '' nbd_server "$name-tls-selective" "$program" \
    'flush = true' '[secret]' "exportname = $scratch/$name-tls-selective/disk.img" 'force_tls = true'
  configuration "$name-copyonwrite" nbd_server "$name-copyonwrite" "$program" 'copyonwrite = true' 'flush = true'
}

# expected.tsv is about the versions of Debian 12.
is_debian_12() { grep -qx 'VERSION_ID="12"' /etc/os-release && grep -qx 'ID=debian' /etc/os-release; }

# Packages and versions of the servers, a line each.
# shellcheck disable=SC2016
versions() {
  ! is_debian_12 || dpkg-query --show --showformat '${Package} ${Version}\n' nbdkit qemu-utils nbd-server
  sed -n 's/^package \(nbdkit\|qemu-utils\|nbd-server\): /\1 (testing) /p' .peers/versions.txt
}

# The verdicts of other versions may be others.
compare_versions() {
  local line
  versions | while IFS= read -r line; do
    grep -qsxF -- "$line" Docs/conformance/versions.txt || say "-- Docs/conformance knows another version than $line"
  done
}

from=$SECONDS
prepare_swift
install_packages nbdkit nbd-server qemu-utils python3 gnutls-bin
Scripts/peers.sh >/dev/null || die "the servers of Debian testing are not there"
[ -n "${NBDMOUNT:-}" ] || build_nbdmount
NBDMOUNT=$(realpath -- "$NBDMOUNT")
mkdir -p "$out"
scratch=$(mktemp -d)
head -c 1048576 /dev/urandom >"$scratch/data"
make_keys

if is_debian_12; then
  nbdkits nbdkit nbdkit
  qemus qemu-nbd qemu-nbd
  nbd_servers nbd-server nbd-server
else
  say "-- This is not Debian 12: its own servers are left out."
fi
nbdkits nbdkit-testing "$peers/nbdkit-testing"
qemus qemu-nbd-testing "$peers/qemu-nbd-testing"
nbd_servers nbd-server-testing "$peers/nbd-server-testing"
while [ "${#running[@]}" -gt 0 ]; do wait_for_first; done
[ "${#names[@]}" -gt 0 ] || die "no server has such a name"
[ "${#failed[@]}" -eq 0 ] || die "no report on: ${failed[*]}"

compare_versions
verdicts=0
python3 Scripts/conformance-verdicts.py "$keep" "$out" "${names[@]}" || verdicts=$?
say "${#names[@]} configurations in $((SECONDS - from)) s"
if [ "$keep" = yes ]; then
  versions >Docs/conformance/versions.txt
  reports=()
  for name in "${names[@]}"; do reports+=("Docs/conformance/reports/$name.json"); done
  "$NBDMOUNT" conformance --compare --format html "${reports[@]}" >Docs/conformance/comparison.html || [ "$?" -eq 1 ]
  "$NBDMOUNT" conformance --compare "${reports[@]}" >Docs/conformance/comparison.txt || [ "$?" -eq 1 ]
  say "Docs/conformance has the reports, and the comparison of ${#names[@]} servers."
fi
[ "$verdicts" -eq 0 ] || die "what the servers do is not what Docs/conformance/expected.tsv says (see above)"
