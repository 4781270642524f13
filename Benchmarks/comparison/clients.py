"""What is compared: programs that make a file of an NBD export; and the two limits."""

import contextlib
import dataclasses
import os
import subprocess

from .processes import Usage, has_content, mountpoints, running, unmount, wait_until


@dataclasses.dataclass
class Target:
    """What a workload runs on."""

    file: str | None = None
    """The mounted file; None where fio speaks to the server itself."""
    uri: str | None = None
    usage: Usage | None = None
    """Of the client process."""


@dataclasses.dataclass(frozen=True)
class Client:
    name: str
    command: tuple = ()
    needs_server: bool = True

    @contextlib.contextmanager
    def attach(self, directory, address, size):
        """Mounts the export; yields a Target."""
        directory.mkdir()
        mountpoint, pid_file, log = directory / "mount", directory / "pid", directory / "log"
        mountpoint.mkdir()
        command = self.arguments(mountpoint, pid_file, address, size)
        with running(command, log, self.environment()) as process:
            try:
                wait_until(lambda: has_content(pid_file), process, log)
                yield Target(file=str(mountpoint / "nbd"), uri=address and address.uri, usage=Usage(process.pid))
            finally:
                unmount(mountpoint, process)

    def environment(self):
        """What is set for the client alone."""
        return {}

    def arguments(self, mountpoint, pid_file, address, _size):
        return [*self.command, "-P", pid_file, mountpoint, address.uri]


@dataclasses.dataclass(frozen=True)
class EqualClient(Client):
    """With the read-ahead that nbdmount gives itself where root runs it."""

    @contextlib.contextmanager
    def attach(self, directory, address, size):
        with super().attach(directory, address, size) as target:
            device = os.stat(directory / "mount").st_dev
            with open(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb", "w") as setting:
                setting.write("2048")
            yield target


class StorageDaemon(Client):
    """qemu-storage-daemon's FUSE export covers a regular file."""

    @contextlib.contextmanager
    def attach(self, directory, address, size):
        directory.mkdir()
        file, log = directory / "disk", directory / "log"
        file.touch()
        command = [
            *self.command,
            "--blockdev", f"driver=nbd,node-name=disk,{address.qemu}",
            "--export", f"type=fuse,id=export,node-name=disk,mountpoint={file},writable=on",
        ]
        with running(command, log) as process:
            try:
                wait_until(lambda: str(file) in mountpoints(), process, log)
                yield Target(file=str(file), uri=address.uri, usage=Usage(process.pid))
            finally:
                unmount_daemon(file, process)


def unmount_daemon(file, process):
    """The storage daemon outlives its mount; asked to end, it unmounts."""
    process.terminate()
    unmount(file, process)


class MemoryFuse(Client):
    """FUSE answered from memory: no server at all."""

    def arguments(self, mountpoint, pid_file, _address, size):
        return [*self.command, mountpoint, size, pid_file]


class DriverOnly(Client):
    """The server without FUSE: fio speaks NBD itself, through libnbd."""

    @contextlib.contextmanager
    def attach(self, _directory, address, _size):
        yield Target(uri=address.uri)


REACTOR, THREADS, NBDFUSE, QEMU = "nbdmount", "nbdmount threads", "nbdfuse", "qemu-storage-daemon"
FUSE_ALONE, NBD_ALONE = "FUSE alone", "NBD alone"
PEERS = (REACTOR, THREADS, NBDFUSE, QEMU)
EQUAL = ("nbdmount, equal", "threads, equal", "nbdfuse, equal")
SETTINGS = (
    ("program", "connections", "writes", "read-ahead", "requests in flight"),
    (REACTOR, "as many as CPUs, at most 4", "kernel's writeback cache, flushed at fsync", "2 MiB (as root)", "256 and more"),
    (THREADS, "the same", "the same", "the same", "one for each worker"),
    (NBDFUSE, "4", "through to the server", "128 KiB, the kernel's", "10 (its workers)"),
    (QEMU, "1", "through to the server", "128 KiB, the kernel's", "16"),
)
"""What the defaults are, which the numbers are of; the first row is the head of the table."""


def all_clients(nbdmount, memory_fuse):
    """Every client by its name, each with its own defaults."""
    clients = [
        Client(REACTOR, (nbdmount,)),
        Client(THREADS, (nbdmount, "--engine", "threads")),
        Client(NBDFUSE, ("nbdfuse",)),
        StorageDaemon(QEMU, ("qemu-storage-daemon",)),
        MemoryFuse(FUSE_ALONE, (memory_fuse,), needs_server=False),
        DriverOnly(NBD_ALONE),
    ]
    same = ("-C", "2")
    clients += [
        EqualClient(EQUAL[0], (nbdmount, *same, "--cache", "writethrough")),
        EqualClient(EQUAL[1], (nbdmount, *same, "--cache", "writethrough", "--engine", "threads")),
        EqualClient(EQUAL[2], ("nbdfuse", *same)),
    ]
    clients += [Client(f"nbdmount -C {count}", (nbdmount, "-C", str(count))) for count in (1, 2, 4, 8)]
    return {client.name: client for client in clients}


def versions(nbdmount):
    """The first line that each program says of its version."""
    commands = {
        "nbdmount": [nbdmount, "--version"],
        "nbdfuse": ["nbdfuse", "--version"],
        "qemu-storage-daemon": ["qemu-storage-daemon", "--version"],
        "qemu-nbd": ["qemu-nbd", "--version"],
        "nbdkit": ["nbdkit", "--version"],
        "fio": ["fio", "--version"],
        "libfuse": ["pkg-config", "--modversion", "fuse3"],
        "Swift": ["swift", "--version"],
    }
    found = {}
    for name, command in commands.items():
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"})
        line = (done.stdout or done.stderr).splitlines()[0].strip()
        found[name] = line.removeprefix(f"{name} ").removeprefix("version ")
    return found
