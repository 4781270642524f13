#!/usr/bin/env python3
"""Watches for tasks that are stuck: in uninterruptible sleep for a minute without having run. Looked at are the threads of the
control group that is named, and the kernel's own.

    stuck.py GROUP PID      names the first one, with what it waits for, and sends SIGUSR1 to the process PID

Ends with that, or when its standard input does. The kernel's own watch (hung_task) takes two minutes, and its log cannot be
read everywhere.
"""

import os
import pathlib
import select
import signal
import sys
import time

SECONDS = 60
INTERVAL = 2
# PF_KTHREAD of <linux/sched.h>.
KERNEL_THREAD = 0x0020_0000


def text(path):
    """The file's text, empty where it cannot be read: a task may end while it is looked at."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def sleepers(group):
    """Tasks in uninterruptible sleep, each as it is and with how often it has been given a processor."""
    for task in pathlib.Path("/proc").glob("[0-9]*/task/[0-9]*"):
        # The name is in parentheses, and may hold anything.
        fields = text(task / "stat").rpartition(")")[2].split()
        if len(fields) < 20 or fields[0] != "D":
            continue
        if not int(fields[6]) & KERNEL_THREAD and f"/{group}\n" not in text(task / "cgroup"):
            continue
        switches = tuple(line for line in text(task / "status").splitlines() if "ctxt_switches" in line)
        yield (task, fields[19]), switches


def description(task):
    """What it is, and where in the kernel it waits."""
    name, place, stack = (text(task / file).strip() for file in ("comm", "wchan", "stack"))
    return f"{name} (thread {task.name}) has been in uninterruptible sleep for {SECONDS} s, in {place}\n{stack}"


def main():
    group, process = sys.argv[1], int(sys.argv[2])
    seen = {}
    # Nobody writes to it: it can be read when it ends.
    while not select.select([sys.stdin], [], [], INTERVAL)[0]:
        now = time.monotonic()
        current = dict(sleepers(group))
        seen = {task: (seen[task] if task in seen and seen[task][0] == switches else (switches, now))
                for task, switches in current.items()}
        for (task, _), (_, since) in seen.items():
            if now - since >= SECONDS:
                print(f"-- {description(task)}", flush=True)
                os.kill(process, signal.SIGUSR1)
                return 1
    return 0


sys.exit(main())
