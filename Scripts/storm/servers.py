"""A server that can be killed, stalled and started again, on a Unix socket; and a link to it that can be cut.

    python3 -m storm.servers KIND DIRECTORY LOG [loses-cache]

does what a line of its input says (start, kill, stall, resume), and answers each with a line. It is a process of its own, without the
mounted file: a program that has it open cannot start another one while the server is gone, because the new process closes what it has
inherited, and closing flushes.
"""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

READY_SECONDS = 20


class Server:
    """One of the three programs, which serves `disk`; through the process that keeps it."""

    def __init__(self, kind, directory, size, log, loses_cache=False):
        self.directory = pathlib.Path(directory)
        self.socket = self.directory / "server.sock"
        self.disk = self.directory / "disk"
        self.export = "disk" if kind == "nbd-server" else ""
        with open(self.disk, "wb") as disk:
            disk.truncate(size)
        self.keeper = subprocess.Popen(
            [sys.executable, "-m", "storm.servers", kind, directory, *(["loses-cache"] if loses_cache else [])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)

    def do(self, command):
        """Returns when it was done, with the time of that; of a start, when the server listens."""
        self.keeper.stdin.write(f"{command}\n")
        self.keeper.stdin.flush()
        answer = self.keeper.stdout.readline()
        if not answer:
            raise RuntimeError(f"the server cannot {command}: see the log")
        return float(answer)

    def end(self):
        """Kills what there is."""
        self.keeper.stdin.close()
        self.keeper.wait()


class Kept:
    """The server itself, in the process that keeps it."""

    def __init__(self, kind, directory, loses_cache):
        self.kind, self.directory, self.loses_cache = kind, pathlib.Path(directory), loses_cache
        self.socket = self.directory / "server.sock"
        self.disk = self.directory / "disk"

    def start(self):
        self.socket.unlink(missing_ok=True)
        # To standard error, because standard output has the answers.
        process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=sys.stderr)
        if self.kind == "nbd-server":
            process.wait()
        return wait_for_listener(self.socket, process)

    def _command(self):
        if self.kind == "nbdkit":
            cache = (["--filter=cache"], ["cache=writeback"]) if self.loses_cache else ([], [])
            return ["nbdkit", "--foreground", "--unix", self.socket, *cache[0], "file", self.disk, *cache[1]]
        if self.kind == "qemu-nbd":
            return ["qemu-nbd", "--persistent", "--shared=16", "--format=raw", "--cache=writeback", "--socket", self.socket, self.disk]
        configuration = self.directory / "nbd-server.conf"
        configuration.write_text(
            f"[generic]\nunixsock = {self.socket}\n[disk]\nexportname = {self.disk}\nflush = true\nfua = true\ntrim = true\n")
        # In the foreground it would serve one connection only.
        return ["nbd-server", "-C", configuration, "-p", self.directory / "nbd-server.pid"]

    def kill(self):
        while processes := self._processes():
            self._signal(processes, signal.SIGKILL)
            time.sleep(0.002)

    def stall(self):
        self._signal(self._processes(), signal.SIGSTOP)

    def resume(self):
        self._signal(self._processes(), signal.SIGCONT)

    def _processes(self):
        """All that were started with this folder and have not ended: nbd-server has one for each connection, and is a daemon."""
        mark, found = str(self.directory).encode(), []
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if (
                    entry.name.isdigit()
                    and pathlib.Path(os.readlink(entry / "exe")).name.startswith(self.kind)
                    and mark in (entry / "cmdline").read_bytes()
                ):
                    found.append(int(entry.name))
        return found

    @staticmethod
    def _signal(processes, number):
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)


def wait_for_listener(path, process):
    """Returns when somebody accepts there, with the time before the attempt that succeeded."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        now = time.monotonic()
        try:
            with socket.socket(socket.AF_UNIX) as attempt:
                attempt.connect(str(path))
            return now
        except OSError as error:
            if process.poll():
                raise RuntimeError(f"{process.args[0]} has ended with status {process.returncode}") from error
            if now > deadline:
                raise RuntimeError(f"{process.args[0]} does not listen") from error
            time.sleep(0.002)


class Link:
    """A process between the mount and the server."""

    def __init__(self, directory, target, log):
        self.socket = pathlib.Path(directory) / "link.sock"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "storm.link", self.socket, target], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for_listener(self.socket, self.process)

    def cut(self):
        """Ends the connections there are, each in the middle of what it carries next."""
        self.process.send_signal(signal.SIGUSR1)
        return time.monotonic()

    def kill(self):
        self.process.kill()
        self.process.wait()


def keep(kind, directory, *options):
    server = Kept(kind, directory, bool(options))
    try:
        for line in sys.stdin:
            done = getattr(server, line.strip())() or time.monotonic()
            print(done, flush=True)
    finally:
        server.kill()


if __name__ == "__main__":
    keep(*sys.argv[1:])
