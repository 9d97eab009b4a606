"""A TCP proxy that cuts, delays and swallows: the network between two processes."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum

_CHUNK = 65536


class Weather(StrEnum):
    """What the network does to all connections, old and new."""

    CLEAR = "clear"
    SLOW = "delay"
    #: Nothing arrives on either side, and nobody is told.
    BLACK_HOLE = "black hole"
    #: What is sent arrives, and what is answered does not.
    MUTE = "answers swallowed"


@dataclass(slots=True, kw_only=True)
class Proxy:
    """Forwards one port to another; every byte passes the weather of its moment.

    A connection that lost a byte is never repaired: it is cut when the weather clears, as a
    late delivery of half a message would be a fault that no network has.

    Args:
        name: For people.
        port: Where it listens.
        target: Port that it forwards to; may change.
    """

    name: str
    target: int
    port: int = 0
    weather: Weather = Weather.CLEAR
    delay_s: float = 0.0
    connections: int = 0
    swallowed: Counter[Weather] = field(default_factory=Counter)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _spoilt: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def cut(self) -> int:
        """Break every connection at once; how many there were."""
        broken = list(self._open)
        for writer in broken:
            writer.transport.abort()
        return len(broken) // 2

    def clear(self) -> None:
        """End the weather; what was swallowed is not given back."""
        self.weather, self.delay_s = Weather.CLEAR, 0.0
        for writer in list(self._spoilt):
            writer.transport.abort()
        self._spoilt.clear()

    async def serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        self.connections += 1
        try:
            server, requests = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            answers.transport.abort()
            return
        both = (answers, requests)
        self._open.update(both)
        ended = False
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(client, requests, both, answering=False))
                group.create_task(self._forward(server, answers, both, answering=True))
            ended = True
        except* OSError:
            pass  # one side is gone, so the other one is told below
        finally:
            self._open.difference_update(both)
            self._spoilt.difference_update(both)
            for writer in both:
                if ended:
                    writer.close()
                else:
                    writer.transport.abort()

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        both: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
        *,
        answering: bool,
    ) -> None:
        while True:
            data = await reader.read(_CHUNK)
            if self.weather is Weather.SLOW:
                await asyncio.sleep(self.delay_s)
            if self.weather is Weather.BLACK_HOLE or (answering and self.weather is Weather.MUTE):
                self.swallowed[self.weather] += 1
                self._spoilt.update(both)
            spoilt = both[0] in self._spoilt
            if not data:
                break
            if not spoilt or (self.weather is Weather.MUTE and not answering):
                writer.write(data)
                await writer.drain()
        if spoilt:
            # its end is swallowed as well, until the weather clears
            await asyncio.Event().wait()
        if writer.can_write_eof():
            writer.write_eof()

    def keep(self, task: asyncio.Task[None]) -> None:
        """Hold on to the task of a connection."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End all connections."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def proxy(name: str, target: int) -> AsyncIterator[Proxy]:
    """A proxy on a port of its own for the length of a block."""
    running = Proxy(name=name, target=target)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            running.keep(task)
        with contextlib.suppress(asyncio.CancelledError):
            await running.serve(reader, writer)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()
        await running.close()
