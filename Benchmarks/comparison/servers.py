"""The servers. Each client gets a fresh one of its own."""

import contextlib
import dataclasses
import os
import pathlib
import secrets
import socket

from .fio import MIB, to_server, write_pattern
from .processes import TESTING, has_content, program, run, running, temporary_directory, wait_until

KEY_OWNER = "compare"
SPARSE_PIECE = b"\7" * MIB


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclasses.dataclass
class Address:
    """Where a server listens: a Unix socket, or a port of 127.0.0.1."""

    path: str | None = None
    port: int | None = None
    key_file: str | None = None
    """Of the key with which it speaks TLS, to whoever asks for that."""

    @property
    def uri(self):
        if self.path:
            return f"nbd+unix:///?socket={self.path}"
        return f"nbd://127.0.0.1:{self.port}/"

    @property
    def secure_uri(self):
        """Over TLS, where the server speaks it."""
        if not self.key_file:
            return self.uri
        return f"nbds+unix://{KEY_OWNER}@/?socket={self.path}&tls-psk-file={self.key_file}"

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
    sparse_data: int = 0
    """Bytes that are no holes, in an image of qemu-nbd's; 0 for a plain disk."""
    disk: tuple = ("memory",)
    """nbdkit's plugin, and filters."""
    is_on_disk: bool = False
    """The disk is a file of a filesystem that survives the machine, not one in memory."""
    has_tls: bool = False
    """nbdkit speaks TLS too, with a key."""

    @property
    def kind(self):
        return self.program.removesuffix(TESTING)

    @property
    def title(self):
        words = [self.kind + " of Debian testing" * (self.kind != self.program), "Unix socket" if self.is_unix else "TCP"]
        words += [f"{self.delay} for each request"] if self.delay else []
        words += ["TLS"] if self.has_tls else []
        return ", ".join(words + (["a file on a real filesystem"] if self.is_on_disk else []))

    @contextlib.contextmanager
    def start(self, directory):
        """Runs the server; yields its address."""
        directory.mkdir()
        address = Address(path=str(directory / "socket")) if self.is_unix else Address(port=free_port())
        if self.has_tls:
            address.key_file = key_file(directory)
        pid_file, log = directory / "pid", directory / "log"
        with contextlib.ExitStack() as stack:
            disk = (stack.enter_context(temporary_directory("/var/tmp")) if self.is_on_disk else directory) / "disk"
            command = getattr(self, "_" + self.kind.replace("-", "_"))(disk, address)
            command = [program(self.program), *command, pid_file_option(self.kind), pid_file]
            process = stack.enter_context(running(command, log))
            wait_until(lambda: has_content(pid_file), process, log)
            if self.is_filled:
                write_pattern(to_server(address.uri), self.size)
            yield address

    def _nbdkit(self, disk, address):
        where = ["-U", address.path] if self.is_unix else ["--ipaddr", "127.0.0.1", "-p", str(address.port)]
        threads = ["-t", "64"] if self.delay else []
        filters = ["--filter=delay"] if self.delay else []
        delays = [f"rdelay={self.delay}", f"wdelay={self.delay}"] if self.delay else []
        tls = ["--tls=on", f"--tls-psk={address.key_file}"] if self.has_tls else []
        if self.is_on_disk:
            return ["-f", *where, *tls, *threads, *filters, "file", empty_file(disk, self.size), *delays]
        return ["-f", *where, *tls, *threads, *filters, *self.disk, f"size={self.size}", *delays]

    def _qemu_nbd(self, disk, address):
        where = ["-k", address.path] if self.is_unix else ["-b", "127.0.0.1", "-p", str(address.port)]
        if self.sparse_data:
            sparse_image(disk, self.size, self.sparse_data)
        else:
            empty_file(disk, self.size)
        return ["--persistent", "--shared=16", "-f", "qcow2" if self.sparse_data else "raw", *where, disk]


def empty_file(path, size):
    path.touch()
    os.truncate(path, size)
    return path


def key_file(directory):
    """A new key, which only its owner may read."""
    path = pathlib.Path(directory) / "keys"
    path.touch(mode=0o600)
    path.write_text(f"{KEY_OWNER}:{secrets.token_hex(32)}\n")
    return str(path)


def pid_file_option(kind):
    return {"nbdkit": "-P", "qemu-nbd": "--pid-file"}[kind]


def sparse_pieces(size, data):
    """Where the data of a sparse image is: 1 MiB at a time, evenly spread."""
    pieces = data // MIB
    return [piece * (size // pieces) for piece in range(pieces)]


def sparse_image(path, size, data):
    """A qcow2 image of `size` bytes with `data` bytes in it."""
    writes = [f"write -q -P {SPARSE_PIECE[0]} {offset} {MIB}" for offset in sparse_pieces(size, data)]
    run("qemu-img", "create", "-q", "-f", "qcow2", path, size)
    run("qemu-io", "-f", "qcow2", *(word for write in writes for word in ("-c", write)), path)
