"""Copying and buffered I/O, as people do it, and many readers of a slow server."""

import dataclasses
import mmap
import os
import struct
import subprocess
import threading
import time

from .fio import CHECKED_BYTES, MIB, check_pattern, plain_file, to_server, write_pattern
from .processes import Failure, run
from .servers import SPARSE_PIECE, sparse_pieces
from .workload import Sample, Workload


@dataclasses.dataclass(frozen=True)
class Dd(Workload):
    """Buffered, one program, as people copy disks. Reading begins with nothing of the file in the page cache."""

    unit: str = "MB/s"
    is_write: bool = False
    block: int = MIB

    @property
    def needs_file(self):
        return True

    def _copy(self, source, sink, count):
        words = ["conv=notrunc,fsync"] if self.is_write else []
        run("dd", f"bs={self.block}", f"count={count // self.block}", "status=none", f"if={source}", f"of={sink}", *words)

    def _count(self, target, settings):
        return min(target.size, settings.dd_bytes if self.block >= MIB or not self.is_write else settings.dd_bytes // 4)

    def prepare(self, target, settings):
        forget(target.file)
        touch_memory(self._count(target, settings))

    def run(self, target, settings):
        count = self._count(target, settings)
        began = time.monotonic()
        self._copy(*(("/dev/zero", target.file) if self.is_write else (target.file, "/dev/null")), count)
        return [Sample(count / 1e6 / (time.monotonic() - began), count // self.block)]

    def check(self, target, _settings):
        """The same with data that can be known again, and less of it."""
        count = min(CHECKED_BYTES, target.size)
        forget(target.file)
        path = target.scratch / "checked"
        path.unlink(missing_ok=True)
        file, server = plain_file(path), to_server(target.uri)
        source, sink = (file, server) if self.is_write else (server, file)
        write_pattern(source, count)
        self._copy(*((path, target.file) if self.is_write else (target.file, path)), count)
        check_pattern(sink, count)
        path.unlink()


@dataclasses.dataclass(frozen=True)
class Copy(Workload):
    """All of the disk to a file in memory: by cp through the mount, or by nbdcopy from the server."""

    unit: str = "s"

    def prepare(self, target, settings):
        (target.scratch / "copy").unlink(missing_ok=True)
        if target.file:
            forget(target.file)
        touch_memory(2 * target.size)

    def run(self, target, settings):
        began = time.monotonic()
        run(*(("cp", target.file) if target.file else ("nbdcopy", target.uri)), target.scratch / "copy")
        return [Sample(time.monotonic() - began, target.size // MIB)]

    def check(self, target, settings):
        """The server's disk was filled with it."""
        check_pattern(plain_file(target.scratch / "copy"), target.size)


@dataclasses.dataclass(frozen=True)
class SparseCopy(Workload):
    """cp --sparse=always of an image that is nearly all holes."""

    unit: str = "s"

    def prepare(self, target, settings):
        (target.scratch / "copy").unlink(missing_ok=True)

    def run(self, target, settings):
        began = time.monotonic()
        process = subprocess.Popen(["cp", "--sparse=always", target.file, target.scratch / "copy"], start_new_session=True)
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
        if process.returncode != 0 and not is_bound:
            raise Failure(f"cp ends with {process.returncode}")
        return [Sample(elapsed, 1, is_bound)]

    def check(self, target, settings):
        """The pieces are in it, and nothing else is."""
        copy = target.scratch / "copy"
        with open(copy, "rb") as file:
            for offset in sparse_pieces(target.size, settings.sparse_data):
                file.seek(offset)
                if file.read(MIB) != SPARSE_PIECE:
                    raise Failure(f"what was at {offset} is not in the copy")
        status = os.stat(copy)
        if status.st_size != target.size or status.st_blocks * 512 > settings.sparse_data + MIB:
            raise Failure(f"cp made {status.st_size} bytes, {status.st_blocks} blocks, of {target.size} bytes")


@dataclasses.dataclass(frozen=True)
class ParallelReads(Workload):
    """So many threads that each read one block, all at the same time, of a disk that says of each place where it is."""

    unit: str = "s"
    count: int = 40

    def run(self, target, settings):
        # Broken by a reader that fails, or that hangs.
        barrier = threading.Barrier(self.count + 1, timeout=60)
        results = []

        def read_one(number):
            file = os.open(target.file, os.O_RDONLY | os.O_DIRECT)
            offset = number * (target.size // self.count) // 4096 * 4096
            # Direct reads want aligned memory, which a mapping is.
            with mmap.mmap(-1, 4096) as page:
                barrier.wait()
                count = os.preadv(file, [page], offset)
                barrier.wait()
                results.append(count == 4096 and page[:] == struct.pack(">512Q", *range(offset, offset + 4096, 8)))
            os.close(file)

        threads = [threading.Thread(target=read_one, args=(number,), daemon=True) for number in range(self.count)]
        for thread in threads:
            thread.start()
        try:
            barrier.wait()
            began = time.monotonic()
            barrier.wait()
        except threading.BrokenBarrierError:
            raise Failure(f"not all of {self.count} reads came back") from None
        elapsed = time.monotonic() - began
        for thread in threads:
            thread.join()
        if results != [True] * self.count:
            raise Failure(f"of {self.count} reads, {results.count(True)} gave the right bytes")
        return [Sample(elapsed, self.count)]


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


BUFFERED = [
    Dd("ddr4k", "buffered read, dd bs=4k", block=4096),
    Dd("ddr1M", "buffered read, dd bs=1M"),
    Dd("ddw4k", "buffered write, dd bs=4k conv=fsync", is_write=True, block=4096),
    Dd("ddw1M", "buffered write, dd bs=1M conv=fsync", is_write=True),
]
