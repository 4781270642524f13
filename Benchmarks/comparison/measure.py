"""Runs the plan: in each round, workload by workload, every client in turn."""

import contextlib

from .clients import NBD_ALONE
from .processes import memory_directory, temporary_directory
from .servers import sparse_image
from .workloads import touch_memory


def run(groups, clients, settings, progress):
    """Returns one record for each measurement."""
    records = []
    rounds = settings.rounds
    for number in range(rounds):
        for group in groups:
            if number < min(rounds, group.most_rounds):
                run_group(group, clients, settings, number, records, progress)
    return records


def run_group(group, clients, settings, number, records, progress):
    """One round of a group: each client with a server of its own, all mounted at the same time. Whoever is not being
    measured is idle."""
    # Each server's disk, and the page cache for one of them.
    touch_memory(settings.disk * (len(group.clients) + 1))
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(temporary_directory(memory_directory()))
        image = None
        if group.sparse_data:
            image = str(directory / "image")
            sparse_image(image, group.server.size, group.sparse_data)
        targets = []
        for place, name in enumerate(group.clients):
            client = clients[name]
            address = None
            if client.needs_server:
                # Whoever only reads may share an image: each copy of it has the same holes.
                address = stack.enter_context(group.server.start(directory / f"server{place}", own_copy(image, place)))
            attached = client.attach(directory / f"client{place}", address, group.server.size)
            targets.append((name, stack.enter_context(attached)))
        for position, workload in enumerate(group.workloads):
            able = [target for target in targets if target[0] != NBD_ALONE or not workload.name.startswith("dd")]
            # Whoever comes first pays for what the workload before has left behind: each in its turn.
            first = (number + position) % len(able)
            for name, target in able[first:] + able[:first]:
                record = measure(workload, target, group, settings, directory)
                record |= {"group": group.name, "workload": workload.name, "client": name, "round": number}
                records.append(record)
                progress(record)


def own_copy(image, place):
    """qemu-nbd locks the image that it serves."""
    if image is None:
        return None
    copy = f"{image}{place}"
    with open(image, "rb") as source, open(copy, "wb") as sink:
        while data := source.read(1 << 20):
            sink.write(data)
    return copy


def measure(workload, target, group, settings, scratch):
    usage = target.usage
    if usage:
        usage.reset_peak()
        before = usage.cpu_seconds()
    sample = workload.run(target, group.server.size, settings, scratch)
    record = {"value": round(sample.value, 4), "unit": sample.unit, "isBound": sample.is_bound}
    if usage:
        spent = usage.cpu_seconds() - before
        record["peakKiB"] = usage.peak_kib()
        if sample.operations:
            record["cpuMicrosecondsPerOperation"] = round(spent * 1e6 / sample.operations, 2)
    return record
