"""Rules of claim and settle that nothing else pins down: each test is the only witness of one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

import pytest

from outbox_worker.database import Connection, Row, connect
from outbox_worker.errors import DatabaseError
from outbox_worker.handlers.effect import ReservationHeld
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Claim, Destination, Reason
from outbox_worker.outbox.outcome import Abandon, Done, Outcome, Retry, Wait
from outbox_worker.pms.port import Mode, PmsName
from outbox_worker.sql import query
from tests.support_engine import (
    LEASE,
    A,
    B,
    attempts_of,
    booking_row,
    claim_all,
    end_lease,
    insert_booking,
    owe,
    policy,
    row_of,
)
from tests.support_races import session, waits
from tests.support_settle import FAILED, alert, alerts_in, record

T = TypeVar("T")
#: A lock of the tests' own, which a slowed statement waits for.
BETWEEN = "pg_advisory_xact_lock(1)"
QUIETLY = Wait(due_in=timedelta(0), code="rate_limited", message="slow down")
AMBIGUOUS = Retry(code="timeout", message="time-out", ambiguous=True)


async def prompt(work: Awaitable[T], what: str) -> T:
    """The answer of something that must neither wait for a lock nor be refused."""
    task = asyncio.ensure_future(work)
    await asyncio.wait({task}, timeout=5)
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
        raise AssertionError(f"{what} waits for a lock")
    try:
        return task.result()
    except DatabaseError as error:
        raise AssertionError(f"{what}: {error}") from error


async def claim(conn: Connection, *, lost: bool = False) -> Claim:
    """Claim the only due row; ``lost``: as the worker of a claim that is then lost."""
    (taken,) = await claim_all(conn)
    if lost:
        await end_lease(conn, taken.id)
    return taken


@pytest.mark.parametrize("by_id", [False, True], ids=["claim", "claim one"])
async def test_a_claim_passes_by_a_row_that_somebody_locks(
    conn: Connection, database_url: str, *, by_id: bool
) -> None:
    delivery = await owe(conn)
    other = await connect(database_url, application_name="test", autocommit=False)
    try:
        await other.execute("select from outbox.delivery where id = %s for update", [delivery])
        if by_id:
            one = store.claim_one(conn, delivery, owner=A, lease=LEASE, max_attempts=3)
            assert await prompt(one, "a claim by id") is None
        else:
            assert await prompt(claim_all(conn), "a claim") == []
    finally:
        await other.close()


async def test_a_lease_that_is_over_can_be_claimed_and_the_lost_attempt_is_on_record(
    conn: Connection,
) -> None:
    delivery = await owe(conn)
    await claim(conn, lost=True)

    again = await claim_all(conn, B)

    assert [taken.id for taken in again] == [delivery], "nothing else would ever free the row"
    recorded = [attempt["outcome"] for attempt in await attempts_of(conn, delivery)]
    assert recorded == ["lost"]


async def claim_slowly(conn: Connection) -> Row | None:
    """Claim as worker B, with a wait between the statement's snapshot and its locks."""
    slow = query("claim").replace("select set_config(", f"select {BETWEEN}, set_config(")
    assert BETWEEN in slow
    wanted = {"destinations": ["inbox"], "limits": [1], "max_attempts": [3]}
    cursor = await conn.execute(slow, {**wanted, "owner": B, "lease": LEASE})
    return await cursor.fetchone()


async def test_an_owner_who_settles_just_before_the_claim_was_not_lost(
    conn: Connection, database_url: str
) -> None:
    delivery = await owe(conn)
    settling = await claim(conn, lost=True)
    async with session(database_url) as other, session(database_url) as holder:
        async with holder.transaction():
            await holder.execute(f"select {BETWEEN}")
            claiming = await waits(conn, claim_slowly(other))
            await record(conn, settling, Abandon(code="worker_stopped"))
        taken = await claiming

    recorded = [attempt["outcome"] for attempt in await attempts_of(conn, delivery)]
    assert recorded == [], "an attempt was called lost that had been settled"
    assert taken is not None
    assert (taken["lost_owner"], taken["uncertain_at"]) == (None, None)


