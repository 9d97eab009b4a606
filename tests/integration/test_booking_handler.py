"""One booking against the real simulator: what is sent, what is recorded, what is refused."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from outbox_worker.database import Connection
from outbox_worker.pms.guestly import Guestly
from outbox_worker.pms.port import PmsName
from tests.support_engine import (
    attempts_of,
    booking_row,
)
from tests.support_simulator import LISTING, Simulator
from tests.support_sync import handler, sync


async def test_a_confirmed_booking_is_created_with_what_it_says(
    conn: Connection, adapter: Guestly, pms: Simulator, booking: UUID
) -> None:
    await sync(conn, booking, handler(adapter))
    (held,) = pms.reservations()
    row = await booking_row(conn, booking)
    assert held["confirmationCode"] == row["booking_reference"]
    assert held["money"] == {"fareAccommodation": 1240.5, "currency": "EUR"}
    assert (held["checkIn"], held["checkOut"]) == ("2027-05-01", "2027-05-05")
    assert (held["numberOfGuests"], held["status"]) == (3, "confirmed")
    assert row["guestly_reservation_id"] == held["_id"]
    assert (row["guestly_sync_status"], row["guestly_sync_attempts"]) == ("synced", 1)
    assert row["guestly_synced_at"] is not None
    assert [request["op"] for request in pms.effects()] == ["create"]


async def test_a_second_request_of_an_unchanged_booking_sends_nothing(
    conn: Connection, adapter: Guestly, pms: Simulator, booking: UUID
) -> None:
    await sync(conn, booking, handler(adapter))
    calls = len(pms.requests())
    row = await sync(conn, booking, handler(adapter))
    assert row.snapshot.delivered == row.snapshot.requested == 2
    assert len(pms.requests()) == calls


async def test_a_change_is_an_update_and_a_cancellation_a_cancel(
    conn: Connection, adapter: Guestly, pms: Simulator, booking: UUID
) -> None:
    await sync(conn, booking, handler(adapter))
    await conn.execute("update bookings set adults = 1, children = 0 where id = %s", [booking])
    await sync(conn, booking, handler(adapter))
    assert pms.reservations()[0]["numberOfGuests"] == 1
    await conn.execute("update bookings set status = 'cancelled' where id = %s", [booking])
    await sync(conn, booking, handler(adapter))
    (held,) = pms.reservations()
    assert held["status"] == "canceled"
    row = await booking_row(conn, booking)
    assert (row["guestly_sync_status"], row["guestly_reservation_id"]) == ("synced", held["_id"])
    assert [effect["op"] for effect in pms.effects()] == ["create", "change", "cancel"]


async def test_a_booking_confirmed_again_revives_its_own_reservation(
    conn: Connection, adapter: Guestly, pms: Simulator, booking: UUID
) -> None:
    await sync(conn, booking, handler(adapter))
    for status in ("cancelled", "confirmed"):
        await conn.execute("update bookings set status = %s where id = %s", [status, booking])
        await sync(conn, booking, handler(adapter))
    (held,) = pms.reservations()
    assert held["status"] == "confirmed"


async def test_cancelled_before_it_was_ever_sent_collapses_to_nothing(
    conn: Connection, adapter: Guestly, pms: Simulator, booking: UUID
) -> None:
    await conn.execute("update bookings set status = 'cancelled' where id = %s", [booking])
    await sync(conn, booking, handler(adapter))
    row = await booking_row(conn, booking)
    assert (row["guestly_sync_status"], row["guestly_reservation_id"]) == ("synced", None)
    assert pms.requests() == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("fault", ["error", "break", "timeout"])
async def test_a_fault_around_the_effect_never_doubles_the_booking(
    conn: Connection,
    adapter: Guestly,
    hasty: Guestly,
    pms: Simulator,
    booking: UUID,
    fault: str,
    when: str,
) -> None:
    fields: dict[str, Any] = {"error": {"status": 500}, "timeout": {"seconds": 30}}.get(fault, {})
    pms.once(fault, when=when, operation="create", **fields)
    row = await sync(conn, booking, handler(hasty if fault == "timeout" else adapter))
    assert row.snapshot.delivered == row.snapshot.requested
    (held,) = pms.reservations()
    assert (await booking_row(conn, booking))["guestly_reservation_id"] == held["_id"]
    assert [effect["op"] for effect in pms.effects()] == ["create"]
    outcomes = [attempt["outcome"] for attempt in await attempts_of(conn, row.id)]
    assert outcomes[0] == "ambiguous"
    assert outcomes[-1] == "held"


async def test_an_effect_that_lands_late_is_waited_for_and_adopted(
    conn: Connection, hasty: Guestly, pms: Simulator, booking: UUID
) -> None:
    # long after the call was given up and looked for, and long before the quiet period is over
    pms.once("late", operation="create", seconds=3)
    row = await sync(conn, booking, handler(hasty, quiet=4.5))
    assert row.snapshot.delivered == row.snapshot.requested
    assert len(pms.reservations()) == 1
    outcomes = [attempt["outcome"] for attempt in await attempts_of(conn, row.id)]
    assert "waiting" in outcomes, "nothing was sent until the quiet period was over"
    assert row.snapshot.attempts == 2, "waiting for it costs no attempt"


async def test_a_create_that_failed_in_full_is_not_repeated_while_a_look_up_may_lag(
    conn: Connection, adapter: Guestly, pms: Simulator, booking: UUID
) -> None:
    pms.switch(idempotency="ignore", availability=False)
    pms.faults(
        {"fault": "error", "status": 500, "operation": "create", "when": "after", "times": 1},
        # the one before any create, and the one at once
        {"fault": "stale", "operation": "find", "seconds": 600, "times": 2},
    )

    # that one is made within the quiet period on any machine
    row = await sync(conn, booking, handler(adapter, quiet=3))

    held, *doubles = pms.reservations()
    assert doubles == []
    assert row.snapshot.delivered == row.snapshot.requested
    assert (await booking_row(conn, booking))["guestly_reservation_id"] == held["_id"]
    outcomes = [attempt["outcome"] for attempt in await attempts_of(conn, row.id)]
    assert "waiting" in outcomes, "the look-up found nothing at first"


async def test_without_the_look_up_that_fault_would_have_doubled_it(
    conn: Connection, adapter: Guestly, pms: Simulator, booking: UUID
) -> None:
    # the simulator does not hide a double: the same create twice makes two reservations
    pms.switch(idempotency="ignore", availability=False)
    row = await booking_row(conn, booking)
    from outbox_worker.bookings import store as bookings
    from outbox_worker.pms import mapping

    found = (await bookings.read(conn, [booking]))[booking]  # type: ignore[index]  # BookingId is a UUID
    mapped = mapping.to_reservation(found, listing_id=LISTING, pms=PmsName.GUESTLY, currency="EUR")
    for key in ("one", "two"):
        await adapter.create(mapped.reservation, idempotency_key=key)
    assert [held["confirmationCode"] for held in pms.reservations()] == [
        row["booking_reference"]
    ] * 2


async def test_a_reservation_that_is_there_already_is_adopted_not_created(
    conn: Connection, adapter: Guestly, pms: Simulator, booking: UUID
) -> None:
    await sync(conn, booking, handler(adapter))
    (before,) = pms.reservations()
    # a restored backup has forgotten what was sent
    await conn.execute("delete from outbox.reservation")
    await sync(conn, booking, handler(adapter))
    assert [held["_id"] for held in pms.reservations()] == [before["_id"]]
    assert (await booking_row(conn, booking))["guestly_reservation_id"] == before["_id"]


async def test_a_different_state_found_by_look_up_is_recorded_first_and_changed_next(
    conn: Connection, adapter: Guestly, pms: Simulator, booking: UUID
) -> None:
    await sync(conn, booking, handler(adapter))
    await conn.execute("delete from outbox.reservation")
    await conn.execute("update bookings set adults = 1, children = 0 where id = %s", [booking])
    row = await sync(conn, booking, handler(adapter))
    (held,) = pms.reservations()
    assert held["numberOfGuests"] == 1
    outcomes = [attempt["outcome"] for attempt in await attempts_of(conn, row.id)]
    assert outcomes == ["held", "waiting", "held"]
    assert [effect["op"] for effect in pms.effects()] == ["create", "change"]


async def test_three_failed_attempts_fail_the_booking_and_raise_one_alert(
    conn: Connection, adapter: Guestly, pms: Simulator, booking: UUID
) -> None:
    pms.faults({"fault": "error", "status": 503, "operation": "lookup"})
    row = await sync(conn, booking, handler(adapter))
    assert row.snapshot.failed_at is not None
    shown = await booking_row(conn, booking)
    assert (shown["guestly_sync_status"], shown["guestly_sync_attempts"]) == ("failed", 3)
    assert shown["guestly_sync_error"]
    cursor = await conn.execute("select kind, count from outbox.alert")
    assert [(alert["kind"], alert["count"]) for alert in await cursor.fetchall()] == [
        ("sync_failed", 1)
    ]
    pms.clear_faults()
    row = await sync(conn, booking, handler(adapter))
    shown = await booking_row(conn, booking)
    assert (shown["guestly_sync_status"], shown["guestly_sync_error"]) == ("synced", None)
    cursor = await conn.execute("select resolved_at from outbox.alert")
    assert all(alert["resolved_at"] for alert in await cursor.fetchall())
