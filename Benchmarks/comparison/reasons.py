"""Why a program is far behind somewhere, does not finish, or has wrong data, as far as that is known."""

import dataclasses

from .clients import FUSE_ALONE, NBDFUSE, QEMU, RIVALS, without_variant
from .processes import TESTING

UNKNOWN = "why is not known"


@dataclasses.dataclass(frozen=True)
class Reason:
    """The group's and the figure's names begin so; an empty one is all of them."""

    group: str
    figures: tuple
    programs: tuple
    why: str


BEHIND = (
    Reason("", ("ddw4k",), (NBDFUSE, QEMU, FUSE_ALONE), "dd waits for each of its 4k writes, of which the kernel keeps none"),
    Reason("qemu-tcp", ("",), RIVALS, "each reply waits for a delayed acknowledgement, see above"),
    Reason("sparse", ("",), (NBDFUSE, QEMU), "it does not say where the holes are (SEEK_HOLE), so that cp reads them"),
    Reason("", ("rr", "rw", "parallel"), (NBDFUSE,), "libfuse's 10 workers: no more requests are in flight"),
    Reason("", ("rr", "rw", "parallel"), (QEMU,), "16 requests in flight at most"),
)
WRONG = {
    QEMU: "known, and mended in QEMU 11.1: a request that comes while a write is under way is read into the buffer of that write, "
    "and written in its place ('fuse: Copy write buffer content before polling')"
}
"""What follows from wrong data, such as a file system that cannot be mounted, is the same."""


def why_behind(group, figure, client):
    program = without_variant(client).removesuffix(TESTING)
    for reason in BEHIND:
        if group.startswith(reason.group) and figure.startswith(reason.figures) and program in reason.programs:
            return reason.why
    return UNKNOWN


def why_wrong(client):
    return WRONG.get(without_variant(client), UNKNOWN)
