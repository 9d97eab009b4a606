"""Results that wait to be recorded: batched, repeated, and dropped only when nothing helps."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from outbox_worker.database import Connection
from outbox_worker.errors import DatabaseBusyError, DatabaseError, DatabaseUnreachableError
from outbox_worker.outbox.delivery import Claim, DeliveryId, Destination, WorkerId
from outbox_worker.outbox.retry import RetryPolicy
from outbox_worker.worker.execute import Finished
from outbox_worker.worker.report import Reporter
from outbox_worker.worker.settle import by_lock_order, settle, without_mirror

#: How soon a result is settled again whose booking somebody else held.
_DEFERRED_AFTER = timedelta(milliseconds=100)
#: Claims pause for so long when results were dropped and none was recorded for a while.
_HOLD_OFF = timedelta(seconds=5)
_WITHOUT_A_SETTLE = timedelta(seconds=2)
#: A result that Postgres keeps refusing is dropped after this many tries; its lease then ends.
_MAX_REFUSALS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Flushed:
    """What one flush left behind.

    Args:
        more: Whether it made anything due at once.
        rest: Whether results were left out because a newer claim of their row was settled first.
    """

    more: bool
    rest: bool


class Unsettled:
    """The results of one loop that are not on record yet.

    Args:
        owner: The worker whose claims they are.
        policies: Of every destination.
        reporter: Told of everything that was settled or refused.
    """

    def __init__(
        self,
        *,
        owner: WorkerId,
        policies: Mapping[Destination, RetryPolicy],
        reporter: Reporter,
    ) -> None:
        self._owner = owner
        self._policies = policies
        self._reporter = reporter
        self._waiting: list[Finished] = []
        self._refusals: dict[tuple[DeliveryId, int], int] = {}
        self._deferred_until = 0.0
        self._claims_from = 0.0
        self._settled_at = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def claims(self) -> list[Claim]:
        """The claims that are still leased."""
        return [item.claim for item in self._waiting]

    @property
    def rest(self) -> float:
        """Seconds until the next flush is worth it."""
        return max(0.0, self._deferred_until - time.monotonic())

    @property
    def recordable(self) -> bool:
        """Whether what is started now can also be recorded."""
        return not self._refusals and time.monotonic() >= self._claims_from

    def add(self, *finished: Finished) -> None:
        """Keep results until they are on record."""
        self._waiting += finished

    async def flush(self, conn: Connection) -> Flushed:
        """Record what can be recorded now.

        Raises:
            DatabaseUnreachableError: Everything is kept; settle it over another connection.
        """
        newest, rest = _unique(self._waiting)
        more = False
        for batch in by_lock_order(newest):
            try:
                more |= await self._settle(conn, batch)
            except DatabaseUnreachableError:
                raise
            except DatabaseError as error:
                more |= await self._settle_singly(conn, batch, error)
        return Flushed(more=more, rest=bool(rest))

    async def _settle_singly(
        self, conn: Connection, batch: list[Finished], error: DatabaseError
    ) -> bool:
        """One bad row must not hold up the others."""
        if len(batch) == 1:
            self._refused_by_postgres(batch[0], error)
            return False
        more = False
        for item in batch:
            try:
                more |= await self._settle(conn, [item])
            except DatabaseUnreachableError:
                raise
            except DatabaseError as single:
                self._refused_by_postgres(item, single)
        return more

    async def _settle(self, conn: Connection, batch: list[Finished]) -> bool:
        settled = await settle(conn, batch, owner=self._owner, policies=self._policies)
        self._settled_at = time.monotonic()
        for item in batch if self._refusals else ():
            self._refusals.pop((item.claim.id, item.claim.fence), None)
        done = {id(item) for item in (*settled.accepted, *settled.refused)}
        self._waiting = [item for item in self._waiting if id(item) not in done]
        self._reporter.settled(settled)
        if settled.deferred:
            self._deferred_until = time.monotonic() + _DEFERRED_AFTER.total_seconds()
        return settled.more

    def _refused_by_postgres(self, item: Finished, error: DatabaseError) -> None:
        self._deferred_until = time.monotonic() + _DEFERRED_AFTER.total_seconds()
        if isinstance(error, DatabaseBusyError):
            return  # like a booking that somebody holds: it has to wait
        key = (item.claim.id, item.claim.fence)
        self._refusals[key] = self._refusals.get(key, 0) + 1
        self._reporter.settle_failed(item.claim, error)
        if self._refusals[key] < _MAX_REFUSALS:
            return
        del self._refusals[key]
        self._waiting = [kept for kept in self._waiting if kept is not item]
        if item.result.booking_id is not None:
            # The site may refuse its columns for reasons of its own. The truth is in our tables,
            # and a person is told; the next tries are as many as for any other result.
            self._waiting.append(without_mirror(item, error))
        elif self._settled_at < time.monotonic() - _WITHOUT_A_SETTLE.total_seconds():
            # it is not this row alone: nothing can be recorded, so nothing is started
            self._claims_from = time.monotonic() + _HOLD_OFF.total_seconds()


def _unique(finished: list[Finished]) -> tuple[list[Finished], list[Finished]]:
    """The newest claim of each delivery first: one statement settles a row once."""
    newest: dict[DeliveryId, Finished] = {}
    for item in finished:
        known = newest.get(item.claim.id)
        if known is None or item.claim.fence > known.claim.fence:
            newest[item.claim.id] = item
    batch = list(newest.values())
    kept = {id(item) for item in batch}
    return batch, [item for item in finished if id(item) not in kept]
