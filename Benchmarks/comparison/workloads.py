"""What is done with the file, and how its speed is taken."""

import dataclasses
import json
import mmap
import os
import pathlib
import subprocess
import threading
import time

from .processes import Failure

MIB = 1 << 20


@dataclasses.dataclass
class Sample:
    """One measurement."""

    value: float
    unit: str
    operations: int = 0
    """How many there were, for what a client uses for each."""
    is_bound: bool = False
    """The time was up before the work was done: the value is where it stood."""


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    title: str
    unit: str = "ops/s"

    @property
    def is_time(self):
        """Less is better."""
        return self.unit == "s"


@dataclasses.dataclass(frozen=True)
class Fio(Workload):
    rw: str = "randread"
    block: str = "4k"
    depth: int = 1
    jobs: int = 1

    def run(self, target, size, settings, _scratch):
        if target.file:
            engine = "libaio" if self.jobs == 1 else "psync"
            where = [f"--filename={target.file}", f"--ioengine={engine}", "--direct=1"]
        else:
            where = ["--ioengine=nbd", f"--uri={target.uri}"]
        result = fio([
            *where, f"--rw={self.rw}", f"--bs={self.block}", f"--iodepth={self.depth}", f"--numjobs={self.jobs}",
            f"--size={size}", "--time_based", f"--runtime={round(settings.seconds * 1000)}ms", "--group_reporting",
            "--name=compare",
        ])[0]
        side = result["write" if "write" in self.rw else "read"]
        value = side["iops"] if self.unit == "ops/s" else side["bw_bytes"] / 1e6
        return Sample(value, self.unit, side["total_ios"])


@dataclasses.dataclass(frozen=True)
class Mixed(Workload):
    """Large and small requests at the same time, by one fio: 1 MiB at depth 4 in the first half of the disk beside a job of
    smaller ones in the second. One of the two is what is measured: neither may starve."""

    word: str = "read"
    block: str = "4k"
    depth: int = 1
    measures_large: bool = False

    def run(self, target, size, settings, _scratch):
        half = size // 2
        jobs = fio([
            "--ioengine=libaio", "--direct=1", f"--filename={target.file}", f"--size={half}", "--time_based",
            f"--runtime={round(settings.seconds * 1000)}ms",
            "--name=large", f"--rw={self.word}", "--bs=1M", "--iodepth=4",
            "--name=small", f"--rw=rand{self.word}", f"--bs={self.block}", f"--iodepth={self.depth}", f"--offset={half}",
        ])
        side = jobs[0 if self.measures_large else 1][self.word]
        if self.measures_large:
            return Sample(side["bw_bytes"] / 1e6, self.unit)
        return Sample(side["iops"], self.unit)


