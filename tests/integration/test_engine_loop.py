"""The loop with handlers of the tests' own: slots, leases, crashes, alerts."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from outbox_worker.database import Connection, connect
from outbox_worker.errors import SchemaError
from outbox_worker.handlers.effect import Result
from outbox_worker.handlers.protocol import Deadline
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Claim, Destination, Reason
from outbox_worker.outbox.outcome import Park
from tests.support_engine import (
    A,
    Scripted,
    attempts_of,
    booking_row,
    end_lease,
    eventually,
    insert_booking,
    owe,
    policy,
    row_of,
)
from tests.support_loop import DONE, loop_of, running, settled, until


async def test_what_is_owed_is_delivered(conn: Connection, database_url: str) -> None:
    for number in range(20):
        await owe(conn, f"k{number}")
    handler = Scripted()
    loop, _ = loop_of(database_url, handler)
    async with running(loop, database_url):
        await eventually(lambda: settled(conn, 20), "delivery of all rows")
    assert len(handler.claims) == 20


async def test_no_more_is_claimed_than_there_are_free_slots(
    conn: Connection, database_url: str
) -> None:
    for number in range(10):
        await owe(conn, f"k{number}")
    gate = asyncio.Event()
    handler = Scripted(until(gate))
    loop, _ = loop_of(database_url, handler, slots=3, poll=0.02)

    async def claimed() -> bool:
        cursor = await conn.execute(
            "select count(*) as n from outbox.delivery where owner is not null"
        )
        return bool(((await cursor.fetchone()) or {})["n"] >= 3)

    async with running(loop, database_url):
        await eventually(claimed, "three claims")
        for _ in range(5):
            await asyncio.sleep(0.05)
            cursor = await conn.execute(
                "select count(*) as n from outbox.delivery where owner is not null"
            )
            assert ((await cursor.fetchone()) or {})["n"] == 3
        gate.set()
        await eventually(lambda: settled(conn, 10), "delivery of all rows")
    assert handler.most_running == 3


async def test_a_slot_that_becomes_free_is_filled_at_once_not_at_the_next_poll(
    conn: Connection, database_url: str
) -> None:
    for number in range(20):
        await owe(conn, f"k{number}")
    mails = Scripted(destination=Destination.EMAIL)  # a destination with free slots all the time
    loop, _ = loop_of(database_url, Scripted(), mails, slots=2, poll=60)
    async with running(loop, database_url):
        await eventually(lambda: settled(conn, 20), "delivery of all rows")


async def test_a_destination_without_a_handler_is_left_alone(
    conn: Connection, database_url: str
) -> None:
    held = await owe(conn, "booking", Destination.GUESTLY)
    await owe(conn, "event", Destination.INBOX)
    loop, _ = loop_of(database_url, Scripted())
    async with running(loop, database_url):
        await eventually(lambda: settled(conn, 1), "delivery of the event")
    row = await row_of(conn, held)
    assert (row["owner"], row["attempts"], row["delivered"]) == (None, 0, 0)


async def test_the_claim_is_committed_before_the_handler_runs(
    conn: Connection, database_url: str
) -> None:
    delivery = await owe(conn)
    seen: list[dict[str, Any]] = []

    async def look(claim: Claim, deadline: Deadline) -> Result:
        del claim, deadline
        seen.append(await row_of(conn, delivery))  # another session sees only what is committed
        return DONE

    loop, _ = loop_of(database_url, Scripted(look))
    async with running(loop, database_url):
        await eventually(lambda: settled(conn, 1), "delivery")
    assert seen[0]["owner"] == A
    assert seen[0]["attempts"] == 1


async def test_what_the_handler_works_on_is_read_after_the_claim(
    conn: Connection, database_url: str
) -> None:
    delivery = await owe(conn)
    loaded: list[dict[str, Any]] = []

    class Reads(Scripted):
        async def run(self, claim: Claim, state: Any, deadline: Deadline) -> Result:
            loaded.append(state)
            return await super().run(claim, state, deadline)

    loop, _ = loop_of(database_url, Reads())
    async with running(loop, database_url):
        await eventually(lambda: settled(conn, 1), "delivery")
    assert loaded[0]["id"] == delivery
    assert loaded[0]["owner"] == A, "it was read before or inside the claim"


async def test_one_handler_that_raises_fails_its_row_alone(
    conn: Connection, database_url: str
) -> None:
    bad, good = await owe(conn, "bad"), await owe(conn, "good")

    async def run(claim: Claim, deadline: Deadline) -> Result:
        del deadline
        if claim.id == bad:
            raise RuntimeError("zoe.canary@example.com broke it")
        return DONE

    handler = Scripted(run, rules=policy(max_attempts=2))
    loop, _ = loop_of(database_url, handler)

    async def given_up() -> bool:
        return (await row_of(conn, bad))["failed_at"] is not None

    async with running(loop, database_url):
        await eventually(given_up, "giving up on the row whose handler raises")
    assert (await row_of(conn, good))["delivered"] == 1
    row = await row_of(conn, bad)
    assert (row["attempts"], row["last_error_code"]) == (2, "handler_crashed")
    assert "canary" not in row["last_error"], "an exception's text may hold guest data"


async def test_a_row_lost_on_every_attempt_is_parked_without_a_call(
    conn: Connection, database_url: str
) -> None:
    delivery = await owe(conn)
    await conn.execute("update outbox.delivery set attempts = 2")
    await store.claim_one(conn, delivery, owner=A, lease=timedelta(seconds=30), max_attempts=3)
    await end_lease(conn, delivery)
    handler = Scripted()
    loop, _ = loop_of(database_url, handler)

    async def parked() -> bool:
        return (await row_of(conn, delivery))["failed_at"] is not None

    async with running(loop, database_url):
        await eventually(parked, "parking")
    assert handler.claims == []
    assert (await row_of(conn, delivery))["last_error_code"] == "worker_lost"
    assert [row["outcome"] for row in await attempts_of(conn, delivery)] == ["lost", "failed"]


async def test_a_long_call_keeps_its_lease(conn: Connection, database_url: str) -> None:
    delivery = await owe(conn)
    gate = asyncio.Event()
    loop, _ = loop_of(database_url, Scripted(until(gate)), lease=6, poll=0.05)
    other = await connect(database_url, application_name="other worker")
    handler = Scripted()
    rival, _ = loop_of(database_url, handler, poll=0.05)
    try:
        async with running(loop, database_url):

            async def claimed() -> bool:
                return bool((await row_of(conn, delivery))["owner"] == A)

            await eventually(claimed, "the claim")
            first = (await row_of(conn, delivery))["lease_until"]

            async def extended() -> bool:
                row = await row_of(conn, delivery)
                return bool(row["lease_until"] > first and row["now"] > first)

            async with running(rival, database_url):
                await eventually(extended, "an extension past the end of the first lease")
                gate.set()
                await eventually(lambda: settled(conn, 1), "delivery")
    finally:
        await other.close()
    assert handler.claims == [], "another worker took the row of a live one"
    assert [row["outcome"] for row in await attempts_of(conn, delivery)] == ["held"]


async def test_a_result_whose_booking_is_held_is_settled_once_it_is_free(
    conn: Connection, database_url: str
) -> None:
    booking = await insert_booking(conn)
    await store.request_sync(conn, booking, reason=Reason.STRIPE)
    handler = Scripted(destination=Destination.GUESTLY, book=True)
    loop, _ = loop_of(database_url, handler)
    site = await connect(database_url, application_name="site", autocommit=False)
    try:
        await site.execute("select from bookings where id = %s for update", [booking])
        async with running(loop, database_url):

            async def ran() -> bool:
                return bool(handler.claims) and handler.running == 0

            await eventually(ran, "the call")
            for _ in range(10):
                await asyncio.sleep(0.05)
                assert len(handler.claims) == 1, "the call was repeated while its result waited"
            await site.rollback()
            await eventually(lambda: settled(conn, 1), "the settle")
    finally:
        await site.close()
    assert (await booking_row(conn, booking))["guestly_sync_status"] == "synced"


async def test_a_result_that_postgres_refuses_does_not_hold_up_the_others(
    conn: Connection, database_url: str
) -> None:
    bad, good = await owe(conn, "bad"), await owe(conn, "good")
    await conn.execute(
        "create function pg_temp_refuse() returns trigger language plpgsql as"
        " $$begin raise exception 'refused by the test'; end$$"
    )
    await conn.execute(
        "create trigger refuse before update on outbox.delivery for each row"
        " when (new.key = 'bad' and new.delivered > 0) execute function pg_temp_refuse()"
    )
    loop, _ = loop_of(database_url, Scripted())
    async with running(loop, database_url):
        await eventually(lambda: settled(conn, 1), "delivery of the good row")
    assert (await row_of(conn, good))["delivered"] == 1
    assert (await row_of(conn, bad))["delivered"] == 0


async def test_claims_that_could_not_be_read_are_given_back_uncharged(
    conn: Connection, database_url: str
) -> None:
    delivery = await owe(conn)

    class Blind(Scripted):
        async def load(self, conn: Connection, claims: Any) -> Any:
            del conn, claims
            raise SchemaError("rows are hidden")

    loop, _ = loop_of(database_url, Blind())
    worker = await connect(database_url, application_name="test loop")
    try:
        with pytest.raises(SchemaError):
            await loop.cycle(worker)
        loop.stop()
        await loop.cycle(worker)
    finally:
        await worker.close()
    row = await row_of(conn, delivery)
    assert (row["owner"], row["attempts"]) == (None, 0)


async def test_a_park_with_an_alert_reaches_the_mail_destination_in_the_same_loop(
    conn: Connection, database_url: str
) -> None:
    from outbox_worker.alerts.alert import AlertKind, NewAlert
    from outbox_worker.handlers.effect import AlertRaised

    await owe(conn)
    raised = AlertRaised(
        alert=NewAlert(kind=AlertKind.SYNC_REJECTED, fingerprint="guestly:x"),
        only_if_given_up=True,
        names_delivery=True,
    )

    async def park(claim: Claim, deadline: Deadline) -> Result:
        del claim, deadline
        return Result(outcome=Park(code="x", message="x"), effects=(raised,))

    mails = Scripted(destination=Destination.EMAIL)
    loop, _ = loop_of(database_url, Scripted(park), mails, poll=60)

    async def mailed() -> bool:
        return bool(mails.claims)

    async with running(loop, database_url):
        await eventually(mailed, "the mail")
