"""The Markdown report of one run."""

from .clients import FUSE_ALONE, LIMITS, REACTOR, SETTINGS, base_of
from .reasons import why_behind, why_wrong
from .targets import evaluate

INTRODUCTION = """\
Written by `Benchmarks/compare.sh`; not to be edited. All programs ran with their own defaults, which differ (see Settings;
the groups `equal` make them alike), against the same server programs, each with a server of its own, one after the other,
in an order that changes with the workload and the round. A ratio is of two measurements of one round: the median of the
rounds, with the least and the most. All measurements: [results.json](results.json).

After its first measurement each workload is repeated, smaller, with data that is known: what the mount gives has to be what
the server's disk holds, and what was written to the mount has to be read from the server without it.

CPU time is for each operation, in microseconds (of `dd` for each of its blocks, of a copy for each MiB, of an application
for each file or transaction): of the client, and of the whole system, which is that and the server, the kernel's own threads
and the workload. Beside it stands the most memory that the client had resident, in MiB."""

BEHIND = 1 / 4
"""A client that is at less than this of the best one is explained."""

COMPOSED = """\
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


def value_cell(summary, group, figure, client):
    spread = summary.spread(group.name, figure.name, client)
    if spread is None:
        return "failed" if summary.failures(group.name, figure.name, client) else "-"
    bound = "> " if summary.is_bound(group.name, figure.name, client) else ""
    wrong = " (wrong data)" if summary.wrong(group.name, figure.name, client) else ""
    return bound + number(spread.median, figure.unit) + wrong


def one_line(text):
    return " ".join(text.split()).replace("|", "/")[:120]


def remarks(summary, group, figure):
    """Of each client that failed, was given up, or is far behind: what happened, and why where that is known."""
    found = []
    for client in group.clients:
        failures = summary.failures(group.name, figure.name, client)
        if failures:
            why = why_wrong(client)
            found.append(f"{client} failed, {len(failures)} of {group.rounds} times ({one_line(failures[0])}): {why}")
        if wrong := summary.wrong(group.name, figure.name, client):
            found.append(f"{client} has wrong data ({one_line(wrong[0])}): {why_wrong(client)}")
        share = summary.share_of_best(group.name, figure.name, client, group.programs)
        is_bound = summary.is_bound(group.name, figure.name, client)
        if is_bound or (share is not None and share < BEHIND):
            what = "was given up" if is_bound else f"is at {share:.1%} of the best"
            found.append(f"{client} {what}: {why_behind(group.name, figure.name, client)}")
    return "; ".join(found)


def values_table(summary, group):
    rows = [
        [figure.title, figure.unit, *(value_cell(summary, group, figure, client) for client in group.clients),
         remarks(summary, group, figure)]
        for figure in group.figures
    ]
    # Where nothing is remarkable, no column for it.
    last = None if any(row[-1] for row in rows) else -1
    return table(["workload", "unit", *group.clients, "note"][:last], [row[:last] for row in rows])


def checked_line(summary, group):
    """How much of the group's data was compared, and what went wrong at its end."""
    pairs = [
        (figure, client) for client in group.programs for figure in group.figures
        if value_cell(summary, group, figure, client) != "-"
    ]
    right = sum(summary.is_right(group.name, figure.name, client) for figure, client in pairs)
    ends = [f" At its end {client} failed: {one_line(failure)}."
            for client in group.clients for failure in summary.failures(group.name, "end", client)]
    return f"Data was compared, and right, in {right} of {len(pairs)} cells." + "".join(ends)


def ratios_table(summary, group):
    """Every client against one: more is better, also where a time was taken."""
    base = base_of(group.clients)
    others = [client for client in group.programs if client != base]
    rows = []
    for figure in group.figures:
        bound = "> " if summary.is_bound(group.name, figure.name, base) else ""
        rows.append([figure.title, *(
            bound + ratio(summary.ratio(group.name, figure.name, client, base)) for client in others)])
    return table([f"workload, times {base}", *others], rows)


def cpu_cell(summary, group, figure, client):
    spreads = [
        summary.spread(group.name, figure.name, client, f"{whose}CpuMicrosecondsPerOperation")
        for whose in ("client", "system")
    ]
    peak = summary.spread(group.name, figure.name, client, "peakKiB")
    used = [f"{spread.median:,.1f}" if spread else "-" for spread in spreads]
    return " / ".join([*used, f"{peak.most / 1024:,.0f}" if peak else "-"])


def cpu_table(summary, group):
    """Not of what has no number of operations, as two kinds of them at the same time."""
    rows = [
        [figure.title, *(cpu_cell(summary, group, figure, client) for client in group.programs)]
        for figure in group.figures
        if any(
            summary.spread(group.name, figure.name, client, "systemCpuMicrosecondsPerOperation")
            for client in group.programs)
    ]
    return table(["client us / system us / MiB", *group.programs], rows) if rows else None


def limits_table(summary, group):
    rows = []
    for figure in group.figures:
        share = summary.limit_share(group.name, figure.name, REACTOR)
        if share is None:
            continue
        cells = [value_cell(summary, group, figure, client) for client in (*LIMITS, REACTOR)]
        rows.append([figure.title, figure.unit, *cells, f"{share.median:.0%} ({share.least:.0%}-{share.most:.0%})"])
    return table(["workload", "unit", *LIMITS, REACTOR, "of the composed limit"], rows)


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
        f"{run['seconds']} s for each fio run; how many rounds, each group says. "
        f"Load average {run['loadBefore']:.1f} before the run"
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
    if run["leftOut"]:
        parts.append(f"Left out of this run by its options: {', '.join(run['leftOut'])}.")
    for group in groups:
        parts += [f"## {group.name}: {group.server.title}", *([group.note] if group.note else [])]
        parts += [f"Medians of {group.rounds} rounds. {checked_line(summary, group)}", values_table(summary, group)]
        if base := base_of(group.clients):
            parts += [f"Against {base}, more is better:", ratios_table(summary, group)]
        if usage := cpu_table(summary, group):
            parts += ["CPU time and memory:", usage]
        if FUSE_ALONE in group.clients:
            parts += [COMPOSED, limits_table(summary, group)]
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
