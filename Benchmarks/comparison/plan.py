"""Which workloads run on which servers, by which clients."""

import dataclasses
import os

from . import loop
from .applications import APPLICATIONS
from .clients import CONNECTIONS, LIMITS, NBDCOPY, NBDFUSE, NEWEST, QEMU, REACTOR, RIVALS, THREADS, UNLOGGED, equal
from .fio import DIRECT, MIXED, random_workloads
from .processes import PEERS, TESTING
from .servers import Server
from .workloads import BUFFERED, Copy, ParallelReads, SparseCopy


@dataclasses.dataclass
class Settings:
    """How long, and how large."""

    seconds: float = 1
    """For each fio run."""
    disk: int = 512 << 20
    """Bytes of the servers' disks."""
    dd_bytes: int = 512 << 20
    sparse: int = 100 << 30
    """Bytes of the sparse image."""
    sparse_data: int = 64 << 20
    """Bytes in it that are not holes."""
    copy_seconds: int = 10
    """After which a copy of it is given up."""


LOGGED = ("rw1", "rw32", "sw64k", "sw1M", "ddw4k", "ddw1M")
"""Workloads that write, which the write log may slow down."""
LOG_GROUPS = ("log", "log-nbdkit-file", "log-qemu-file")
TLS_GROUP = "tls"
QUICK = Settings(seconds=0.5, disk=256 << 20, dd_bytes=64 << 20, sparse=4 << 30, copy_seconds=5)
WITH_TARGETS = 5
"""Rounds of a group whose numbers are promised."""


@dataclasses.dataclass
class Group:
    """Workloads that run on the same mounts: client after client, workload after workload."""

    name: str
    server: Server
    clients: tuple
    workloads: list
    rounds: int = 3
    has_filesystem: bool = False
    """The workloads are done in an ext4 over a loop device over the mounted file."""
    is_ordinary_user: bool = False
    """Servers, clients and workloads are an ordinary user's."""
    note: str = ""
    """What a reader has to know to read the numbers."""

    @property
    def figures(self):
        return [figure for workload in self.workloads for figure in workload.figures]

    @property
    def programs(self):
        """The clients that are no limits: those whose data is checked."""
        return [client for client in self.clients if client not in LIMITS]

    def missing(self, clients):
        """What this machine lacks for it; None where everything is there."""
        if self.has_filesystem and (lacking := loop.missing()):
            return lacking
        if os.geteuid() != 0 and any(clients[name].read_ahead_kib for name in self.clients):
            return "root, to set the read-ahead"
        if any(TESTING in name for name in (self.server.program, *self.clients)) and not (PEERS / "versions.txt").exists():
            return "the programs of Debian testing (Scripts/peers.sh)"
        return None


