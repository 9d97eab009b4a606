"""Wake-up: LISTEN on a connection of its own, checked by hearing ourselves; polling is the truth.

A notification is only a hint. Through a transaction pooler, or on a half-open connection, LISTEN
stays silent without an error, so the worker sends itself a probe and falls back to polling alone
when it is not heard. A probe that cannot be sent says nothing of LISTEN and changes nothing.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from outbox_worker.database import Connection, bounded, cancel, connection
from outbox_worker.errors import DatabaseError
from outbox_worker.events import Event
from outbox_worker.sql import query
from outbox_worker.telemetry import logger

#: Between two probes, and how long one may take to be heard.
PROBE_EVERY = timedelta(seconds=30)
PROBE_WITHIN = timedelta(seconds=5)
_RECONNECT_AFTER = timedelta(seconds=2)
_NOTIFY_SLICE = timedelta(seconds=1)


class Wakeup:
    """An event that the loop waits for, and the listener that sets it.

    Args:
        url: A direct connection; a pooler in transaction mode would swallow every notification.
        name: This worker, part of the probe's text.
    """

    def __init__(self, url: str, *, name: str) -> None:
        self._url = url
        self._name = name
        self._event = asyncio.Event()
        self._heard = asyncio.Event()
        self._requested = False
        self._told_lost = False
        self._told_unproved = False
        #: Whether the last probe that could be sent was heard.
        self.listening = False

    @property
    def probe(self) -> str:
        """Payload of the notification that proves that LISTEN delivers."""
        return f"probe {self._name}"

    def set(self) -> None:
        """Wake the loop: something finished or the worker stops."""
        self._event.set()

    def take_request(self) -> bool:
        """Whether a notification came in since the last call: there may be due rows."""
        requested, self._requested = self._requested, False
        return requested

    async def wait(self, timeout: timedelta) -> bool:  # noqa: ASYNC109 - a poll interval, not a limit
        """Wait until woken.

        Returns:
            False when the time passed: poll.
        """
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True

    async def listen(self) -> None:
        """Listen for ever, reconnecting; ends by cancellation only."""
        while True:
            bug: Exception | None = None
            try:
                async with connection(self._url, application_name="outbox listen") as conn:
                    await self._hear(conn)
                reason = "a notification of our own was not delivered"
            except (DatabaseError, TimeoutError) as error:
                reason = str(error) or "Postgres does not answer"
            except Exception as error:  # noqa: BLE001 - the edge of this task: polling delivers what a bug in it would cost
                reason, bug = f"internal error: {type(error).__name__}; this is a bug", error
            self.listening = False
            if not self._told_lost:
                self._told_lost = True
                logger().warning(
                    Event.LISTEN_LOST,
                    message=f"LISTEN is lost, polling instead: {reason}",
                    exc_info=bug,
                )
            await asyncio.sleep(_RECONNECT_AFTER.total_seconds())

    async def _hear(self, conn: Connection) -> None:
        await bounded(conn.execute(query("listen")), within=PROBE_WITHIN)
        prober = asyncio.create_task(self._probe())
        try:
            while not prober.done():
                async for note in conn.notifies(timeout=_NOTIFY_SLICE.total_seconds()):
                    if note.payload.startswith("probe "):
                        if note.payload == self.probe:
                            self._heard.set()
                        continue
                    self._requested = True
                    self._event.set()
            prober.result()
        finally:
            await cancel(prober)

    async def _probe(self) -> None:
        """Send probes until one that was sent is not heard; then return."""
        while True:
            self._heard.clear()
            try:
                # from another session: a session always hears itself, even behind some poolers
                await bounded(self._send_probe(), within=PROBE_WITHIN)
            except (DatabaseError, TimeoutError) as error:
                self._say_unproved(error)
                await asyncio.sleep(_RECONNECT_AFTER.total_seconds())
                continue
            try:
                async with asyncio.timeout(PROBE_WITHIN.total_seconds()):
                    await self._heard.wait()
            except TimeoutError:
                return
            if not self.listening:
                self.listening, self._told_lost = True, False
                # what was requested before LISTEN began was not announced to us
                self._requested = True
                self._event.set()
                logger().info(Event.LISTEN_RESTORED, message="LISTEN delivers")
            elif self._told_unproved:
                logger().info(Event.LISTEN_RESTORED, message="LISTEN is proved to deliver again")
            self._told_unproved = False
            await asyncio.sleep(PROBE_EVERY.total_seconds())

    def _say_unproved(self, error: Exception) -> None:
        """No probe can be sent: a full server, say, on which LISTEN goes on delivering."""
        if self._told_unproved:
            return
        self._told_unproved = True
        logger().warning(
            Event.LISTEN_UNPROVED,
            message="whether LISTEN delivers cannot be told, as no probe of it can be sent:"
            f" {str(error) or 'Postgres does not answer'}; polling delivers in any case",
        )

    async def _send_probe(self) -> None:
        async with connection(self._url, application_name="outbox probe") as conn:
            await conn.execute(query("notify_probe"), {"payload": self.probe})
