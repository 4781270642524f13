"""What the project has promised of its speed, and whether this run shows it. nbdkit's memory disk over a Unix socket."""

import dataclasses

from .clients import NBDCOPY, NBDFUSE, QEMU, REACTOR, THREADS, UNLOGGED
from .fio import MIXED
from .plan import LOG_GROUPS, LOGGED, TLS_GROUP
from .processes import TESTING
from .summary import Spread

GROUP = "nbdkit-unix"
# Fewer allocations than this for each operation are those of opening and closing the file.
STEADY = 0.01


@dataclasses.dataclass
class Verdict:
    title: str
    target: str
    measured: str
    outcome: str


def text_of(spread, form):
    return f"{form(spread.median)} ({form(spread.least)} to {form(spread.most)})"


def judge(title, target, spread, form, is_reached):
    if spread is None:
        return Verdict(title, target, "", "not measured")
    return Verdict(title, target, text_of(spread, form), "reached" if is_reached(spread.median) else "**missed**")


def times(value):
    return f"{value:.2f}x"


def at_least(summary, title, workload, base, factor, group=GROUP):
    return judge(
        title, f"{factor:g}x {base}", summary.ratio(group, workload, REACTOR, base), times,
        lambda median: median >= factor)


def evaluate(summary, counts):
    """One verdict for each promise."""
    verdicts = [
        at_least(summary, "4k random read, depth 32", "rr32", NBDFUSE, 2.7),
        at_least(summary, "4k random read, depth 32", "rr32", QEMU, 1.5),
        at_least(summary, "4k random read, depth 8", "rr8", QEMU, 1.15),
        at_least(summary, "4k random write, depth 32", "rw32", NBDFUSE, 2.7),
        at_least(summary, "4k random read, depth 1", "rr1", NBDFUSE, 1.7),
        at_least(summary, "four synchronous jobs, 4k sequential direct", "seq4", NBDFUSE, 2.1),
        at_least(summary, "1 MiB sequential direct read", "sr1M", NBDFUSE, 1.3),
        at_least(summary, "1 MiB sequential direct write", "sw1M", NBDFUSE, 1.3),
        at_least(summary, "buffered sequential read", "ddr1M", NBDFUSE, 2.2),
        at_least(summary, "buffered 4k writes with fsync", "ddw4k", NBDFUSE, 12),
        at_least(summary, "buffered 1 MiB writes with fsync", "ddw1M", NBDFUSE, 2),
        *(
            at_least(summary, figure.title, figure.name, NBDFUSE, 1.2, group="mixed")
            for workload in MIXED for figure in workload.figures
        ),
        *(
            judge(title, f"1.5x {NBDFUSE}", summary.ratio(GROUP, workload, THREADS, NBDFUSE), times,
                  lambda median: median >= 1.5)
            for workload, title in (("rr32", "threads engine, 4k random read, depth 32"),
                                    ("rw32", "threads engine, 4k random write, depth 32"))
        ),
        *(
            at_least(summary, f"with the write log, {group}: {workload}", workload, UNLOGGED, factor, group=group)
            for group, factor in zip(LOG_GROUPS, (0.95, 0.9, 0.9)) for workload in LOGGED
        ),
        *(
            at_least(summary, f"over TLS: {title}", workload, NBDFUSE + TESTING, factor, group=TLS_GROUP)
            for workload, title, factor in (
                ("sr1M", "1 MiB sequential direct read", 1), ("sw1M", "1 MiB sequential direct write", 1),
                ("rr32", "4k random read, depth 32", 1.5), ("rw32", "4k random write, depth 32", 1.5))
        ),
        # Of times the ratio is the inverse: this is our time against nbdcopy's.
        judge(
            "cp of the whole file", f"at most 1.3x the time of {NBDCOPY}", summary.ratio("copy", "cp", NBDCOPY, REACTOR),
            times, lambda median: median <= 1.3),
        judge(
            "40 parallel reads on a 0.5 s server", "at most 0.55 s", summary.spread("parallel", "parallel40", REACTOR),
            lambda value: f"{value:.3f} s", lambda median: median <= 0.55),
    ]
    cpu = "clientCpuMicrosecondsPerOperation"
    for workload, title in (("rr32", "read"), ("rw32", "write")):
        verdicts.append(judge(
            f"client CPU for a 4k {title}, depth 32", "at most 8 us", summary.spread(GROUP, workload, REACTOR, cpu),
            lambda value: f"{value:.1f} us", lambda median: median <= 8))
        verdicts.append(judge(
            f"client CPU for a 4k {title}, depth 32", "under 0.5x nbdfuse",
            summary.ratio(GROUP, workload, REACTOR, NBDFUSE, cpu), times, lambda median: median < 0.5))
    verdicts.append(judge(
        "4k random read, depth 32, against 1/(1/FUSE + 1/NBD)", "at least 85 %",
        summary.limit_share(GROUP, "rr32", REACTOR), lambda value: f"{value:.0%}", lambda median: median >= 0.85))
    allocations = [row["allocationsPerOperation"] for row in counts if row["engine"] == "reactor"]
    verdicts.append(judge(
        "heap allocations for each operation, reactor", "0", Spread.of(allocations) if allocations else None,
        lambda value: f"{value:.3f}", lambda median: max(allocations) < STEADY))
    for client in (REACTOR, THREADS):
        peak = summary.peak_kib(client)
        verdicts.append(judge(
            f"resident memory of {client}, any depth", "at most 64 MiB", Spread(peak, peak, peak) if peak else None,
            lambda value: f"{value / 1024:.1f} MiB", lambda median: median <= 64 * 1024))
    return verdicts
