"""A transaction pooler over one server session, like PgBouncer's, for any number of clients."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg

_SSL_AND_GSS = (80877103, 80877104)
_PARAMETERS = ("server_version", "server_encoding", "client_encoding", "integer_datetimes")


class Pooler:
    """Lends its only server session to one client for one transaction at a time."""

    def __init__(self, server_url: str) -> None:
        self._session = psycopg.connect(server_url, autocommit=True)
        self._server = socket.socket(fileno=os.dup(self._session.pgconn.socket))
        self._server.setblocking(True)  # noqa: FBT003 - the API takes it by position
        self._turn = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._clients: list[socket.socket] = []
        self._url = urlsplit(server_url)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        port = self._listener.getsockname()[1]
        user = self._url.username
        return urlunsplit(self._url._replace(netloc=f"{user}:any@127.0.0.1:{port}"))

    def close(self) -> None:
        for sock in (self._listener, *self._clients, self._server):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self._session.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._clients.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), client:
            self._greet(client)
            in_transaction = False
            for kind, message in _messages(client):
                if kind == b"X":
                    break
                if not in_transaction:
                    self._turn.acquire()
                    in_transaction = True
                self._server.sendall(message)
                if kind in b"QS":
                    in_transaction = self._answer(client) != b"I"
                    if not in_transaction:
                        self._turn.release()

    def _greet(self, client: socket.socket) -> None:
        while True:
            (length,) = struct.unpack("!I", _exactly(client, 4))
            (code,) = struct.unpack("!I", _exactly(client, length - 4)[:4])
            if code not in _SSL_AND_GSS:
                break
            client.sendall(b"N")
        told = b"".join(
            _message(b"S", f"{name}\0{self._session.info.parameter_status(name)}\0".encode())
            for name in _PARAMETERS
        )
        keys = _message(b"K", struct.pack("!II", 1, 1))
        client.sendall(_message(b"R", bytes(4)) + told + keys + _message(b"Z", b"I"))

    def _answer(self, client: socket.socket) -> bytes:
        """Pass the server's answer on and return the transaction's state after it."""
        for kind, message in _messages(self._server):
            client.sendall(message)
            if kind == b"Z":
                return message[-1:]
        raise EOFError


@contextlib.contextmanager
def pooler(server_url: str) -> Iterator[str]:
    """The URL of a pooler in front of a server, for the length of a block."""
    running = Pooler(server_url)
    try:
        yield running.url
    finally:
        running.close()


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def _messages(sock: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    while True:
        head = _exactly(sock, 5)
        yield head[:1], head + _exactly(sock, struct.unpack("!I", head[1:])[0] - 4)


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data
