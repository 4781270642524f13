"""What people do on a file system: unpack, look for changes, commit to a database."""

import dataclasses
import functools
import os
import pathlib
import shutil
import time

from .processes import REPOSITORY, Failure, run
from .workload import Sample, Workload

COPIES = 10
GIT = ("git", "-c", "user.name=nobody", "-c", "user.email=nobody@localhost", "-c", "safe.directory=*", "-c", "gc.auto=0")
GIT_SETTINGS = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_OPTIONAL_LOCKS": "0"}


def git(*arguments, **options):
    return run(*GIT, *arguments, env=GIT_SETTINGS, **options)


@dataclasses.dataclass(frozen=True)
class Sources:
    """A source tree: this repository's and that of the packages which it is built with, ten times."""

    tree: pathlib.Path
    """A git repository, with one commit."""
    archive: pathlib.Path
    files: int


@functools.cache
def sources(scratch):
    """Made once in each directory."""
    tree, archive = scratch / "sources", scratch / "sources.tar"
    for number in range(COPIES):
        for part in ("Sources", "Tests", "Fixtures", "Docs", ".build/checkouts"):
            copy = tree / f"copy{number}" / part
            shutil.copytree(REPOSITORY / part, copy, symlinks=True, ignore=shutil.ignore_patterns(".git*"))
    run("tar", "-C", tree, "-cf", archive, ".")
    git("-C", tree, "init", "-q")
    git("-C", tree, "add", ".")
    git("-C", tree, "commit", "-q", "-m", "sources")
    return Sources(tree, archive, len(git("-C", tree, "ls-files").splitlines()))


@dataclasses.dataclass(frozen=True)
class Application(Workload):
    """Works in a folder of its own on the target's file system."""

    unit: str = "s"

    @property
    def needs_file(self):
        return True

    def folder(self, root):
        return pathlib.Path(root) / self.name

    def check(self, target, _settings):
        """What is there is right, read again through the mount and as the server's disk holds it."""
        target.filesystem.forget()
        self.check_folder(self.folder(target.filesystem.folder), target)
        with target.filesystem.on_server(target.uri, target.scratch) as root:
            self.check_folder(self.folder(root), target)

    def check_folder(self, folder, target):
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Unpack(Application):
    def prepare(self, target, _settings):
        sources(target.scratch)
        self.folder(target.filesystem.folder).mkdir()

    def run(self, target, _settings):
        source, folder = sources(target.scratch), self.folder(target.filesystem.folder)
        began = time.monotonic()
        run("tar", "-C", folder, "-xf", source.archive)
        run("sync", "--file-system", folder)
        return [Sample(time.monotonic() - began, source.files)]

    def check_folder(self, folder, target):
        run("tar", "-C", folder, "--compare", "-f", sources(target.scratch).archive)


@dataclasses.dataclass(frozen=True)
class GitStatus(Application):
    """With nothing of the files in memory."""

    def prepare(self, target, _settings):
        folder = self.folder(target.filesystem.folder)
        git("clone", "-q", "--no-hardlinks", sources(target.scratch).tree, folder)
        # git reads the files that are no older than its index, by the second: how many those are is chance.
        time.sleep(1)
        git("-C", folder, "update-index", "--force-write-index")
        target.filesystem.forget()

    def run(self, target, _settings):
        began = time.monotonic()
        changes = git("-C", self.folder(target.filesystem.folder), "status", "--porcelain")
        elapsed = time.monotonic() - began
        if changes:
            raise Failure(f"git status finds changes where there are none: {changes[:200]}")
        return [Sample(elapsed, sources(target.scratch).files)]

    def check_folder(self, folder, target):
        git("-C", folder, "fsck", "--strict")
        run("diff", "--recursive", "--brief", "--exclude=.git", sources(target.scratch).tree, folder)


@dataclasses.dataclass(frozen=True)
class Database(Application):
    """Each insert is a transaction of its own, which is on the disk before the next one begins."""

    unit: str = "ops/s"
    count: int = 300

    def _file(self, folder):
        return folder / "database"

    def prepare(self, target, _settings):
        folder = self.folder(target.filesystem.folder)
        folder.mkdir()
        statements = (f"INSERT INTO rows VALUES ({number}, printf('%0100d', {number}));" for number in range(self.count))
        (target.scratch / "statements").write_text("PRAGMA synchronous=FULL;\n" + "\n".join(statements))
        run("sqlite3", self._file(folder), "CREATE TABLE rows (number INTEGER PRIMARY KEY, text TEXT);")

    def run(self, target, _settings):
        began = time.monotonic()
        run("sqlite3", self._file(self.folder(target.filesystem.folder)), f".read {target.scratch / 'statements'}")
        return [Sample(self.count / (time.monotonic() - began), self.count)]

    def check_folder(self, folder, target):
        query = "PRAGMA integrity_check; SELECT count(*) FROM rows WHERE text = printf('%0100d', number);"
        said = run("sqlite3", f"file:{self._file(folder)}?immutable=1", query).split()
        if said != ["ok", str(self.count)]:
            raise Failure(f"the database says {said}, where {self.count} rows were committed")


APPLICATIONS = [
    Unpack("untar", f"tar -x of a source tree ({COPIES} times this one), and sync"),
    GitStatus("gitstatus", "git status there, nothing cached"),
    Database("sqlite", "sqlite3, each insert a transaction"),
]
