"""Profiles nbdmount and writes what was found: see Benchmarks/profile.sh."""

import argparse
import pathlib

from comparison import machine, plan
from comparison.clients import REACTOR, Client, versions
from comparison.processes import Failure
from comparison.program import run_program, words
from comparison.targets import GROUP

from . import flamegraph, report, sampling
from .names import readable

# Those of targets.py that were missed.
WORKLOADS = ("rr32", "rw32", "sr1M", "sw1M", "ddr1M", "ddw1M")


def parse():
    parser = argparse.ArgumentParser(prog="profile.sh", description="Shows where nbdmount's CPU time goes.")
    parser.add_argument("--only", type=words, default=[], help=f"workloads, comma-separated: {','.join(WORKLOADS)}")
    parser.add_argument("--seconds", type=float, default=4, help="how long each workload is sampled (4)")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="directory of the results")
    parser.add_argument("--nbdmount", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := [name for name in options.only if name not in WORKLOADS]:
        raise Failure(f"no such workload: {', '.join(unknown)} (there are {', '.join(WORKLOADS)})")
    return options


def main():
    options = parse()
    settings = plan.Settings()
    group, = plan.select(plan.groups(settings), [GROUP], options.only or WORKLOADS)
    client, profiles = Client(REACTOR, (options.nbdmount,)), []
    options.output.mkdir(parents=True, exist_ok=True)
    for workload in group.workloads:
        profile = sampling.profile(workload, group.server, client, settings, options.seconds)
        profiles.append((workload, profile))
        share = profile.processes[sampling.OWN] / profile.processes.total()
        print(f"{workload.name:6} {profile.value:12,.0f} {workload.unit:6} nbdmount {share:.1%} of CPU time", flush=True)
        title = f"{client.name}, {workload.title}"
        (options.output / f"{workload.name}.svg").write_text(flamegraph.draw(title, readable(profile.stacks)))
    found = versions(options.nbdmount, ("nbdmount", "nbdkit", "fio", "perf", "Swift"))
    (options.output / "README.md").write_text(report.render(machine.facts(), found, profiles))
    print(f"Wrote {options.output}/README.md")


run_program("profile.sh", main)
