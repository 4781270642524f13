"""The Markdown report of one run."""

from .clients import EQUAL, FUSE_ALONE, NBD_ALONE, NBDFUSE, PEERS, REACTOR, SETTINGS
from .targets import evaluate
from .workloads import Mixed

INTRODUCTION = """\
Written by `Benchmarks/compare.sh`; not to be edited. All programs ran with their own defaults, which differ (see Settings;
the group `equal` makes them alike), against the same server programs, each with a server of its own, one after the other,
in an order that changes with the workload and the round. A ratio is of two measurements of one round: the median of the
rounds, with the least and the most. All measurements: [results.json](results.json)."""

CPU = """\
CPU time of the client for each operation, in microseconds (of `dd`: for each of its blocks), and the most memory it had
resident, in MiB:"""

LIMITS = """\
The two limits: FUSE answered from memory by one thread, and fio driving the server without FUSE (one connection for each
job). Composed, 1 / (1/FUSE + 1/NBD) is what a program can do that does one after the other; one that does both at the same
time, or uses more connections, can do more."""

COUNTS = """\
nbdkit memory over a Unix socket; all threads of nbdmount. System calls counted by strace, which slows them down and so makes
batches larger; allocations by a preloaded `malloc`: below 0.01 they are those of opening and closing the file."""

MICRO = """\
Nanoseconds and heap allocations for each operation. The data of a read is not copied in: that is the kernel's work. That of
a write is copied into the send queue. `control` allocates on purpose, to show that the counter counts."""


def number(value, unit):
    if unit == "s":
        return f"{value:.2f}"
    return f"{value:,.0f}"


def ratio(spread):
    if spread is None:
        return "-"
    digits = 1 if spread.median >= 10 else 2
    return f"{spread.median:.{digits}f} ({spread.least:.{digits}f}-{spread.most:.{digits}f})"


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def value_cell(summary, group, workload, client):
    spread = summary.spread(group.name, workload.name, client)
    if spread is None:
        return "-"
    bound = "> " if summary.is_bound(group.name, workload.name, client) else ""
    return bound + number(spread.median, workload.unit)


def values_table(summary, group):
    header = ["workload", "unit", *group.clients]
    rows = [
        [workload.title, workload.unit, *(value_cell(summary, group, workload, client) for client in group.clients)]
        for workload in group.workloads
    ]
    return table(header, rows)


def nbdfuse_of(group):
    """The group's nbdfuse, with whatever settings; None where it takes no part."""
    return next((client for client in group.clients if client in (NBDFUSE, EQUAL[-1])), None)


def ratios_table(summary, group):
    """Every client against nbdfuse: more is better, also where a time was taken."""
    base = nbdfuse_of(group)
    others = [client for client in group.clients if client in PEERS + EQUAL and client != base]
    rows = []
    for workload in group.workloads:
        row = [workload.title]
        for client in others:
            bound = "> " if summary.is_bound(group.name, workload.name, base) else ""
            row.append(bound + ratio(summary.ratio(group.name, workload.name, client, base)))
        rows.append(row)
    return table([f"workload, times {base}", *others], rows)


def cpu_table(summary, group):
    clients = [client for client in group.clients if client in PEERS + EQUAL]
    rows = []
    for workload in group.workloads:
        if isinstance(workload, Mixed):
            continue  # The client's time is that of both parts.
        cells = []
        for client in clients:
            spread = summary.spread(group.name, workload.name, client, "cpuMicrosecondsPerOperation")
            peak = summary.spread(group.name, workload.name, client, "peakKiB")
            cells.append(f"{spread.median:,.1f} / {peak.most / 1024:,.0f}" if spread and peak else "-")
        rows.append([workload.title, *cells])
    return table(["workload, us / MiB", *clients], rows) if rows else None


def limits_table(summary, group):
    rows = []
    for workload in group.workloads:
        share = summary.limit_share(group.name, workload.name, REACTOR)
        if share is None:
            continue
        cells = [value_cell(summary, group, workload, client) for client in (FUSE_ALONE, NBD_ALONE, REACTOR)]
        rows.append([workload.title, workload.unit, *cells, f"{share.median:.0%} ({share.least:.0%}-{share.most:.0%})"])
    return table(["workload", "unit", FUSE_ALONE, NBD_ALONE, REACTOR, "of the composed limit"], rows)


def counts_table(counts):
    rows = []
    for row in counts:
        calls = ", ".join(f"{name} {count:.3f}" for name, count in row["systemCalls"].items())
        total = sum(row["systemCalls"].values())
        rows.append([row["engine"], row["workload"], f"{row['allocationsPerOperation']:.3f}", f"{total:.2f}", calls])
    return table(["engine", "4k workload", "allocations", "system calls", "which"], rows)


def machine_section(machine, versions):
    programs = ", ".join(f"{name} {version}" for name, version in versions.items())
    user = "root" if machine["isRoot"] else "an ordinary user"
    return [
        f"Measured {machine['date']} on {machine['cpus']} CPUs ({machine['cpuModel']}), "
        f"{machine['memoryGiB']} GiB of memory, {machine['system']}, kernel {machine['kernel']}, as {user}.",
        f"{programs}. nbdmount was built from commit {machine['commit']}.",
    ]


def render(result, summary, groups):
    """The whole document."""
    run = result["run"]
    parts = [
        "# Benchmarks",
        INTRODUCTION,
        *machine_section(result["machine"], result["versions"]),
        f"{run['rounds']} rounds, {run['seconds']} s for each fio run. Load average {run['loadBefore']:.1f} before the run"
        + (": **other programs were busy, so these numbers are noise.**" if run["loadBefore"] > 0.5 else "."),
        "## Targets",
        table(
            ["workload", "target", "measured (least to most)", ""],
            [[verdict.title, verdict.target, verdict.measured, verdict.outcome]
             for verdict in evaluate(summary, result["counts"])]),
        "What was tried about those that are missed, and how to see where the time goes: [missed.md](missed.md).",
    ]
    parts += ["## Settings", table(SETTINGS[0], SETTINGS[1:])]
    if result["chart"]:
        parts.append("![throughput against nbdfuse](chart.svg)")
    for group in groups:
        parts += [f"## {group.name}: {group.server.title}", *([group.note] if group.note else [])]
        parts += ["Medians:", values_table(summary, group)]
        if nbdfuse_of(group):
            parts += ["Against nbdfuse, more is better:", ratios_table(summary, group)]
            usage = cpu_table(summary, group)
            parts += [CPU, usage] if usage else []
        if FUSE_ALONE in group.clients:
            parts += [LIMITS, limits_table(summary, group)]
    if result["counts"]:
        parts += [
            "## System calls and heap allocations of nbdmount for each operation", COUNTS,
            counts_table(result["counts"]),
        ]
    if result["micro"]:
        parts += [
            "## The codec and the reply machine, without a socket",
            MICRO,
            table(
                ["benchmark", "ns, median", "ns, least", "allocations"],
                [[row["name"], row["nanoseconds"], row["leastNanoseconds"], f"{row['allocationsPerOperation']:g}"]
                 for row in result["micro"]]),
        ]
    return "\n\n".join(parts) + "\n"
