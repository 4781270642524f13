"""What fio does: the workloads of direct I/O, and the data that everything else is checked with."""

import dataclasses
import json
import zlib

from .processes import run
from .workload import Sample, Workload

MIB = 1 << 20
CHECKED_BYTES = 32 * MIB


def fio(arguments, seconds=0):
    """Runs fio, for so many seconds where it does not end by itself; returns what its JSON says of each job. An error of
    any job is a failure."""
    output = run("fio", "--output-format=json", "--verify_state_save=0", *arguments, seconds=seconds + 60)
    # fio may put notes before its JSON.
    return json.loads(output[output.index("{"):])["jobs"]


def through_mount(file, engine="libaio"):
    return [f"--filename={file}", f"--ioengine={engine}", "--direct=1"]


def to_server(uri):
    """fio speaks NBD itself, and no client takes part."""
    return ["--ioengine=nbd", f"--uri={uri}"]


def plain_file(path):
    return [f"--filename={path}", "--ioengine=psync"]


def transfer(job, name, writer, reader):
    """The job writes data that says where it belongs, with checksums, on the one side; it has to be there on the other. The
    data is another for each name, so that nothing that was there before can pass for it."""
    job = [*job, "--verify=crc32c", f"--randseed={zlib.crc32(name.encode())}"]
    fio([*writer, *job, "--do_verify=0"])
    fio([*reader, *job, "--verify_only"])


def pattern(size):
    """The job that fills a disk or a file: all of it different, and none of it zero."""
    return ["--name=pattern", "--rw=write", "--bs=1M", f"--size={size}", "--verify=crc32c", "--randseed=1"]


def write_pattern(where, size):
    fio([*where, *pattern(size), "--iodepth=4", "--do_verify=0"])


def check_pattern(where, size):
    """Fails where any of it is not as `write_pattern` wrote it."""
    fio([*where, *pattern(size), "--verify_only"])


@dataclasses.dataclass(frozen=True)
class Fio(Workload):
    rw: str = "randread"
    block: str = "4k"
    depth: int = 1
    jobs: int = 1

    def _job(self, rw, size):
        return ["--name=compare", f"--rw={rw}", f"--bs={self.block}", f"--iodepth={self.depth}", f"--numjobs={self.jobs}",
                f"--size={size}"]

    def _where(self, target):
        return through_mount(target.file, "libaio" if self.jobs == 1 else "psync") if target.file else to_server(target.uri)

    def run(self, target, settings):
        result = fio([
            *self._where(target), *self._job(self.rw, target.size), *timed(settings.seconds), "--group_reporting",
        ], settings.seconds)[0]
        side = result["write" if "write" in self.rw else "read"]
        value = side["iops"] if self.unit == "ops/s" else side["bw_bytes"] / 1e6
        return [Sample(value, side["total_ios"])]

    def check(self, target, _settings):
        """The same operations, fewer of them."""
        sides = [to_server(target.uri), self._where(target)]
        if "write" in self.rw:
            sides.reverse()
        # Jobs beside each other, which would overwrite each other's data.
        part = target.size // self.jobs
        few = min(64 * self.depth * bytes_of(self.block), CHECKED_BYTES, part)
        job = [*self._job(self.rw.replace("read", "write"), part), f"--io_size={few}", f"--offset_increment={part}"]
        transfer(job, self.name, *sides)


@dataclasses.dataclass(frozen=True)
class Mixed(Workload):
    """Large and small requests at the same time, by one fio: 1 MiB at depth 4 in the first half of the disk beside a job of
    smaller ones in the second. Neither may starve."""

    word: str = "read"
    block: str = "4k"
    depth: int = 1

    @property
    def figures(self):
        return (Workload(self.name, f"{self.title}, the small ones"),
                Workload(f"{self.name}L", f"{self.title}, the large ones", "MB/s"))

    def _jobs(self, word, size, *common):
        half = size // 2
        return [
            *common, f"--size={half}",
            "--name=small", f"--rw=rand{word}", f"--bs={self.block}", f"--iodepth={self.depth}", f"--offset={half}",
            "--name=large", f"--rw={word}", "--bs=1M", "--iodepth=4",
        ]

    def run(self, target, settings):
        common = [*through_mount(target.file), *timed(settings.seconds)]
        small, large = (job[self.word] for job in fio(self._jobs(self.word, target.size, *common), settings.seconds))
        return [Sample(small["iops"]), Sample(large["bw_bytes"] / 1e6)]

    def check(self, target, _settings):
        sides = [to_server(target.uri), through_mount(target.file)]
        if self.word == "write":
            sides.reverse()
        transfer(self._jobs("write", target.size, f"--io_size={CHECKED_BYTES // 4}"), self.name, *sides)


def timed(seconds):
    return ["--randrepeat=0", "--time_based", f"--runtime={round(seconds * 1000)}ms"]


def bytes_of(block):
    return int(block[:-1]) << {"k": 10, "M": 20}[block[-1]]


def random_workloads(depths):
    return [
        Fio(f"r{letter}{depth}", f"4k random {word}, depth {depth}", rw=f"rand{word}", depth=depth)
        for letter, word in (("r", "read"), ("w", "write"))
        for depth in depths
    ]


def sequential(word, block):
    letter = word[0]
    return Fio(
        f"s{letter}{block}", f"{block.replace('M', ' MiB').replace('k', ' KiB')} sequential direct {word}, depth 4",
        unit="MB/s", rw=word, block=block, depth=4)


MIXED = [
    Mixed(
        f"mix{word[0]}{block}", f"1 MiB beside {block.replace('k', ' KiB')} direct {word}",
        word=word, block=block, depth=depth)
    for block, depth in (("4k", 8), ("64k", 2))
    for word in ("read", "write")
]
FOUR_JOBS = Fio("seq4", "4k sequential direct read, 4 synchronous jobs", rw="read", jobs=4)
DIRECT = [
    *random_workloads((1, 8, 32, 128)), FOUR_JOBS,
    *(sequential(word, block) for block in ("64k", "1M") for word in ("read", "write")),
]
