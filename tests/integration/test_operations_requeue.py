"""Asking again: the guard in the statement that writes, and what else follows."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg

from outbox_worker.alerts import store as alerts
from outbox_worker.alerts.alert import AlertKind, NewAlert
from outbox_worker.bookings import store as bookings
from outbox_worker.bookings.booking import BookingId
from outbox_worker.database import Connection, connect
from outbox_worker.handlers import price
from outbox_worker.operations.fleet import SyncMode
from outbox_worker.operations.plan import (
    Failed,
    Missing,
    Named,
    plan,
)
from outbox_worker.operations.refs import resolve
from outbox_worker.operations.requeue import Requeued, apply
from outbox_worker.operations.settling import wait_until_settled
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Destination
from outbox_worker.pms.port import PmsName
from tests.support_engine import (
    attempts_of,
    booking_row,
    claim_all,
    end_lease,
    eventually,
    insert_booking,
    owe,
    row_of,
)
from tests.support_requeue import (
    REQUEST,
    VIEW,
    given_up,
    named,
    only,
    requested,
    run,
    synced,
)


async def test_a_failed_booking_begins_a_new_round_with_all_its_attempts(conn: Connection) -> None:
    booking, delivery = await given_up(conn)

    changed = await run(conn, Failed())

    assert [(each.delivery_id, each.version) for each in changed.requeued] == [(delivery, 2)]
    row = await row_of(conn, delivery)
    assert (row["requested"], row["attempts"], row["round"]) == (2, 0, 2)
    assert (row["failed_at"], row["discarded_at"]) == (None, None)
    assert row["due_at"] <= row["now"]
    mirrored = await booking_row(conn, booking)
    assert mirrored["guestly_sync_status"] == "pending"
    assert mirrored["guestly_sync_attempts"] == 0


async def test_who_asked_and_why_is_on_record(conn: Connection) -> None:
    _, delivery = await given_up(conn)

    await run(conn, Failed())

    cursor = await conn.execute("select * from outbox.operator_action")
    [action] = await cursor.fetchall()
    assert (action["actor"], action["action"]) == ("anna", "requeue")
    assert (action["target"], action["reason"]) == ("--failed", "the PMS is back")
    assert (action["deliveries"], action["affected"]) == ([delivery], 1)
    cursor = await conn.execute(
        "select * from outbox.request where version = 2 and delivery_id = %s", [delivery]
    )
    [request] = await cursor.fetchall()
    assert (request["reason"], request["reference"]) == ("operator", "anna")


async def test_the_alert_about_it_is_healed_and_told_as_solved(conn: Connection) -> None:
    _, first = await given_up(conn)
    await given_up(conn)
    cursor = await conn.execute(
        "select key, requested from outbox.delivery where destination = 'email' and key = '1'"
    )
    [mail] = await cursor.fetchall()

    await run(conn, named(*[UUID((await row_of(conn, first))["key"])]))
    cursor = await conn.execute("select resolved_at from outbox.alert")
    assert await cursor.fetchall() == [{"resolved_at": None}]

    await run(conn, Failed())
    cursor = await conn.execute("select resolved_at is not null as resolved from outbox.alert")
    assert await cursor.fetchall() == [{"resolved": True}]
    cursor = await conn.execute(
        "select requested from outbox.delivery where destination = 'email' and key = '1'"
    )
    [again] = await cursor.fetchall()
    assert again["requested"] > mail["requested"]


async def test_naming_a_booking_closes_its_payment_alerts_although_it_is_as_wanted(
    conn: Connection,
) -> None:
    booking, other = await synced(conn), await synced(conn)
    async with conn.transaction():
        for about, kind in ((booking, AlertKind.PAID_TWICE), (other, AlertKind.PAID_TWICE)):
            alert = NewAlert(kind=kind, fingerprint=str(about), booking_id=about)
            await alerts.raise_alert(conn, alert, channels=[Destination.EMAIL])
    items = await plan(conn, named(booking), view=VIEW)

    assert (await apply(conn, items, REQUEST)).closed == ()
    changed = await apply(conn, items, replace(REQUEST, closes_alerts=True))

    assert changed.requeued == ()
    assert [each.reason for each in changed.skipped] == ["already as wanted"]
    assert len(changed.closed) == 1
    cursor = await conn.execute(
        "select booking_id from outbox.alert where resolved_at is not null order by id"
    )
    assert await cursor.fetchall() == [{"booking_id": booking}]
    cursor = await conn.execute("select action, affected from outbox.operator_action")
    assert await cursor.fetchall() == [{"action": "close alert", "affected": 1}]
    cursor = await conn.execute(
        "select requested from outbox.delivery where destination = 'email' and key = '1'"
    )
    assert await cursor.fetchall() == [{"requested": 2}]


async def test_a_price_to_be_compared_is_not_called_dealt_with_while_there_is_a_stay(
    conn: Connection,
) -> None:
    booking = await synced(conn)
    async with conn.transaction():
        alert = price.alert(PmsName.GUESTY, BookingId(booking), version=1)
        await alerts.raise_alert(conn, alert, channels=[Destination.EMAIL])
    items = await plan(conn, named(booking), view=VIEW)
    by_name = replace(REQUEST, closes_alerts=True)

    assert (await apply(conn, items, by_name)).closed == ()

    await conn.execute("update bookings set status = 'cancelled' where id = %s", [booking])
    assert len((await apply(conn, items, by_name)).closed) == 1


async def test_a_booking_in_flight_is_refused(conn: Connection) -> None:
    booking, delivery = await requested(conn)
    await claim_all(conn, destination=Destination.GUESTLY)
    before = await row_of(conn, delivery)

    item = await only(conn, named(booking))
    changed = await apply(conn, [item], REQUEST)

    assert item.skip == "a worker is sending it now"
    assert changed.requeued == ()
    after = await row_of(conn, delivery)
    assert {**before, "now": None} == {**after, "now": None}


async def test_a_claim_between_plan_and_act_wins(conn: Connection) -> None:
    booking, delivery = await requested(conn)
    items = await plan(conn, named(booking), view=VIEW)
    [claim] = await claim_all(conn, destination=Destination.GUESTLY)

    changed = await apply(conn, items, REQUEST)

    assert [each.reason for each in changed.skipped] == ["changed since the list was made"]
    row = await row_of(conn, delivery)
    assert (row["requested"], row["fence"], row["attempts"]) == (1, claim.fence, 1)


async def test_a_claim_that_commits_while_we_wait_for_the_row_wins(
    conn: Connection, database_url: str
) -> None:
    booking, delivery = await requested(conn)
    items = await plan(conn, named(booking), view=VIEW)
    other = await connect(database_url, application_name="claimer", autocommit=False)
    async with other:
        [claim] = await claim_all(other, destination=Destination.GUESTLY)
        acting = asyncio.create_task(apply(conn, items, REQUEST))
        await eventually(lambda: _waits_for_a_lock(database_url), "waiting for the row")
        await other.commit()
        changed = await acting

    assert changed.requeued == ()
    assert (await row_of(conn, delivery))["fence"] == claim.fence


async def test_two_operators_at_once_ask_once(conn: Connection, database_url: str) -> None:
    _, delivery = await given_up(conn)
    items = await plan(conn, Failed(), view=VIEW)
    second = await connect(database_url, application_name="second")
    async with second:
        both = await asyncio.gather(apply(conn, items, REQUEST), apply(second, items, REQUEST))

    assert sorted(len(changed.requeued) for changed in both) == [0, 1]
    assert (await row_of(conn, delivery))["requested"] == 2


async def test_what_healed_since_the_list_was_made_is_left_alone(conn: Connection) -> None:
    _, delivery = await given_up(conn, redrive=True)
    items = await plan(conn, Failed(), view=VIEW)
    await conn.execute(
        "update outbox.delivery set delivered = requested, due_at = null, failed_at = null"
        " where id = %s",
        [delivery],
    )

    changed = await apply(conn, items, REQUEST)

    assert changed.requeued == ()
    assert (await row_of(conn, delivery))["requested"] == 1


async def test_the_row_of_a_lost_worker_starts_anew_with_the_loss_on_record(
    conn: Connection,
) -> None:
    booking, delivery = await requested(conn)
    await claim_all(conn, destination=Destination.GUESTLY)
    await end_lease(conn, delivery)
    lease = (await row_of(conn, delivery))["lease_until"]

    changed = await run(conn, named(booking))

    assert len(changed.requeued) == 1
    row = await row_of(conn, delivery)
    assert (row["owner"], row["fence"], row["attempts"]) == (None, 0, 0)
    assert row["uncertain_at"] == lease
    [lost] = await attempts_of(conn, delivery)
    assert (lost["outcome"], lost["number"]) == ("lost", 1)


async def test_uncertainty_is_never_cleared_by_asking_again(conn: Connection) -> None:
    _, delivery = await given_up(conn)
    doubt = datetime.now(UTC) - timedelta(seconds=5)
    await conn.execute(
        "update outbox.delivery set uncertain_at = %s where id = %s", [doubt, delivery]
    )

    await run(conn, Failed())

    assert (await row_of(conn, delivery))["uncertain_at"] == doubt


async def test_a_discarded_booking_is_revived(conn: Connection) -> None:
    booking, delivery = await requested(conn)
    await conn.execute(
        "update outbox.delivery set discarded_at = now(), due_at = null where id = %s", [delivery]
    )

    changed = await run(conn, named(booking))

    assert len(changed.requeued) == 1
    row = await row_of(conn, delivery)
    assert (row["discarded_at"], row["due_at"] is not None) == (None, True)


async def test_a_missing_booking_that_was_cancelled_meanwhile_is_left_alone(
    conn: Connection,
) -> None:
    booking = await insert_booking(conn)
    items = await plan(conn, Missing(), view=VIEW)
    await conn.execute("update bookings set status = 'cancelled' where id = %s", [booking])

    changed = await apply(conn, items, REQUEST)

    assert changed.requeued == ()
    cursor = await conn.execute("select count(*) as n from outbox.delivery")
    assert await cursor.fetchall() == [{"n": 0}]


async def test_events_and_mails_are_tried_again_too(conn: Connection) -> None:
    event = await owe(conn, "evt_1", Destination.INBOX)
    await given_up(conn)
    mail = await store.find(conn, destination=Destination.EMAIL, key="1")
    assert mail is not None
    await conn.execute(
        "update outbox.delivery set due_at = now() + interval '5 minutes', attempts = 4"
    )
    targets = [await resolve(conn, str(each)) for each in (event, mail)]

    changed = await run(conn, Named(targets=tuple(targets)))

    assert {each.delivery_id for each in changed.requeued} == {event, mail}
    for each in (event, mail):
        row = await row_of(conn, each)
        assert (row["attempts"], row["due_at"] <= row["now"]) == (0, True)
    # a mail that is asked for again does not heal what it is about
    cursor = await conn.execute("select healed_at from outbox.alert_delivery")
    assert await cursor.fetchall() == [{"healed_at": None}]


async def test_one_locked_booking_does_not_hold_up_the_others(
    conn: Connection, database_url: str
) -> None:
    locked, _ = await given_up(conn, booking_reference="LA-locked")
    await given_up(conn, booking_reference="LA-free")
    items = await plan(conn, Failed(), view=VIEW)
    other = await connect(database_url, application_name="site", autocommit=False)
    async with other:
        await bookings.lock(other, [locked])
        changed = await apply(conn, items, REQUEST)

    assert [each.name for each in changed.requeued] == ["LA-free"]
    assert [(each.name, each.reason) for each in changed.skipped] == [
        ("LA-locked", "somebody else holds it locked; try again")
    ]


async def test_our_write_does_not_wake_the_trigger(conn: Connection, direct_url: str) -> None:
    from outbox_worker import migrate

    await asyncio.to_thread(migrate.apply, direct_url, with_booking_trigger=True)
    _, delivery = await given_up(conn)

    await run(conn, Failed())

    assert (await row_of(conn, delivery))["requested"] == 2


async def test_workers_are_woken_after_the_commit(conn: Connection, direct_url: str) -> None:
    await given_up(conn)
    with psycopg.connect(direct_url, autocommit=True) as listener:
        listener.execute("listen outbox")
        await run(conn, Failed())
        heard = await asyncio.to_thread(lambda: list(listener.notifies(timeout=5, stop_after=1)))

    assert [notice.channel for notice in heard] == ["outbox"]


async def test_nothing_is_written_when_nothing_changes(conn: Connection) -> None:
    changed = await run(conn, named(uuid4()))

    assert changed.requeued == ()
    cursor = await conn.execute("select count(*) as n from outbox.operator_action")
    assert await cursor.fetchall() == [{"n": 0}]


async def test_a_long_list_is_changed_slice_by_slice(conn: Connection) -> None:
    for _ in range(60):
        await insert_booking(conn)
    items = await plan(conn, Missing(), view=VIEW)

    first = await apply(conn, items[:50], REQUEST)
    left = await plan(conn, Missing(), view=VIEW)

    assert len(first.requeued) == 50
    assert {item.key for item in left} == {item.key for item in items[50:]}


async def _waits_for_a_lock(database_url: str) -> bool:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
        cursor = await conn.execute(
            "select 1 from pg_stat_activity"
            " where application_name = 'test' and wait_event_type = 'Lock'"
            " and datname = current_database()"
        )
        return await cursor.fetchone() is not None


async def test_a_wait_without_progress_says_once_what_it_waits_for(conn: Connection) -> None:
    _, delivery = await requested(conn)
    await conn.execute(
        "update outbox.delivery set last_error_code = 'unauthorized', last_error = 'HTTP 401'"
    )
    await conn.execute(
        "insert into outbox.worker (id, host, pid, version, pms, sync_enabled, test_mode)"
        " values ('w', 'h', 1, '0.1.0', 'guestly', true, false)"
    )
    asked = Requeued(name="LA-1", delivery_id=delivery, version=1)
    told: asyncio.Queue[str] = asyncio.Queue()
    waiting = asyncio.ensure_future(
        wait_until_settled(
            conn,
            [asked],
            ours=SyncMode(enabled=True, test_mode=False, pms=PmsName.GUESTLY),
            stalled=told.put_nowait,
            stalled_after=timedelta(0),
        )
    )

    why = await asyncio.wait_for(told.get(), 10)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert why == "HTTP 401 (unauthorized)"
    assert told.empty()
