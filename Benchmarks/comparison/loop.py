"""A file system on a mounted file: an ext4 over a loop device, as a virtual machine's disk is looked into. Needs root."""

import contextlib
import os
import pathlib
import time

from .processes import Failure, mountpoints, run


class LoopFilesystem:
    """Mounted at `folder`."""

    def __init__(self, device, folder):
        self.folder = folder
        self._device = device

    def mount(self):
        run("mount", "-t", "ext4", self._device, self.folder)

    def unmount(self):
        """Returns when everything has been written to the mounted file."""
        if str(self.folder) in mountpoints():
            run("umount", self.folder)

    def forget(self):
        """Mounts it again, with nothing of it in memory."""
        self.unmount()
        self.mount()

    @contextlib.contextmanager
    def on_server(self, uri, scratch):
        """A folder with the file system as the server's disk holds it: read from the server without the mount, checked, and
        mounted for reading. Until that is over it is not mounted at its own place."""
        copy, folder = scratch / "copy-of-disk", scratch / "folder-of-copy"
        self.unmount()
        try:
            run("nbdcopy", uri, copy)
            run("e2fsck", "-f", "-n", copy)
            folder.mkdir(exist_ok=True)
            # mount's own loop device goes with the mount.
            run("mount", "-o", "loop,ro", copy, folder)
            try:
                yield folder
            finally:
                run("umount", folder)
        finally:
            copy.unlink(missing_ok=True)
            self.mount()


@contextlib.contextmanager
def loop_device(file):
    """A loop device with direct I/O on the file; gone, and the file closed, when this is left."""
    device = run("losetup", "--find", "--show", "--direct-io=on", file).strip()
    state = pathlib.Path("/sys/block", os.path.basename(device), "loop")
    try:
        if (state / "dio").read_text().strip() != "1":
            raise Failure(f"no direct I/O for a loop device on {file}")
        yield device
    finally:
        run("losetup", "--detach", device)
        # Somebody may be looking at the device, as udev does at each new one; it goes when that is over.
        deadline = time.monotonic() + 10
        while state.exists():
            if time.monotonic() > deadline:
                raise Failure(f"{device} stays in use")
            time.sleep(0.02)


@contextlib.contextmanager
def loop_filesystem(file, folder):
    """Makes an ext4 on the mounted file and mounts it at `folder`; yields a LoopFilesystem."""
    folder.mkdir()
    with loop_device(file) as device:
        run("mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", device)
        filesystem = LoopFilesystem(device, folder)
        filesystem.mount()
        try:
            yield filesystem
        finally:
            filesystem.unmount()


def missing():
    """What there is not for this; None where everything is there."""
    if os.geteuid() != 0:
        return "root"
    return None if os.path.exists("/dev/loop-control") else "loop devices (/dev/loop-control)"
