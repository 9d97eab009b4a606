"""Settle: what is recorded, what is refused, and in which order locks are taken."""

from __future__ import annotations

from datetime import timedelta

from outbox_worker.database import Connection
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Destination
from outbox_worker.outbox.outcome import (
    Abandon,
    AttemptOutcome,
    Done,
    Park,
    Retry,
    Wait,
)
from tests.support_engine import (
    A,
    B,
    attempts_of,
    claim_all,
    end_lease,
    owe,
    policy,
    row_of,
)
from tests.support_settle import FAILED, REFUSED, alert, alerts_in, record


async def test_success_delivers_the_version_that_was_claimed_and_rests_the_row(
    conn: Connection,
) -> None:
    delivery = await owe(conn)
    (claim,) = await claim_all(conn)
    done = await record(conn, claim, Done(http_status=201))
    row = await row_of(conn, delivery)
    assert done.accepted
    assert (row["delivered"], row["requested"], row["due_at"]) == (1, 1, None)
    assert (row["owner"], row["fence"], row["lease_until"]) == (None, 0, None)
    (attempt,) = await attempts_of(conn, delivery)
    assert (attempt["outcome"], attempt["http_status"], attempt["number"]) == ("held", 201, 1)
    assert attempt["fence"] == claim.fence


async def test_a_version_asked_for_during_the_call_goes_round_again(conn: Connection) -> None:
    delivery = await owe(conn)
    (claim,) = await claim_all(conn)
    await owe(conn)
    done = await record(conn, claim, Done())
    row = await row_of(conn, delivery)
    assert done.more
    assert (row["delivered"], row["requested"]) == (1, 2), "only what was read is delivered"
    assert row["due_at"] is not None
    assert (row["attempts"], row["round"]) == (0, 2)


async def test_a_settle_repeated_after_a_lost_answer_finds_the_fence_burnt(
    conn: Connection,
) -> None:
    delivery = await owe(conn)
    (claim,) = await claim_all(conn)
    await record(conn, claim, Done())
    again = await record(conn, claim, FAILED)
    assert again.refused
    assert not again.accepted
    assert (await row_of(conn, delivery))["delivered"] == 1
    assert len(await attempts_of(conn, delivery)) == 1


async def test_every_write_of_a_stale_owner_is_refused(conn: Connection) -> None:
    delivery = await owe(conn)
    (stale,) = await claim_all(conn, A)
    await end_lease(conn, delivery)
    (current,) = await claim_all(conn, B)
    before = await row_of(conn, delivery)
    for outcome in (Done(), FAILED, REFUSED, Abandon(code="late"), FAILED):
        refused = await record(conn, stale, outcome, effects=(alert(),))
        assert refused.refused, f"{outcome} of a stale owner was accepted"
    after = await row_of(conn, delivery)
    assert {**before, "now": None} == {**after, "now": None}
    assert await alerts_in(conn) == []
    assert (await record(conn, current, Done(), owner=B)).accepted


async def test_an_older_claim_of_the_same_worker_is_refused_by_its_fence(conn: Connection) -> None:
    delivery = await owe(conn)
    (older,) = await claim_all(conn, A)
    await end_lease(conn, delivery)
    (newer,) = await claim_all(conn, A)
    for outcome in (Done(), FAILED, Abandon(code="late")):
        assert (await record(conn, older, outcome)).refused
    assert (await record(conn, newer, Done())).accepted


async def test_a_fence_number_used_twice_is_still_told_apart_by_the_owner(
    conn: Connection,
) -> None:
    delivery = await owe(conn)
    (stale,) = await claim_all(conn, A)
    # a failover can step the sequence back, so that another worker draws the same number
    await conn.execute("update outbox.delivery set owner = %s where id = %s", [B, delivery])
    for outcome in (Done(), FAILED, Abandon(code="late")):
        assert (await record(conn, stale, outcome, owner=A)).refused
    assert (await row_of(conn, delivery))["owner"] == B


async def test_a_failed_attempt_is_due_again_after_its_wait(conn: Connection) -> None:
    delivery = await owe(conn)
    (claim,) = await claim_all(conn)
    rules = policy(base=timedelta(seconds=1), cap=timedelta(seconds=300))
    before = (await row_of(conn, delivery))["now"]
    done = await record(conn, claim, FAILED, rules=rules)
    row = await row_of(conn, delivery)
    assert row["due_at"] >= before + timedelta(seconds=1)
    assert row["due_at"] <= row["now"] + timedelta(seconds=1.25)
    assert timedelta(seconds=1) <= done.waits[delivery] <= timedelta(seconds=1.25)
    assert (row["attempts"], row["failed_at"], row["last_error_code"]) == (1, None, "http_503")
    (attempt,) = await attempts_of(conn, delivery)
    assert (attempt["outcome"], attempt["error"]) == ("failed", "the PMS answered 503")


async def test_the_last_attempt_gives_up_and_raises_the_alert_in_the_same_transaction(
    conn: Connection,
) -> None:
    delivery = await owe(conn)
    for number in (1, 2, 3):
        await conn.execute("update outbox.delivery set due_at = now()")
        (claim,) = await claim_all(conn)
        assert claim.attempts == number
        done = await record(conn, claim, FAILED, effects=(alert(),))
        assert (delivery in done.gave_up) == (number == 3)
    row = await row_of(conn, delivery)
    assert row["failed_at"] is not None
    assert row["due_at"] is None
    (raised,) = await alerts_in(conn)
    assert raised["kind"] == "sync_failed"
    cursor = await conn.execute("select delivery_id from outbox.alert_delivery")
    assert [named["delivery_id"] for named in await cursor.fetchall()] == [delivery]
    mail = await store.find(conn, destination=Destination.EMAIL, key=str(raised["id"]))
    assert mail is not None, "the alert is owed to the mail channel by the same commit"


