"""The loop: settle what has finished, claim what is due, start it, wait.

One connection serves claim, load, extend and settle one after the other; handlers run beside it. If
settling fails nothing is claimed: never start what cannot be recorded.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from outbox_worker.database import Connection, translated
from outbox_worker.errors import (
    DatabaseBusyError,
    DatabaseError,
    DatabaseUnreachableError,
    OutboxError,
    SchemaError,
)
from outbox_worker.events import Event
from outbox_worker.handlers.protocol import Handler
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Claim, DeliveryId, Destination, WorkerId
from outbox_worker.telemetry import logger
from outbox_worker.worker import intake, report
from outbox_worker.worker.execute import Finished, cut_off, execute, given_back
from outbox_worker.worker.lease import Lease, boot_time
from outbox_worker.worker.settle import by_lock_order, settle, without_mirror
from outbox_worker.worker.wakeup import Wakeup

#: How soon a result is settled again whose booking somebody else held.
_DEFERRED_AFTER = timedelta(milliseconds=100)
#: Claims pause for so long when results were dropped and none was recorded for a while.
_HOLD_OFF = timedelta(seconds=5)
_WITHOUT_A_SETTLE = timedelta(seconds=2)
#: A result that Postgres keeps refusing is dropped after this many tries; its lease then ends.
_MAX_REFUSALS = 5


@dataclass(slots=True)
class _InFlight:
    claim: Claim
    handler: Handler[Any]
    lease: Lease


class Loop:
    """Claims, runs and settles deliveries until told to stop.

    It survives the loss of its connection: what runs goes on, what has finished is kept, and the
    next `run` with a new connection settles it.

    Args:
        handlers: By destination; a destination without one is not claimed, its rows wait.
        slots: How many claims of each destination run at once.
        owner: This process, random per start.
        lease: Length of a claim.
        poll: Longest wait between two looks for due rows.
        wakeup: Woken by notifications, and by everything that finishes here.
    """

    def __init__(
        self,
        *,
        handlers: Mapping[Destination, Handler[Any]],
        slots: Mapping[Destination, int],
        owner: WorkerId,
        lease: timedelta,
        poll: timedelta,
        wakeup: Wakeup,
    ) -> None:
        self._handlers = handlers
        self._slots = slots
        self._owner = owner
        self._lease = lease
        self._poll = poll
        self._wakeup = wakeup
        self._in_flight: dict[asyncio.Task[Finished], _InFlight] = {}
        self._finished: list[Finished] = []
        self._refusals: dict[tuple[DeliveryId, int], int] = {}
        self._deferred_until = 0.0
        self._claims_from = 0.0
        self._polled_at = 0.0
        self._settled_at = 0.0
        self._extended_at = boot_time()
        self._stopping = False
        #: Destinations that may have due rows; one whose slots are all taken stays in it.
        self._look = set(handlers)

    @property
    def in_flight(self) -> int:
        """Claims whose handler runs at present."""
        return len(self._in_flight)

    @property
    def settled(self) -> bool:
        """Whether nothing runs and nothing waits to be recorded."""
        return not self._in_flight and not self._finished

    @property
    def drained(self) -> bool:
        """Whether nothing is known to be due and everything is settled."""
        return self.settled and not self._look

    @property
    def _extend_every(self) -> float:
        """Seconds between two extensions: two may fail before a lease ends."""
        return self._lease.total_seconds() / 3

    @property
    def _may_claim(self) -> bool:
        """Whether what is started now can also be recorded."""
        return not (self._stopping or self._refusals or time.monotonic() < self._claims_from)

    def stop(self) -> None:
        """Claim nothing more, and begin no call that has not begun."""
        self._stopping = True
        for item in self._in_flight.values():
            if not item.lease.begun:
                item.lease.call_off()
        self._wakeup.set()

    def cancel(self) -> None:
        """Cut off what still runs; it becomes a result like any other."""
        for task in self._in_flight:
            task.cancel()

    async def cycle(self, conn: Connection) -> None:
        """Settle, extend and claim once.

        Raises:
            DatabaseUnreachableError: Go on with a new connection.
            DatabaseError: Postgres refused a statement of the loop itself.
        """
        if time.monotonic() - self._polled_at >= self._poll.total_seconds():
            # whatever woke the loop: what becomes due by time announces itself to nobody
            self._polled_at = time.monotonic()
            self._look.update(self._handlers)
        if self._finished and time.monotonic() >= self._deferred_until:
            await self._settle(conn)
        if not self.settled and boot_time() - self._extended_at > self._extend_every:
            await self._extend(conn)
        if self._look and self._may_claim:
            await self._claim(conn)

    async def pause(self) -> None:
        """Wait until something finishes, somebody requests something, or it is time to poll."""
        if self._may_claim and self._look & self._free().keys():
            return
        poll_at = self._polled_at + self._poll.total_seconds()
        wait = timedelta(seconds=max(0, poll_at - time.monotonic()))
        if not self.settled:
            wait = min(wait, timedelta(seconds=self._extend_every))
        if self._finished:
            wait = min(wait, timedelta(seconds=max(0, self._deferred_until - time.monotonic())))
        await self._wakeup.wait(wait)
        if self._wakeup.take_request():
            self._look.update(self._handlers)

    async def _settle(self, conn: Connection) -> None:
        newest, rest = _unique(self._finished)
        for batch in by_lock_order(newest):
            try:
                await self._settle_batch(conn, batch)
            except DatabaseUnreachableError:
                raise
            except DatabaseError as error:
                await self._settle_singly(conn, batch, error)
        if rest:
            self._wakeup.set()

    async def _settle_singly(
        self, conn: Connection, batch: list[Finished], error: DatabaseError
    ) -> None:
        """One bad row must not hold up the others."""
        if len(batch) == 1:
            self._refused_by_postgres(batch[0], error)
            return
        for item in batch:
            try:
                await self._settle_batch(conn, [item])
            except DatabaseUnreachableError:
                raise
            except DatabaseError as single:
                self._refused_by_postgres(item, single)

    async def _settle_batch(self, conn: Connection, batch: list[Finished]) -> None:
        settled = await settle(
            conn,
            batch,
            owner=self._owner,
            policies={name: handler.policy for name, handler in self._handlers.items()},
        )
        self._settled_at = time.monotonic()
        for item in batch:
            self._refusals.pop((item.claim.id, item.claim.fence), None)
        done = {id(item) for item in (*settled.accepted, *settled.refused)}
        self._finished = [item for item in self._finished if id(item) not in done]
        report.settled(settled)
        if settled.deferred:
            self._deferred_until = time.monotonic() + _DEFERRED_AFTER.total_seconds()
        if settled.more:
            self._look.update(self._handlers)

    def _refused_by_postgres(self, item: Finished, error: DatabaseError) -> None:
        self._deferred_until = time.monotonic() + _DEFERRED_AFTER.total_seconds()
        if isinstance(error, DatabaseBusyError):
            return  # like a booking that somebody holds: it has to wait
        key = (item.claim.id, item.claim.fence)
        self._refusals[key] = self._refusals.get(key, 0) + 1
        logger().error(
            Event.SETTLE_FAILED,
            message=f"a result could not be recorded: {error}",
            delivery_id=item.claim.id,
            error_code=type(error).__name__,
        )
        if self._refusals[key] < _MAX_REFUSALS:
            return
        del self._refusals[key]
        self._finished = [kept for kept in self._finished if kept is not item]
        if item.result.booking_id is not None:
            # The site may refuse its columns for reasons of its own. The truth is in our tables,
            # and a person is told; the next tries are as many as for any other result.
            self._finished.append(without_mirror(item, error))
        elif self._settled_at < time.monotonic() - _WITHOUT_A_SETTLE.total_seconds():
            # it is not this row alone: nothing can be recorded, so nothing is started
            self._claims_from = time.monotonic() + _HOLD_OFF.total_seconds()

    async def _extend(self, conn: Connection) -> None:
        sent_at = boot_time()
        running = list(self._in_flight.values())
        waiting = [item.claim for item in self._finished]
        with translated():
            extended = await store.extend(
                conn,
                [*(item.claim for item in running), *waiting],
                owner=self._owner,
                lease=self._lease,
            )
        self._extended_at = sent_at
        for item in running:
            if item.claim.fence in extended.renewed:
                item.lease.renewed(sent_at=sent_at)
            elif item.claim.fence not in extended.locked:
                item.lease.call_off()
        logger().debug(
            Event.LEASE_EXTENDED,
            message=f"{len(extended.renewed)} of {len(running) + len(waiting)} leases extended",
            count=len(extended.renewed),
        )

    async def _claim(self, conn: Connection) -> None:
        wanted = [
            store.Wanted(
                destination=name,
                limit=free,
                max_attempts=self._handlers[name].policy.max_attempts,
            )
            for name, free in self._free().items()
            if name in self._look
        ]
        if not wanted:
            return
        if self.settled:
            self._extended_at = boot_time()
        self._look.difference_update(item.destination for item in wanted)
        taken_at = boot_time()
        with translated():
            claims = await store.claim(conn, wanted, owner=self._owner, lease=self._lease)
        by_destination: dict[Destination, list[Claim]] = {}
        for claim in claims:
            by_destination.setdefault(claim.destination, []).append(claim)
            if claim.lost_owner is not None:
                report.lost(claim)
        for item in wanted:
            if len(by_destination.get(item.destination, ())) >= item.limit:
                self._look.add(item.destination)
        await self._begin(conn, by_destination, taken_at)

    async def _begin(
        self, conn: Connection, claims: Mapping[Destination, Sequence[Claim]], taken_at: float
    ) -> None:
        """Read and start what was claimed; one destination's trouble is not the others'."""
        waiting = {claim.id: claim for group in claims.values() for claim in group}
        trouble: OutboxError | None = None
        try:
            for name, group in claims.items():
                try:
                    taken = await intake.read(conn, self._handlers[name], group)
                except (SchemaError, DatabaseBusyError) as error:
                    trouble = error
                    continue
                self._finished += taken.unreadable
                for claim in group:
                    if claim.id in taken.states:
                        self._start(claim, taken.states[claim.id], self._handlers[name], taken_at)
                    del waiting[claim.id]
        finally:
            # claimed but not begun: returned uncharged as soon as there is a connection
            self._finished += [given_back(claim, code="not_read") for claim in waiting.values()]
        if trouble is not None:
            raise trouble

    def _start(self, claim: Claim, state: Any, handler: Handler[Any], taken_at: float) -> None:
        lease = Lease(taken_at=taken_at, length=self._lease)
        task = asyncio.create_task(execute(claim, state, handler, lease))
        self._in_flight[task] = _InFlight(claim=claim, handler=handler, lease=lease)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Finished]) -> None:
        item = self._in_flight.pop(task)
        self._finished.append(
            cut_off(item.claim, item.handler, item.lease) if task.cancelled() else task.result()
        )
        self._wakeup.set()

    def _free(self) -> dict[Destination, int]:
        """Free slots by destination; results that wait to be recorded still take theirs."""
        used = dict.fromkeys(self._handlers, 0)
        for item in self._in_flight.values():
            used[item.claim.destination] += 1
        for finished in self._finished:
            used[finished.claim.destination] += 1
        return {
            name: free
            for name in self._handlers
            if (free := self._slots.get(name, 0) - used[name]) > 0
        }


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
