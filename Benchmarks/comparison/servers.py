"""The servers. Each client gets a fresh one of its own."""

import contextlib
import dataclasses
import socket
import subprocess

from .processes import Failure, has_content, running, wait_until


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclasses.dataclass
class Address:
    """Where a server listens: a Unix socket, or a port of 127.0.0.1."""

    path: str | None = None
    port: int | None = None

    @property
    def uri(self):
        if self.path:
            return f"nbd+unix:///?socket={self.path}"
        return f"nbd://127.0.0.1:{self.port}/"

    @property
    def qemu(self):
        if self.path:
            return f"server.type=unix,server.path={self.path}"
        return f"server.type=inet,server.host=127.0.0.1,server.port={self.port}"


@dataclasses.dataclass(frozen=True)
class Server:
    """A kind of server and how to reach it."""

    program: str
    is_unix: bool = True
    size: int = 0
    """Bytes of the export."""
    is_filled: bool = True
    """All of it has been written, so that nothing measured is a hole."""
    delay: str | None = None
    """How long each read and write takes, as nbdkit's delay filter spells it."""

    @property
    def title(self):
        words = [self.program, "Unix socket" if self.is_unix else "TCP"]
        return ", ".join(words + ([f"{self.delay} for each request"] if self.delay else []))

    @contextlib.contextmanager
    def start(self, directory, image=None):
        """Runs the server; yields its address. `image` is served instead of an empty disk."""
        directory.mkdir()
        address = Address(path=str(directory / "socket")) if self.is_unix else Address(port=free_port())
        pid_file, log = directory / "pid", directory / "log"
        command = getattr(self, "_" + self.program.replace("-", "_"))(directory, address, image)
        with running([*command, pid_file_option(self.program), pid_file], log) as process:
            wait_until(lambda: has_content(pid_file), process, log)
            if self.is_filled:
                fill(address, self.size)
            yield address

    def _nbdkit(self, _directory, address, image):
        where = ["-U", address.path] if self.is_unix else ["--ipaddr", "127.0.0.1", "-p", str(address.port)]
        threads = ["-t", "64"] if self.delay else []
        filters = ["--filter=delay"] if self.delay else []
        delays = [f"rdelay={self.delay}", f"wdelay={self.delay}"] if self.delay else []
        return ["nbdkit", "-f", *where, *threads, *filters, "memory", str(self.size), *delays]

    def _qemu_nbd(self, directory, address, image):
        where = ["-k", address.path] if self.is_unix else ["-b", "127.0.0.1", "-p", str(address.port)]
        form = "qcow2" if image else "raw"
        if not image:
            image = directory / "disk"
            with open(image, "wb") as disk:
                disk.truncate(self.size)
        return ["qemu-nbd", "--persistent", "--shared=16", "-f", form, *where, str(image)]


def pid_file_option(program):
    return {"nbdkit": "-P", "qemu-nbd": "--pid-file"}[program]


def fill(address, size):
    """Writes all of the export, not through the client that is to be measured."""
    done = subprocess.run(
        ["fio", "--name=fill", "--ioengine=nbd", f"--uri={address.uri}", "--rw=write", "--bs=1M", "--iodepth=4",
         f"--size={size}", "--output-format=json"],
        capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"cannot fill the server's disk: {done.stderr or done.stdout}")


def sparse_image(path, size, data):
    """A qcow2 image of `size` bytes with `data` bytes in it, 1 MiB at a time, evenly spread."""
    pieces = data >> 20
    writes = [f"write -q -P 7 {piece * (size // pieces)} 1M" for piece in range(pieces)]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, str(size)], check=True)
    subprocess.run(
        ["qemu-io", "-f", "qcow2", *(word for write in writes for word in ("-c", write)), path], check=True)
