"""A request against a claim and against a settle, in every order of their commits."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from outbox_worker.database import Connection
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Destination, Reason
from outbox_worker.outbox.outcome import Abandon, Done, Outcome, Park, Retry, Wait
from tests.support_engine import A, booking_row, claim_all, insert_booking, owe, policy, row_of
from tests.support_races import claim_only, owed_booking, session, waits
from tests.support_settle import alert, alerts_in, record

RULES = policy(base=timedelta(hours=1), cap=timedelta(hours=1))
LATER = Wait(due_in=timedelta(hours=1), code="http_429", message="slow down")
FAILED = Retry(code="http_503", message="503")
REFUSED = Park(code="listing_missing", message="no listing")
GUESTLY = Destination.GUESTLY


async def ask(conn: Connection) -> int:
    """Ask for the tests' only inbox delivery once more."""
    return await store.request(conn, destination=Destination.INBOX, key="k", reason=Reason.OPERATOR)


async def test_a_claim_passes_by_a_request_under_way_and_then_takes_its_version(
    conn: Connection, database_url: str
) -> None:
    booking, _ = await owed_booking(conn)
    async with session(database_url, "site") as site, site.transaction():
        await site.execute("update bookings set adults = 1 where id = %s", [booking])
        await store.request_sync(site, booking, reason=Reason.DATABASE)
        assert await claim_all(conn, destination=GUESTLY) == []
    assert (await claim_only(conn, destination=GUESTLY)).version == 2


async def test_a_request_that_came_during_a_claim_is_owed_after_its_success(
    conn: Connection, database_url: str
) -> None:
    delivery = await owe(conn)
    async with session(database_url, "worker") as worker, session(database_url) as site:
        async with worker.transaction():
            claim = await claim_only(worker)
            asking = await waits(conn, ask(site))
        assert (claim.version, await asking) == (1, 2)
        await record(worker, claim, Done())

    row = await row_of(conn, delivery)
    assert (row["delivered"], row["requested"], row["due_at"] <= row["now"]) == (1, 2, True)


async def test_a_version_asked_for_during_a_call_is_claimed_right_after_it_with_all_attempts(
    conn: Connection,
) -> None:
    delivery = await owe(conn)
    await record(conn, await claim_only(conn), FAILED)
    await conn.execute("update outbox.delivery set due_at = now() where id = %s", [delivery])
    second = await claim_only(conn)
    await owe(conn)
    await record(conn, second, Done())

    third = await claim_only(conn)

    assert (second.attempts, second.version) == (2, 1)
    assert (third.attempts, third.version, third.round) == (1, 2, second.round + 1)
    assert third.uncertain_at is None


#: What is left of a row whose last attempt ends like this while a newer version is asked for.
ENDS = {
    "success": (Done(), {"delivered": 1, "attempts": 0, "round": 2}),
    "a last failure": (FAILED, {"delivered": 0, "attempts": 0, "round": 2}),
    "a refusal": (REFUSED, {"delivered": 0, "attempts": 0, "round": 2}),
    "giving back": (Abandon(code="worker_stopped"), {"delivered": 0, "attempts": 2, "round": 1}),
}
either_order = pytest.mark.parametrize(
    ("outcome", "left"), list(ENDS.values()), ids=[name.replace(" ", "-") for name in ENDS]
)


@either_order
async def test_a_settle_behind_a_request_compares_with_its_version(
    conn: Connection, database_url: str, outcome: Outcome, left: dict[str, int]
) -> None:
    delivery = await owe(conn)
    await conn.execute("update outbox.delivery set attempts = 2")
    claim = await claim_only(conn)
    async with session(database_url, "site") as site, session(database_url) as worker:
        async with site.transaction():
            assert await ask(site) == 2
            work = record(worker, claim, outcome, effects=(alert(),), rules=RULES)
            settling = await waits(conn, work)
        done = await settling

    assert done.accepted
    await due_with_version_2(conn, delivery, left)


@either_order
async def test_a_request_behind_a_settle_goes_round_again(
    conn: Connection, database_url: str, outcome: Outcome, left: dict[str, int]
) -> None:
    delivery = await owe(conn)
    await conn.execute("update outbox.delivery set attempts = 2")
    claim = await claim_only(conn)
    async with session(database_url, "site") as site, session(database_url) as worker:
        async with worker.transaction():
            await record(worker, claim, outcome, rules=RULES)
            asking = await waits(conn, ask(site))
        assert await asking == 2

    await due_with_version_2(conn, delivery, left)


