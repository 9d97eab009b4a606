"""A line to Postgres that a test can cut, freeze and mend."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit


class Wire:
    """A TCP proxy in the test's own event loop; ``url`` leads through it.

    Args:
        database_url: Where it leads to.
    """

    def __init__(self, database_url: str) -> None:
        self._parts = urlsplit(database_url)
        self._place: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._stranded: list[asyncio.Event] = []
        self._last_words: bytes | None = None

    @property
    def url(self) -> str:
        login = self._parts.netloc.rpartition("@")[0]
        return urlunsplit(self._parts._replace(netloc=f"{login}@127.0.0.1:{self._port}"))

    @property
    def _port(self) -> int:
        assert self._place is not None
        return int(self._place.getsockname()[1])

    async def __aenter__(self) -> Self:
        # bound and never listening: nobody else gets the port while the line is cut
        self._place = socket.socket()
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._place.bind(("127.0.0.1", 0))
        await self.mend()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.cut()
        if self._place is not None:
            self._place.close()

    async def cut(self) -> None:
        """Refuse connections and break those there are, as a server that stops does."""
        for flowing in (*self._stranded, self._flowing):
            flowing.set()
        self.refuse_new()
        for writer in list(self._writers):
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    async def mend(self) -> None:
        """Take connections again, at the same address."""
        self._flowing.set()
        if self._server is None:
            self._server = await asyncio.start_server(
                self._begin, "127.0.0.1", self._port, reuse_port=True
            )

    def refuse_new(self) -> None:
        """Take no more connections; those there are go on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def freeze(self) -> None:
        """Let nothing through any more, and say nothing: a network that is gone."""
        self._flowing.clear()

    def strand(self) -> None:
        """Let nothing through the connections there are, for good; new ones work: half-open."""
        self._stranded.append(self._flowing)
        self._flowing.clear()
        self._flowing = asyncio.Event()
        self._flowing.set()

    def lose_answer_to(self, words: bytes) -> None:
        """Break the next connection that sends these words, right after the server has them."""
        self._last_words = words

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # a task that asyncio starts by itself complains of its own cancellation
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        flowing = self._flowing
        try:
            await flowing.wait()
            there, back = await asyncio.open_connection(self._parts.hostname, self._parts.port)
            self._writers.add(back)
            try:
                await asyncio.gather(
                    self._pump(reader, back, flowing, answers_to=writer),
                    self._pump(there, writer, flowing),
                )
            finally:
                self._writers.discard(back)
                back.transport.abort()
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        flowing: asyncio.Event,
        *,
        answers_to: asyncio.StreamWriter | None = None,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await flowing.wait()
                lose = answers_to is not None and self._last_words and self._last_words in data
                if answers_to is not None and lose:
                    self._last_words = None
                    answers_to.transport.abort()
                writer.write(data)
                await writer.drain()
        writer.close()
