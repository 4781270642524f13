#!/usr/bin/env bash
# Records Fixtures/Sessions anew from the servers that are installed, and from the newer ones of Scripts/peers.sh. The
# recordings are text: review the difference before committing it.
set -euo pipefail
# shellcheck source=Scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
cd -- "$repo"

prepare_swift
install_test_packages
Scripts/peers.sh
mkdir -p Fixtures/Sessions
NBD_RECORD=1 NBD_PEERS=$repo/.peers/bin swift test --filter aSessionWithEachServerReplaysFromItsRecording
