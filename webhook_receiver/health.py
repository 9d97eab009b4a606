"""Whether the receiver can take events, watched in the background and told once per change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from outbox_worker.database import Connection, connect
from outbox_worker.errors import OutboxError
from outbox_worker.events import Event
from outbox_worker.payments.readiness import Readiness, check
from outbox_worker.telemetry import logger

#: How long anybody waits for a look: ``/readyz`` answers within two seconds.
_LOOK_S = 1.6
#: How long a look may go on for, so that a connection that takes long is still made.
_LONGEST_LOOK_S = 6.0
_AGAIN_S = 1.0
_AGAIN_WHEN_READY_S = 15.0
_GAP_S = 0.1

_SENTENCES = {
    Readiness.READY: "events are taken",
    Readiness.UNREACHABLE: "Postgres cannot be reached; events are refused until it can",
    Readiness.READ_ONLY: "Postgres is read-only; events are refused until it is not",
    Readiness.NOT_MIGRATED: "the database is not migrated; run `outbox migrate`",
    Readiness.BLINDED: "row level security hides bookings from this role, so every payment would "
    "look like somebody else's; connect as a role that sees them (deploy/grants.sql)",
}


class Health:
    """What was seen last, through a connection of its own: a busy pool is not a lost database.

    Args:
        url: libpq URL.
        told: Called with a sentence at every change.
    """

    def __init__(self, url: str, *, told: Callable[[str], object] = str) -> None:
        self._url = url
        self._told = told
        self._conn: Connection | None = None
        self._seen = Readiness.STARTING
        self._first = asyncio.Event()
        self._doubt = asyncio.Event()
        self._look: asyncio.Task[Readiness] | None = None
        self._look_began = 0.0

    @property
    def seen(self) -> Readiness:
        """What the last look saw."""
        return self._seen

    async def started(self, within: timedelta) -> None:
        """Wait for the first look, for so long and no longer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within.total_seconds()):
                await self._first.wait()

    def doubt(self) -> None:
        """Something failed that may be the database's fault: look soon."""
        self._doubt.set()

    async def look(self) -> Readiness:
        """Ask Postgres now; answers in less than two seconds whatever Postgres does."""
        look = self._look
        if look is None:
            # whoever asks meanwhile gets the same answer
            look = self._look = asyncio.create_task(self._ask())
            self._look_began = time.monotonic()
            look.add_done_callback(self._looked)
        done, _ = await asyncio.wait([look], timeout=_LOOK_S)
        if done and not look.cancelled():
            return look.result()
        self._note(Readiness.UNREACHABLE)
        if time.monotonic() - self._look_began > _LONGEST_LOOK_S:
            # Cancelling a statement waits for a server that does not answer, so nobody waits for
            # that: the next look begins with another connection.
            look.cancel()
            self._look = None
        return self._seen

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            while True:
                pause = _AGAIN_WHEN_READY_S if await self.look() is Readiness.READY else _AGAIN_S
                self._doubt.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._doubt.wait()
                        await asyncio.sleep(_GAP_S)
        finally:
            if self._look is not None:
                self._look.cancel()
            if self._conn is not None:
                await self._conn.close()

    def _looked(self, look: asyncio.Task[Readiness]) -> None:
        if self._look is look:
            self._look = None
            if not look.cancelled():
                self._note(look.result())

    async def _ask(self) -> Readiness:
        kept, self._conn = self._conn, None
        # a connection that is kept may be closed without Postgres being down
        for conn in (kept, None) if kept is not None else (None,):
            try:
                return await self._ask_through(conn)
            except (OutboxError, OSError):
                continue
        return Readiness.UNREACHABLE

    async def _ask_through(self, conn: Connection | None) -> Readiness:
        if conn is None:
            conn = await connect(self._url, application_name="webhook-receiver")
        try:
            seen = await check(conn)
        except BaseException:
            await conn.close()
            raise
        self._conn = conn
        return seen

    def _note(self, now: Readiness) -> None:
        before, self._seen = self._seen, now
        self._first.set()
        if now is before:
            return
        self._told(_SENTENCES[now])
        if now is not Readiness.READY:
            logger().error(Event.DATABASE_LOST, message=_SENTENCES[now], reason=now.value)
        elif before is Readiness.STARTING:
            logger().info(Event.SERVICE_READY, message=_SENTENCES[now])
        else:
            logger().info(Event.DATABASE_RESTORED, message=_SENTENCES[now])
