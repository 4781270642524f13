#!/usr/bin/env python3
"""A small NBD server with three mistakes in it, to try `nbdmount conformance` on:

    nbdmount conformance --write [ Examples/small-server.py ]

It keeps 4 MiB in memory, and serves them to any number of clients on the socket that it inherits as descriptor 3. The
README beside it says what the mistakes are and which clauses tell of them.
"""

import signal
import socket
import struct
import sys
import threading

SIZE = 4 << 20
DISK = bytearray(SIZE)
LOCK = threading.Lock()

HANDSHAKE_FLAGS = 0b11  # FIXED_NEWSTYLE, NO_ZEROES
TRANSMISSION_FLAGS = 0b0000_0001_0110_1101  # HAS_FLAGS, FLUSH, FUA, TRIM, WRITE_ZEROES, MULTI_CONN

EXPORT_NAME, ABORT, LIST, INFO, GO = 1, 2, 3, 6, 7
ACK, SERVER, REP_INFO = 1, 2, 3
UNSUPPORTED, INVALID, UNKNOWN = 0x80000001, 0x80000003, 0x80000006
READ, WRITE, DISCONNECT, FLUSH, TRIM, WRITE_ZEROES = 0, 1, 2, 3, 4, 6
EINVAL, ENOSPC = 22, 28


class Gone(Exception):
    """The client has closed the connection, or must not be talked to any more."""


class Client:
    """One connection."""

    def __init__(self, connection):
        self.connection = connection
        self.has_zeroes = True

    def receive(self, count):
        data = bytearray()
        while len(data) < count:
            piece = self.connection.recv(count - len(data))
            if not piece:
                raise Gone
            data += piece
        return bytes(data)

    def send(self, data):
        self.connection.sendall(data)

    def serve(self):
        try:
            self.handshake()
            self.transmission()
        except (Gone, OSError):
            pass
        finally:
            self.connection.close()

    # The handshake: greeting, flags, options.

    def handshake(self):
        self.send(b"NBDMAGICIHAVEOPT" + struct.pack(">H", HANDSHAKE_FLAGS))
        (flags,) = struct.unpack(">I", self.receive(4))
        if flags & ~HANDSHAKE_FLAGS:
            raise Gone
        self.has_zeroes = not flags & 2
        while True:
            magic, option, length = struct.unpack(">8sII", self.receive(16))
            if magic != b"IHAVEOPT" or length > 1 << 21:
                raise Gone
            if option == EXPORT_NAME:
                if self.receive(length):
                    raise Gone
                self.send(struct.pack(">QH", SIZE, TRANSMISSION_FLAGS) + bytes(124 if self.has_zeroes else 0))
                return
            if option not in (ABORT, LIST, INFO, GO):
                self.reply(option, UNSUPPORTED)
                continue
            data = self.receive(length)
            if option == ABORT:
                self.reply(option, ACK)
                raise Gone
            if option == LIST:
                self.list(data)
            elif self.information(option, data) and option == GO:
                return

    def reply(self, option, kind, data=b""):
        self.send(struct.pack(">QIII", 0x3E889045565A9, option, kind, len(data)) + data)

    def list(self, data):
        if data:
            return self.reply(LIST, INVALID)
        self.reply(LIST, SERVER, struct.pack(">I", 0))
        self.reply(LIST, ACK)

    def information(self, option, data):
        """Whether there is such an export."""
        if len(data) < 6:
            return self.reply(option, INVALID)
        (length,) = struct.unpack(">I", data[:4])
        if length > len(data) - 6:
            return self.reply(option, INVALID)
        name = data[4 : 4 + length]
        (count,) = struct.unpack(">H", data[4 + length : 6 + length])
        if len(data) != 6 + length + 2 * count or length > 4096 or b"\0" in name:
            return self.reply(option, INVALID)
        if name:
            return self.reply(option, UNKNOWN)
        self.reply(option, REP_INFO, struct.pack(">HQH", 0, SIZE, TRANSMISSION_FLAGS))
        self.reply(option, ACK)
        return True

    # The transmission phase: requests and replies.

    def transmission(self):
        while True:
            magic, flags, command, cookie, offset, length = struct.unpack(">IHHQQI", self.receive(28))
            if magic != 0x25609513:
                raise Gone
            if command == DISCONNECT:
                self.answer(cookie, 0)
                return
            if command not in (READ, WRITE, FLUSH, TRIM, WRITE_ZEROES):
                self.answer(cookie, EINVAL)
                continue
            allowed = 0b11 if command == WRITE_ZEROES else 0b01
            if flags & ~allowed:
                if command == WRITE:
                    self.receive(length)
                self.answer(cookie, EINVAL)
                continue
            if offset + length > SIZE:
                self.answer(cookie, ENOSPC if command in (WRITE, WRITE_ZEROES) else EINVAL)
                continue
            if command == READ:
                with LOCK:
                    data = bytes(DISK[offset : offset + length])
                self.answer(cookie, 0, data)
                continue
            if command == WRITE:
                data = self.receive(length)
                with LOCK:
                    DISK[offset : offset + length] = data
            elif command == WRITE_ZEROES:
                with LOCK:
                    DISK[offset : offset + length] = bytes(length)
            self.answer(cookie, 0)

    def answer(self, cookie, error, data=b""):
        self.send(struct.pack(">IIQ", 0x67446698, error, cookie) + data)


def main():
    # No new clients then, but Python waits for the threads of those that are there.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    listener = socket.socket(fileno=3)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=Client(connection).serve).start()


main()