@dataclasses.dataclass(frozen=True)
class Dd(Workload):
    """Buffered, one program, as people copy disks. Reading begins with nothing of the file in the page cache."""

    unit: str = "MB/s"
    is_write: bool = False
    block: int = MIB

    def run(self, target, size, settings, _scratch):
        count = min(size, settings.dd_bytes if self.block >= MIB or not self.is_write else settings.dd_bytes // 4)
        forget(target.file)
        touch_memory(count)
        command = ["dd", f"bs={self.block}", f"count={count // self.block}", "status=none"]
        if self.is_write:
            command += ["if=/dev/zero", f"of={target.file}", "conv=notrunc,fsync"]
        else:
            command += [f"if={target.file}", "of=/dev/null"]
        began = time.monotonic()
        subprocess.run(command, check=True)
        elapsed = time.monotonic() - began
        forget(target.file)
        return Sample(count / 1e6 / elapsed, self.unit, count // self.block)


@dataclasses.dataclass(frozen=True)
class SparseCopy(Workload):
    """cp --sparse=always of an image that is nearly all holes."""

    unit: str = "s"

    def run(self, target, size, settings, scratch):
        copy = scratch / "copy"
        began = time.monotonic()
        process = subprocess.Popen(["cp", "--sparse=always", target.file, copy])
        try:
            process.wait(settings.copy_seconds)
            is_bound = False
        except subprocess.TimeoutExpired:
            is_bound = True
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        elapsed = time.monotonic() - began
        try:
            if not is_bound:
                check_copy(process, copy, size, settings.sparse_data)
        finally:
            pathlib.Path(copy).unlink(missing_ok=True)
        return Sample(elapsed, self.unit, 1, is_bound)


def check_copy(process, copy, size, data):
    """A copy that has left data out was quick for the wrong reason."""
    status = os.stat(copy)
    if process.returncode != 0 or status.st_size != size or status.st_blocks * 512 < data:
        raise Failure(f"cp made {status.st_size} bytes, {status.st_blocks} blocks, of {size} bytes with {data} in them")


@dataclasses.dataclass(frozen=True)
class ParallelReads(Workload):
    """So many threads that each read one block, all at the same time."""

    unit: str = "s"
    count: int = 40

    def run(self, target, size, settings, _scratch):
        barrier = threading.Barrier(self.count + 1)
        results = []

        def read_one(number):
            file = os.open(target.file, os.O_RDONLY | os.O_DIRECT)
            # Direct reads want aligned memory, which a mapping is.
            with mmap.mmap(-1, 4096) as page:
                barrier.wait()
                results.append(os.preadv(file, [page], number * (size // self.count) // 4096 * 4096))
                barrier.wait()
            os.close(file)

        threads = [threading.Thread(target=read_one, args=(number,)) for number in range(self.count)]
        for thread in threads:
            thread.start()
        barrier.wait()
        began = time.monotonic()
        barrier.wait()
        elapsed = time.monotonic() - began
        for thread in threads:
            thread.join()
        if results != [4096] * self.count:
            raise Failure(f"of {self.count} reads, these came back: {results}")
        return Sample(elapsed, self.unit, self.count)


def fio(arguments):
    """Runs fio and returns what its JSON says of each job."""
    done = subprocess.run(
        ["fio", "--randrepeat=0", "--output-format=json", *arguments],
        capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"fio {' '.join(arguments)}: {done.stderr or done.stdout}")
    # fio may put notes before its JSON.
    jobs = json.loads(done.stdout[done.stdout.index("{"):])["jobs"]
    for job in jobs:
        if job["error"]:
            raise Failure(f"fio {' '.join(arguments)}: error {job['error']}")
    return jobs


def touch_memory(count):
    """Has `count` bytes of memory ready. What a virtual machine does not use may have gone back to its host: whoever took
    it next would wait for it, and have that measured."""
    with mmap.mmap(-1, count) as memory:
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        for offset in range(0, count, mmap.PAGESIZE):
            memory[offset] = 1


def forget(path):
    """Drops the file's pages from the page cache; unlike drop_caches, that needs no root."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)


def random_workloads(depths):
    return [
        Fio(f"r{letter}{depth}", f"4k random {word}, depth {depth}", rw=f"rand{word}", depth=depth)
        for letter, word in (("r", "read"), ("w", "write"))
        for depth in depths
    ]


def sequential(word, block):
    letter = word[0]
    return Fio(
        f"s{letter}{block}", f"{block.replace('M', ' MiB').replace('k', ' KiB')} sequential direct {word}, depth 4",
        unit="MB/s", rw=word, block=block, depth=4)


def mixed(block, depth):
    """Large beside small, read and written; each part is a workload of its own."""
    size = block.replace("k", " KiB")
    return [
        Mixed(
            f"mix{word[0]}{block}{'L' if is_large else ''}",
            f"1 MiB beside {size} direct {word}, the {'large' if is_large else 'small'} ones",
            unit="MB/s" if is_large else "ops/s", word=word, block=block, depth=depth, measures_large=is_large)
        for word in ("read", "write")
        for is_large in (False, True)
    ]


MIXED = mixed("4k", 8) + mixed("64k", 2)
FOUR_JOBS = Fio("seq4", "4k sequential direct read, 4 synchronous jobs", rw="read", jobs=4)
DIRECT = [
    *random_workloads((1, 8, 32, 128)), FOUR_JOBS,
    *(sequential(word, block) for block in ("64k", "1M") for word in ("read", "write")),
]
BUFFERED = [
    Dd("ddr4k", "buffered read, dd bs=4k", block=4096),
    Dd("ddr1M", "buffered read, dd bs=1M"),
    Dd("ddw4k", "buffered write, dd bs=4k conv=fsync", is_write=True, block=4096),
    Dd("ddw1M", "buffered write, dd bs=1M conv=fsync", is_write=True),
]
ALL_DIRECT_AND_BUFFERED = DIRECT + BUFFERED
