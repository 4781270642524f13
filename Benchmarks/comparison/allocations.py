"""Fails where a mounted nbdmount allocates more than its thresholds allow: see Benchmarks/check-allocations.sh."""

import argparse
import json
import pathlib

from . import counts
from .processes import Failure
from .program import run_program


def main():
    parser = argparse.ArgumentParser()
    for name in ("nbdmount", "memory-fuse", "allocation-count", "benchmarks", "thresholds"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    options = parser.parse_args()
    thresholds = json.loads(options.thresholds.read_text())
    del thresholds["comment"]
    rows = counts.run(options.nbdmount, options.allocation_count, tuple(thresholds), with_system_calls=False)
    exceeded = 0
    for row in rows:
        most, found = thresholds[row["engine"]][row["workload"]], row["allocationsPerOperation"]
        exceeded += found > most
        print(f"{row['engine']} {row['workload']}: {found:.4f} allocations for each operation, at most {most}"
              + (" EXCEEDED" if found > most else ""))
    if exceeded:
        raise Failure(f"{exceeded} of {len(rows)} workloads allocate on the data path")


run_program("check-allocations.sh", main)
