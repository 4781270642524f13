#!/usr/bin/env bash
# Shows nbdmount at work, on this machine, with nothing prepared.
#
#   Scripts/demo.sh                    makes a disk image with a file system in it, serves it with nbdkit,
#                                      mounts it, reads and writes through the mount, and cleans up
#   Scripts/demo.sh URI MOUNTPOINT     builds, and mounts that NBD export until Ctrl-C
#
# NBDMOUNT=PROGRAM uses that program instead of building one: nbdfuse works too, the command line is the same.
set -euo pipefail
# shellcheck source=Scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

work=
server=
mount=

step() { printf '\n%s\n' "$*"; }

# Prints a command as a person would type it in the work folder, then runs it there. The e2fsprogs announce
# their version on standard error, which says nothing here; their errors stay.
show() {
  local word line=
  for word in "$@"; do
    case $word in
    *' '*) line="$line '$word'" ;;
    *) line="$line $word" ;;
    esac
  done
  printf '  $%s\n' "$line"
  (cd "$work" && "$@" 2>&1) | sed -E -e '/^(debugfs|e2fsck) [0-9]/d' -e 's/^/    /'
}

is_mounted() { findmnt --mountpoint "$1" >/dev/null; }

# Every way out comes through here: the end, an error, Ctrl-C. All of it, whatever fails on the way, and in this order,
# since the mount needs its server for what was written last.
clean_up() {
  set +e
  trap '' INT TERM HUP
  if [ -n "$mount" ]; then
    is_mounted "$work/mnt" && fusermount3 -u "$work/mnt" 2>/dev/null
    end "$mount" 10
    # A nbdmount that had to be killed, or a program that stands in its mount.
    is_mounted "$work/mnt" && fusermount3 -u -z "$work/mnt"
  fi
  [ -z "$server" ] || end "$server" 5
  if [ -n "$work" ]; then
    if is_mounted "$work/mnt"; then
      say "$work/mnt is still mounted, and $work is left" >&2
    else
      rm -rf -- "$work"
    fi
  fi
}
on_exit clean_up

# Sets NBDMOUNT, building it where the caller did not.
prepare() {
  if [ -z "${NBDMOUNT:-}" ]; then
    prepare_swift
    install_packages fuse3 "$@"
    say "Building nbdmount (the first time takes a minute or two)"
    build_nbdmount
  else
    install_packages fuse3 "$@"
  fi
  open_fuse_device
}

make_disk() {
  step "1. A disk image: 64 MiB, ext4, with a file in it."
  mkdir "$work/files" "$work/mnt"
  printf 'Hello from a disk that is served over NBD.\n' >"$work/files/hello.txt"
  show mkfs.ext4 -q -L demo -d files disk.img 64M
  show ls -l disk.img
  before=$(sha256sum "$work/disk.img")
}

serve_disk() {
  step "2. A server for it. Its pid file says that it listens."
  uri="nbd+unix:///?socket=$work/nbd.sock"
  printf '  $ nbdkit --foreground --unix nbd.sock --pidfile nbdkit.pid file disk.img &\n'
  nbdkit --foreground --unix "$work/nbd.sock" --pidfile "$work/nbdkit.pid" file "$work/disk.img" &
  server=$!
  wait_for_file "$work/nbdkit.pid" "$server" 30 || die "nbdkit did not start"
}

mount_disk() {
  step "3. The mount. Its pid file, too, says that it is ready."
  printf '  $ nbdmount --pidfile nbdmount.pid mnt "%s" &\n' "$uri"
  "$NBDMOUNT" --pidfile "$work/nbdmount.pid" "$work/mnt" "$uri" &
  mount=$!
  wait_for_file "$work/nbdmount.pid" "$mount" 30 || die "$NBDMOUNT did not mount $uri"
  step "4. The export is a file now."
  show ls -l mnt
  show stat mnt/nbd
}

use_disk() {
  step "5. Reading the file system inside it, with a program that knows nothing of NBD."
  show debugfs -R 'cat /hello.txt' mnt/nbd
  step "6. Writing through the mount: a new file in that file system."
  printf 'Written through the mount.\n' >"$work/note.txt"
  show debugfs -w -R 'write note.txt note.txt' mnt/nbd
  show debugfs -R 'ls -p /' mnt/nbd
  show e2fsck -f -n mnt/nbd
}

unmount_disk() {
  step "7. Unmounting. What was written goes to the server before nbdmount ends."
  show fusermount3 -u "$work/mnt"
  wait "$mount" || die "$NBDMOUNT ended with status $?"
  mount=
}

verify_disk() {
  local note
  step "8. The image itself has changed, and holds what was written."
  [ "$(sha256sum "$work/disk.img")" != "$before" ] || die "the image did not change"
  show debugfs -R 'cat /note.txt' disk.img
  note=$(debugfs -R 'cat /note.txt' "$work/disk.img" 2>/dev/null)
  [ "$note" = "$(cat "$work/note.txt")" ] || die "the image does not hold what was written"
}

demo() {
  prepare nbdkit e2fsprogs
  work=$(cd -- "$(mktemp -d)" && pwd -P)
  make_disk
  serve_disk
  mount_disk
  use_disk
  unmount_disk
  verify_disk
  step "That was the whole way: a program, the kernel, nbdmount, nbdkit, a disk, and back."
}

mount_uri() {
  prepare
  say "Mounting $1 on $2. Ctrl-C unmounts."
  exec "$NBDMOUNT" "$2" "$1"
}

case $#:${1:-} in
0:) demo ;;
1:-h | 1:--help) usage ;;
2:*) mount_uri "$1" "$2" ;;
*) die "usage: Scripts/demo.sh [URI MOUNTPOINT]; --help says more" ;;
esac
