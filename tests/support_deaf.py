"""A line to Postgres that lets everything through but notifications, as some poolers do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

_NOTIFICATION = b"A"


class DeafLine:
    """A TCP proxy that reads the server's messages; ``url`` leads through it.

    Args:
        database_url: Where it leads to.
    """

    def __init__(self, database_url: str) -> None:
        self._parts = urlsplit(database_url)
        self._server: asyncio.Server | None = None
        self.deaf = True
        self.swallowed = 0

    @property
    def url(self) -> str:
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        login = self._parts.netloc.rpartition("@")[0]
        # without encryption every byte of the server belongs to a message of its protocol
        query = "sslmode=disable&gssencmode=disable"
        return urlunsplit(self._parts._replace(netloc=f"{login}@127.0.0.1:{port}", query=query))

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        try:
            await asyncio.gather(self._ask(reader, back), self._answer(there, writer))
        finally:
            for each in (back, writer):
                each.transport.abort()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.write_eof()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(5)
                body = await reader.readexactly(int.from_bytes(head[1:], "big") - 4)
                if self.deaf and head[:1] == _NOTIFICATION:
                    self.swallowed += 1
                    continue
                writer.write(head + body)
                await writer.drain()
        with contextlib.suppress(OSError):
            writer.close()


@contextlib.asynccontextmanager
async def deaf_line(database_url: str) -> AsyncIterator[DeafLine]:
    """A line for the length of a block, deaf from the beginning."""
    line = DeafLine(database_url)
    await line.open()
    try:
        yield line
    finally:
        line.close()
