"""The stand-in as a process: one socket, one event loop, gone at the first SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import Generator, Sequence
from pathlib import Path

import uvicorn

from outbox_worker import telemetry
from outbox_worker.events import Event
from outbox_worker.settings import LogSettings
from outbox_worker.simulator.app import application
from outbox_worker.simulator.guesty_switches import GuestySetup
from outbox_worker.simulator.journal_lines import StorageError
from outbox_worker.simulator.ledger import Listing
from outbox_worker.simulator.stand_in import StandIn, open_stand_in
from outbox_worker.simulator.transport import BreakableProtocol

_STOPPED, _FAILED = 0, 1
#: Requests that hang let go at once; this bounds what a client does that reads nothing.
_GRACE_S = 1
_BACKLOG = 2048


def serve(
    *,
    host: str,
    port: int,
    state_dir: Path,
    api_key: str | None,
    log: LogSettings,
    listings: Sequence[Listing] | None = None,
    seed: int = 0,
    guesty: GuestySetup | None = None,
) -> int:
    """Run the stand-in until SIGTERM or Ctrl-C.

    The first line on standard output is ``{"url": "http://…"}``, printed when requests are
    answered; log lines follow.

    Args:
        host: Name or address to listen on; loopback, unless the network is trusted.
        port: 0 takes any free port.
        state_dir: Where it keeps what it holds; created when missing, one process at a time.
        api_key: The bearer key that callers must show; None: any.
        log: Format and level of the log on standard output.
        listings: Replace the kept listings; None: keep them.
        seed: Of the faults' dice.
        guesty: Speak the Guesty API; None: the Guestly contract.

    Returns:
        Exit code: 0 after a stop, 1 when it could not start.
    """
    telemetry.configure(log, service="simulator", stream=sys.stdout)
    try:
        stand_in = open_stand_in(
            state_dir, api_key=api_key, seed=seed, listings=listings, guesty=guesty
        )
    except StorageError as error:
        return _failed(f"{error}. {error.hint}".strip())
    try:
        listener = _listener(host, port)
    except OSError as error:
        stand_in.journal.close()
        return _failed(f"cannot listen on port {port}: {error.strerror}")
    with contextlib.closing(listener), contextlib.closing(stand_in.journal):
        url = _url(host, listener)
        asyncio.run(_run(stand_in, listener, url))
    telemetry.logger().info(Event.SERVICE_STOPPED, message="the simulator has stopped")
    return _STOPPED


async def _run(stand_in: StandIn, listener: socket.socket, url: str) -> None:
    config = uvicorn.Config(
        application(stand_in),
        http=BreakableProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",  # the first line on standard output is ours
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    await _Server(config, stand_in.stopping, url).serve(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn's server, whose stop neither waits for what hangs nor ends in a signal."""

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event, url: str) -> None:
        super().__init__(config)
        self._stopping = stopping
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(json.dumps({"url": self._url}) + "\n")
        sys.stdout.flush()
        telemetry.logger().info(
            Event.SERVICE_READY, message=f"the simulator answers at {self._url}"
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        loop = asyncio.get_running_loop()
        handled = (signal.SIGINT, signal.SIGTERM)
        for number in handled:
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in handled:
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        self._stopping.set()
        self.should_exit = True


def _failed(message: str) -> int:
    telemetry.logger().error(Event.SERVICE_FAILED, message=message)
    return _FAILED


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named, and create_server does
    # not name it: each answer would wait 40 ms for a delayed acknowledgement
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _url(host: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
