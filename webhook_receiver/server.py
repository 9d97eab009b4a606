"""uvicorn as the receiver needs it: its sockets, its bounds and its end."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
from collections.abc import Mapping
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from outbox_worker import telemetry
from outbox_worker.events import Event
from outbox_worker.settings import Address
from outbox_worker.systemd import ServiceManager
from webhook_receiver.protocol import BoundedProtocol

#: A stop waits for the slowest body and its answer no longer than this.
_GRACE_S = 10
_KEEP_ALIVE_S = 20
#: In which an accepted connection surely has reached its protocol.
_HANDED_OVER_S = 0.05
_BACKLOG = 2048
#: Backstop only: it counts idle connections too, which the protocol ends by itself.
_MOST_CONNECTIONS = 1000
_FILES = 4096
#: systemd passes its sockets from this descriptor on.
_FIRST_PASSED = 3


def configured(
    app: Starlette, *, protocol: type[BoundedProtocol] = BoundedProtocol
) -> uvicorn.Config:
    """How uvicorn serves the receiver's application."""
    return uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        date_header=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
    )


class Server(uvicorn.Server):
    """uvicorn, which would end the process by the signal itself after a clean stop.

    Args:
        config: See `configured`.
        manager: Is told when events are taken, and fed as long as the event loop runs.
    """

    def __init__(self, config: uvicorn.Config, manager: ServiceManager) -> None:
        super().__init__(config)
        self._manager = manager

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal or a stop."""
        # uvicorn puts these back when it is done and raises the signal again
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        feeding = asyncio.create_task(self._manager.feed())
        try:
            await super().serve(sockets)
        finally:
            feeding.cancel()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say where events are taken."""
        await super().startup(sockets)
        address = ", ".join(_name(listener) for listener in sockets or ())
        telemetry.logger().info(
            Event.SERVICE_STARTED,
            message=f"listening on {address}",
            address=address,
            pid=os.getpid(),
        )
        self._manager.tell(READY=1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is under way."""
        telemetry.logger().info(
            Event.SERVICE_DRAINING, message="stopping: what is under way is finished"
        )
        self._manager.tell(STOPPING=1, STATUS="stopping: what is under way is finished")
        await self._accept_no_more()
        await super().shutdown(sockets)

    async def _accept_no_more(self) -> None:
        """Leave further connections to whoever takes over the socket, and lose none of our own.

        asyncio hands an accepted connection over some turns later, and drops it if its server has
        been closed meanwhile.
        """
        running = asyncio.get_running_loop()
        for listening in self.servers:
            for listener in listening.sockets:
                running.remove_reader(listener.fileno())
        await asyncio.sleep(_HANDED_OVER_S)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.should_exit = True


def passed(environ: Mapping[str, str]) -> list[socket.socket]:
    """The sockets that systemd holds for us; connections queue in them while we restart."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = environ.get("LISTEN_FDS", "")
    passed = int(count) if count.isdecimal() else 0
    return [socket.socket(fileno=_FIRST_PASSED + index) for index in range(passed)]


def bound(address: Address) -> socket.socket:
    """A listening socket of our own.

    Raises:
        OSError: The address is taken, or not one of this machine.
    """
    found = socket.getaddrinfo(
        address.host,
        address.port,
        type=socket.SOCK_STREAM,
        # asyncio turns Nagle's delay off only where the protocol is given
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_PASSIVE,
    )
    family, kind, proto, _, name = found[0]
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(name)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _name(listener: socket.socket) -> str:
    name = listener.getsockname()
    return str(Address(host=name[0], port=name[1])) if isinstance(name, tuple) else f"unix:{name}"


def allow_files() -> None:
    """Allow as many open files as there may be connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
