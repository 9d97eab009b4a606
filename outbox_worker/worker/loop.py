"""The loop: settle what has finished, claim what is due, start it, wait.

One connection serves claim, load, extend and settle one after the other; handlers run beside it. If
settling fails nothing is claimed: never start what cannot be recorded.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from outbox_worker.database import Connection, translated
from outbox_worker.errors import DatabaseBusyError, OutboxError, SchemaError
from outbox_worker.events import Event
from outbox_worker.handlers.protocol import Handler
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Claim, DeliveryId, Destination, WorkerId
from outbox_worker.telemetry import logger
from outbox_worker.worker import intake
from outbox_worker.worker.execute import Finished, given_back
from outbox_worker.worker.gatekeeper import Gatekeeper
from outbox_worker.worker.lease import Lease, boot_time
from outbox_worker.worker.report import Reporter
from outbox_worker.worker.running import InFlight, Running
from outbox_worker.worker.unsettled import Unsettled
from outbox_worker.worker.wakeup import Wakeup

#: Rows of one claim: while the handlers of these run, the next ones are claimed.
_MOST_AT_ONCE = 500


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
        reporter: Told what becomes of every claim.
        gatekeeper: Asked before every claim, and told what became of it.
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
        gatekeeper: Gatekeeper,
        reporter: Reporter,
    ) -> None:
        self._handlers = handlers
        self._slots = slots
        self._owner = owner
        self._lease = lease
        self._poll = poll
        self._wakeup = wakeup
        self._gatekeeper = gatekeeper
        self._reporter = reporter
        self._in_flight = Running(self._handler_ended)
        self._unsettled = Unsettled(
            owner=owner,
            policies={name: handler.policy for name, handler in handlers.items()},
            reporter=reporter,
        )
        self._polled_at = 0.0
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
        return not self._in_flight and not self._unsettled

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
        return self._unsettled.recordable and not self._stopping

    def stop(self) -> None:
        """Claim nothing more, and begin no call that has not begun."""
        self._stopping = True
        for item in self._in_flight:
            if not item.lease.begun:
                item.lease.call_off()
        self._wakeup.set()

    def cancel(self) -> None:
        """Cut off what still runs; it becomes a result like any other."""
        self._in_flight.cancel()

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
        # before the results are on record: nothing more is claimed in between
        if await self._gatekeeper.tell(conn):
            self._look.update(self._handlers)
        if self._unsettled and self._unsettled.rest == 0:
            flushed = await self._unsettled.flush(conn)
            if flushed.more:
                self._look.update(self._handlers)
            if flushed.rest:
                self._wakeup.set()
        if not self.settled and boot_time() - self._extended_at > self._extend_every:
            await self._extend(conn)
        if self._look and self._may_claim:
            await self._claim(conn)

    async def pause(self) -> None:
        """Wait until something finishes, somebody requests something, or it is time to poll."""
        if self._may_claim and any(map(self._may_look, self._free())):
            return
        poll_at = self._polled_at + self._poll.total_seconds()
        wait = timedelta(seconds=max(0, poll_at - time.monotonic()))
        if not self.settled:
            wait = min(wait, timedelta(seconds=self._extend_every))
        if self._unsettled:
            wait = min(wait, timedelta(seconds=self._unsettled.rest))
        for name in self._look:
            if (rest := self._gatekeeper.waits(name)) > 0:
                wait = min(wait, timedelta(seconds=rest))
        await self._wakeup.wait(wait)
        if self._wakeup.take_request():
            self._look.update(self._handlers)

    async def _extend(self, conn: Connection) -> None:
        sent_at = boot_time()
        running = list(self._in_flight)
        waiting = self._unsettled.claims
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
        free = {name: n for name, n in self._free().items() if self._may_look(name)}
        if not free:
            return
        if self.settled:
            self._extended_at = boot_time()
        await self._gatekeeper.start(conn)
        self._look.difference_update(free)
        looks = await self._take(
            conn,
            {
                name: self._gatekeeper.affordable(name, min(n, _MOST_AT_ONCE))
                for name, n in free.items()
            },
        )
        for name, look in looks.items():
            await self._look_closer(conn, name, look, free=free[name])

    def _may_look(self, name: Destination) -> bool:
        return name in self._look and self._gatekeeper.waits(name) == 0

    async def _take(
        self, conn: Connection, limits: Mapping[Destination, int]
    ) -> Mapping[Destination, store.Look]:
        """Claim and start up to so many rows of each destination."""
        wanted = [
            store.Wanted(
                destination=name,
                limit=limit,
                max_attempts=self._handlers[name].policy.max_attempts,
            )
            for name, limit in limits.items()
        ]
        taken_at = boot_time()
        with translated():
            claimed = await store.claim(conn, wanted, owner=self._owner, lease=self._lease)
        self._gatekeeper.looked(claimed.looks)
        by_destination: dict[Destination, list[Claim]] = {}
        for claim in claimed.claims:
            by_destination.setdefault(claim.destination, []).append(claim)
            if claim.lost_owner is not None:
                self._reporter.lost(claim)
        for name, limit in limits.items():
            taken = len(by_destination.get(name, ()))
            self._gatekeeper.reserve(name, taken)
            if taken and taken >= limit:
                self._look.add(name)
        await self._begin(conn, by_destination, taken_at)
        return claimed.looks

    async def _look_closer(
        self, conn: Connection, name: Destination, look: store.Look, *, free: int
    ) -> None:
        """What a plain claim leaves out: the common limit, a shut circuit, what an outage left."""
        if look.due:
            self._look.add(name)
            if await self._gatekeeper.take(conn, name, free):
                await self._take(conn, {name: self._gatekeeper.affordable(name, free)})
        elif look.probe_due:
            row = await self._gatekeeper.probe_row(conn, name)
            if row is not None:
                await self._probe(conn, name, row)
        elif look.open and look.redrive_before is not None and name not in self._look:
            # nothing else is due: what is new never waits behind what failed before
            more = await self._gatekeeper.redrive(conn, name, look, limit=free)
            self._look.update([name] if more else [])

    async def _probe(self, conn: Connection, name: Destination, row: DeliveryId) -> None:
        taken_at = boot_time()
        with translated():
            claim = await store.claim_one(
                conn,
                row,
                owner=self._owner,
                lease=self._lease,
                max_attempts=self._handlers[name].policy.max_attempts,
                probe=True,
            )
        if claim is None:
            self._gatekeeper.not_probed(name, row)
            return
        if claim.lost_owner is not None:
            self._reporter.lost(claim)
        self._gatekeeper.reserve(name, 1)
        await self._begin(conn, {name: [claim]}, taken_at)

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
                self._ended(*taken.unreadable)
                for claim in group:
                    if claim.id in taken.states:
                        self._start(claim, taken.states[claim.id], self._handlers[name], taken_at)
                    del waiting[claim.id]
        finally:
            # claimed but not begun: returned uncharged as soon as there is a connection
            self._ended(*(given_back(claim, code="not_read") for claim in waiting.values()))
        if trouble is not None:
            raise trouble

    def _start(self, claim: Claim, state: Any, handler: Handler[Any], taken_at: float) -> None:
        lease = Lease(taken_at=taken_at, length=self._lease)
        if self._stopping:
            lease.call_off()
        self._in_flight.start(InFlight(claim=claim, state=state, handler=handler, lease=lease))

    def _handler_ended(self, finished: Finished) -> None:
        self._ended(finished)
        self._wakeup.set()

    def _ended(self, *finished: Finished) -> None:
        """Results: the gate is told of them first, then they are settled."""
        for item in finished:
            self._gatekeeper.saw(item)
        self._unsettled.add(*finished)

    def _free(self) -> dict[Destination, int]:
        """Free slots by destination; results that wait to be recorded still take theirs."""
        used = dict.fromkeys(self._handlers, 0)
        for item in self._in_flight:
            used[item.claim.destination] += 1
        for claim in self._unsettled.claims:
            used[claim.destination] += 1
        return {
            name: free
            for name in self._handlers
            if (free := self._slots.get(name, 0) - used[name]) > 0
        }
