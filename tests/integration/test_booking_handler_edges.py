"""One booking against the simulator: refusals, wrong settings, test mode, deleted bookings."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from outbox_worker.database import Connection
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Destination, Reason, WorkerId
from outbox_worker.pms.guestly import Guestly
from outbox_worker.worker.single import deliver_one
from tests.support_engine import (
    attempts_of,
    booking_row,
    end_lease,
    insert_booking,
    ungated,
)
from tests.support_simulator import Simulator
from tests.support_sync import handler, sync


async def test_somebody_elses_stay_under_our_reference_is_left_alone(
    conn: Connection, adapter: Guestly, pms: Simulator, booking: UUID
) -> None:
    await sync(conn, booking, handler(adapter))
    await conn.execute("delete from outbox.reservation")
    await conn.execute(
        "update bookings set check_in_date = '2028-01-01', check_out_date = '2028-01-03',"
        " guest_email = 'other@example.com' where id = %s",
        [booking],
    )
    row = await sync(conn, booking, handler(adapter))
    assert row.last_error_code == "foreign_reservation"
    assert row.snapshot.failed_at is not None
    assert [effect["op"] for effect in pms.effects()] == ["create"]


async def test_a_rejection_is_not_tried_again(
    conn: Connection, adapter: Guestly, pms: Simulator, booking: UUID
) -> None:
    pms.faults(
        {"fault": "reject", "status": 422, "code": "STAY_TOO_SHORT", "message": "min 7 nights",
         "operation": "create"}
    )  # fmt: skip
    row = await sync(conn, booking, handler(adapter))
    assert row.snapshot.failed_at is not None
    assert row.snapshot.due_at is None
    shown = await booking_row(conn, booking)
    assert (shown["guestly_sync_status"], shown["guestly_sync_attempts"]) == ("failed", 1)
    assert "min 7 nights" in shown["guestly_sync_error"]


async def test_a_property_without_a_listing_is_rejected_before_any_call(
    conn: Connection, adapter: Guestly, pms: Simulator, booking: UUID
) -> None:
    unmapped = await insert_booking(conn, slug="harbour-attic")
    await sync(conn, unmapped, handler(adapter))
    shown = await booking_row(conn, unmapped)
    assert shown["guestly_sync_status"] == "failed"
    assert "Could not map property to Guestly listing" in shown["guestly_sync_error"]
    assert "harbour-attic" in shown["guestly_sync_error"]
    assert shown["guestly_sync_attempts"] == 1
    assert pms.requests() == []
    await sync(conn, booking, handler(adapter))
    assert len(pms.reservations()) == 1, "other bookings are unaffected"


async def test_too_many_requests_cost_no_attempt(
    conn: Connection, adapter: Guestly, pms: Simulator, booking: UUID
) -> None:
    pms.once("rate_limit", retry_after=1, operation="lookup")
    row = await sync(conn, booking, handler(adapter))
    assert row.snapshot.delivered == row.snapshot.requested
    assert row.snapshot.attempts == 1
    outcomes = [attempt["outcome"] for attempt in await attempts_of(conn, row.id)]
    assert outcomes == ["rate_limited", "held"]


async def test_a_wrong_key_fails_no_booking_and_tells_once(
    conn: Connection, pms: Simulator, booking: UUID
) -> None:
    wrong = Guestly(api_url=pms.url, api_key="wrong", timeout=timedelta(seconds=10), connections=1)
    try:
        row = await sync(conn, booking, handler(wrong))
    finally:
        await wrong.aclose()
    assert (row.snapshot.attempts, row.snapshot.failed_at) == (0, None)
    assert row.snapshot.due_at is not None
    cursor = await conn.execute("select kind from outbox.alert")
    assert [alert["kind"] for alert in await cursor.fetchall()] == ["misconfigured"]
    assert (await booking_row(conn, booking))["guestly_sync_status"] == "pending"


async def test_one_refused_address_is_one_incident_until_its_own_booking_succeeds(
    conn: Connection, adapter: Guestly, pms: Simulator, booking: UUID
) -> None:
    other = await insert_booking(conn, slug="sea-loft", check_in_date="2027-06-01",
                                 check_out_date="2027-06-03")  # fmt: skip
    reference = (await booking_row(conn, booking))["booking_reference"]
    pms.faults({"fault": "error", "status": 404, "operation": "lookup", "reference": reference})
    waiting = await sync(conn, booking, handler(adapter))

    await sync(conn, other, handler(adapter))

    assert len(pms.reservations()) == 1
    cursor = await conn.execute(
        "select a.kind, a.resolved_at, x.delivery_id, x.healed_at from outbox.alert a"
        " join outbox.alert_delivery x on x.alert_id = a.id"
    )
    (named,) = await cursor.fetchall()
    assert named == {
        "kind": "misconfigured",
        "resolved_at": None,
        "delivery_id": waiting.id,
        "healed_at": None,
    }

    pms.clear_faults()
    await conn.execute("update outbox.delivery set due_at = now() where id = %s", [waiting.id])
    await sync(conn, booking, handler(adapter))
    cursor = await conn.execute("select resolved_at is not null as over from outbox.alert")
    assert [alert["over"] for alert in await cursor.fetchall()] == [True]


async def test_a_booking_whose_status_is_not_known_here_is_failed_in_the_columns_too(
    conn: Connection, adapter: Guestly, pms: Simulator, booking: UUID
) -> None:
    await conn.execute("alter table bookings drop constraint bookings_status_check")
    await conn.execute("update bookings set status = 'archived' where id = %s", [booking])
    row = await sync(conn, booking, handler(adapter))
    assert row.last_error_code == "booking_unreadable"
    shown = await booking_row(conn, booking)
    assert shown["guestly_sync_status"] == "failed"
    assert "bookings.status" in shown["guestly_sync_error"]
    assert pms.requests() == []


async def test_a_booking_deleted_after_it_was_sent_needs_a_person(
    conn: Connection, adapter: Guestly, pms: Simulator, booking: UUID
) -> None:
    row = await sync(conn, booking, handler(adapter))
    await store.request_sync(conn, booking, reason=Reason.DATABASE)
    await conn.execute("delete from bookings where id = %s", [booking])
    row = await deliver_one(
        conn,
        row.id,
        handler=handler(adapter),
        gatekeeper=ungated(WorkerId("test")),
        lease=timedelta(seconds=30),
        patience=timedelta(seconds=5),
    )
    assert row.last_error_code == "booking_gone"
    assert pms.reservations()[0]["status"] == "confirmed", "never cancelled by itself"


async def test_a_booking_deleted_before_it_was_sent_is_settled(
    conn: Connection, adapter: Guestly, pms: Simulator, booking: UUID
) -> None:
    await store.request_sync(conn, booking, reason=Reason.DATABASE)
    await conn.execute("delete from bookings where id = %s", [booking])
    delivery = await store.find(conn, destination=Destination.GUESTLY, key=str(booking))
    assert delivery is not None
    row = await deliver_one(
        conn,
        delivery,
        handler=handler(adapter),
        gatekeeper=ungated(WorkerId("test")),
        lease=timedelta(seconds=30),
        patience=timedelta(seconds=5),
    )
    assert row.snapshot.delivered == row.snapshot.requested
    assert pms.requests() == []


async def test_test_mode_sends_nothing_and_says_so_in_the_columns(
    conn: Connection, pms: Simulator, booking: UUID
) -> None:
    await sync(conn, booking, handler(None, test_mode=True))
    shown = await booking_row(conn, booking)
    assert shown["guestly_reservation_id"] == "test-reservation-id"
    assert (shown["guestly_sync_status"], shown["guestly_sync_attempts"]) == ("synced", 1)
    assert shown["guestly_sync_error"] is None
    assert shown["guestly_synced_at"] is not None
    cursor = await conn.execute("select mode from outbox.reservation")
    assert [kept["mode"] for kept in await cursor.fetchall()] == ["test"]
    assert pms.requests() == []


async def test_a_test_reservation_counts_as_none_once_live(
    conn: Connection, adapter: Guestly, pms: Simulator, booking: UUID
) -> None:
    await sync(conn, booking, handler(None, test_mode=True))
    await sync(conn, booking, handler(adapter))
    (held,) = pms.reservations()
    assert (await booking_row(conn, booking))["guestly_reservation_id"] == held["_id"]
    cursor = await conn.execute("select mode, reservations from outbox.reservation")
    kept = await cursor.fetchone()
    assert kept == {"mode": "live", "reservations": 1}


async def test_test_mode_leaves_a_live_reservation_alone(
    conn: Connection, adapter: Guestly, pms: Simulator, booking: UUID
) -> None:
    await sync(conn, booking, handler(adapter))
    await conn.execute("update bookings set adults = 1 where id = %s", [booking])
    row = await sync(conn, booking, handler(None, test_mode=True), patience=0.5)
    assert row.snapshot.delivered < row.snapshot.requested
    assert row.snapshot.attempts == 0
    shown = await booking_row(conn, booking)
    assert shown["guestly_sync_status"] == "pending"
    assert shown["guestly_reservation_id"] == pms.reservations()[0]["_id"]


async def test_a_worker_lost_after_the_effect_is_followed_by_a_look_up(
    conn: Connection, adapter: Guestly, pms: Simulator, booking: UUID
) -> None:
    row = await sync(conn, booking, handler(adapter))
    (held,) = pms.reservations()
    # as if that claim had been lost right after the PMS had answered
    await conn.execute("delete from outbox.reservation")
    await conn.execute("delete from outbox.attempt")
    await conn.execute(
        "update outbox.delivery set requested = delivered + 1, due_at = now(), attempts = 0"
    )
    claim = await store.claim_one(
        conn, row.id, owner=WorkerId("lost"), lease=timedelta(seconds=30), max_attempts=3
    )
    assert claim is not None
    await end_lease(conn, row.id)
    row = await deliver_one(
        conn,
        row.id,
        handler=handler(adapter, quiet=0.2),
        gatekeeper=ungated(WorkerId("heir")),
        lease=timedelta(seconds=30),
        patience=timedelta(seconds=10),
    )
    assert row.snapshot.delivered == row.snapshot.requested
    assert [kept["_id"] for kept in pms.reservations()] == [held["_id"]]
    outcomes = [attempt["outcome"] for attempt in await attempts_of(conn, row.id)]
    assert outcomes == ["lost", "held"]
