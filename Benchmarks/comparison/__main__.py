"""Measures and writes the results: see Benchmarks/compare.sh."""

import argparse
import dataclasses
import json
import pathlib

from . import chart, counts, machine, measure, micro, plan, report
from .clients import all_clients, versions
from .processes import Failure
from .program import run_program, words
from .summary import Summary


def parse():
    parser = argparse.ArgumentParser(prog="compare.sh", description="Measures nbdmount and its peers side by side.")
    parser.add_argument("--quick", action="store_true", help="2 rounds, 1 s each, small disks: a smoke test")
    parser.add_argument("--rounds", type=int, help="how often everything is measured (5)")
    parser.add_argument("--seconds", type=float, help="how long each fio run takes (2)")
    parser.add_argument("--only", type=words, default=[], help="workloads, comma-separated: rr32,rw32")
    parser.add_argument("--groups", type=words, default=[], help="servers, comma-separated: nbdkit-unix,sparse")
    parser.add_argument("--no-counts", action="store_true", help="no system calls, allocations and micro benchmarks")
    parser.add_argument("--list", action="store_true", help="name all groups and workloads, and measure nothing")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="directory of the results")
    for built in ("nbdmount", "memory-fuse", "allocation-count", "benchmarks"):
        parser.add_argument(f"--{built}", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    return parser.parse_args()


def settings_of(options):
    settings = plan.QUICK if options.quick else plan.Settings()
    changes = {name: value for name in ("rounds", "seconds") if (value := getattr(options, name)) is not None}
    return dataclasses.replace(settings, **changes)


def check_names(options, groups):
    known = {group.name for group in groups} | {workload.name for group in groups for workload in group.workloads}
    unknown = [name for name in options.only + options.groups if name not in known]
    if unknown:
        raise Failure(f"no such workload or group: {', '.join(unknown)} (see --list)")


def show(record):
    cpu = record.get("cpuMicrosecondsPerOperation")
    print(
        f"{record['round'] + 1}  {record['group']:13} {record['workload']:10} {record['client']:20}"
        f" {record['value']:12,.2f} {record['unit']:6}" + (f" {cpu:10,.1f} us/op" if cpu is not None else ""), flush=True)


def main():
    options = parse()
    settings = settings_of(options)
    groups = plan.groups(settings)
    if options.list:
        for group in groups:
            print(f"{group.name}: {' '.join(workload.name for workload in group.workloads)}")
        return
    check_names(options, groups)
    groups = plan.select(groups, options.groups, options.only)
    load = machine.load()
    records = measure.run(groups, all_clients(options.nbdmount, options.memory_fuse), settings, show)
    counted = [] if options.no_counts else counts.run(options.nbdmount, options.allocation_count)
    result = {
        "machine": machine.facts(),
        "versions": versions(options.nbdmount),
        "run": {"rounds": settings.rounds, "seconds": settings.seconds, "isQuick": options.quick, "loadBefore": load},
        "counts": counted,
        "micro": [] if options.no_counts else micro.run(options.benchmarks),
        "measurements": records,
    }
    write(options.output, result, groups)


def write(output, result, groups):
    output.mkdir(parents=True, exist_ok=True)
    summary = Summary(result["measurements"])
    (output / "results.json").write_text(json_text(result))
    document = result | {"chart": chart.draw(output / "chart.svg", summary, groups)}
    (output / "README.md").write_text(report.render(document, summary, groups))
    print(f"Wrote {output}/README.md")


def json_text(result):
    """One line for each measurement, so that two runs can be compared by eye."""
    head = json.dumps({key: value for key, value in result.items() if key != "measurements"}, indent=1)
    lines = ",\n".join("  " + json.dumps(record) for record in result["measurements"])
    return head.rstrip().removesuffix("}").rstrip() + f',\n "measurements": [\n{lines}\n ]\n}}\n'


run_program("compare.sh", main)
