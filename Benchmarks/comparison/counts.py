"""What nbdmount asks of the kernel and of the heap for each operation, counted over a fixed number of operations."""

import dataclasses
import re
import struct
import subprocess

from .clients import Client
from .fio import fio, through_mount
from .processes import Failure, temporary_directory
from .servers import Server

OPERATIONS = 20000
SIZE = 64 << 20
CASES = [("rr1", "randread", 1), ("rr32", "randread", 32), ("rw1", "randwrite", 1), ("rw32", "randwrite", 32)]


@dataclasses.dataclass(frozen=True)
class CountedClient(Client):
    """A mount whose allocations are counted by a preloaded library, in a file."""

    library: str = ""
    count_file: str = ""

    def environment(self):
        return {"LD_PRELOAD": self.library, "ALLOCATION_COUNT_FILE": self.count_file}


def operations(target, rw, depth):
    return ["--name=count", *through_mount(target.file), f"--rw={rw}", "--bs=4k", "--randrepeat=0", "--norandommap",
            f"--iodepth={depth}", f"--size={SIZE}", f"--io_size={OPERATIONS * 4096}"]


def run(nbdmount, library, engines=("reactor", "threads"), with_system_calls=True):
    """Returns a row for each engine and case."""
    rows = []
    for engine in engines:
        with temporary_directory() as directory:
            count_file = directory / "allocations"
            count_file.write_bytes(bytes(8))
            client = CountedClient("nbdmount", (nbdmount, "--engine", engine), library=library, count_file=str(count_file))
            server = Server("nbdkit", size=SIZE)
            with server.start(directory / "server") as address:
                with client.attach(directory / "client", address, SIZE) as target:
                    if allocations(count_file) == 0:
                        raise Failure("the start of nbdmount allocated nothing: the counter does not count")
                    for name, rw, depth in CASES:
                        row = {"engine": engine, "workload": name}
                        row["allocationsPerOperation"] = steady_allocations(count_file, target, rw, depth)
                        if with_system_calls:
                            row |= system_calls(target, rw, depth)
                        rows.append(row)
    return rows


def allocations(count_file):
    return struct.unpack("=Q", count_file.read_bytes())[0]


def steady_allocations(count_file, target, rw, depth):
    """To open and to close the file allocates too, which so many operations make less than a hundredth of."""
    # The first run fills what is kept afterwards.
    for _ in range(2):
        before = allocations(count_file)
        job = fio(operations(target, rw, depth))[0]
        spent = allocations(count_file) - before
    done = job["read"]["total_ios"] + job["write"]["total_ios"]
    if done != OPERATIONS:
        raise Failure(f"fio did {done} operations instead of {OPERATIONS}")
    return round(spent / OPERATIONS, 4)


def system_calls(target, rw, depth):
    """System calls of all threads for each operation, by name; those that make a thousandth or more."""
    counts = with_strace(target.usage.pid, ["fio", *operations(target, rw, depth)])
    each = {name: round(count / OPERATIONS, 3) for name, count in counts.items() if count * 1000 >= OPERATIONS}
    return {"systemCalls": dict(sorted(each.items(), key=lambda item: -item[1]))}


def with_strace(pid, command):
    """Slows every system call down, which makes batches larger than they are."""
    with temporary_directory() as directory:
        report = directory / "report"
        command_line = ["strace", "-c", "-f", "-U", "calls,name", "-o", report, "-p", str(pid)]
        tracer = subprocess.Popen(command_line, stderr=subprocess.PIPE, text=True)
        try:
            # "attached" is its first word; before that it misses calls.
            tracer.stderr.readline()
            subprocess.run(command, capture_output=True, check=True)
        finally:
            tracer.terminate()
            tracer.communicate()
        found = re.findall(r"^\s*(\d+)\s+(\w+)\s*$", report.read_text(), re.MULTILINE)
    return {name: int(count) for count, name in found if name != "total"}
