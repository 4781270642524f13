"""What is compared: programs that make a file of an NBD export; and the two limits."""

import contextlib
import dataclasses
import os

from .processes import PEERS, TESTING, has_content, mountpoints, program, run, running, unmount, wait_until
from .usage import Usage
from .workload import Target

OUR_READ_AHEAD_KIB = 2048


@dataclasses.dataclass(frozen=True)
class Client:
    """One that mounts a folder with the file `nbd`, and says with a pid file that it has."""

    name: str
    command: tuple = ()
    needs_server: bool = True
    read_ahead_kib: int | None = None
    """What root sets for the mount; None leaves what the client has."""
    file_option: str | None = None
    """What allows it to read the file of keys that a URI names."""

    @contextlib.contextmanager
    def attach(self, directory, address, size):
        """Mounts the export; yields a Target."""
        directory.mkdir()
        mountpoint, file = self.places(directory)
        pid_file, log = directory / "pid", directory / "log"
        command = [program(self.command[0]), *self.command[1:], *self.arguments(mountpoint, pid_file, address, size)]
        with running(command, log, self.environment()) as process:
            try:
                wait_until(lambda: self.is_ready(mountpoint, pid_file), process, log)
                if self.read_ahead_kib:
                    set_read_ahead(file, self.read_ahead_kib)
                yield Target(file=str(file), uri=address and address.uri, usage=Usage(process.pid), size=size)
            finally:
                self.detach(mountpoint, process)

    def places(self, directory):
        """The mountpoint, which is made here, and the file."""
        mountpoint = directory / "mount"
        mountpoint.mkdir()
        return mountpoint, mountpoint / "nbd"

    def environment(self):
        """What is set for the client alone."""
        return {}

    def arguments(self, mountpoint, pid_file, address, _size):
        allowed = [self.file_option] if self.file_option and address.key_file else []
        return [*allowed, "-P", pid_file, mountpoint, address.secure_uri]

    def is_ready(self, _mountpoint, pid_file):
        return has_content(pid_file)

    def detach(self, mountpoint, process):
        unmount(mountpoint, process)


class StorageDaemon(Client):
    """qemu-storage-daemon's FUSE export covers a regular file."""

    def places(self, directory):
        file = directory / "disk"
        file.touch()
        return file, file

    def arguments(self, mountpoint, _pid_file, address, _size):
        return ["--blockdev", f"driver=nbd,node-name=disk,{address.qemu}",
                "--export", f"type=fuse,id=export,node-name=disk,mountpoint={mountpoint},writable=on"]

    def is_ready(self, mountpoint, _pid_file):
        return str(mountpoint) in mountpoints()

    def detach(self, mountpoint, process):
        """It outlives its mount; asked to end, it unmounts."""
        process.terminate()
        unmount(mountpoint, process)


class MemoryFuse(Client):
    """FUSE answered from memory: no server at all."""

    def arguments(self, mountpoint, pid_file, _address, size):
        return [mountpoint, size, pid_file]


class ServerAlone(Client):
    """No mount: a program of the workload's speaks to the server itself."""

    @contextlib.contextmanager
    def attach(self, _directory, address, size):
        yield Target(uri=address.uri, size=size)


