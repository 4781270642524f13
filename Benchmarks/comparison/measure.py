"""Runs the plan: in each round, workload by workload, every client in turn."""

import contextlib
import functools

from .loop import loop_filesystem
from .processes import Failure, memory_directory, temporary_directory
from .usage import Interval
from .user import as_ordinary_user
from .workloads import touch_memory

# A client that is gone, and its mount, are an error of the system's.
FAILURES = (Failure, OSError)


class Run:
    """What is measured goes to `records`, one for each figure: with a value, or with a failure that says why not."""

    def __init__(self, clients, settings, progress):
        self.records = []
        self._clients = clients
        self._settings = settings
        self._progress = progress

    def run(self, groups):
        for number in range(max(group.rounds for group in groups)):
            for group in groups:
                if number < group.rounds:
                    work = functools.partial(self._run_group, group, number)
                    for record in as_ordinary_user(work) if group.is_ordinary_user else work():
                        self.records.append(record)

    def _run_group(self, group, number):
        """One round of a group: each client with a server of its own, all mounted at the same time. Whoever is not being
        measured is idle. Returns the records."""
        records = []

        def note(client, figure, fields):
            record = {"group": group.name, "workload": figure, "client": client, "round": number} | fields
            records.append(record)
            self._progress(record)

        # Each server's disk, the page cache for one of them, and a copy.
        touch_memory(self._settings.disk * (len(group.clients) + 2))
        with contextlib.ExitStack() as stack:
            scratch = stack.enter_context(temporary_directory(memory_directory()))
            targets = []
            for name in group.clients:
                # What fails when it is left again.
                stack.enter_context(failures_noted(functools.partial(note, name, "end")))
                try:
                    targets.append((name, self._attach(stack, group, self._clients[name], scratch)))
                except Failure as failure:
                    for figure in group.figures:
                        note(name, figure.name, {"failure": str(failure)})
            for position, workload in enumerate(group.workloads):
                able = [target for target in targets if target[1].file or not workload.needs_file]
                # Whoever comes first pays for what the workload before has left behind: each in its turn.
                first = (number + position) % max(len(able), 1)
                for name, target in able[first:] + able[:first]:
                    is_checked = number == 0 and target.uri is not None and name in group.programs
                    for figure, fields in zip(workload.figures, measure(workload, target, self._settings, is_checked)):
                        note(name, figure.name, fields)
        return records

    def _attach(self, stack, group, client, scratch):
        """Starts the client's server, mounts, and makes the file system that the group works on."""
        place = scratch / client.name.replace(" ", "-")
        place.mkdir()
        address = stack.enter_context(group.server.start(place / "server")) if client.needs_server else None
        target = stack.enter_context(client.attach(place / "client", address, group.server.size))
        target.scratch = scratch
        if group.has_filesystem:
            target.filesystem = stack.enter_context(loop_filesystem(target.file, place / "filesystem"))
        return target


@contextlib.contextmanager
def failures_noted(note):
    try:
        yield
    except Failure as failure:
        note({"failure": str(failure)})


def measure(workload, target, settings, is_checked):
    """Returns the fields of a record for each of the workload's figures. Data that is wrong is not a failure, but said."""
    try:
        workload.prepare(target, settings)
        with Interval(target.usage) as interval:
            samples = workload.run(target, settings)
    except FAILURES as failure:
        return [{"failure": str(failure)} for _ in workload.figures]
    # Work that was given up has no result to look at.
    is_done = not any(sample.is_bound for sample in samples)
    checked = check(workload, target, settings) if is_checked and is_done else {}
    return [
        {"value": round(sample.value, 4), "unit": figure.unit, "isBound": sample.is_bound}
        | interval.spent(sample.operations) | checked
        for figure, sample in zip(workload.figures, samples)
    ]


def check(workload, target, settings):
    """Returns the field that says whether the workload's data was right."""
    try:
        workload.check(target, settings)
        return {"isRight": True}
    except FAILURES as failure:
        return {"isRight": False, "wrong": str(failure)}
