"""What every workload has."""

import dataclasses
import pathlib

from .loop import LoopFilesystem
from .usage import Usage


@dataclasses.dataclass
class Sample:
    """One measurement, in the unit of its figure."""

    value: float
    operations: int = 0
    """How many there were, for what is used for each."""
    is_bound: bool = False
    """The time was up before the work was done: the value is where it stood."""


@dataclasses.dataclass
class Target:
    """What a workload runs on."""

    file: str | None = None
    """The mounted file; None where a program speaks to the server itself."""
    uri: str | None = None
    """None where there is no server, and nothing to compare data with."""
    usage: Usage | None = None
    """Of the client process."""
    size: int = 0
    """Bytes of the export."""
    scratch: pathlib.Path | None = None
    """A directory in memory."""
    filesystem: LoopFilesystem | None = None
    """On the mounted file, in the groups that want one."""


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    title: str
    unit: str = "ops/s"

    @property
    def figures(self):
        """What it measures, each a row of the report."""
        return (self,)

    @property
    def needs_file(self):
        """It cannot be run on a server without a mount."""
        return False

    def prepare(self, target, settings):
        """What comes before the measured part."""

    def run(self, target, settings):
        """The measured part; returns a Sample for each figure."""
        raise NotImplementedError

    def check(self, target, settings):
        """Fails where the workload's bytes are wrong. Not measured."""
