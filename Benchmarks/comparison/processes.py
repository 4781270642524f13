"""Child processes, temporary directories and mounts, each of which is gone at every exit."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

READY_SECONDS = 20
SAID_CHARACTERS = 400
REPOSITORY = pathlib.Path(__file__).parents[2]
PEERS = pathlib.Path(os.environ.get("NBDMOUNT_PEERS", REPOSITORY / ".peers"))
"""Where Scripts/peers.sh puts the programs of Debian testing."""
TESTING = "-testing"
"""What their names end in."""


class Failure(Exception):
    """What the user is told before the run ends, or the report says of one measurement."""


def program(name):
    """What to start for a program of this name, or path."""
    return PEERS / "bin" / name if str(name).endswith(TESTING) else name


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


def run(*command, seconds=120, **options):
    """Runs a program and returns what it prints. One that fails, or has not ended after so many seconds, is a Failure."""
    words = [str(word) for word in command]
    # Control-C is for this program, which ends its children itself, in their order.
    process = subprocess.Popen(
        words, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        errors="replace", **options)
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise Failure(f"{words[0]} did not end within {seconds:g} s") from None
    finally:
        if process.poll() is None:
            end_group(process)
    if process.returncode != 0:
        said = (errors or output).strip() or f"exit status {process.returncode}"
        # Some say the same of each of a thousand files.
        raise Failure(f"{said[:SAID_CHARACTERS]} [{' '.join(words)}]")
    return output


def end_group(process):
    """Kills a process and its children. What hangs in the kernel is left: to wait for it would hang this program too."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)


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