async def test_giving_up_is_about_the_version_that_was_read(conn: Connection) -> None:
    delivery = await owe(conn)
    await conn.execute("update outbox.delivery set attempts = 2")
    (claim,) = await claim_all(conn)
    await owe(conn)  # a cancellation that arrives during the last failing attempt
    done = await record(conn, claim, FAILED, effects=(alert(),))
    row = await row_of(conn, delivery)
    assert row["failed_at"] is None, "the newer version was parked unsent"
    assert row["due_at"] <= row["now"]
    assert (row["attempts"], row["round"]) == (0, 2)
    assert delivery not in done.gave_up
    assert await alerts_in(conn) == []


async def test_a_rejection_parks_at_once_without_a_redrive(conn: Connection) -> None:
    delivery = await owe(conn)
    (claim,) = await claim_all(conn)
    rules = policy(redrive_every=timedelta(hours=1))
    await record(conn, claim, REFUSED, rules=rules)
    row = await row_of(conn, delivery)
    assert row["failed_at"] is not None
    assert row["due_at"] is None
    (attempt,) = await attempts_of(conn, delivery)
    assert attempt["outcome"] == "rejected"


async def test_a_failure_that_time_can_heal_is_redriven_without_a_second_alert(
    conn: Connection,
) -> None:
    delivery = await owe(conn)
    rules = policy(max_attempts=1, redrive_every=timedelta(hours=1))
    for expected in (timedelta(minutes=5), timedelta(minutes=15)):
        (claim,) = await claim_all(conn, max_attempts=1)
        await record(conn, claim, FAILED, effects=(alert(),), rules=rules)
        row = await row_of(conn, delivery)
        assert row["failed_at"] is not None
        assert abs(row["due_at"] - row["now"] - expected) < timedelta(seconds=5)
        await conn.execute("update outbox.delivery set due_at = now()")
    assert [raised["count"] for raised in await alerts_in(conn)] == [1]
    (claim,) = await claim_all(conn, max_attempts=1)
    await record(conn, claim, Done(), rules=rules)
    assert (await row_of(conn, delivery))["failed_at"] is None
    (solved,) = await alerts_in(conn)
    assert solved["resolved_at"] is not None, "success resolves the alert"


async def test_waiting_costs_no_attempt(conn: Connection) -> None:
    delivery = await owe(conn)
    (claim,) = await claim_all(conn)
    wait = Wait(
        due_in=timedelta(minutes=2),
        record=AttemptOutcome.RATE_LIMITED,
        code="rate_limited",
        message="slow down",
        http_status=429,
    )
    await record(conn, claim, wait)
    row = await row_of(conn, delivery)
    assert row["attempts"] == 0
    assert timedelta(seconds=110) < row["due_at"] - row["now"] <= timedelta(seconds=120)
    assert [attempt["outcome"] for attempt in await attempts_of(conn, delivery)] == ["rate_limited"]


async def test_giving_back_keeps_the_place_in_the_queue_and_leaves_no_trace(
    conn: Connection,
) -> None:
    delivery = await owe(conn)
    due = (await row_of(conn, delivery))["due_at"]
    (claim,) = await claim_all(conn)
    await record(conn, claim, Abandon(code="worker_stopped"))
    row = await row_of(conn, delivery)
    assert (row["due_at"], row["attempts"], row["owner"]) == (due, 0, None)
    assert await attempts_of(conn, delivery) == []


async def test_an_ambiguous_failure_makes_the_row_uncertain_and_a_certain_one_leaves_it(
    conn: Connection,
) -> None:
    delivery = await owe(conn)
    (claim,) = await claim_all(conn)
    await record(conn, claim, Retry(code="timeout", message="time-out", ambiguous=True))
    uncertain = (await row_of(conn, delivery))["uncertain_at"]
    assert uncertain is not None
    await conn.execute("update outbox.delivery set due_at = now()")
    (claim,) = await claim_all(conn)
    assert claim.uncertain_at == uncertain
    await record(conn, claim, FAILED)
    assert (await row_of(conn, delivery))["uncertain_at"] == uncertain, "a failure cleared it"
    await conn.execute("update outbox.delivery set due_at = now()")
    (claim,) = await claim_all(conn)
    await record(conn, claim, Done())
    assert (await row_of(conn, delivery))["uncertain_at"] is None


async def test_an_answer_given_in_full_leaves_nothing_under_way(conn: Connection) -> None:
    delivery = await owe(conn)
    (claim,) = await claim_all(conn)
    finished = Retry(
        code="http_500", message="500", ambiguous=True, settled_for=timedelta(seconds=30)
    )
    await record(conn, claim, finished)
    row = await row_of(conn, delivery)
    assert timedelta(seconds=29) < row["now"] - row["uncertain_at"] < timedelta(seconds=35)


async def test_error_text_is_cut_and_cleaned_before_it_is_stored(conn: Connection) -> None:
    delivery = await owe(conn)
    (claim,) = await claim_all(conn)
    await record(conn, claim, Park(code="odd", message="a\0b\ud800" + "x" * 900))
    stored = (await row_of(conn, delivery))["last_error"]
    assert stored.startswith("ab")
    assert len(stored) == 500
