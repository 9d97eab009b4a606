"""Health and metrics over HTTP, in the worker's own event loop: a loop that hangs answers nothing.

The endpoint may cost the worker nothing: it is one of few connections, each of one request, of few
bytes and of a few seconds. Whoever floods it is cut off before the worker is.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from asyncio import BaseTransport, TimerHandle
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TypeAlias

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from outbox_worker.events import Event
from outbox_worker.metrics import CONTENT_TYPE
from outbox_worker.settings_types import Address
from outbox_worker.telemetry import logger
from outbox_worker.worker.liveness import Liveness
from outbox_worker.worker.watched import Watched

#: One connection: its longest time, the most bytes of its request, and how many there are at once.
_LONGEST_S = 5.0
_MOST_BYTES = 16384
_MOST_AT_ONCE = 16
#: Connections that one turn of the event loop takes.
_BACKLOG = 8
#: Longest time that the end of the endpoint takes of the worker's.
_STOP_S = 1.0

_Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

_ONCE = {"Connection": "close", "Cache-Control": "no-store"}


@contextlib.asynccontextmanager
async def served(address: Address, watched: Watched) -> AsyncIterator[None]:
    """Answer ``/healthz``, ``/readyz`` and ``/metrics`` for the length of a block.

    An address that cannot be listened on is an error in the log, and the worker goes on without.

    Args:
        address: Where to listen.
        watched: The worker.
    """
    try:
        listener = _bound(address)
    except OSError as error:
        logger().error(
            Event.HEALTH_FAILED,
            message=f"cannot listen on {address}: {error.strerror};"
            " the worker goes on without health and metrics",
            hint="Set METRICS_ADDRESS to a free address, or to nothing to turn it off.",
        )
        yield
        return
    server = _Server(
        uvicorn.Config(
            _app(watched),
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=_BACKLOG,
        )
    )
    serving = asyncio.create_task(_serve(server, listener))
    try:
        yield
    finally:
        server.stop()
        serving.cancel()
        await asyncio.wait({serving}, timeout=_STOP_S)
        listener.close()


def health(liveness: Liveness) -> tuple[bool, str]:
    """Whether the worker works, in one line."""
    if liveness.alive:
        return True, "ok"
    return False, (
        f"hangs: no claim cycle and no try to reach Postgres has ended since {_ago(liveness)}"
        f" (limit {liveness.limit.total_seconds():.0f} s)"
    )


def readiness(liveness: Liveness) -> tuple[bool, str]:
    """Whether the worker delivers, in one line."""
    alive, line = health(liveness)
    if alive and not liveness.reaches_database:
        return False, "waits for Postgres, or for its first cycle; the log says why"
    return alive, line


def _ago(liveness: Liveness) -> str:
    return f"{datetime.now(UTC) - liveness.age:%Y-%m-%d %H:%M:%S} UTC"


def _app(watched: Watched) -> Starlette:
    def told(ask: Callable[[Liveness], tuple[bool, str]]) -> _Endpoint:
        async def answer(request: Request) -> Response:
            del request
            well, line = ask(watched.liveness)
            return PlainTextResponse(f"{line}\n", 200 if well else 503, _ONCE)

        return answer

    async def exposed(request: Request) -> Response:
        del request
        return Response(watched.exposition(), headers={**_ONCE, "Content-Type": CONTENT_TYPE})

    return Starlette(
        routes=[
            Route("/healthz", told(health)),
            Route("/readyz", told(readiness)),
            Route("/metrics", exposed),
        ]
    )


class _Protocol(HttpToolsProtocol):
    """One request over one connection, which ends soon whatever the other side does."""

    _end: TimerHandle | None = None
    _bytes = 0
    opened_at = 0.0

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]  # asyncio says BaseTransport
        self.opened_at = self.loop.time()
        self._end = self.loop.call_later(_LONGEST_S, self.transport.abort)
        if len(self.connections) > _MOST_AT_ONCE:
            # the oldest: a probe among connections that say nothing is always one of the newest
            oldest = min(_ours(self.connections), key=lambda each: each.opened_at)
            self.connections.discard(oldest)
            oldest.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._bytes > _MOST_BYTES:
            self.transport.abort()
            return
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._end is not None:
            self._end.cancel()
        super().connection_lost(exc)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, which are the worker's, and without a long farewell."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """Listen no more and hang up: nobody's scrape is worth a late stop."""
        for listening in getattr(self, "servers", ()):
            listening.close()
        for each in _ours(self.server_state.connections):
            each.transport.abort()


async def _serve(server: _Server, listener: socket.socket) -> None:
    name = listener.getsockname()
    logger().info(
        Event.HEALTH_SERVED,
        message="health and metrics are served",
        address=str(Address(host=name[0], port=name[1])),
    )
    try:
        await server.serve([listener])
    except Exception as error:  # noqa: BLE001 - the edge of this task: deliveries go on without it
        logger().error(
            Event.HEALTH_FAILED,
            message=f"health and metrics are served no more: {type(error).__name__}; this is a bug",
            exc_info=error,
        )


def _ours(connections: Iterable[object]) -> list[_Protocol]:
    return [each for each in connections if isinstance(each, _Protocol)]


def _bound(address: Address) -> socket.socket:
    family, kind, proto, _, name = socket.getaddrinfo(
        address.host,
        address.port,
        type=socket.SOCK_STREAM,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_PASSIVE,
    )[0]
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(name)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