async def test_a_claim_takes_the_version_that_was_asked_for_just_before_it(
    conn: Connection, database_url: str
) -> None:
    await owe(conn)
    async with session(database_url) as other, session(database_url) as holder:
        async with holder.transaction():
            await holder.execute(f"select {BETWEEN}")
            claiming = await waits(conn, claim_slowly(other))
            await owe(conn)
        taken = await claiming

    assert taken is not None
    assert taken["version"] == 2, "the row was locked after that request: its version is 2"


@pytest.mark.parametrize("outcome", [Done(), FAILED, QUIETLY], ids=["done", "failed", "released"])
async def test_a_fence_is_never_used_twice_and_an_older_one_settles_nothing(
    conn: Connection, outcome: Outcome
) -> None:
    delivery = await owe(conn)
    older = await claim(conn)
    await record(conn, older, Abandon(code="worker_stopped"))
    newer = await claim(conn)
    assert newer.fence != older.fence, "two claims of a row share a fence"
    before = await row_of(conn, delivery)

    late = await record(conn, older, outcome)

    assert late.refused, "a claim that was given back has settled its row"
    assert {**await row_of(conn, delivery), "now": None} == {**before, "now": None}


@pytest.mark.parametrize("outcome", [Done(), FAILED, QUIETLY], ids=["done", "failed", "released"])
async def test_a_settle_burns_the_fence(conn: Connection, outcome: Outcome) -> None:
    delivery = await owe(conn)
    taken = await claim(conn)
    await owe(conn)  # so that the row stays due, and no constraint comes to the rescue

    await record(conn, taken, outcome)

    row = await row_of(conn, delivery)
    assert (row["owner"], row["fence"], row["lease_until"]) == (None, 0, None)


async def test_nothing_of_a_late_result_is_applied(conn: Connection) -> None:
    booking = await insert_booking(conn)
    await store.request_sync(conn, booking, reason=Reason.STRIPE)
    (late,) = await claim_all(conn, destination=Destination.GUESTLY)
    await end_lease(conn, late.id)
    await claim_all(conn, B, destination=Destination.GUESTLY)

    await record(conn, late, Done(), effects=(holding(booking, "late"),), booking=True)

    cursor = await conn.execute("select reservation_id from outbox.reservation")
    assert await cursor.fetchall() == [], "a worker that had lost the row recorded its reservation"


async def test_a_version_asked_for_during_the_call_is_due_at_once(conn: Connection) -> None:
    delivery = await owe(conn)
    taken = await claim(conn)
    await owe(conn)

    await prompt(record(conn, taken, Done()), "settling an older version")

    row = await row_of(conn, delivery)
    assert row["due_at"] is not None
    assert row["due_at"] <= row["now"]


async def test_a_row_given_up_long_ago_keeps_its_date_through_redrives(conn: Connection) -> None:
    rules = policy(max_attempts=1, redrive_every=timedelta(minutes=60))
    delivery = await owe(conn)
    await conn.execute(
        "update outbox.delivery set attempts = 1, failed_at = now() - interval '30 minutes'"
    )
    since = (await row_of(conn, delivery))["failed_at"]
    taken = await claim(conn)

    done = await record(conn, taken, FAILED, effects=(alert(),), rules=rules)

    row = await row_of(conn, delivery)
    assert row["failed_at"] == since, "the 72 hours would begin anew with every redrive"
    assert row["due_at"] is not None, "the settle that gives up plans the redrive"
    assert abs(row["due_at"] - row["now"] - timedelta(minutes=60)) < timedelta(seconds=30)
    assert done.gave_up == {delivery}
    assert await alerts_in(conn) == [], "it was told when it was given up"


async def test_the_end_of_the_redrives_is_told_once_more(conn: Connection) -> None:
    rules = policy(max_attempts=1, redrive_every=timedelta(minutes=60))
    delivery = await owe(conn)
    await conn.execute(
        "update outbox.delivery set attempts = 1, failed_at = now() - interval '72 hours'"
    )
    taken = await claim(conn)

    await record(conn, taken, FAILED, effects=(alert(),), rules=rules)

    assert (await row_of(conn, delivery))["due_at"] is None
    assert len(await alerts_in(conn)) == 1, "from now on it is a person's turn"


