"""Child processes, temporary directories and mounts, each of which is gone at every exit."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

READY_SECONDS = 20


class Failure(Exception):
    """What the user is told before the run ends."""


@contextlib.contextmanager
def temporary_directory(parent=None):
    path = pathlib.Path(tempfile.mkdtemp(prefix="nbd-compare.", dir=parent))
    try:
        yield path
    finally:
        # Never into a mount that would not go away: what is behind it is not ours to delete.
        if not any(mount.startswith(str(path)) for mount in mountpoints()):
            shutil.rmtree(path)


def memory_directory():
    """A directory in memory, for disk images that are not to measure the disk; None where there is none."""
    shared = "/dev/shm"
    return shared if os.path.isdir(shared) and os.access(shared, os.W_OK) else None


def mountpoints():
    with open("/proc/self/mountinfo") as table:
        return [line.split()[4] for line in table]


def is_running(process):
    return process.poll() is None


@contextlib.contextmanager
def running(command, log, environment=None):
    """Runs a command, its output in `log`; at the end it is asked to end, and then made to."""
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **(environment or {})},
            # Control-C is for this program, which ends the clients before their servers.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if is_running(process):
            process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(condition, process, log):
    """Waits for `condition()`; fails when the process has ended or the time is over."""
    deadline = time.monotonic() + READY_SECONDS
    while not condition():
        if not is_running(process) or time.monotonic() > deadline:
            said = pathlib.Path(log).read_text(errors="replace")[-2000:]
            raise Failure(f"{process.args[0]} did not get ready: {said}")
        time.sleep(0.02)


def has_content(path):
    try:
        return os.path.getsize(path) > 0
    except FileNotFoundError:
        return False


def unmount(mountpoint, process):
    """Unmounts and waits for the process behind the mount; lazily where it is still in use."""
    if str(mountpoint) not in mountpoints():
        process.terminate()
    for options in (["-u"], ["-u", "-z"]):
        if str(mountpoint) in mountpoints():
            subprocess.run(["fusermount3", *options, str(mountpoint)], stderr=subprocess.DEVNULL, check=False)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise Failure(f"{process.args[0]} did not end after its unmount") from None


class Usage:
    """What a process has used: read from /proc."""

    TICK = 1 / os.sysconf("SC_CLK_TCK")

    def __init__(self, pid):
        self.pid = pid

    def cpu_seconds(self):
        """User and system time of all threads, those that ended included."""
        with open(f"/proc/{self.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * self.TICK

    def reset_peak(self):
        with open(f"/proc/{self.pid}/clear_refs", "w") as file:
            file.write("5")

    def peak_kib(self):
        """The most memory that was resident since the last reset."""
        with open(f"/proc/{self.pid}/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1])
        raise Failure(f"process {self.pid} says nothing of its memory")
