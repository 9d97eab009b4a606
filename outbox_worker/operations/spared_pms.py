"""The PMS as a person's command asks it: out of the limit of calls that all workers share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from math import ceil

from outbox_worker.database import Connection, translated
from outbox_worker.errors import DatabaseBusyError, PmsUnansweredError
from outbox_worker.gate import store as gate_store
from outbox_worker.gate.rate import Window
from outbox_worker.operations.ask_pms import PmsReader
from outbox_worker.outbox.delivery import Destination
from outbox_worker.pms.port import (
    Further,
    ListingAnswer,
    LookupAnswer,
    PmsName,
    ReservationAnswer,
    uncounted,
)

#: Longest wait of a person for one call. A minute's limit is outwaited: a command that has used it
#: up by itself, as of a long list, goes on.
PATIENCE = timedelta(seconds=65)
#: A look-up, and the read of its one hit that some adapters add to it.
_CALLS_OF_A_LOOK_UP = 2
#: How soon a gate is asked again that somebody else holds.
_BUSY = timedelta(milliseconds=100)
#: Shorter waits are over before anybody wonders.
_WORTH_TELLING = timedelta(seconds=1)
#: Longer rests are told in minutes.
_SECONDS_READ_WELL = 120


class SparedPms:
    """Takes each call out of the common limit before it is made, and waits for it where it must.

    Pause and circuit are passed by, as for `outbox sync`: a person asks because something is wrong.

    Args:
        pms: Who is asked.
        conn: In autocommit mode; no transaction of the caller's is open while the PMS is asked.
        windows: The limits of all calls together; empty: none.
        tell: Called before a wait of some length, with that length.
        patience: Longest wait for one call.
    """

    def __init__(
        self,
        pms: PmsReader,
        conn: Connection,
        windows: Sequence[Window],
        *,
        tell: Callable[[timedelta], None],
        patience: timedelta = PATIENCE,
    ) -> None:
        self._pms = pms
        self._conn = conn
        self._windows = windows
        self._tell = tell
        self._patience = patience

    @property
    def name(self) -> PmsName:
        """Which one."""
        return self._pms.name

    async def find(self, reference: str, *, further: Further = uncounted) -> LookupAnswer:
        """See `port.Pms.find`; what it took and did not need is given back.

        Raises:
            PmsUnansweredError: There is no call for us within our patience; nothing was asked.
            DatabaseBusyError: Somebody else holds the gate for as long; nothing was asked.
        """
        made = 1

        def another() -> None:
            nonlocal made
            made += 1
            further()

        taken_at = await self._take(_CALLS_OF_A_LOOK_UP)
        answer = await self._pms.find(reference, further=another)
        await self._give_back(_CALLS_OF_A_LOOK_UP - made, taken_at)
        return answer

    async def reservation(self, reservation_id: str) -> ReservationAnswer:
        """See `port.Pms.reservation`; raises as `find` does."""
        await self._take(1)
        return await self._pms.reservation(reservation_id)

    async def listing(self, listing_id: str) -> ListingAnswer:
        """See `port.Pms.listing`; raises as `find` does."""
        await self._take(1)
        return await self._pms.listing(listing_id)

    async def _take(self, calls: int) -> datetime | None:
        if not self._windows:
            return None
        loop = asyncio.get_running_loop()
        ends, told = loop.time() + self._patience.total_seconds(), False
        while True:
            busy: DatabaseBusyError | None = None
            wait = _BUSY
            try:
                with translated():
                    taken = await gate_store.take_calls(
                        self._conn, Destination.GUESTLY, self._windows, want=calls, least=calls
                    )
            except DatabaseBusyError as error:
                busy = error
            else:
                if taken.granted:
                    return taken.at
                wait = max(taken.wait, _BUSY)
            if loop.time() + wait.total_seconds() > ends:
                raise busy or _none_left(wait)
            if wait >= _WORTH_TELLING and not told:
                told = True
                self._tell(wait)
            await asyncio.sleep(wait.total_seconds())

    async def _give_back(self, calls: int, taken_at: datetime | None) -> None:
        if calls <= 0 or taken_at is None:
            return
        try:
            with translated():
                await gate_store.give_back_calls(
                    self._conn, Destination.GUESTLY, self._windows, count=calls, taken_at=taken_at
                )
        except DatabaseBusyError:
            return  # one call less for a minute is no harm, and nobody is to wait for it


def _none_left(wait: timedelta) -> PmsUnansweredError:
    seconds = max(ceil(wait.total_seconds()), 1)
    rest = f"{seconds} s" if seconds <= _SECONDS_READ_WELL else f"{ceil(seconds / 60)} min"
    return PmsUnansweredError(
        "no_call_left",
        f"all calls that PMS_RATE_PER_SECOND, _MINUTE and _HOUR allow are used up for {rest},"
        " so nothing was asked",
        hint=f"Try again in {rest}.",
    )