async def test_uncertainty_is_never_moved_back_by_an_answer_that_is_settled(
    conn: Connection,
) -> None:
    delivery = await owe(conn)
    await record(conn, await claim(conn), AMBIGUOUS)
    uncertain = (await row_of(conn, delivery))["uncertain_at"]
    await conn.execute("update outbox.delivery set due_at = now()")
    over = Retry(code="http_500", message="500", ambiguous=True, settled_for=timedelta(seconds=30))

    await record(conn, await claim(conn), over)

    after = (await row_of(conn, delivery))["uncertain_at"]
    assert after == uncertain, "the write that timed out may still be under way"


@pytest.mark.parametrize("certain", [False, True])
async def test_only_a_release_that_is_certain_ends_the_doubt(
    conn: Connection, *, certain: bool
) -> None:
    delivery = await owe(conn)
    await record(conn, await claim(conn), AMBIGUOUS)
    await conn.execute("update outbox.delivery set due_at = now()")

    taken = await claim(conn)
    wait = Wait(due_in=timedelta(0), code="adopted", message="it is there", certain=certain)
    await record(conn, taken, wait)

    assert ((await row_of(conn, delivery))["uncertain_at"] is None) is certain


async def refuse(conn: Connection, table: str) -> None:
    """Let Postgres refuse every write to a table."""
    await conn.execute(
        "create function refuse() returns trigger language plpgsql as"
        " $$ begin raise exception 'refused by the test'; end $$"
    )
    await conn.execute(
        f"create trigger refuse before insert or update on {table} for each row"
        " execute function refuse()"
    )


async def test_without_its_alert_a_row_is_not_given_up(conn: Connection) -> None:
    delivery = await owe(conn)
    await conn.execute("update outbox.delivery set attempts = 2")
    taken = await claim(conn)
    await refuse(conn, "outbox.alert")

    with pytest.raises(DatabaseError, match="refused by the test"):
        await record(conn, taken, FAILED, effects=(alert(),))

    row = await row_of(conn, delivery)
    assert (row["owner"], row["failed_at"]) == (A, None), "given up, and nobody will be told"


async def test_the_columns_of_a_booking_change_with_its_delivery_or_not_at_all(
    conn: Connection,
) -> None:
    booking = await insert_booking(conn)
    await store.request_sync(conn, booking, reason=Reason.STRIPE)
    (taken,) = await claim_all(conn, destination=Destination.GUESTLY)
    await refuse(conn, "public.bookings")

    with pytest.raises(DatabaseError, match="refused by the test"):
        await record(conn, taken, Done(), effects=(holding(booking, "r1"),), booking=True)

    row = await row_of(conn, taken.id)
    assert (row["owner"], row["delivered"]) == (A, 0)
    cursor = await conn.execute("select from outbox.reservation")
    assert await cursor.fetchall() == []


async def test_a_settle_does_not_wait_for_a_booking_that_somebody_holds(
    conn: Connection, database_url: str
) -> None:
    booking = await insert_booking(conn)
    await store.request_sync(conn, booking, reason=Reason.STRIPE)
    (taken,) = await claim_all(conn, destination=Destination.GUESTLY)
    site = await connect(database_url, application_name="site", autocommit=False)
    try:
        await site.execute("select from bookings where id = %s for update", [booking])
        done = await prompt(record(conn, taken, Done(), booking=True), "a settle")
    finally:
        await site.close()

    assert [item.claim.id for item in done.deferred] == [taken.id]
    assert (await booking_row(conn, booking))["guestly_sync_status"] == "pending"


async def test_each_further_reservation_of_a_booking_is_counted(conn: Connection) -> None:
    booking = await insert_booking(conn)
    for reservation_id, count in (("r1", 1), ("r1", 1), ("r2", 2)):
        await store.request_sync(conn, booking, reason=Reason.STRIPE)
        (taken,) = await claim_all(conn, destination=Destination.GUESTLY)
        effect = holding(booking, reservation_id)
        await record(conn, taken, Done(), effects=(effect,), booking=True)
        cursor = await conn.execute("select reservation_id, reservations from outbox.reservation")
        kept = await cursor.fetchone()
        assert kept == {"reservation_id": reservation_id, "reservations": count}


def holding(booking: UUID, reservation_id: str) -> ReservationHeld:
    return ReservationHeld(
        booking_id=booking,
        pms=PmsName.GUESTLY,
        reservation_id=reservation_id,
        mode=Mode.LIVE,
        fingerprint="f" * 64,
    )
