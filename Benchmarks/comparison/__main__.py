"""Measures and writes the results: see Benchmarks/compare.sh."""

import argparse
import dataclasses
import json
import pathlib
import shutil

from . import chart, counts, machine, micro, plan, report
from .clients import REACTOR, all_clients, versions
from .measure import Run
from .processes import Failure, temporary_directory
from .program import run_program, words
from .summary import Summary


def parse():
    parser = argparse.ArgumentParser(prog="compare.sh", description="Measures nbdmount and its peers side by side.")
    parser.add_argument("--quick", action="store_true", help="one round, 0.5 s each, small disks: a smoke test")
    parser.add_argument(
        "--rounds", type=int, help=f"how often everything is measured (3, what has targets {plan.WITH_TARGETS})")
    parser.add_argument("--seconds", type=float, help=f"how long each fio run takes ({plan.Settings.seconds})")
    parser.add_argument("--only", type=words, default=[], help="workloads, comma-separated: rr32,rw32")
    parser.add_argument("--groups", type=words, default=[], help="groups, comma-separated: nbdkit-unix,sparse")
    parser.add_argument(
        "--without", type=words, default=[], help="groups to leave out; the report names them")
    parser.add_argument("--no-counts", action="store_true", help="no system calls, allocations and micro benchmarks")
    parser.add_argument("--list", action="store_true", help="name all groups and workloads, and measure nothing")
    parser.add_argument("--load-before", type=float, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=pathlib.Path, required=True, help="directory of the results")
    for built in ("nbdmount", "memory-fuse", "allocation-count", "benchmarks"):
        parser.add_argument(f"--{built}", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    return parser.parse_args()


def settings_of(options):
    settings = plan.QUICK if options.quick else plan.Settings()
    return dataclasses.replace(settings, seconds=options.seconds or settings.seconds)


def chosen_groups(options, everything, clients):
    """Those that the options name. What this machine cannot run has to be left out by name."""
    known = {group.name for group in everything} | {workload.name for group in everything for workload in group.workloads}
    unknown = [name for name in options.only + options.groups + options.without if name not in known]
    if unknown:
        raise Failure(f"no such workload or group: {', '.join(unknown)} (see --list)")
    rounds = options.rounds or (1 if options.quick else None)
    chosen = plan.select(everything, options.groups, options.without, options.only, rounds)
    if not chosen:
        raise Failure("nothing is left to measure")
    for group in chosen:
        if lacking := group.missing(clients):
            raise Failure(f"the group {group.name} needs {lacking}; --without {group.name} leaves it out")
    return chosen


def show(record):
    parts = [f"{record['round'] + 1}  {record['group']:13} {record['workload']:10} {record['client']:26}"]
    if "failure" in record:
        parts.append(f"FAILED: {record['failure']}")
    else:
        parts.append(f"{record['value']:12,.2f} {record['unit']:6}")
        parts += [f"{record[key]:10,.1f} us" for key in record if key.endswith("PerOperation")]
        parts.append({None: "", True: " right", False: f" WRONG: {record.get('wrong')}"}[record.get("isRight")])
    print(" ".join(parts).rstrip(), flush=True)


def main():
    options = parse()
    settings = settings_of(options)
    everything = plan.groups(settings)
    if options.list:
        for group in everything:
            print(f"{group.name}: {' '.join(workload.name for workload in group.workloads)}")
        return
    with temporary_directory() as directory:
        measured = own_copies(directory, options.nbdmount, options.memory_fuse)
        clients = all_clients(*measured)
        groups = chosen_groups(options, everything, clients)
        names = {group.name for group in groups}
        # What fails for want of a program fails before the long part.
        result = {
            "machine": machine.facts(),
            "versions": versions(options.nbdmount),
            "run": {
                "seconds": settings.seconds, "isQuick": options.quick, "loadBefore": options.load_before, "only": options.only,
                "leftOut": [group.name for group in everything if group.name not in names],
            },
            "counts": [] if options.no_counts else counts.run(options.nbdmount, options.allocation_count),
            "micro": [] if options.no_counts else micro.run(options.benchmarks),
        }
        run = Run(clients, settings, show)
        run.run(groups)
    result["measurements"] = run.records
    write(options.output, result, groups)
    bad = [record for record in run.records if "failure" in record or "wrong" in record]
    ours = sum(record["client"].startswith(REACTOR) for record in bad)
    if ours:
        raise Failure(f"nbdmount failed in {ours} measurements, which the report names")


def own_copies(directory, *programs):
    """Copies that every user may run, and that no other build replaces meanwhile."""
    directory.chmod(0o755)
    return [shutil.copy(program, directory) for program in programs]


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