def groups(settings):
    """Everything, in the order in which it runs."""
    disk = settings.disk
    nbdkit = Server("nbdkit", size=disk)
    everything = DIRECT + BUFFERED
    core = pick(everything, "rr32 rw32 seq4 sr1M sw1M ddr1M ddw4k")
    newest = "Server and rivals are those of Debian testing."
    few_pieces = f"{settings.sparse >> 30} GiB with {settings.sparse_data >> 20} MiB of data"
    return [
        Group("nbdkit-unix", nbdkit, (*RIVALS, *LIMITS), everything, rounds=WITH_TARGETS),
        Group("mixed", nbdkit, RIVALS, MIXED, rounds=WITH_TARGETS),
        Group(
            "copy", nbdkit, (*RIVALS, NBDCOPY), [Copy("cp", f"cp of all {disk >> 20} MiB, or nbdcopy, to memory")],
            rounds=WITH_TARGETS,
            note="`cp` reads the mounted file; `nbdcopy` is libnbd's program for that, with four connections and no mount."),
        Group(
            "applications", nbdkit, (*RIVALS, QEMU + TESTING), APPLICATIONS, has_filesystem=True,
            note="On an ext4 over a loop device (direct I/O) over the mounted file. Checked through the mount, and on the "
            "server's disk: its file system, the files, the database."),
        Group(
            "equal", nbdkit, equal(2), core,
            note="The same settings for all that can have them: two connections, nothing kept back in the kernel's writeback "
            "cache (`--cache writethrough`), and 2 MiB of read-ahead, which root sets for each mount. What is left is the "
            "programs' own speed."),
        Group(
            "equal-1", nbdkit, equal(1), core,
            note="As `equal`, with the one connection that qemu-storage-daemon has."),
        Group("newest-nbdkit", Server("nbdkit" + TESTING, size=disk), NEWEST, core, note=newest),
        Group("newest-qemu", Server("qemu-nbd" + TESTING, size=disk), NEWEST, core, note=newest),
        Group(
            "user", nbdkit, RIVALS, core, is_ordinary_user=True,
            note="Servers, clients and workloads are an ordinary user's, who cannot raise the read-ahead of a mount."),
        Group("nbdkit-tcp", Server("nbdkit", is_unix=False, size=disk), RIVALS, core),
        Group("qemu-unix", Server("qemu-nbd", size=disk), RIVALS, core),
        Group(
            "qemu-tcp", Server("qemu-nbd", is_unix=False, size=disk), RIVALS, core,
            note="qemu-nbd before 8.0 leaves Nagle's algorithm on (it does not ask for TCP_NODELAY), so that a reply can wait "
            "40 ms for the client's delayed acknowledgement. Which clients run into that is a matter of how they batch; "
            "the factors of this table are those of that stall and not of the clients' own speed."),
        *(
            Group(
                name, server, (REACTOR, UNLOGGED), pick(everything, " ".join(LOGGED)), rounds=WITH_TARGETS,
                note="What the write log costs, which is kept until the server has made it durable.")
            for name, server in (
                (LOG_GROUPS[0], nbdkit),
                (LOG_GROUPS[1], Server("nbdkit", size=disk, is_on_disk=True)),
                (LOG_GROUPS[2], Server("qemu-nbd", size=disk, is_on_disk=True)))
        ),
        Group(
            TLS_GROUP, Server("nbdkit", size=disk, has_tls=True), (REACTOR, THREADS, NBDFUSE + TESTING), core,
            note="TLS with a pre-shared key, as each client agrees on it with the server. Before libnbd 1.24 nbdfuse reads no file of "
            "keys that a URI names."),
        Group(
            "connections", nbdkit, tuple(f"nbdmount -C {count}" for count in CONNECTIONS),
            pick(DIRECT, "rr32 rw32 sr1M sw1M")),
        Group(
            "parallel", Server("nbdkit", size=disk, is_filled=False, delay="500ms", disk=("--filter=cow", "pattern")), RIVALS,
            [ParallelReads("parallel40", "40 parallel reads on a 0.5 s server")]),
        Group(
            "sparse", Server("qemu-nbd", size=settings.sparse, is_filled=False, sparse_data=settings.sparse_data), RIVALS,
            [SparseCopy("sparse", f"cp --sparse=always of {few_pieces}")]),
        *(
            Group(
                f"latency-{delay}", Server("nbdkit", size=disk, is_filled=False, delay=delay), RIVALS,
                random_workloads((1, 16, 256)))
            for delay in ("1ms", "10ms")
        ),
    ]


def pick(workloads, names):
    return [workload for workload in workloads if workload.name in names.split()]


def select(all_groups, names, without, only, rounds):
    """The groups of these names with the workloads of these names; all where nothing is named. `rounds` replaces theirs."""
    chosen = []
    for group in all_groups:
        kept = [workload for workload in group.workloads if not only or workload.name in only]
        if kept and (not names or group.name in names) and group.name not in without:
            chosen.append(dataclasses.replace(group, workloads=kept, rounds=rounds or group.rounds))
    return chosen
