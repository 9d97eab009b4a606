"""Discarding: what a person says is not owed, and what is left alone."""

from __future__ import annotations

import asyncio

from outbox_worker.alerts import store as alerts
from outbox_worker.alerts.alert import AlertKind, NewAlert
from outbox_worker.bookings import store as bookings
from outbox_worker.database import Connection, connect
from outbox_worker.operations.discard import Discards, discard, plan_discard
from outbox_worker.operations.plan import Missing, plan
from outbox_worker.operations.refs import Subject, Target, resolve
from outbox_worker.operations.slices import Request
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Destination
from outbox_worker.outbox.outcome import Done
from tests.support_engine import (
    attempts_of,
    booking_row,
    claim_all,
    end_lease,
    insert_booking,
    owe,
    row_of,
)
from tests.support_requeue import VIEW, given_up, named, requested, run, synced
from tests.support_settle import record

REQUEST = Request(actor="anna", target="LA-1", reason="entered by hand", closes_alerts=True)


def targets(*keys: object) -> list[Target]:
    return [Target(subject=Subject.BOOKING, key=str(key), name=str(key)) for key in keys]


async def discarded(conn: Connection, *keys: object) -> Discards:
    return await discard(conn, await plan_discard(conn, targets(*keys)), REQUEST)


async def test_what_is_owed_is_set_aside_and_shown_to_the_site_as_failed(conn: Connection) -> None:
    booking, delivery = await requested(conn)

    done = await discarded(conn, booking)

    assert [each.delivery_id for each in done.discarded] == [delivery]
    row = await row_of(conn, delivery)
    assert row["discarded_at"] is not None
    assert (row["due_at"], row["failed_at"], row["owner"]) == (None, None, None)
    mirrored = await booking_row(conn, booking)
    assert mirrored["guestly_sync_status"] == "failed"
    assert mirrored["guestly_sync_error"] == "discarded by an operator"
    assert await claim_all(conn, destination=Destination.GUESTLY) == []


async def test_who_said_so_and_why_is_on_record(conn: Connection) -> None:
    booking, delivery = await given_up(conn)

    await discarded(conn, booking)

    cursor = await conn.execute("select * from outbox.operator_action")
    [action] = await cursor.fetchall()
    assert (action["actor"], action["action"]) == ("anna", "discard")
    assert (action["target"], action["reason"]) == ("LA-1", "entered by hand")
    assert (action["deliveries"], action["affected"]) == ([delivery], 1)


async def test_a_booking_in_flight_is_refused_unchanged(conn: Connection) -> None:
    booking, delivery = await requested(conn)
    await claim_all(conn, destination=Destination.GUESTLY)
    before = await row_of(conn, delivery)

    done = await discarded(conn, booking)

    [left] = done.skipped
    assert "a worker is sending it now" in left.reason
    assert {**await row_of(conn, delivery), "now": None} == {**before, "now": None}


async def test_a_claim_between_list_and_act_wins(conn: Connection) -> None:
    booking, delivery = await requested(conn)
    items = await plan_discard(conn, targets(booking))
    [claim] = await claim_all(conn, destination=Destination.GUESTLY)

    done = await discard(conn, items, REQUEST)

    assert [each.reason for each in done.skipped] == ["changed since the list was made"]
    row = await row_of(conn, delivery)
    assert (row["discarded_at"], row["fence"]) == (None, claim.fence)


async def test_what_changed_since_it_was_listed_is_left_alone(conn: Connection) -> None:
    booking, delivery = await given_up(conn)
    items = await plan_discard(conn, targets(booking))
    await conn.execute("select outbox.request_sync(%s, 'stripe')", [booking])

    done = await discard(conn, items, REQUEST)

    assert done.discarded == ()
    assert (await row_of(conn, delivery))["discarded_at"] is None


async def test_a_lost_workers_claim_goes_on_record_and_leaves_its_doubt(conn: Connection) -> None:
    booking, delivery = await requested(conn)
    [claim] = await claim_all(conn, destination=Destination.GUESTLY)
    await end_lease(conn, delivery)
    lease_end = (await row_of(conn, delivery))["lease_until"]

    done = await discarded(conn, booking)

    assert [each.uncertain for each in done.discarded] == [True]
    row = await row_of(conn, delivery)
    assert (row["uncertain_at"], row["fence"], row["lease_until"]) == (lease_end, 0, None)
    assert [each["outcome"] for each in await attempts_of(conn, delivery)] == ["lost"]
    # the worker that was thought lost comes back: its result changes nothing
    late = await record(conn, claim, Done(), booking=True)
    assert (late.accepted, len(late.refused)) == ((), 1)
    assert (await row_of(conn, delivery))["discarded_at"] is not None


