"""One worker's share of a destination's common limit of calls.

Calls are taken out of the shared windows for some claims at once, are set aside as claims are made,
and go back when nobody needs them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from outbox_worker.database import Connection, translated
from outbox_worker.errors import DatabaseBusyError
from outbox_worker.events import Event
from outbox_worker.gate import store
from outbox_worker.gate.rate import Window
from outbox_worker.outbox.delivery import Destination
from outbox_worker.pms.port import Remaining
from outbox_worker.telemetry import logger

#: Calls that nobody needed for so long are given back.
_KEEP_CALLS = timedelta(seconds=1)
#: How soon a gate is asked again that somebody else holds.
_BUSY = timedelta(milliseconds=100)
#: What is left of a limit is taken note of below one in so many.
_LOW = 4
#: What is left of a shorter window is over before it is told, and our own calls are on their way.
_SHORTEST = timedelta(seconds=10)


class CallBudget:
    """Calls in hand.

    Args:
        destination: Whose.
        windows: Limits of all workers' calls together; empty: none, and every question is a yes.
        calls_per_claim: Most calls that one claim makes.
        heard: What the destination said of its limits since it was asked last.
    """

    def __init__(
        self,
        destination: Destination,
        *,
        windows: Sequence[Window],
        calls_per_claim: int,
        heard: Callable[[], Sequence[Remaining]],
    ) -> None:
        self._destination = destination
        self._windows = windows
        self._each = calls_per_claim
        self._heard = heard
        self._calls = 0
        #: When calls were last taken, on our clock and on the database's.
        self._taken_at: tuple[float, datetime] | None = None
        self._not_before = 0.0

    @property
    def waits(self) -> float:
        """Seconds until there may be calls for us again; 0: there may be some now."""
        return max(0.0, self._not_before - time.monotonic())

    def affordable(self, free: int) -> int:
        """How many claims the calls in hand allow, up to ``free``."""
        if not self._windows:
            return free
        return min(free, self._calls // self._each)

    def reserve(self, claims: int) -> None:
        """Set the calls of new claims aside."""
        if self._windows:
            self._calls -= claims * self._each

    def ended(self, calls: int) -> None:
        """Take back what a claim that made so many calls did not need."""
        if self._windows:
            self._calls += max(0, self._each - calls)

    def forget(self) -> None:
        """Count the calls in hand as made."""
        self._calls = 0

    async def take(self, conn: Connection, claims: int) -> bool:
        """Take calls for up to so many claims out of the common limit; whether there were any."""
        try:
            with translated():
                taken = await store.take_calls(
                    conn,
                    self._destination,
                    self._windows,
                    want=max(self._each, claims * self._each - self._calls),
                    least=self._each,
                )
        except DatabaseBusyError:
            self._not_before = time.monotonic() + _BUSY.total_seconds()
            return False
        now = time.monotonic()
        self._calls += taken.granted
        if taken.granted:
            self._taken_at = (now, taken.at)
        self._not_before = now + taken.wait.total_seconds()
        return taken.granted > 0

    async def settle(self, conn: Connection) -> None:
        """Count what others have made, and give back calls that nobody needs."""
        if self._windows:
            await self._count_others(conn)
            await self._give_back(conn)

    async def _count_others(self, conn: Connection) -> None:
        """Whoever else uses the account takes from the same limit."""
        left = {
            str(round(each.length.total_seconds())): each.left
            for each in self._heard()
            if each.left * _LOW < each.limit and each.length >= _SHORTEST
        }
        if not left:
            return
        with translated():
            counted = await store.heard(conn, self._destination, self._windows, left)
        if counted:
            # calls in hand may be among those that somebody else has made by now
            self.forget()
            logger().info(
                Event.RATE_SHARED,
                message="others have used up most of the common limit of calls",
                destination=self._destination,
            )

    async def _give_back(self, conn: Connection) -> None:
        if self._calls <= 0 or self._taken_at is None:
            return
        left, (taken, taken_at) = self._calls, self._taken_at
        if time.monotonic() - taken < _KEEP_CALLS.total_seconds():
            return
        with translated():
            await store.give_back_calls(
                conn, self._destination, self._windows, count=left, taken_at=taken_at
            )
        self._calls -= left
