"""The loop's wake-up, its back-pressure and its stop."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import pytest

from outbox_worker.database import Connection, connect
from outbox_worker.errors import DatabaseUnreachableError
from outbox_worker.handlers.effect import Result
from outbox_worker.handlers.protocol import Deadline
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Claim, Destination, Reason
from outbox_worker.outbox.outcome import Abandon
from outbox_worker.worker.lease import Lease
from tests.support_engine import (
    Scripted,
    attempts_of,
    eventually,
    insert_booking,
    owe,
    row_of,
)
from tests.support_loop import DONE, loop_of, running, said, settled


async def test_nothing_is_claimed_while_results_cannot_be_recorded(
    conn: Connection, database_url: str
) -> None:
    first = await owe(conn, "first")
    handler = Scripted()
    loop, _ = loop_of(database_url, handler)
    worker = await connect(database_url, application_name="test loop")
    await loop.cycle(worker)
    await eventually(lambda: said(loop.in_flight == 0), "the end of the call")
    await owe(conn, "second")
    await worker.close()  # the connection dies between the call and its settle
    with pytest.raises(DatabaseUnreachableError):
        await loop.cycle(worker)
    assert [claim.id for claim in handler.claims] == [first]
    fresh = await connect(database_url, application_name="test loop")
    try:
        await loop.cycle(fresh)
    finally:
        await fresh.close()
    assert (await row_of(conn, first))["delivered"] == 1, "the result was kept and recorded"


async def test_a_stop_gives_back_what_has_not_begun_and_finishes_what_has(
    conn: Connection, database_url: str
) -> None:
    begun, idle = await owe(conn, "begun"), await owe(conn, "idle")
    gate = asyncio.Event()

    async def run(claim: Claim, deadline: Deadline) -> Result:
        if claim.id == begun:
            assert deadline.allows(timedelta(seconds=1))
            await gate.wait()
            return DONE
        await gate.wait()
        if not deadline.allows(timedelta(seconds=1)):
            return Result(outcome=Abandon(code="lease_too_short"))
        return DONE

    handler = Scripted(run)
    loop, _ = loop_of(database_url, handler)
    worker = await connect(database_url, application_name="test loop")
    try:
        await loop.cycle(worker)
        await eventually(lambda: said(handler.running == 2), "the start of both handlers")
        loop.stop()
        await owe(conn, "late")
        gate.set()
        while not loop.settled:
            await loop.cycle(worker)
            await loop.pause()
    finally:
        await worker.close()
    assert (await row_of(conn, begun))["delivered"] == 1
    row = await row_of(conn, idle)
    assert (row["delivered"], row["attempts"], row["owner"]) == (0, 0, None)
    assert len(handler.claims) == 2, "something was claimed after the stop"


async def test_a_call_that_has_begun_is_never_given_back_when_it_is_cut_off(
    conn: Connection, database_url: str
) -> None:
    begun, idle = await owe(conn, "begun"), await owe(conn, "idle")

    async def run(claim: Claim, deadline: Deadline) -> Result:
        if claim.id == begun:
            assert deadline.allows(timedelta(seconds=1))
        await asyncio.Event().wait()
        return DONE

    handler = Scripted(run)
    loop, _ = loop_of(database_url, handler)
    worker = await connect(database_url, application_name="test loop")
    try:
        await loop.cycle(worker)
        await eventually(lambda: said(handler.running == 2), "the start of both handlers")
        loop.stop()
        loop.cancel()
        while not loop.settled:
            await loop.cycle(worker)
            await loop.pause()
    finally:
        await worker.close()
    row = await row_of(conn, begun)
    assert (row["attempts"], row["last_error_code"]) == (1, "interrupted")
    assert row["uncertain_at"] is not None
    assert [item["outcome"] for item in await attempts_of(conn, begun)] == ["ambiguous"]
    given = await row_of(conn, idle)
    assert (given["attempts"], given["uncertain_at"], given["owner"]) == (0, None, None)


@pytest.mark.needs_listen(reason="a notification is picked up")
async def test_a_notification_is_picked_up_long_before_the_next_poll(
    conn: Connection, database_url: str, listen_url: str
) -> None:
    loop, wakeup = loop_of(listen_url, Scripted(), poll=60)
    listener = asyncio.create_task(wakeup.listen())
    try:
        async with running(loop, database_url):

            async def listening() -> bool:
                return wakeup.listening

            await eventually(listening, "LISTEN")
            await owe(conn)
            await store.notify(conn)
            await eventually(lambda: settled(conn, 1), "delivery")
    finally:
        listener.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listener


async def test_without_a_notification_polling_finds_the_row(
    conn: Connection, database_url: str
) -> None:
    loop, _ = loop_of(database_url, Scripted(), poll=0.1)
    async with running(loop, database_url):
        await asyncio.sleep(0.2)  # the first look is over
        await owe(conn)
        await eventually(lambda: settled(conn, 1), "delivery")


async def test_a_lease_counts_from_before_the_claim_and_allows_no_call_that_could_outlast_it() -> (
    None
):
    now = 100.0
    lease = Lease(taken_at=100.0, length=timedelta(seconds=30), clock=lambda: now)
    assert lease.allows(timedelta(seconds=15))
    now = 115.5  # also after a suspension: the clock counts it
    late = Lease(taken_at=100.0, length=timedelta(seconds=30), clock=lambda: now)
    assert not late.allows(timedelta(seconds=15))
    assert not late.begun
    late.renewed(sent_at=110.0)
    assert late.allows(timedelta(seconds=15))
    off = Lease(taken_at=115.0, length=timedelta(seconds=30), clock=lambda: now)
    off.call_off()
    assert not off.allows(timedelta(seconds=1))


async def test_while_nothing_can_be_recorded_nothing_is_started(
    conn: Connection, database_url: str
) -> None:
    for number in range(30):
        await owe(conn, f"k{number}")
    await conn.execute(
        "alter table outbox.attempt add constraint full_disk check (false) not valid"
    )
    handler = Scripted()
    loop, _ = loop_of(database_url, handler, slots=3, poll=0.02)

    async def dropped() -> bool:
        cursor = await conn.execute("select count(*) as n from outbox.delivery where owner is null")
        return bool(handler.claims) and ((await cursor.fetchone()) or {})["n"] == 27

    async with running(loop, database_url):
        await eventually(dropped, "three claims")
        for _ in range(20):
            await asyncio.sleep(0.1)
            assert len(handler.claims) == 3, "more was started than could be recorded"


async def test_a_result_that_waits_for_its_booking_keeps_its_lease(
    conn: Connection, database_url: str
) -> None:
    booking = await insert_booking(conn)
    await store.request_sync(conn, booking, reason=Reason.STRIPE)
    handler = Scripted(destination=Destination.GUESTLY, book=True)
    loop, _ = loop_of(database_url, handler, lease=6, poll=60)
    site = await connect(database_url, application_name="site", autocommit=False)
    try:
        await site.execute("select from bookings where id = %s for update", [booking])
        async with running(loop, database_url):

            async def ran() -> bool:
                return bool(handler.claims) and handler.running == 0

            await eventually(ran, "the call")
            cursor = await conn.execute("select lease_until from outbox.delivery")
            first = await cursor.fetchone()
            assert first is not None

            async def outlived() -> bool:
                cursor = await conn.execute(
                    "select lease_until > now() as live, now() > %s as outlived"
                    " from outbox.delivery",
                    [first["lease_until"]],
                )
                row = await cursor.fetchone()
                assert row is not None
                assert row["live"], "the lease ended while the result waited"
                return bool(row["outlived"])

            await eventually(outlived, "the end of the first lease")
            await site.rollback()
            await eventually(lambda: settled(conn, 1), "the settle")
    finally:
        await site.close()
    assert len(handler.claims) == 1
