"""Writers that know what each block of theirs has to be."""

import collections
import contextlib
import mmap
import os
import random
import struct
import threading
import time

BLOCK = 4096
MOST_BLOCKS = 16
"""In one write or read."""


def content(block, count):
    """Of a block that was written for the `count`th time; zeros of one that never was."""
    return struct.pack("<QQ", block, count) * (BLOCK // 16) if count else bytes(BLOCK)


def judge(data, block, count):
    """'right', 'lost' (an older one), or 'wrong'."""
    if data == content(block, count):
        return "right"
    found, older = struct.unpack_from("<QQ", data)
    if data == content(block, older) and older < count and (found == block or older == 0):
        return "lost"
    return "wrong"


class Storm:
    """All of the writers, and what they have seen."""

    def __init__(self, path, size, writers, seed):
        self.path = path
        self.blocks = size // BLOCK
        self.counts = [0] * self.blocks
        """By block: how often it was written, and answered."""
        self.seen = collections.Counter()
        self.notes = []
        self.lock = threading.Lock()
        self.is_over = threading.Event()
        self.waiting_since = None
        self.went_on = threading.Event()
        self.first_answer = 0.0
        share = self.blocks // writers
        self.threads = [
            threading.Thread(target=self._write, args=(number * share, share, random.Random(f"{seed} {number}")))
            for number in range(writers)
        ]

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self, seconds):
        """Ends the writers. False where one has not ended by then."""
        self.is_over.set()
        deadline = time.monotonic() + seconds
        for thread in self.threads:
            thread.join(max(0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self.threads)

    def recovery(self, since, seconds):
        """Seconds from `since` to the first answer after it; None where there is none in time."""
        self.went_on.clear()
        self.waiting_since = since
        went_on = self.went_on.wait(seconds)
        self.waiting_since = None
        return self.first_answer - since if went_on else None

    def note(self, kind, text):
        with self.lock:
            self.seen[kind] += 1
            if len(self.notes) < 20:
                self.notes.append(f"{kind}: {text}")

    def check(self, data, first):
        """What was read, from block `first` on, is what was written last."""
        for index in range(len(data) // BLOCK):
            block = first + index
            found = bytes(data[index * BLOCK : (index + 1) * BLOCK])
            verdict = judge(found, block, self.counts[block])
            if verdict != "right":
                self.note(verdict, f"block {block}, written {self.counts[block]} times: {found[:16].hex()}")

    def finish(self):
        """Flushes."""
        descriptor = os.open(self.path, os.O_RDWR)
        try:
            os.fsync(descriptor)
        except OSError as error:
            self.note("errors", f"the last flush: {error}")
        finally:
            os.close(descriptor)

    def check_disk(self, disk):
        """What the server has is what was written last."""
        with open(disk, "rb") as file:
            for first in range(0, self.blocks, 256):
                self.check(file.read(256 * BLOCK), first)

    def _answered(self, kind):
        now = time.monotonic()
        with self.lock:
            self.seen[kind] += 1
        since = self.waiting_since
        if since is not None and now > since and not self.went_on.is_set():
            self.first_answer = now
            self.went_on.set()

    def _write(self, first, share, random_numbers):
        memory = mmap.mmap(-1, MOST_BLOCKS * BLOCK)
        descriptor = os.open(self.path, os.O_RDWR | os.O_DIRECT)
        try:
            while not self.is_over.is_set():
                count = random_numbers.choice((1, 1, 1, 2, 4, MOST_BLOCKS))
                start = first + random_numbers.randrange(share - count + 1)
                self._step(descriptor, memoryview(memory)[: count * BLOCK], start, count, random_numbers.random())
        finally:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def _step(self, descriptor, view, start, count, choice):
        try:
            if choice < 0.6:
                blocks = range(start, start + count)
                view[:] = b"".join(content(block, self.counts[block] + 1) for block in blocks)
                if os.pwritev(descriptor, [view], start * BLOCK) != len(view):
                    raise OSError("a short write")
                for block in blocks:
                    self.counts[block] += 1
                self._answered("writes")
            elif choice < 0.98:
                if os.preadv(descriptor, [view], start * BLOCK) != len(view):
                    raise OSError("a short read")
                self.check(view, start)
                self._answered("reads")
            else:
                os.fsync(descriptor)
                self._answered("flushes")
        except OSError as error:
            self.note("errors", str(error))
            # Nobody knows what is there now, and the next would be the same.
            self.is_over.set()