def set_read_ahead(file, kib):
    device = os.stat(file).st_dev
    with open(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb", "w") as setting:
        setting.write(str(kib))


REACTOR, THREADS, NBDFUSE, QEMU = "nbdmount", "nbdmount threads", "nbdfuse", "qemu-storage-daemon"
FUSE_ALONE, NBD_ALONE, NBDCOPY = "FUSE alone", "NBD alone", "nbdcopy"
LIMITS = (FUSE_ALONE, NBD_ALONE)
RIVALS = (REACTOR, THREADS, NBDFUSE, QEMU)
UNLOGGED = "nbdmount --write-log 0"
"""Keeps nothing for a server that comes back without its cache."""
NEWEST = (REACTOR, THREADS, NBDFUSE + TESTING, QEMU + TESTING)
VARIANT = " equal-"
CONNECTIONS = (1, 2, 4, 8)
SETTINGS = (
    ("program", "connections", "writes", "read-ahead", "requests in flight"),
    (REACTOR, "as many as CPUs, at most 4", "kernel's writeback cache, flushed at fsync",
     "2 MiB (an ordinary user: 128 KiB)", "256 and more"),
    (THREADS, "the same", "the same", "the same", "one for each worker"),
    (NBDFUSE, "4", "through to the server", "128 KiB, the kernel's", "10 (its workers)"),
    (QEMU, "1", "through to the server", "128 KiB, the kernel's", "16"),
    ("in the groups `equal`", "-C 2 for all; -C 1 for all", "through to the server", "2 MiB, which root sets", "as above"),
)
"""What the defaults are, which the numbers are of; the first row is the head of the table."""



def without_variant(name):
    """The program of a client with settings of its own."""
    return name.partition(VARIANT)[0]


def equal(count):
    """The names of the rivals with the same settings: so many connections each, which the storage daemon has one of."""
    return tuple(f"{name}{VARIANT}{count}" for name in RIVALS if name != QEMU or count == 1)


def base_of(names):
    """What the others are compared with: the nbdfuse among them, with whatever settings, else nbdmount without its log; None
    where neither takes part."""
    return next((name for name in names if name.startswith(NBDFUSE)), UNLOGGED if UNLOGGED in names else None)


def all_clients(nbdmount, memory_fuse):
    """Every client by its name, each with its own defaults where its name says nothing else."""
    threads = ("--engine", "threads")
    allow = "--tls-files-from-uri"
    clients = [
        Client(REACTOR, (nbdmount,), file_option=allow),
        Client(THREADS, (nbdmount, *threads), file_option=allow),
        Client(UNLOGGED, (nbdmount, "--write-log", "0")),
        *(Client(name, (name,)) for name in (NBDFUSE, NBDFUSE + TESTING)),
        *(StorageDaemon(name, (name,)) for name in (QEMU, QEMU + TESTING)),
        MemoryFuse(FUSE_ALONE, (memory_fuse,), needs_server=False),
        ServerAlone(NBD_ALONE),
        ServerAlone(NBDCOPY),
        *(Client(f"nbdmount -C {count}", (nbdmount, "-C", str(count))) for count in CONNECTIONS),
        StorageDaemon(f"{QEMU}{VARIANT}1", (QEMU,), read_ahead_kib=OUR_READ_AHEAD_KIB),
    ]
    for count in (1, 2):
        ours = (nbdmount, "-C", str(count), "--cache", "writethrough")
        for name, command in ((REACTOR, ours), (THREADS, (*ours, *threads)), (NBDFUSE, (NBDFUSE, "-C", str(count)))):
            clients.append(Client(f"{name}{VARIANT}{count}", command, read_ahead_kib=OUR_READ_AHEAD_KIB))
    return {client.name: client for client in clients}


def versions(nbdmount):
    """The first line that each program says of its version."""
    names = (NBDFUSE, QEMU, "qemu-nbd", "nbdkit")
    testing = [name + TESTING for name in names] if (PEERS / "versions.txt").exists() else []
    commands = {
        "nbdmount": [nbdmount, "--version"],
        **{name: [program(name), "--version"] for name in (*names, *testing, NBDCOPY, "fio")},
        "libfuse": ["pkg-config", "--modversion", "fuse3"],
        "sqlite3": ["sqlite3", "--version"],
        "Swift": ["swift", "--version"],
    }
    found = {}
    for name, command in commands.items():
        line = run(*command, env={**os.environ, "LC_ALL": "C"}).splitlines()[0].strip()
        found[name] = line.removeprefix(f"{name.removesuffix(TESTING)} ").removeprefix("version ")
    return found
