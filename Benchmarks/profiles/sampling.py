"""Samples all processors with perf while a workload runs."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import os
import re
import subprocess
import threading
import time

from comparison.processes import Failure, memory_directory, temporary_directory
from comparison.workloads import Dd, Fio

FREQUENCY = 4000
"""Samples of each processor in a second."""
EVENT = "cpu-clock"
"""A timer of the kernel: also virtual machines have it, which often lack hardware counters."""
WARM_UP_SECONDS = 1
# What perf needs to start, fio is to outlast too.
SPARE_SECONDS = 2

OWN, SERVER, SCRIPT, IDLE, REST = "nbdmount", "nbdkit", "this script", "idle", "the rest"
DRIVERS = {Fio: "fio", Dd: "dd"}
"""The programs that workloads start."""
SAMPLE = re.compile(r"(?P<command>\S.*?)\s+(?P<pid>\d+)/\d+\s*$")
# The kernel's addresses are the upper half of all addresses.
FRAME = re.compile(r"\s+((?P<kernel>ffff)?[0-9a-f]+) (?P<name>.*) \(.*\)$")


@dataclasses.dataclass(frozen=True)
class Frame:
    name: str
    is_kernel: bool = False


@dataclasses.dataclass
class Profile:
    """What was sampled while one workload ran."""

    seconds: float
    value: float
    """The workload's speed, in its unit."""
    rate: float
    """Operations in a second."""
    processes: collections.Counter
    """Samples of each process."""
    stacks: collections.Counter
    """Samples of nbdmount by stack: a tuple of frames, the outermost first."""

    def microseconds(self, samples):
        """CPU time for each operation."""
        return samples / FREQUENCY / (self.rate * self.seconds) * 1e6


def profile(workload, server, client, settings, seconds):
    """Runs the workload on a server and a mount of its own."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(temporary_directory(memory_directory()))
        address = stack.enter_context(server.start(directory / "server"))
        target = stack.enter_context(client.attach(directory / "client", address, server.size))
        own, serving = target.usage.pid, int((directory / "server" / "pid").read_text())
        # The workload's program is started again and again: its name is known, its process is not.
        names = {0: IDLE, os.getpid(): SCRIPT, own: OWN, serving: SERVER}
        names[DRIVERS[type(workload)]] = DRIVERS[type(workload)]
        settings = dataclasses.replace(settings, seconds=WARM_UP_SECONDS + seconds + SPARE_SECONDS)
        done = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            driver = pool.submit(repeat, workload, target, server.size, settings, directory, done)
            try:
                time.sleep(WARM_UP_SECONDS)
                record(directory / "samples", seconds)
            finally:
                done.set()
        value, rate = driver.result()
        processes, stacks = count(directory / "samples", names)
    if not stacks:
        raise Failure(f"perf took no sample of nbdmount during {workload.name}")
    return Profile(seconds, value, rate, processes, stacks)


def repeat(workload, target, size, settings, scratch, done):
    """Runs the workload again and again; returns its mean speed and its operations in a second."""
    samples, began = [], time.monotonic()
    while not done.is_set():
        samples.append(workload.run(target, size, settings, scratch))
    elapsed = time.monotonic() - began
    # fio's own start is not measured; dd is started so often that it is part of what is.
    if isinstance(workload, Fio):
        elapsed = settings.seconds * len(samples)
    return sum(sample.value for sample in samples) / len(samples), sum(sample.operations for sample in samples) / elapsed


def record(path, seconds):
    done = subprocess.run(
        ["perf", "record", "-q", "-e", EVENT, "-F", str(FREQUENCY), "-g", "-a", "-o", path, "--", "sleep", str(seconds)],
        capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"perf record (which needs root to see every process): {done.stderr}")


def count(path, names):
    """Reads perf's samples; returns Profile's processes and stacks. `names` are of process numbers and of programs."""
    command = ["perf", "script", "-i", path, "-F", "comm,pid,tid,ip,sym,dso", "--no-inline"]
    processes, stacks = collections.Counter(), collections.Counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace") as script:
        for name, frames in samples_of(script.stdout, names):
            processes[name] += 1
            if name == OWN:
                stacks[frames] += 1
    if script.returncode != 0:
        raise Failure(f"perf script ended with {script.returncode}")
    return processes, stacks


def samples_of(lines, names):
    """Yields the process and the stack of each sample: a line that names it, a line for each frame, an empty line."""
    name, frames = None, []
    for line in lines:
        if found := FRAME.match(line):
            frames.append(Frame(found["name"], bool(found["kernel"])))
        elif found := SAMPLE.match(line):
            name, frames = names.get(int(found["pid"])) or names.get(found["command"], REST), []
        elif name and not line.strip():
            yield name, tuple(reversed(frames))
            name = None
    if name:
        yield name, tuple(reversed(frames))
