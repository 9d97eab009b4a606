"""Settle and the site's bookings: locks, the mirrored columns, and who waits for whom."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from outbox_worker.database import Connection, connect
from outbox_worker.handlers.effect import ReservationHeld, Result
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Destination, Reason
from outbox_worker.outbox.outcome import (
    Done,
)
from outbox_worker.pms.port import Mode, PmsName
from outbox_worker.worker.execute import Finished
from outbox_worker.worker.settle import settle
from tests.support_engine import (
    A,
    booking_row,
    claim_all,
    insert_booking,
    owe,
)
from tests.support_settle import FAILED, POLICIES, record


async def test_one_settle_mirrors_the_booking_and_the_reservation(conn: Connection) -> None:
    booking = await insert_booking(conn)
    await store.request_sync(conn, booking, reason=Reason.STRIPE, reference="evt_1")
    (claim,) = await claim_all(conn, destination=Destination.GUESTLY)
    held = ReservationHeld(
        booking_id=booking,
        pms=PmsName.GUESTLY,
        reservation_id="res-1",
        mode=Mode.LIVE,
        fingerprint="f" * 64,
    )
    await record(conn, claim, Done(), effects=(held,), booking=True)
    row = await booking_row(conn, booking)
    assert row["guestly_sync_status"] == "synced"
    assert row["guestly_reservation_id"] == "res-1"
    assert (row["guestly_sync_attempts"], row["guestly_sync_error"]) == (1, None)
    assert row["guestly_synced_at"] is not None


async def test_a_booking_shows_pending_with_its_error_then_failed(conn: Connection) -> None:
    booking = await insert_booking(conn)
    await store.request_sync(conn, booking, reason=Reason.STRIPE)
    for number, status in ((1, "pending"), (2, "pending"), (3, "failed")):
        await conn.execute("update outbox.delivery set due_at = now()")
        (claim,) = await claim_all(conn, destination=Destination.GUESTLY)
        await record(conn, claim, FAILED, booking=True)
        row = await booking_row(conn, booking)
        assert (row["guestly_sync_status"], row["guestly_sync_attempts"]) == (status, number)
        assert row["guestly_sync_error"] == "the PMS answered 503"


async def test_a_booking_that_somebody_holds_defers_its_result_and_no_other(
    conn: Connection, database_url: str
) -> None:
    held, free = await insert_booking(conn), await insert_booking(conn)
    for booking in (held, free):
        await store.request_sync(conn, booking, reason=Reason.STRIPE)
    claims = await claim_all(conn, destination=Destination.GUESTLY)
    from uuid import UUID

    batch = [
        Finished(
            claim=claim,
            result=Result(outcome=Done(), booking_id=UUID(claim.key)),
            seconds=0,
        )
        for claim in claims
    ]
    other = await connect(database_url, application_name="test", autocommit=False)
    try:
        await other.execute("select from bookings where id = %s for update", [held])
        async with asyncio.timeout(5):
            done = await settle(conn, batch, owner=A, policies=POLICIES)
        await other.rollback()  # closing alone frees the lock a moment later
    finally:
        await other.close()
    assert [item.claim.key for item in done.accepted] == [str(free)]
    assert [item.claim.key for item in done.deferred] == [str(held)]
    later = await settle(conn, done.deferred, owner=A, policies=POLICIES)
    assert [item.claim.key for item in later.accepted] == [str(held)]


async def test_a_deleted_booking_is_settled_all_the_same(conn: Connection) -> None:
    await owe(conn, str(uuid4()), Destination.GUESTLY)
    (claim,) = await claim_all(conn, destination=Destination.GUESTLY)
    assert (await record(conn, claim, Done(), booking=True)).accepted


async def test_a_site_that_changes_a_booking_and_a_settle_never_deadlock(
    conn: Connection, database_url: str
) -> None:
    booking = await insert_booking(conn)
    site = await connect(database_url, application_name="site")
    await store.request_sync(conn, booking, reason=Reason.STRIPE)

    async def edit() -> None:
        for number in range(40):
            async with site.transaction():
                await site.execute(
                    "update bookings set adults = %s where id = %s", [2 + number % 3, booking]
                )
                await store.request_sync(site, booking, reason=Reason.DATABASE)

    async def work() -> None:
        for _ in range(40):
            for claim in await claim_all(conn, destination=Destination.GUESTLY):
                pending: tuple[Finished, ...] = (
                    Finished(
                        claim=claim,
                        result=Result(outcome=Done(), booking_id=booking),
                        seconds=0,
                    ),
                )
                while pending:
                    pending = (await settle(conn, pending, owner=A, policies=POLICIES)).deferred
            await asyncio.sleep(0)

    try:
        async with asyncio.timeout(30):
            await asyncio.gather(edit(), work())
    finally:
        await site.close()
    cursor = await conn.execute(
        "select deadlocks from pg_stat_database where datname = current_database()"
    )
    assert (await cursor.fetchone() or {})["deadlocks"] == 0
