"""A destination for engine tests: a handler of the tests' own, and ways to look at its rows."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from outbox_worker.database import Connection
from outbox_worker.handlers.effect import Result
from outbox_worker.handlers.protocol import Deadline
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Claim, DeliveryId, Destination, Reason, WorkerId
from outbox_worker.outbox.outcome import Done, Retry
from outbox_worker.outbox.retry import RetryPolicy
from outbox_worker.worker.gatekeeper import Gatekeeper

LEASE = timedelta(seconds=30)
A = WorkerId("worker-a")
B = WorkerId("worker-b")

POLICY = RetryPolicy(
    max_attempts=3,
    base=timedelta(milliseconds=10),
    cap=timedelta(milliseconds=40),
    redrive_every=None,
    redrive_for=timedelta(hours=72),
)


def policy(**changes: Any) -> RetryPolicy:
    values = {name: getattr(POLICY, name) for name in RetryPolicy.__slots__}
    return RetryPolicy(**{**values, **changes})


def ungated(owner: WorkerId = A, lease: timedelta = LEASE) -> Gatekeeper:
    """Of destinations that have no gate of their own."""
    return Gatekeeper({}, owner=owner, lease=lease)


class Scripted:
    """A handler that runs what the test tells it to, and remembers its claims."""

    def __init__(
        self,
        run: Callable[[Claim, Deadline], Awaitable[Result]] | None = None,
        *,
        destination: Destination = Destination.INBOX,
        rules: RetryPolicy = POLICY,
        book: bool = False,
    ) -> None:
        self._run = run
        self._destination = destination
        self._policy = rules
        self._book = book
        self.claims: list[Claim] = []
        self.running = 0
        self.most_running = 0

    @property
    def destination(self) -> Destination:
        return self._destination

    @property
    def policy(self) -> RetryPolicy:
        return self._policy

    async def load(
        self, conn: Connection, claims: Sequence[Claim]
    ) -> Mapping[DeliveryId, dict[str, Any]]:
        cursor = await conn.execute(
            "select id, owner, fence, attempts, requested, lease_until from outbox.delivery"
            " where id = any(%(ids)s)",
            {"ids": [claim.id for claim in claims]},
        )
        return {DeliveryId(row["id"]): row for row in await cursor.fetchall()}

    def failed(self, claim: Claim, retry: Retry) -> Result:
        return Result(outcome=retry, booking_id=self._booking(claim))

    async def run(self, claim: Claim, state: Any, deadline: Deadline) -> Result:
        del state
        self.claims.append(claim)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self._run is None:
                return Result(outcome=Done(), booking_id=self._booking(claim))
            return await self._run(claim, deadline)
        finally:
            self.running -= 1

    def _booking(self, claim: Claim) -> UUID | None:
        return UUID(claim.key) if self._book else None


async def owe(
    conn: Connection, key: str = "k", destination: Destination = Destination.INBOX
) -> DeliveryId:
    """Request a delivery and answer its row."""
    await store.request(conn, destination=destination, key=key, reason=Reason.OPERATOR)
    found = await store.find(conn, destination=destination, key=key)
    assert found is not None
    return found


async def claim_all(
    conn: Connection,
    owner: WorkerId = A,
    *,
    destination: Destination = Destination.INBOX,
    limit: int = 100,
    lease: timedelta = LEASE,
    max_attempts: int | None = 3,
) -> list[Claim]:
    wanted = [store.Wanted(destination=destination, limit=limit, max_attempts=max_attempts)]
    claimed = await store.claim(conn, wanted, owner=owner, lease=lease)
    return list(claimed.claims)


async def row_of(conn: Connection, delivery_id: DeliveryId) -> dict[str, Any]:
    cursor = await conn.execute(
        "select *, now() as now from outbox.delivery where id = %(id)s", {"id": delivery_id}
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


async def attempts_of(conn: Connection, delivery_id: DeliveryId) -> list[dict[str, Any]]:
    cursor = await conn.execute(
        "select * from outbox.attempt where delivery_id = %(id)s order by fence",
        {"id": delivery_id},
    )
    return await cursor.fetchall()


async def end_lease(conn: Connection, delivery_id: DeliveryId) -> None:
    """Let the lease of a claimed row be over, as if time had passed."""
    await conn.execute(
        "update outbox.delivery set claimed_at = now() - interval '1 minute',"
        " lease_until = now() - interval '1 second' where id = %(id)s",
        {"id": delivery_id},
    )


async def eventually(
    check: Callable[[], Awaitable[bool]], what: str, *, within: float | None = None
) -> None:
    """Wait until ``check`` answers True; fail with ``what`` when it does not in time.

    Args:
        check: Asked again and again.
        what: Of the failure's text.
        within: Seconds; None: far more than anything here takes, or what the run's tests are told.
    """
    loop = asyncio.get_running_loop()
    patience = float(os.environ.get("OUTBOX_TEST_PATIENCE", "20")) if within is None else within
    ends = loop.time() + patience
    while not await check():
        assert loop.time() < ends, f"{what} did not happen within {patience:g} s"
        await asyncio.sleep(0.02)


async def insert_booking(conn: Connection, **values: Any) -> UUID:
    """A confirmed and paid booking of the property ``sea-loft``; ``values`` override columns."""
    booking_id = values.pop("id", uuid4())
    slug = values.pop("slug", "sea-loft")
    cursor = await conn.execute("select id from properties where slug = %(s)s", {"s": slug})
    known = await cursor.fetchone()
    property_id = known["id"] if known else uuid4()
    if known is None:
        await conn.execute(
            "insert into properties (id, slug, name, is_active)"
            " values (%(id)s, %(s)s, %(s)s, true)",
            {"id": property_id, "s": slug},
        )
    columns = {
        "id": booking_id,
        "booking_reference": f"LA2026-{str(booking_id)[:8]}",
        "property_id": property_id,
        "guest_first_name": "Zoë",
        "guest_last_name": "Canary-Guest",
        "guest_email": "zoe.canary@example.com",
        "check_in_date": "2027-05-01",
        "check_out_date": "2027-05-05",
        "adults": 2,
        "children": 1,
        "total": "1240.50",
        "payment_status": "completed",
        "status": "confirmed",
        "stripe_payment_intent_id": f"pi_{str(booking_id)[:8]}",
        **values,
    }
    names = ", ".join(columns)
    marks = ", ".join(f"%({name})s" for name in columns)
    await conn.execute(f"insert into bookings ({names}) values ({marks})", columns)
    return UUID(str(booking_id))


async def booking_row(conn: Connection, booking_id: UUID) -> dict[str, Any]:
    cursor = await conn.execute("select * from bookings where id = %(id)s", {"id": booking_id})
    row = await cursor.fetchone()
    assert row is not None
    return row


async def is_synced(conn: Connection, booking_id: UUID) -> bool:
    """Whether the site shows it as held by the PMS."""
    return bool((await booking_row(conn, booking_id))["guestly_sync_status"] == "synced")