async def test_a_doubt_outlives_it(conn: Connection) -> None:
    booking, delivery = await given_up(conn)
    await conn.execute("update outbox.delivery set uncertain_at = now() where id = %s", [delivery])
    before = (await row_of(conn, delivery))["uncertain_at"]

    await discarded(conn, booking)
    assert (await row_of(conn, delivery))["uncertain_at"] == before

    await run(conn, named(booking))
    row = await row_of(conn, delivery)
    assert (row["uncertain_at"], row["discarded_at"]) == (before, None)


async def test_its_alert_is_solved_with_the_last_of_its_deliveries(conn: Connection) -> None:
    first, _ = await given_up(conn)
    second, _ = await given_up(conn)

    await discarded(conn, first)
    cursor = await conn.execute("select resolved_at from outbox.alert")
    assert await cursor.fetchall() == [{"resolved_at": None}]

    await discarded(conn, second)
    cursor = await conn.execute("select resolved_at is not null as solved from outbox.alert")
    assert await cursor.fetchall() == [{"solved": True}]


async def test_what_the_pms_holds_stays_on_record(conn: Connection) -> None:
    booking = await synced(conn)
    await conn.execute("select outbox.request_sync(%s, 'database')", [booking])

    done = await discarded(conn, booking)

    assert [each.reserved for each in done.discarded] == [True]
    cursor = await conn.execute("select reservation_id from outbox.reservation")
    assert await cursor.fetchall() == [{"reservation_id": "res-1"}]
    assert (await booking_row(conn, booking))["guestly_reservation_id"] == "res-1"


async def test_what_is_not_owed_is_left_alone(conn: Connection) -> None:
    done_already = await synced(conn)
    pending = await insert_booking(conn, status="pending", payment_status="pending")
    twice, _ = await requested(conn)
    await discarded(conn, twice)

    done = await discarded(conn, done_already, pending, twice)

    assert [each.reason for each in done.skipped] == [
        "nothing is owed for it",
        "nothing is owed for it",
        "discarded already",
    ]
    cursor = await conn.execute("select count(*) as n from outbox.delivery")
    assert await cursor.fetchall() == [{"n": 2}]


async def test_a_paid_booking_that_nobody_asked_for_is_missed_no_more(conn: Connection) -> None:
    booking = await insert_booking(conn)
    assert len(await plan(conn, Missing(), view=VIEW)) == 1

    done = await discarded(conn, booking)

    assert len(done.discarded) == 1
    assert await plan(conn, Missing(), view=VIEW) == ()
    assert await claim_all(conn, destination=Destination.GUESTLY) == []


async def test_a_payment_alert_about_it_is_closed_also_when_it_is_discarded_already(
    conn: Connection,
) -> None:
    booking, _ = await requested(conn)
    await discarded(conn, booking)
    async with conn.transaction():
        alert = NewAlert(kind=AlertKind.PAID_TWICE, fingerprint="pi_1", booking_id=booking)
        await alerts.raise_alert(conn, alert, channels=[Destination.EMAIL])

    done = await discarded(conn, booking)

    assert (done.discarded, len(done.closed), len(done.skipped)) == ((), 1, 1)


async def test_a_later_request_is_recorded_and_a_requeue_revives_it(conn: Connection) -> None:
    booking, delivery = await requested(conn)
    await discarded(conn, booking)

    await conn.execute("select outbox.request_sync(%s, 'stripe')", [booking])
    row = await row_of(conn, delivery)
    assert (row["requested"], row["due_at"]) == (2, None)

    assert len((await run(conn, named(booking))).requeued) == 1
    row = await row_of(conn, delivery)
    assert (row["discarded_at"], row["attempts"]) == (None, 0)
    assert (await booking_row(conn, booking))["guestly_sync_status"] == "pending"


async def test_an_event_and_a_mail_can_be_discarded_too(conn: Connection) -> None:
    event = await owe(conn, "evt_1")
    async with conn.transaction():
        alert = NewAlert(kind=AlertKind.TEST, fingerprint="t")
        raised = await alerts.raise_alert(conn, alert, channels=[Destination.EMAIL])
    mail = await store.find(conn, destination=Destination.EMAIL, key=str(raised.id))
    assert mail is not None
    found = [await resolve(conn, str(each)) for each in (event, mail)]

    done = await discard(conn, await plan_discard(conn, found), REQUEST)

    assert {each.delivery_id for each in done.discarded} == {event, mail}


async def test_a_booking_that_somebody_locks_is_left_and_the_others_are_done(
    conn: Connection, database_url: str
) -> None:
    held, _ = await requested(conn, booking_reference="LA-held")
    free, _ = await requested(conn, booking_reference="LA-free")
    items = await plan_discard(conn, targets(held, free))
    other = await connect(database_url, application_name="site")
    try:
        async with other.transaction():
            await bookings.lock(other, [held])
            done = await asyncio.wait_for(discard(conn, items, REQUEST), 30)
    finally:
        await other.close()

    assert [each.name for each in done.discarded] == ["LA-free"]
    assert [each.reason for each in done.skipped] == ["somebody else holds it locked; try again"]
