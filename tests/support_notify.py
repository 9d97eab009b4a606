"""A service manager's notification socket."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path


class Notifications:
    """What a process has told; one dict for each datagram.

    Args:
        address: What ``NOTIFY_SOCKET`` is to be.
        channel: The socket behind it.
    """

    def __init__(self, address: str, channel: socket.socket) -> None:
        self.address = address
        self._channel = channel

    async def next(self, *, within: float = 20.0) -> dict[str, str]:
        """The next datagram, whether it is there already or comes in time."""
        self._channel.settimeout(0)
        async with asyncio.timeout(within):
            data = await asyncio.get_running_loop().sock_recv(self._channel, 65536)
        return _fields(data)

    async def first(self, name: str, containing: str = "", *, within: float = 20.0) -> str:
        """The next value of one field with a text in it."""
        async with asyncio.timeout(within):
            while True:
                fields = await self.next(within=within)
                if containing in fields.get(name, "") and name in fields:
                    return fields[name]

    def next_while_nothing_else_runs(self, *, within: float) -> dict[str, str]:
        """The next datagram, with the event loop blocked meanwhile; TimeoutError: none came."""
        self._channel.settimeout(within)
        return _fields(self._channel.recv(65536))


@contextlib.contextmanager
def notifications(folder: Path, *, abstract: bool = False) -> Iterator[Notifications]:
    """A socket in ``folder``, or one with an abstract name."""
    name = f"@outbox-{secrets.token_hex(8)}" if abstract else str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(f"\0{name[1:]}" if abstract else name)
        yield Notifications(name, channel)


def _fields(data: bytes) -> dict[str, str]:
    return dict(line.split("=", 1) for line in data.decode().split("\n"))
