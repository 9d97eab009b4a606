"""What ASGI cannot say: connections that break or hang, answers that trickle or never end."""

from __future__ import annotations

import asyncio
import socket
import struct
import zlib
from collections.abc import Iterator
from enum import StrEnum

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: ASGI extension under which a request finds the transport of its connection.
_EXTENSION = "outbox_worker.simulator.transport"
_CHUNK = 64 << 10
_TRICKLE_S = 0.1
#: zlib: the largest window, with a gzip header.
_GZIP = 31


class BreakableProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which hands its transport on to the application.

    ASGI itself offers no way to end a connection without an answer: for an application that returns
    early, uvicorn sends a 500.
    """

    def on_message_begin(self) -> None:
        """Announce the transport in the scope of the request that begins."""
        super().on_message_begin()
        self.scope["extensions"] = {_EXTENSION: {"transport": self.transport}}


class Woken(StrEnum):
    """Why a pause ended."""

    ELAPSED = "elapsed"
    GONE = "gone"
    STOPPING = "stopping"


async def pause(
    seconds: float, *, stopping: asyncio.Event, receive: Receive | None = None
) -> Woken:
    """Wait, but no longer than the server lives.

    Args:
        seconds: How long, in seconds.
        stopping: Set when the server stops.
        receive: Of a request whose body has been read: the pause ends when its client goes away.
            None: it does not matter.
    """
    reasons: dict[asyncio.Task[object], Woken] = {
        asyncio.ensure_future(stopping.wait()): Woken.STOPPING
    }
    if receive is not None:
        reasons[asyncio.ensure_future(_disconnected(receive))] = Woken.GONE
    try:
        done, _ = await asyncio.wait(reasons, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in reasons:
            waiter.cancel()
        await asyncio.gather(*reasons, return_exceptions=True)
    return next((reasons[waiter] for waiter in done), Woken.ELAPSED)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _break(scope: Scope, receive: Receive, *, reset: bool) -> None:
    transport: asyncio.Transport = scope["extensions"][_EXTENSION]["transport"]
    raw = transport.get_extra_info("socket")
    if reset and raw is not None:
        # lingering for zero seconds makes close() send RST instead of FIN
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    # uvicorn answers 500 for an application that returns before it has noticed the disconnect
    await _disconnected(receive)


class Broken(Response):
    """No answer: the connection is closed, or reset.

    Args:
        reset: By a TCP reset, as a crashed host or a firewall does it.
    """

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__()
        self._reset = reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 # ASGI
        """Break."""
        await _break(scope, receive, reset=self._reset)


class Hanging(Response):
    """No answer for ``seconds``, then a break.

    Args:
        seconds: At most; a client that gives up or a server that stops ends it.
        stopping: Set when the server stops.
    """

    def __init__(self, seconds: float, stopping: asyncio.Event) -> None:
        super().__init__()
        self._seconds = seconds
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 # ASGI
        """Hang, then break."""
        if await pause(self._seconds, stopping=self._stopping, receive=receive) is not Woken.GONE:
            await _break(scope, receive, reset=False)


class Cut(Response):
    """The head and half of the body, then a break.

    Args:
        answer: The whole answer.
    """

    def __init__(self, answer: Response) -> None:
        super().__init__()
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Begin to answer, then break."""
        body = bytes(self._answer.body)
        await _start(self._answer, send)
        await send(
            {"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True}
        )
        # abort() would drop what the transport has not handed to the kernel yet
        transport: asyncio.Transport = scope["extensions"][_EXTENSION]["transport"]
        transport.close()
        await _disconnected(receive)


class Trickling(Response):
    """The whole answer, spread over ``seconds``.

    Args:
        answer: The whole answer.
        seconds: From the first byte of the body to the last.
        stopping: Set when the server stops.
    """

    def __init__(self, answer: Response, seconds: float, stopping: asyncio.Event) -> None:
        super().__init__()
        self._answer = answer
        self._seconds = seconds
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer slowly."""
        body = bytes(self._answer.body)
        pieces = max(1, min(len(body), int(self._seconds / _TRICKLE_S)))
        await _start(self._answer, send)
        for piece in range(pieces):
            woken = await pause(self._seconds / pieces, stopping=self._stopping, receive=receive)
            if woken is Woken.GONE:
                return
            if woken is Woken.STOPPING:
                await _break(scope, receive, reset=False)
                return
            chunk = body[len(body) * piece // pieces : len(body) * (piece + 1) // pieces]
            await send(
                {"type": "http.response.body", "body": chunk, "more_body": piece + 1 < pieces}
            )


class Oversized(Response):
    """The answer, padded with blanks to a size that is not announced.

    Args:
        answer: The whole answer.
        size: Bytes of the body, before compression.
        compressed: Send it gzipped, which makes it a thousandth on the wire.
    """

    def __init__(self, answer: Response, *, size: int, compressed: bool) -> None:
        super().__init__(status_code=answer.status_code, media_type="application/json")
        del self.headers["content-length"]
        if compressed:
            self.headers["content-encoding"] = "gzip"
        self._opening = bytes(answer.body)
        self._size = size
        self._compressed = compressed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 # ASGI
        """Send until it is done or the client has had enough."""
        await _start(self, send)
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            for chunk in self._chunks():
                if gone.done():
                    return
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await asyncio.sleep(0)  # lets the disconnect be noticed
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)

    def _chunks(self) -> Iterator[bytes]:
        gzip = zlib.compressobj(wbits=_GZIP)
        left = self._size
        chunk = self._opening[:left]
        while left > 0:
            left -= len(chunk)
            packed = gzip.compress(chunk) if self._compressed else chunk
            if packed:
                yield packed
            chunk = b" " * min(left, _CHUNK)
        if self._compressed:
            yield gzip.flush()


async def _start(answer: Response, send: Send) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": answer.status_code,
            "headers": answer.raw_headers,
        }
    )
