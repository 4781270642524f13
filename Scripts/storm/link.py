"""Carries bytes between the clients of a Unix socket and a server, and cuts all connections on SIGUSR1:

    python3 -m storm.link LISTEN SERVER

A cut ends a connection at some byte of what it carries next, either way. The client is hung up on when the server has: until then
what the server had received may still happen, and a client that was hung up on takes it that it cannot (the server's own hanging up
means that).
"""

import contextlib
import os
import random
import signal
import socket
import sys
import threading

MOST = 65536
PATIENCE = 10
"""Seconds for the server to hang up."""


class Pair:
    """A client's connection, and the one to the server for it."""

    def __init__(self, client, server):
        self.client, self.server = client, server
        self.is_cut = False
        for source, target in ((client, server), (server, client)):
            threading.Thread(target=self.carry, args=(source, target), daemon=True).start()

    def carry(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(MOST):
                if self.is_cut:
                    target.sendall(data[: random.randrange(len(data))])
                    break
                target.sendall(data)
        self.end()

    def end(self):
        with contextlib.suppress(OSError):
            self.server.shutdown(socket.SHUT_WR)
            self.server.settimeout(PATIENCE)
            while self.server.recv(MOST):
                pass
        for end in (self.server, self.client):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def main(path, target):
    pairs = []
    signal.signal(signal.SIGUSR1, lambda *_: [setattr(pair, "is_cut", True) for pair in pairs])
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    while True:
        client = listener.accept()[0]
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(target)
        except OSError:
            client.close()
            continue
        pairs.append(Pair(client, server))


main(*sys.argv[1:])
