#!/bin/sh
# Records Fixtures/Sessions anew from the servers that are installed, and from the newer ones of Scripts/peers.sh
# where those are there. The recordings are text: review the difference before committing it.
set -eu
cd "$(dirname -- "$0")/.."
mkdir -p Fixtures/Sessions
peers=$PWD/.peers/bin
if [ -x "$peers/nbdkit-testing" ]; then
  export NBD_PEERS="$peers"
fi
NBD_RECORD=1 swift test --filter aSessionWithEachServerReplaysFromItsRecording
