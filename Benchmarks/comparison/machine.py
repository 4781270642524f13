"""Facts of the machine that a result depends on; nothing that names it."""

import datetime
import os
import platform

from .processes import REPOSITORY, run


def facts():
    model, memory = "unknown", 0
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1])
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "cpuModel": model,
        "memoryGiB": round(memory / (1 << 20), 1),
        "kernel": platform.release(),
        "system": system,
        "isRoot": os.geteuid() == 0,
        "commit": commit(),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }


def commit():
    """What was checked out, and whether anything was changed in it."""
    return run("git", "-c", "safe.directory=*", "-C", REPOSITORY, "describe", "--always", "--dirty", "--abbrev=10").strip()
