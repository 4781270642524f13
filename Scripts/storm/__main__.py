"""python3 -m storm LOG KILLS SERVER...: see Scripts/storm.sh."""

import contextlib
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from .filesystem import Filesystem
from .servers import Link, Server
from .writers import BLOCK, Storm

SIZE = 64 << 20
WRITERS = 8
STUCK_SECONDS = 30
COLUMNS = ("server", "fault", "engine", "faults", "writes", "reads", "flushes", "wrong", "lost", "errors", "slowest recovery")


class Failure(Exception):
    """What a row failed of."""


class Mount:
    """nbdmount on a folder, with one engine and a number of connections."""

    def __init__(self, directory, uri, log, engine, connections):
        self.directory = pathlib.Path(directory) / "mount"
        self.directory.mkdir()
        self.file = self.directory / "nbd"
        ready = pathlib.Path(directory) / "nbdmount.pid"
        self.process = subprocess.Popen(
            [os.environ["NBDMOUNT"], "--engine", engine, "-C", str(connections), "-P", ready, self.directory, uri],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + STUCK_SECONDS
        while not (ready.exists() and ready.stat().st_size):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failure("nbdmount does not mount")
            time.sleep(0.01)

    def end(self):
        """Unmounts; returns the exit status."""
        subprocess.run(["fusermount3", "-u", self.directory], check=True)
        return self.process.wait(60)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            subprocess.run(["umount", "-l", self.directory], stderr=subprocess.DEVNULL, check=False)


def faults(kind, server, link):
    """How the fault is made: a function that makes one, and returns the time from which the server is to be had again."""
    def kill(outage):
        server.do("kill")
        time.sleep(outage)
        return server.do("start")

    def stall(outage):
        server.do("stall")
        time.sleep(min(outage, 1))
        return server.do("resume")

    return {"killed": kill, "cache lost": kill, "stalled": stall, "cut": lambda _: link.cut(), "ext4, cache lost": kill}[kind]


def run_row(server_kind, kind, count, engine, connections, log):
    """One row. Returns what was seen, and the slowest recovery."""
    random_numbers = random.Random(f"{server_kind} {kind}")
    with contextlib.ExitStack() as ending:
        directory = ending.enter_context(tempfile.TemporaryDirectory(prefix="storm."))
        server = Server(server_kind, directory, SIZE, log, loses_cache="cache lost" in kind)
        ending.callback(server.end)
        server.do("start")
        link = None
        if kind == "cut":
            link = Link(directory, server.socket, log)
            ending.callback(link.kill)
        uri = f"nbd+unix:///{server.export}?socket={(link or server).socket}"
        mount = Mount(directory, uri, log, engine, connections)
        ending.callback(mount.kill)
        storm = (Filesystem if kind.startswith("ext4") else Storm)(str(mount.file), SIZE, WRITERS, f"{server_kind} {kind}")
        fault = faults(kind, server, link)
        slowest = 0.0
        storm.start()
        try:
            for _ in range(count):
                time.sleep(random_numbers.uniform(0.05, 0.6))
                since = fault(random_numbers.choice((0, 0.1, 0.3, 0.3, 1, 3)))
                recovery = storm.recovery(since, STUCK_SECONDS)
                if storm.is_over.is_set():
                    break
                if recovery is None:
                    raise Failure(f"nothing goes on for {STUCK_SECONDS} s: {storm.notes}")
                slowest = max(slowest, recovery)
        finally:
            if not storm.stop(STUCK_SECONDS):
                # The mount holds them: without it they end.
                mount.kill()
        finish(storm, mount, server)
        for text in storm.notes:
            print(f"-- {server_kind}, {kind}: {text}", flush=True)
        return storm.seen, slowest


def finish(storm, mount, server):
    """What is flushed is on the server's disk."""
    storm.finish()
    if (status := mount.end()) != 0:
        storm.note("errors", f"nbdmount ended with status {status}")
    server.do("kill")
    storm.check_disk(server.disk)


def rows(kills, servers):
    """(server, fault, how many)"""
    few = max(1, kills // 15)
    for server in servers:
        yield server, "killed", max(1, kills // len(servers))
        yield server, "stalled", few
        yield server, "cut", few
    if "nbdkit" in servers:
        yield "nbdkit", "cache lost", max(2, kills // 5)
        yield "nbdkit", "ext4, cache lost", max(1, kills // 50)


def main(log_path, kills, *servers):
    passed = failed = 0
    line = "{:<11} {:<17} {:<9} {:>6} {:>8} {:>8} {:>7} {:>6} {:>6} {:>6} {:>16}"
    print(line.format(*COLUMNS), flush=True)
    with open(log_path, "wb") as log:
        for number, (server, kind, count) in enumerate(rows(int(kills), servers)):
            engine, connections = ("reactor", "threads")[number % 2], (1, 4, 2)[number % 3]
            how = f"{engine} {connections}"
            try:
                seen, slowest = run_row(server, kind, count, engine, connections, log)
                bad = seen["wrong"] + seen["lost"] + seen["errors"]
                print(line.format(
                    server, kind, how, count, *(seen[name] for name in COLUMNS[4:-1]), f"{slowest:.2f} s"), flush=True)
            except (Failure, OSError, RuntimeError, subprocess.SubprocessError) as error:
                bad = 1
                print(f"{server}, {kind}, {how}: {error}", flush=True)
            passed, failed = passed + (not bad), failed + bool(bad)
    print(f"{passed} passed, {failed} failed", flush=True)
    return failed > 0


sys.exit(main(*sys.argv[1:]))
