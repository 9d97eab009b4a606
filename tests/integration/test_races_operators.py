"""What people do to rows that workers take, settle and redrive at the same moment."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from outbox_worker import migrate
from outbox_worker.database import Connection
from outbox_worker.gate import store as gate
from outbox_worker.operations import requeue
from outbox_worker.operations.discard import Discards, discard
from outbox_worker.operations.plan import Item
from outbox_worker.operations.slices import Request
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import DeliveryId, Destination, Reason
from outbox_worker.outbox.outcome import Done, Retry
from tests.support_engine import (
    A,
    B,
    attempts_of,
    booking_row,
    claim_all,
    end_lease,
    owe,
    policy,
    row_of,
)
from tests.support_races import claim_only, owed_booking, session, state, waits
from tests.support_settle import FAILED, REFUSED, alert, alerts_in, record

GUESTLY, INBOX = Destination.GUESTLY, Destination.INBOX
BY_A_PERSON = Request(actor="ops", target="the test", reason="it is the test")
REDRIVEN = policy(max_attempts=1, redrive_every=timedelta(hours=1))


async def shown(conn: Connection, delivery: DeliveryId) -> Item:
    """The row as an operator sees it now, decided to be acted on."""
    row = await row_of(conn, delivery)
    return Item(
        name=row["key"],
        destination=Destination(row["destination"]),
        key=row["key"],
        delivery_id=delivery,
        booking_id=None,
        booking_status=None,
        check_in=None,
        state=None,
        error_code=None,
        requested=row["requested"],
        delivered=row["delivered"],
        failed_at=row["failed_at"],
        discarded_at=row["discarded_at"],
        skip=None,
    )


async def ask_again(conn: Connection, item: Item) -> requeue.Changed:
    return await requeue.apply(conn, [item], BY_A_PERSON)


async def say_no(conn: Connection, item: Item) -> Discards:
    return await discard(conn, [item], BY_A_PERSON)


def acted(done: Any) -> bool:
    """Whether a requeue or discard has changed the row."""
    return bool(done.requeued if isinstance(done, requeue.Changed) else done.discarded)


async def given_up(conn: Connection) -> DeliveryId:
    """A row whose redrive is planned."""
    delivery = await owe(conn)
    await record(conn, await claim_only(conn), FAILED, rules=REDRIVEN)
    return delivery


async def redrive(conn: Connection) -> tuple[DeliveryId, ...]:
    """Try again at once what was given up before now, as the end of an outage does."""
    cursor = await conn.execute("select clock_timestamp() as now")
    (row,) = await cursor.fetchall()
    return await gate.redrive(conn, INBOX, before=row["now"], limit=10)


both = pytest.mark.parametrize("act", [ask_again, say_no], ids=["requeue", "discard"])


async def test_a_claim_passes_by_a_row_that_is_being_requeued_and_then_begins_its_round(
    conn: Connection, database_url: str
) -> None:
    delivery = await given_up(conn)
    item = await shown(conn, delivery)
    async with session(database_url, "operator") as operator, operator.transaction():
        assert acted(await ask_again(operator, item))
        assert await claim_all(conn) == []

    claim = await claim_only(conn)

    assert (claim.version, claim.attempts, claim.round) == (2, 1, 2)
    assert claim.failed_at is None


async def test_a_claim_passes_by_a_row_that_is_being_discarded_and_finds_nothing_after_it(
    conn: Connection, database_url: str
) -> None:
    delivery = await owe(conn)
    item = await shown(conn, delivery)
    async with session(database_url, "operator") as operator, operator.transaction():
        assert acted(await say_no(operator, item))
        assert await claim_all(conn) == []
    assert await claim_all(conn) == []
    assert (await row_of(conn, delivery))["discarded_at"] is not None


@both
async def test_a_person_behind_a_claim_under_way_leaves_its_row_alone(
    conn: Connection, database_url: str, act: Any
) -> None:
    delivery = await owe(conn)
    item = await shown(conn, delivery)
    async with session(database_url, "operator") as operator, session(database_url) as worker:
        async with worker.transaction():
            claim = await claim_only(worker)
            acting = await waits(conn, act(operator, item))
        done = await acting

    assert not acted(done), "its worker may be creating the reservation at this moment"
    assert done.skipped[0].reason == "changed since the list was made"
    assert (await record(conn, claim, Done())).accepted


@both
async def test_a_person_behind_a_late_settle_sees_its_success(
    conn: Connection, database_url: str, act: Any
) -> None:
    delivery = await owe(conn)
    claim = await claim_only(conn)
    await end_lease(conn, delivery)
    item = await shown(conn, delivery)
    async with session(database_url, "operator") as operator, session(database_url) as late:
        async with late.transaction():
            await record(late, claim, Done())
            left = state(await row_of(late, delivery))
            acting = await waits(conn, act(operator, item))
        assert not acted(await acting)
    assert state(await row_of(conn, delivery)) == left


@both
async def test_a_late_settle_behind_a_person_is_refused_and_the_doubt_stays(
    conn: Connection, database_url: str, act: Any
) -> None:
    delivery = await owe(conn)
    claim = await claim_only(conn)
    await end_lease(conn, delivery)
    lease = (await row_of(conn, delivery))["lease_until"]
    item = await shown(conn, delivery)
    async with session(database_url, "operator") as operator, session(database_url) as late:
        async with operator.transaction():
            assert acted(await act(operator, item))
            left = state(await row_of(operator, delivery))
            settling = await waits(conn, record(late, claim, Done()))
        assert (await settling).refused

    assert state(await row_of(conn, delivery)) == left
    assert (left["uncertain_at"], left["owner"], left["delivered"]) == (lease, None, 0)
    assert [made["outcome"] for made in await attempts_of(conn, delivery)] == ["lost"]


async def test_a_request_for_a_discarded_row_is_kept_and_only_a_person_revives_it_in_doubt(
    conn: Connection,
) -> None:
    delivery = await owe(conn)
    await claim_only(conn)
    await end_lease(conn, delivery)
    assert acted(await say_no(conn, await shown(conn, delivery)))
    await owe(conn)
    assert await claim_all(conn) == [], "a person said no"

    assert acted(await ask_again(conn, await shown(conn, delivery)))

    claim = await claim_only(conn)
    assert (claim.version, claim.attempts) == (3, 1)
    assert claim.uncertain_at is not None, "a create would follow without a look"


@both
async def test_a_person_behind_a_request_leaves_the_newer_version_alone(
    conn: Connection, database_url: str, act: Any
) -> None:
    delivery = await given_up(conn)
    item = await shown(conn, delivery)
    async with session(database_url, "operator") as operator, session(database_url) as site:
        async with site.transaction():
            await store.request(site, destination=INBOX, key="k", reason=Reason.STRIPE)
            acting = await waits(conn, act(operator, item))
        assert not acted(await acting), "what was shown is not what would be changed"
    assert (await claim_only(conn)).version == 2


async def test_a_request_behind_a_discard_is_only_recorded(
    conn: Connection, database_url: str
) -> None:
    delivery = await given_up(conn)
    item = await shown(conn, delivery)
    async with session(database_url, "operator") as operator, session(database_url) as site:
        async with operator.transaction():
            assert acted(await say_no(operator, item))
            work = store.request(site, destination=INBOX, key="k", reason=Reason.STRIPE)
            asking = await waits(conn, work)
        assert await asking == 2
    row = await row_of(conn, delivery)
    assert (row["requested"], row["due_at"], row["discarded_at"] is not None) == (2, None, True)


async def test_a_redrive_passes_by_a_row_that_is_being_requeued_and_finds_it_healed(
    conn: Connection, database_url: str
) -> None:
    delivery = await given_up(conn)
    item = await shown(conn, delivery)
    async with session(database_url, "operator") as operator, operator.transaction():
        assert acted(await ask_again(operator, item))
        assert await redrive(conn) == ()
    assert await redrive(conn) == ()
    row = await row_of(conn, delivery)
    assert (row["failed_at"], row["requested"], row["attempts"]) == (None, 2, 0)


@both
async def test_a_person_behind_a_redrive_acts_on_the_row_that_it_left(
    conn: Connection, database_url: str, act: Any
) -> None:
    delivery = await given_up(conn)
    item = await shown(conn, delivery)
    async with session(database_url, "operator") as operator, session(database_url) as worker:
        async with worker.transaction():
            assert await redrive(worker) == (delivery,)
            acting = await waits(conn, act(operator, item))
        assert acted(await acting), "a redrive changes nothing of what was shown"
    row = await row_of(conn, delivery)
    assert (row["failed_at"], row["attempts"]) == (None, 0 if act is ask_again else 1)


async def test_a_redrive_touches_neither_what_a_person_must_act_on_nor_what_is_under_way(
    conn: Connection,
) -> None:
    refused = await owe(conn, "refused")
    await record(conn, await claim_only(conn), REFUSED, rules=REDRIVEN)
    under_way = await owe(conn, "under way")
    await record(conn, await claim_only(conn), FAILED, rules=REDRIVEN)
    await conn.execute("update outbox.delivery set due_at = now() where id = %s", [under_way])
    await claim_only(conn, B)
    before = [state(await row_of(conn, row)) for row in (refused, under_way)]

    assert await redrive(conn) == ()

    assert [state(await row_of(conn, row)) for row in (refused, under_way)] == before


async def test_two_redrives_at_once_share_the_rows(conn: Connection, database_url: str) -> None:
    for number in range(3):
        await owe(conn, f"k{number}")
        await record(conn, await claim_only(conn), FAILED, rules=REDRIVEN)
    async with session(database_url, "one") as one, one.transaction():
        cursor = await one.execute("select clock_timestamp() as now")
        (row,) = await cursor.fetchall()
        first = await gate.redrive(one, INBOX, before=row["now"], limit=2)
        second = await gate.redrive(conn, INBOX, before=row["now"], limit=2)
    assert (len(first), len(second), len({*first, *second})) == (2, 1, 3)


async def test_what_a_person_asked_for_again_and_fails_again_is_told_again(
    conn: Connection,
) -> None:
    delivery = await owe(conn)
    for count in (1, 2):
        rules = policy(max_attempts=1)
        claim = await claim_only(conn)
        await record(conn, claim, FAILED, effects=(alert(),), rules=rules)
        assert [row["count"] for row in await alerts_in(conn)] == [count]
        assert acted(await ask_again(conn, await shown(conn, delivery)))
    cursor = await conn.execute("select healed_at is null as open from outbox.alert_delivery")
    assert [row["open"] for row in await cursor.fetchall()] == [False, False]


async def test_nothing_of_ours_wakes_the_trigger_on_bookings(
    conn: Connection, direct_url: str
) -> None:
    await asyncio.to_thread(migrate.apply, direct_url, with_booking_trigger=True)
    # a site may touch its rows at every update, which changes nothing that a reservation shows
    await conn.execute(
        "create function touch() returns trigger language plpgsql as"
        " $$ begin new.confirmed_at := clock_timestamp(); return new; end $$;"
        " create trigger touch before update on bookings for each row execute function touch()"
    )
    booking, delivery = await owed_booking(conn)
    for outcome in (Retry(code="http_503", message="503"), Done()):
        await conn.execute("update outbox.delivery set due_at = now()")
        claim = await claim_only(conn, A, destination=GUESTLY)
        assert (await record(conn, claim, outcome, booking=True)).accepted
    row = await row_of(conn, delivery)
    assert (row["requested"], row["due_at"]) == (1, None), "our own settle asks for the next one"
    assert (await booking_row(conn, booking))["guestly_sync_status"] == "synced"

    await conn.execute("update bookings set adults = adults, children = 0 where id = %s", [booking])

    row = await row_of(conn, delivery)
    assert (row["requested"], row["due_at"] is not None) == (2, True), "the trigger is not there"
