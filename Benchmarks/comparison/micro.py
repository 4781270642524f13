"""The micro benchmarks' results, out of the harness's table: its JSON has means only, which one disturbance spoils."""

import re
import subprocess

from .processes import Failure

OPERATIONS = 1000
"""In one iteration; allocations are counted for all of them together."""


def run(package):
    """A row for each benchmark: the median and the least time of an operation, and its allocations."""
    command = [
        "swift", "package", "--package-path", str(package),
        "benchmark", "--no-progress", "--target", "TransmissionBenchmarks",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"the micro benchmarks failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    rows = parse(done.stdout)
    if not rows:
        raise Failure("the micro benchmarks measured nothing")
    return rows


def parse(text):
    """A line with a benchmark's name, then a table whose columns are p0, p25, p50, ..., p100, samples."""
    rows, name = [], None
    for line in text.splitlines():
        if re.fullmatch(r"[a-z0-9-]+", line.strip()):
            name = line.strip()
        elif name and line.startswith("│ Allocations"):
            rows.append({"name": name, "allocationsPerOperation": cells(line)[6] / OPERATIONS})
        elif name and line.startswith("│ Time (wall clock) (ns)"):
            numbers = cells(line)
            rows[-1] |= {"nanoseconds": numbers[2], "leastNanoseconds": numbers[0]}
    return rows


def cells(line):
    return [int(cell) for cell in line.split("│")[2:-1]]
