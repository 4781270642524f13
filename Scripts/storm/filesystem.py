"""An ext4 on a loop device over the mounted file, whose files are written, synced and read while the server fails."""

import hashlib
import pathlib
import random
import subprocess
import tempfile
import threading
import time

from .writers import Storm

MOST_BYTES = 1 << 20
MOST_FILES = 24


class Filesystem(Storm):
    """The writers write whole files, in folders of their own; a count is of files."""

    def __init__(self, path, size, writers, seed):
        super().__init__(path, size, writers, seed)
        self.device = run("losetup", "--find", "--show", "--direct-io=on", path)
        run("mkfs.ext4", "-q", "-F", self.device)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="storm-fs."))
        run("mount", self.device, self.folder)
        self.digests = {}
        """By name: of what was written last."""
        self.threads = [
            threading.Thread(target=self._write_files, args=(number, random.Random(f"{seed} {number}"))) for number in range(4)
        ]

    def _write_files(self, number, random_numbers):
        folder = self.folder / str(number)
        folder.mkdir()
        step = 0
        try:
            while not self.is_over.is_set():
                step += 1
                file = folder / str(random_numbers.randrange(MOST_FILES))
                name = f"{number}/{file.name}"
                data = random_numbers.randbytes(random_numbers.choice((100, 5000, 70_000, MOST_BYTES // 4)))
                with open(file, "wb") as output:
                    output.write(data)
                    output.flush()
                    if step % 2:
                        subprocess.run(["sync", file], check=True)
                self.digests[name] = hashlib.sha256(data).digest()
                self._answered("writes")
                self._check_file(self.folder, name)
                self._answered("reads")
        except (OSError, subprocess.SubprocessError) as error:
            self.note("errors", str(error))
            self.is_over.set()

    def _check_file(self, root, name):
        data = (root / name).read_bytes()
        if hashlib.sha256(data).digest() != self.digests[name]:
            self.note("wrong", f"the file {name}, of {len(data)} bytes")

    def finish(self):
        run("umount", self.folder)
        run("losetup", "--detach", self.device)
        # Detaching closes the mounted file a little later.
        while pathlib.Path("/sys/block", pathlib.Path(self.device).name, "loop").exists():
            time.sleep(0.02)

    def check_disk(self, disk):
        """The filesystem is whole, and has all files."""
        run("fsck.ext4", "-f", "-n", disk)
        run("mount", "-o", "loop,ro", disk, self.folder)
        try:
            for name in self.digests:
                self._check_file(self.folder, name)
        finally:
            run("umount", self.folder)
            self.folder.rmdir()


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout.strip()
