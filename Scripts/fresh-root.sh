#!/usr/bin/env bash
# The inner half of Scripts/fresh.sh, which runs it as root in namespaces for mounts and processes: makes a root from a
# minimal system, moves into it, and runs the demo or the tests.
#
#   fresh-root.sh BASE MACHINE root|user demo|test
#
# BASE is the minimal system; MACHINE has what this machine brings into it.
set -euo pipefail
base=$1 machine=$2 user=$3 command=$4
root=$TMPDIR/root

# bind FOLDER: shows a folder of the machine in the root, where it is on the machine. Nothing can write to it there.
bind() {
  mkdir -p "$root$1"
  mount --bind "$1" "$root$1"
  mount -o remount,bind,ro "$root$1"
}

# Devices as a container has them: few, and /dev/fuse closed to ordinary users.
make_devices() {
  local number
  mount -t tmpfs -o mode=755 dev "$root/dev"
  while read -r name mode major minor; do
    mknod -m "$mode" "$root/dev/$name" c "$major" "$minor"
  done <<'DEVICES'
null 666 1 3
zero 666 1 5
full 666 1 7
random 666 1 8
urandom 666 1 9
tty 666 5 0
fuse 600 10 229
loop-control 600 10 237
DEVICES
  for number in {0..63}; do mknod -m 600 "$root/dev/loop$number" b 7 "$number"; done
  mkdir -m 1777 "$root/dev/shm"
  mkdir "$root/dev/pts"
  mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
  mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts "$root/dev/pts"
  ln -s pts/ptmx "$root/dev/ptmx"
  ln -s /proc/self/fd "$root/dev/fd"
  ln -s fd/0 "$root/dev/stdin"
  ln -s fd/1 "$root/dev/stdout"
  ln -s fd/2 "$root/dev/stderr"
}

make_root() {
  cp -a --reflink=auto -- "$base" "$root"
  mount --bind "$root" "$root"
  cp -r -- "$machine/files/." "$root/"
  ln -sf ../proc/self/mounts "$root/etc/mtab"
  mount -t proc proc "$root/proc"
  mount -t sysfs sysfs "$root/sys"
  make_devices
  while IFS= read -r folder; do bind "$folder"; done <"$machine/folders"
}

# enter: makes the root that of this process, and lets go of the machine's own.
enter() {
  cd -- "$root"
  mkdir -p machine
  pivot_root . machine
  cd /
  umount --lazy /machine
  rmdir /machine
  unset TMPDIR NBDMOUNT_TEST_DIR
}

make_user() {
  apt-get update -q -q
  DEBIAN_FRONTEND=noninteractive apt-get install -q -q -y --no-install-recommends sudo >/dev/null
  useradd --create-home --shell /bin/bash user
  printf 'user ALL=(ALL) NOPASSWD: ALL\nDefaults env_keep += "http_proxy https_proxy no_proxy"\n' >/etc/sudoers.d/user
}

# as_user COMMAND: a login, as it would come by ssh.
as_user() { su --login "$user" --command "$1"; }

make_root
cp -a -- "$machine/nbdmount" "$root/tmp/nbdmount"
mapfile -t folders <"$machine/folders"
enter
[ "$user" = root ] || make_user
home=$(getent passwd "$user" | cut -d : -f 6)
mv /tmp/nbdmount "$home/nbdmount"
chown -R "$user:" "$home/nbdmount"
as_user "cd nbdmount && Scripts/$command.sh"

# What was built has to start where there is no Swift.
umount "${folders[0]}"
as_user "nbdmount/.build/release/nbdmount --version"