async def due_with_version_2(conn: Connection, delivery: Any, left: dict[str, int]) -> None:
    row = await row_of(conn, delivery)
    assert row["due_at"] is not None
    assert row["due_at"] <= row["now"], "a newer version waits for what an older one met"
    assert {name: row[name] for name in left} == left
    assert (row["requested"], row["failed_at"], row["owner"]) == (2, None, None)
    assert await alerts_in(conn) == []


@pytest.mark.parametrize("outcome", [FAILED, LATER], ids=["a-failure", "a-wait"])
@pytest.mark.parametrize("asked_first", [True, False])
async def test_a_request_in_either_order_keeps_the_wait_of_a_row_that_will_be_tried_again(
    conn: Connection, database_url: str, outcome: Outcome, *, asked_first: bool
) -> None:
    delivery = await owe(conn)
    claim = await claim_only(conn)
    async with session(database_url, "site") as site, session(database_url) as worker:
        if asked_first:
            async with site.transaction():
                await ask(site)
                second = await waits(conn, record(worker, claim, outcome, rules=RULES))
            assert (await second).accepted
        else:
            async with worker.transaction():
                await record(worker, claim, outcome, rules=RULES)
                asking = await waits(conn, ask(site))
            assert await asking == 2

    row = await row_of(conn, delivery)
    assert (row["requested"], row["delivered"]) == (2, 0)
    assert row["due_at"] - row["now"] > timedelta(minutes=55), "edits would defeat the back-off"


async def test_a_settle_beside_a_request_of_a_booking_is_put_off_and_then_goes_round_again(
    conn: Connection, database_url: str
) -> None:
    booking, delivery = await owed_booking(conn)
    claim = await claim_only(conn, destination=GUESTLY)
    async with session(database_url, "site") as site, site.transaction():
        # as the site does it: first the change, which locks the booking, then the request
        await site.execute("update bookings set adults = 1 where id = %s", [booking])
        put_off = await record(conn, claim, Done(), booking=True)
        await store.request_sync(site, booking, reason=Reason.DATABASE)
    assert [item.claim.id for item in put_off.deferred] == [delivery]

    done = await record(conn, claim, Done(), booking=True)

    assert (bool(done.accepted), done.more) == (True, True)
    row = await row_of(conn, delivery)
    assert (row["delivered"], row["requested"], row["due_at"] is not None) == (1, 2, True)
    assert (await booking_row(conn, booking))["guestly_sync_status"] == "pending"


async def test_a_request_behind_a_settle_of_its_booking_shows_it_as_pending_again(
    conn: Connection, database_url: str
) -> None:
    booking, delivery = await owed_booking(conn)
    claim = await claim_only(conn, destination=GUESTLY)
    async with session(database_url, "site") as site, session(database_url) as worker:
        async with worker.transaction():
            await record(worker, claim, Done(), booking=True)
            work = store.request_sync(site, booking, reason=Reason.DATABASE)
            asking = await waits(conn, work)
        assert await asking == 2

    row = await row_of(conn, delivery)
    assert (row["delivered"], row["due_at"] is not None, row["attempts"]) == (1, True, 0)
    shown = await booking_row(conn, booking)
    assert (shown["guestly_sync_status"], shown["guestly_sync_attempts"]) == ("pending", 0)


async def test_two_requests_of_a_booking_never_asked_for_count_once_each(
    conn: Connection, database_url: str
) -> None:
    booking = await insert_booking(conn)
    async with session(database_url, "site") as site, session(database_url) as other:
        async with site.transaction():
            first = await store.request_sync(site, booking, reason=Reason.STRIPE)
            work = store.request_sync(other, booking, reason=Reason.OPERATOR)
            second = await waits(conn, work)
        assert (first, await second) == (1, 2)

    cursor = await conn.execute("select version, reason from outbox.request order by version")
    assert [tuple(row.values()) for row in await cursor.fetchall()] == [
        (1, "stripe"),
        (2, "operator"),
    ]
    assert (await claim_only(conn, A, destination=GUESTLY)).version == 2


async def test_a_request_that_is_taken_back_leaves_the_claim_its_version(
    conn: Connection, database_url: str
) -> None:
    delivery = await owe(conn)
    claim = await claim_only(conn)
    async with session(database_url, "site") as site, session(database_url) as worker:
        async with site.transaction(force_rollback=True):
            await ask(site)
            settling = await waits(conn, record(worker, claim, Done()))
        assert (await settling).accepted

    row = await row_of(conn, delivery)
    assert (row["delivered"], row["requested"], row["due_at"]) == (1, 1, None)
