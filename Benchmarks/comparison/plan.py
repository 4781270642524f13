"""Which workloads run on which servers, by which clients."""

import dataclasses

from . import workloads
from .clients import EQUAL, FUSE_ALONE, NBD_ALONE, PEERS
from .servers import Server


@dataclasses.dataclass
class Settings:
    """How long and how often."""

    rounds: int = 5
    seconds: float = 2
    disk: int = 512 << 20
    """Bytes of the servers' disks."""
    dd_bytes: int = 512 << 20
    sparse: int = 100 << 30
    """Bytes of the sparse image."""
    sparse_data: int = 64 << 20
    """Bytes in it that are not holes."""
    copy_seconds: int = 60
    """After which a copy of it is given up."""


QUICK = Settings(rounds=2, seconds=1, disk=128 << 20, dd_bytes=64 << 20, sparse=4 << 30, copy_seconds=20)


@dataclasses.dataclass
class Group:
    """Workloads that run on the same mounts: client after client, workload after workload."""

    name: str
    server: Server
    clients: tuple
    workloads: list
    most_rounds: int = 1000
    sparse_data: int = 0
    """Bytes in the image that is served; 0 for a plain disk."""
    note: str = ""
    """What a reader has to know to read the numbers."""


def groups(settings):
    """Everything, in the order in which it runs."""
    disk = settings.disk
    core = [
        workload for workload in workloads.ALL_DIRECT_AND_BUFFERED
        if workload.name in ("rr1", "rr32", "rw32", "seq4", "sr1M", "sw1M", "ddr1M", "ddw4k", "ddw1M")
    ]
    result = [
        Group(
            "nbdkit-unix", Server("nbdkit", size=disk), (*PEERS, FUSE_ALONE, NBD_ALONE),
            workloads.ALL_DIRECT_AND_BUFFERED),
        Group("nbdkit-tcp", Server("nbdkit", is_unix=False, size=disk), PEERS, core),
        Group("qemu-unix", Server("qemu-nbd", size=disk), PEERS, core),
        Group(
            "qemu-tcp", Server("qemu-nbd", is_unix=False, size=disk), PEERS, core,
            note="qemu-nbd before 8.0 leaves Nagle's algorithm on (it does not ask for TCP_NODELAY), so that a reply can wait "
            "40 ms for the client's delayed acknowledgement. Which clients run into that is a matter of how they batch; "
            "the factors of this table are those of that stall and not of the clients' own speed."),
        Group("mixed", Server("nbdkit", size=disk), PEERS, workloads.MIXED),
        Group(
            "equal", Server("nbdkit", size=disk), EQUAL,
            [workload for workload in core if workload.name != "rr1"],
            note="The same settings for all: two connections, nothing kept back in the kernel's writeback cache, and 2 MiB of "
            "read-ahead, which root sets for each mount. What is left is the programs' own speed."),
        Group(
            "connections", Server("nbdkit", size=disk), tuple(f"nbdmount -C {count}" for count in (1, 2, 4, 8)),
            [workload for workload in workloads.DIRECT if workload.name in ("rr32", "rw32", "sr1M", "sw1M")]),
        Group(
            "parallel", Server("nbdkit", size=disk, is_filled=False, delay="500ms"), PEERS,
            [workloads.ParallelReads("parallel40", "40 parallel reads on a 0.5 s server")]),
        Group(
            "sparse", Server("qemu-nbd", size=settings.sparse, is_filled=False), PEERS,
            [workloads.SparseCopy("sparse", f"cp --sparse=always of {settings.sparse >> 30} GiB with {settings.sparse_data >> 20} MiB of data")],
            most_rounds=1, sparse_data=settings.sparse_data),
    ]
    for delay in ("1ms", "10ms"):
        result.append(
            Group(
                f"latency-{delay}", Server("nbdkit", size=disk, is_filled=False, delay=delay), PEERS,
                workloads.random_workloads((1, 4, 16, 64, 256)), most_rounds=3))
    return result


def select(all_groups, names, only):
    """The groups of these names with the workloads of these names; all where nothing is named."""
    chosen = []
    for group in all_groups:
        kept = [workload for workload in group.workloads if not only or workload.name in only]
        if kept and (not names or group.name in names):
            chosen.append(dataclasses.replace(group, workloads=kept))
    return chosen
