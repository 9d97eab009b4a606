"""Settling against claims, renewals and other settles: late, twice, stale, in batches."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors as pg

from outbox_worker.alerts.alert import AlertKind, NewAlert
from outbox_worker.database import Connection
from outbox_worker.handlers.effect import AlertRaised, ReservationHeld, Result
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Claim, DeliveryId, Destination, Reason
from outbox_worker.outbox.outcome import (
    Abandon,
    AttemptOutcome,
    Done,
    Outcome,
    Park,
    Retry,
    Wait,
)
from outbox_worker.pms.port import Mode, PmsName
from outbox_worker.worker.execute import Finished
from outbox_worker.worker.settle import settle
from tests.support_engine import (
    LEASE,
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
from tests.support_settle import FAILED, POLICIES, REFUSED, alert, alerts_in, record

GUESTLY = Destination.GUESTLY
OUTCOMES: dict[str, Outcome] = {
    "success": Done(),
    "failure": FAILED,
    "ambiguity": Retry(code="timeout", message="time-out", ambiguous=True),
    "refusal": REFUSED,
    "wait": Wait(
        due_in=timedelta(0),
        record=AttemptOutcome.WAITING,
        code="later",
        message="later",
        certain=True,
    ),
    "giving-back": Abandon(code="worker_stopped"),
}
each_outcome = pytest.mark.parametrize("outcome", list(OUTCOMES.values()), ids=list(OUTCOMES))


async def outcomes_of(conn: Connection, delivery: DeliveryId) -> list[str]:
    return [attempt["outcome"] for attempt in await attempts_of(conn, delivery)]


@each_outcome
async def test_a_late_result_counts_while_nobody_has_taken_the_row_over(
    conn: Connection, outcome: Outcome
) -> None:
    delivery = await owe(conn)
    claim = await claim_only(conn)
    await end_lease(conn, delivery)

    done = await record(conn, claim, outcome)

    assert done.accepted, "what it says is still true"
    assert (await row_of(conn, delivery))["owner"] is None
    assert "lost" not in await outcomes_of(conn, delivery)


async def test_a_claim_passes_by_a_row_that_its_late_owner_is_settling(
    conn: Connection, database_url: str
) -> None:
    delivery = await owe(conn)
    claim = await claim_only(conn)
    await end_lease(conn, delivery)
    async with session(database_url, "late") as late, late.transaction():
        await record(late, claim, Done())
        assert await claim_all(conn, B) == []
    assert await claim_all(conn, B) == []
    assert await outcomes_of(conn, delivery) == ["held"]


@each_outcome
async def test_a_late_result_behind_the_claim_that_takes_the_row_over_is_refused(
    conn: Connection, database_url: str, outcome: Outcome
) -> None:
    delivery = await owe(conn)
    late = await claim_only(conn, A)
    await end_lease(conn, delivery)
    async with session(database_url, "next") as following, session(database_url, "late") as stale:
        async with following.transaction():
            current = await claim_only(following, B)
            before = state(await row_of(following, delivery))
            settling = await waits(conn, record(stale, late, outcome, effects=(alert(),)))
        done = await settling

    assert (bool(done.refused), done.accepted) == (True, ())
    assert state(await row_of(conn, delivery)) == before
    assert (await outcomes_of(conn, delivery), await alerts_in(conn)) == (["lost"], [])
    assert (await record(conn, current, Done(), owner=B)).accepted


@each_outcome
async def test_a_result_recorded_twice_at_once_counts_once(
    conn: Connection, database_url: str, outcome: Outcome
) -> None:
    delivery = await owe(conn)
    claim = await claim_only(conn)
    async with session(database_url, "first") as first, session(database_url, "again") as again:
        async with first.transaction():
            assert (await record(first, claim, outcome)).accepted
            left = state(await row_of(first, delivery))
            repeating = await waits(conn, record(again, claim, outcome))
        assert (await repeating).refused

    assert state(await row_of(conn, delivery)) == left
    assert len(await attempts_of(conn, delivery)) == (0 if isinstance(outcome, Abandon) else 1)


@each_outcome
async def test_a_fence_drawn_twice_after_a_failover_lets_no_stale_owner_in(
    conn: Connection, outcome: Outcome
) -> None:
    delivery = await owe(conn)
    stale = await claim_only(conn, A)
    # the new primary has never heard of that claim, nor of the number that it drew
    await conn.execute(
        "update outbox.delivery set owner = null, fence = 0, lease_until = null, attempts = 0"
    )
    await conn.execute("select setval('outbox.fence_seq', %s, false)", [stale.fence])
    current = await claim_only(conn, B)
    before = state(await row_of(conn, delivery))

    extended = await store.extend(conn, [stale], owner=A, lease=LEASE)
    done = await record(conn, stale, outcome, owner=A, effects=(alert(),))

    assert current.fence == stale.fence, "the test proves nothing"
    assert (extended.renewed, bool(done.refused)) == (frozenset(), True)
    assert state(await row_of(conn, delivery)) == before
    assert (await record(conn, current, outcome, owner=B)).accepted


@each_outcome
async def test_an_older_claim_of_the_same_worker_changes_nothing_at_all(
    conn: Connection, outcome: Outcome
) -> None:
    booking, delivery = await owed_booking(conn)
    older = await claim_only(conn, destination=GUESTLY)
    await end_lease(conn, delivery)
    await claim_only(conn, destination=GUESTLY)
    before, shown = state(await row_of(conn, delivery)), await booking_row(conn, booking)

    extended = await store.extend(conn, [older], owner=A, lease=LEASE * 9)
    late = await record(
        conn, older, outcome, booking=True, effects=(alert(), held(booking, "late"))
    )

    assert (extended.renewed, bool(late.refused)) == (frozenset(), True)
    assert state(await row_of(conn, delivery)) == before
    assert await booking_row(conn, booking) == shown
    cursor = await conn.execute("select from outbox.reservation")
    assert (await cursor.fetchall(), await alerts_in(conn)) == ([], [])


async def test_an_extension_beside_the_claim_that_takes_the_row_over_renews_nothing(
    conn: Connection, database_url: str
) -> None:
    delivery = await owe(conn)
    stale = await claim_only(conn, A)
    await end_lease(conn, delivery)
    async with session(database_url, "next") as following, following.transaction():
        current = await claim_only(following, B)
        during = await store.extend(conn, [stale], owner=A, lease=LEASE)
    after = await store.extend(conn, [stale], owner=A, lease=LEASE)

    assert (during.renewed, during.locked) == (frozenset(), frozenset({stale.fence}))
    assert (after.renewed, after.locked) == (frozenset(), frozenset())
    assert (await row_of(conn, delivery))["fence"] == current.fence


async def test_a_lease_whose_renewal_began_in_time_is_not_claimed(
    conn: Connection, database_url: str
) -> None:
    delivery = await owe(conn)
    claim = await claim_only(conn, A)
    async with session(database_url, "owner") as owner, owner.transaction():
        await owner.execute("select now()")  # from here on its clock stands still
        await conn.execute("update outbox.delivery set lease_until = clock_timestamp()")
        assert (await store.extend(owner, [claim], owner=A, lease=LEASE)).renewed
        assert await claim_all(conn, B) == [], "taken over in the middle of a renewal"
    assert await claim_all(conn, B) == []
    assert (await row_of(conn, delivery))["owner"] == A


async def test_a_claim_and_the_late_settle_of_the_owner_before_never_both_win(
    conn: Connection, database_url: str
) -> None:
    async with session(database_url, "late") as late:
        for number in range(100):
            delivery = await owe(conn, f"k{number}")
            old = await claim_only(conn, A)
            await end_lease(conn, delivery)
            settling, claiming = record(late, old, Done()), claim_all(conn, B)
            if number % 2:
                done, new = await asyncio.gather(settling, claiming)
            else:
                new, done = await asyncio.gather(claiming, settling)
            assert bool(done.accepted) != bool(new), f"{done} and {new}"
            assert await outcomes_of(conn, delivery) == (["lost"] if new else ["held"])
            for claim in new:
                assert (await record(conn, claim, Done(), owner=B)).accepted


async def test_a_result_that_was_put_off_is_refused_once_the_row_was_taken_over(
    conn: Connection, database_url: str
) -> None:
    booking, delivery = await owed_booking(conn)
    claim = await claim_only(conn, destination=GUESTLY)
    async with session(database_url, "site") as site, site.transaction():
        await site.execute("select from bookings where id = %s for update", [booking])
        put_off = await record(conn, claim, Done(), booking=True)
        await end_lease(conn, delivery)
        # the site holds the booking alone: a claim needs nothing of it
        current = await claim_only(conn, B, destination=GUESTLY)
    assert put_off.deferred

    late = await settle(conn, put_off.deferred, owner=A, policies=POLICIES)

    assert late.refused
    assert (await record(conn, current, Done(), owner=B, booking=True)).accepted
    assert await outcomes_of(conn, delivery) == ["lost", "held"]


async def test_results_of_a_batch_with_a_stale_one_among_them_are_judged_one_by_one(
    conn: Connection,
) -> None:
    bookings = [await owed_booking(conn) for _ in range(4)]
    claims = sorted(await claim_all(conn, destination=GUESTLY), key=lambda claim: claim.id)
    await end_lease(conn, claims[1].id)
    await store.claim_one(conn, claims[1].id, owner=B, lease=LEASE, max_attempts=3)
    outcomes: list[Outcome] = [Done(), Done(), REFUSED, Abandon(code="worker_stopped")]

    done = await settle(
        conn,
        [finished(claim, outcome) for claim, outcome in zip(claims, outcomes, strict=True)],
        owner=A,
        policies=POLICIES,
    )

    assert {item.claim.id for item in done.refused} == {claims[1].id}
    rows = [await row_of(conn, delivery) for _, delivery in bookings]
    assert [row["owner"] for row in rows] == [None, B, None, None]
    assert [row["delivered"] for row in rows] == [1, 0, 0, 0]
    assert done.gave_up == {claims[2].id}


async def test_a_batch_of_failures_is_one_alert_for_each_incident(conn: Connection) -> None:
    for _ in range(5):
        await owed_booking(conn)
    claims = await claim_all(conn, destination=GUESTLY)
    codes = ("a", "a", "b", "a", "b")

    await settle(
        conn,
        [
            finished(claim, Park(code=code, message="no"), incident(code))
            for claim, code in zip(claims, codes, strict=True)
        ],
        owner=A,
        policies=POLICIES,
    )

    found = [(row["fingerprint"], row["count"]) for row in await alerts_in(conn)]
    assert sorted(found) == [("a", 3), ("b", 2)]
    cursor = await conn.execute("select delivery_id from outbox.alert_delivery")
    named = sorted(row["delivery_id"] for row in await cursor.fetchall())
    assert named == sorted(claim.id for claim in claims)
    mails = await claim_all(conn, destination=Destination.EMAIL)
    assert [mail.version for mail in mails] == [1, 1], "one mail for each, however many it names"


async def test_what_was_asked_for_again_and_fails_again_is_told_again(conn: Connection) -> None:
    delivery = await owe(conn)
    for count in (1, 2):
        await conn.execute("update outbox.delivery set attempts = 2 where id = %s", [delivery])
        await record(conn, await claim_only(conn), FAILED, effects=(alert(),))
        cursor = await conn.execute("select from outbox.alert_delivery")
        assert len(await cursor.fetchall()) == count
        await owe(conn)
        await conn.execute("update outbox.alert_delivery set healed_at = now()")
    assert [row["count"] for row in await alerts_in(conn)] == [2]


async def test_a_row_lost_again_and_again_is_in_doubt_even_in_its_next_round(
    conn: Connection,
) -> None:
    delivery = await owe(conn)
    numbers = []
    for _ in range(4):
        numbers.append((await claim_only(conn)).attempts)
        await end_lease(conn, delivery)
    parked = await claim_only(conn)
    rules = policy(redrive_every=timedelta(hours=1))
    await record(conn, parked, FAILED, rules=rules)
    await conn.execute("update outbox.delivery set due_at = now()")

    redriven = await claim_only(conn)

    assert (numbers, parked.attempts) == ([1, 2, 3, 4], 5)
    assert (redriven.attempts, redriven.round) == (1, parked.round + 1)
    assert redriven.uncertain_at is not None


@pytest.mark.parametrize(
    "change",
    [
        "due_at = null",
        "delivered = requested + 1",
        "failed_at = now(), delivered = requested",
        "discarded_at = now()",
        "owner = null",
        "fence = 0",
        "lease_until = null",
        "attempts = -1",
    ],
)
async def test_a_row_that_owes_something_cannot_be_put_to_rest_by_mistake(
    conn: Connection, change: str
) -> None:
    await owe(conn)
    await claim_only(conn)

    with pytest.raises(pg.CheckViolation):
        await conn.execute(f"update outbox.delivery set {change}".encode())


async def test_a_site_that_changes_a_booking_and_then_requests_it_never_waits_for_a_settle(
    conn: Connection, database_url: str
) -> None:
    booking, delivery = await owed_booking(conn)
    claim = await claim_only(conn, destination=GUESTLY)
    async with session(database_url, "site") as site, session(database_url) as worker:
        # a settle that took the row first would now wait for the booking, and the site for the row
        await worker.execute("begin")
        await site.execute("begin")
        await site.execute("update bookings set adults = 1 where id = %s", [booking])
        put_off = await record(worker, claim, Done(), booking=True)
        async with asyncio.timeout(5):
            await store.request_sync(site, booking, reason=Reason.DATABASE)
        await site.execute("commit")
        await worker.execute("commit")
        assert put_off.deferred
        assert (await settle(worker, put_off.deferred, owner=A, policies=POLICIES)).accepted

    row = await row_of(conn, delivery)
    assert (row["delivered"], row["requested"], row["due_at"] is not None) == (1, 2, True)


def held(booking: UUID, reservation_id: str) -> ReservationHeld:
    return ReservationHeld(
        booking_id=booking,
        pms=PmsName.GUESTLY,
        reservation_id=reservation_id,
        mode=Mode.LIVE,
        fingerprint="f" * 64,
    )


def incident(name: str) -> AlertRaised:
    raised = NewAlert(kind=AlertKind.SYNC_REJECTED, fingerprint=name)
    return AlertRaised(alert=raised, only_if_given_up=True, names_delivery=True)


def finished(claim: Claim, outcome: Outcome, *effects: Any) -> Finished:
    result = Result(outcome=outcome, booking_id=UUID(claim.key), effects=effects)
    return Finished(claim=claim, result=result, seconds=0.1)
