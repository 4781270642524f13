"""What a process, and the whole system, use of the processors and of memory: read from /proc."""

import os

from .processes import Failure

TICK = 1 / os.sysconf("SC_CLK_TCK")


class Usage:
    """What a process has used."""

    def __init__(self, pid):
        self.pid = pid

    def cpu_seconds(self):
        """User and system time of all threads, those that ended included."""
        with open(f"/proc/{self.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK

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


def system_cpu_seconds():
    """What all processors have worked since the start: user, nice, system, irq and softirq, not idle, waiting or stolen."""
    with open("/proc/stat") as stat:
        fields = [int(field) for field in stat.readline().split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:7])) * TICK


class Interval:
    """What is used while something runs: `with Interval(usage) as interval: ...`, then `interval.spent(operations)`."""

    def __init__(self, usage):
        self._usage = usage

    def _clocks(self):
        return {"system": system_cpu_seconds()} | ({"client": self._usage.cpu_seconds()} if self._usage else {})

    def __enter__(self):
        if self._usage:
            self._usage.reset_peak()
        self._before = self._clocks()
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            after = self._clocks()
            self._spent = {name: seconds - self._before[name] for name, seconds in after.items()}
            self._peak = {"peakKiB": self._usage.peak_kib()} if self._usage else {}

    def spent(self, operations):
        """The fields of a record."""
        each = {f"{name}CpuMicrosecondsPerOperation": round(seconds * 1e6 / operations, 2)
                for name, seconds in self._spent.items()} if operations else {}
        return self._peak | each
