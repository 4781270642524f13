"""The Markdown page of one run."""

from comparison.report import machine_section, table

from .places import KINDS, PLACES, table_of
from .sampling import DRIVERS, EVENT, FREQUENCY, IDLE, OWN, REST, SCRIPT, SERVER

INTRODUCTION = """\
Written by `Benchmarks/profile.sh`; not to be edited. Where CPU time goes while nbdmount, with its default options, does what
[the comparison](../README.md) measures: nbdkit's memory disk over a Unix socket, each workload with a server and a mount of
its own."""

METHOD = """\
`perf record -e {event} -F {frequency} -g -a` for {seconds:g} s of each workload, which makes it somewhat slower.
That timer waits while interrupts are disabled: such work is seen where they are enabled again, as in
`_raw_spin_unlock_irqrestore` and `finish_task_switch`."""

READING = """\
The second tables and the flame graphs' colours divide nbdmount's samples alone: by the outermost system call, and by the
innermost function whose name says what it does. *Waking* is of other threads and programs, *switching* is giving up the
processor or getting it back; pages are pinned and released, socket buffers made and freed. *This script* readies memory
and empties the page cache between runs of `dd`."""


def render(machine, versions, profiles):
    """The whole document; profiles are pairs of a workload and its profile."""
    seconds = profiles[0][1].seconds
    parts = [
        "# Profiles",
        INTRODUCTION,
        *machine_section(machine, versions),
        METHOD.format(event=EVENT, frequency=FREQUENCY, seconds=seconds),
        READING,
    ]
    for workload, profile in profiles:
        parts += [
            f"## {workload.name}: {workload.title}",
            f"{profile.value:,.0f} {workload.unit} while profiled; an operation is of {operation(workload)}."
            + disturbance(profile),
            processes_table(profile),
            f"nbdmount, {sum(profile.stacks.values()):,} samples:",
            places_table(profile),
            f"[![flame graph of {workload.name}]({workload.name}.svg)]({workload.name}.svg)",
        ]
    return "\n\n".join(parts) + "\n"


def disturbance(profile):
    """What the load average shows too late: that the processors were not ours alone."""
    share = profile.processes[REST] / profile.processes.total()
    return f" **Other programs took {share:.0%} of the CPU time: these numbers are noise.**" if share > 0.1 else ""


def operation(workload):
    """fio's spelling, or bytes."""
    if isinstance(workload.block, int):
        return f"{workload.block >> 20} MiB"
    return workload.block.replace("M", " MiB").replace("k", " KiB")


def processes_table(profile):
    total = profile.processes.total()
    rows = [
        [name, f"{samples / total:.1%}", f"{profile.microseconds(samples):,.1f}"]
        for name in (OWN, SERVER, *DRIVERS.values(), SCRIPT, REST, IDLE) if (samples := profile.processes[name])
    ]
    return table(["process", "of all CPU time", "us for each operation"], rows)


def places_table(profile):
    samples = table_of(profile.stacks)
    columns = (*KINDS, None)
    rows = [row(place, profile, {kind: samples[place, kind] for kind in columns}) for place in PLACES]
    rows.append(row("all", profile, {kind: sum(samples[place, kind] for place in PLACES) for kind in columns}))
    return table(["% of nbdmount's samples", "all", "us for each operation", *KINDS, "other work"], rows)


def row(title, profile, samples):
    """Empty cells where there was nothing."""
    total = profile.processes[OWN]
    number = sum(samples.values())
    cells = [f"{100 * value / total:.1f}" if value else "" for value in samples.values()]
    return [title, f"{100 * number / total:.1f}", f"{profile.microseconds(number):,.2f}", *cells]
