"""What a service tells systemd about itself: sd_notify(3), without its library.

Silent where nobody listens, so that the same process runs in a terminal, in a container and as a
unit.

Source: sd_notify(3) and sd_watchdog_enabled(3) of systemd.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from datetime import timedelta

from outbox_worker.events import Event
from outbox_worker.telemetry import logger

#: A service manager that does not read its socket holds us up no longer.
_SEND_S = 0.5
#: How soon a process that was not well is asked again; it is fed as soon as it is well.
_AGAIN_S = 1.0


class ServiceManager:
    """The service manager that started this process, if there is one.

    Args:
        address: ``NOTIFY_SOCKET``: a path, or with a leading ``@`` an abstract name; empty: nobody
            listens.
        watchdog: Longest time between two signs of life; None: none are wanted.
    """

    def __init__(self, address: str, *, watchdog: timedelta | None = None) -> None:
        # what is neither is of a kind that only virtual machines have
        self._address = address if address[:1] in {"/", "@"} else ""
        self._watchdog = watchdog
        self._told_lost = False

    @property
    def listens(self) -> bool:
        """Whether anybody wants to know anything."""
        return bool(self._address)

    @property
    def watchdog(self) -> timedelta | None:
        """Longest time between two signs of life; None: none are wanted."""
        return self._watchdog if self.listens else None

    def tell(self, **fields: str | int) -> None:
        """Send some fields, such as ``READY=1``; a line break within a value becomes a space."""
        if not self._address:
            return
        lines = (f"{name}={' '.join(str(value).split())}" for name, value in fields.items())
        path = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.settimeout(_SEND_S)
                channel.connect(path)
                channel.send("\n".join(lines).encode())
        except OSError as error:
            if not self._told_lost:
                self._told_lost = True
                logger().warning(
                    Event.NOTIFY_FAILED,
                    message=f"systemd cannot be told how we are: {error.strerror or 'time-out'}",
                )

    async def feed(self, alive: Callable[[], bool] = lambda: True) -> None:
        """Give signs of life until cancelled, from the event loop: a loop that hangs gives none.

        Args:
            alive: Whether there is life beyond the event loop's; asked at half the wanted time.
        """
        if self.watchdog is None:
            return
        every = self.watchdog.total_seconds() / 2
        while True:
            well = alive()
            if well:
                self.tell(WATCHDOG=1)
            await asyncio.sleep(every if well else min(every, _AGAIN_S))


def service_manager(environ: Mapping[str, str]) -> ServiceManager:
    """The service manager that the environment names.

    Args:
        environ: Environment variables; ``WATCHDOG_USEC`` counts only for the process that
            ``WATCHDOG_PID`` names, or for every one.
    """
    microseconds = environ.get("WATCHDOG_USEC", "")
    ours = environ.get("WATCHDOG_PID", "") in {"", str(os.getpid())}
    wanted = ours and microseconds.isdecimal() and int(microseconds) > 0
    return ServiceManager(
        environ.get("NOTIFY_SOCKET", ""),
        watchdog=timedelta(microseconds=int(microseconds)) if wanted else None,
    )
