"""Work as an ordinary user, with what such a user may do."""

import contextlib
import json
import os
import signal
import traceback

from .processes import Failure

NOBODY = 65534
FUSE = "/dev/fuse"


def as_ordinary_user(work):
    """Returns what `work()` does, which has to be plain data. Root has a child process call it, as nobody; whoever is an
    ordinary user calls it."""
    if os.geteuid() != 0:
        return work()
    with readable_by_all(FUSE):
        return in_child(work)


@contextlib.contextmanager
def readable_by_all(device):
    """As udev has it on most systems; in minimal ones /dev/fuse is for root alone."""
    mode = os.stat(device).st_mode & 0o777
    os.chmod(device, 0o666)
    try:
        yield
    finally:
        os.chmod(device, mode)


def in_child(work):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            with open(writer, "w") as results:
                json.dump(work(), results)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            # What the parent has to clean up is not this one's.
            os._exit(status)
    os.close(writer)
    try:
        with open(reader) as results:
            done = results.read()
    except BaseException:
        os.kill(child, signal.SIGTERM)
        raise
    finally:
        _, status = os.waitpid(child, 0)
    if status != 0:
        raise Failure("what an ordinary user was to measure came to nothing")
    return json.loads(done)
