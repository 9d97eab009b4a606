"""One booking with a date that Python cannot hold stops nobody and nothing but itself."""

from __future__ import annotations

from uuid import UUID

import pytest

from outbox_worker.bookings import store as bookings
from outbox_worker.bookings.booking import BookingId
from outbox_worker.database import Connection
from outbox_worker.operations import plan
from outbox_worker.operations.fleet import SyncMode, read_fleet
from outbox_worker.operations.refs import Subject, Target
from outbox_worker.operations.status import read_status
from outbox_worker.operations.timeline import read_timeline
from outbox_worker.pms.guestly import Guestly
from outbox_worker.pms.port import PmsName
from outbox_worker.sql import query
from tests.support_engine import booking_row, insert_booking
from tests.support_simulator import Simulator
from tests.support_sync import handler, sync

BEYOND = ("infinity", "-infinity", "10000-01-01", "0044-03-15 BC")
MODE = SyncMode(enabled=True, test_mode=False, pms=PmsName.GUESTLY)


@pytest.fixture(params=BEYOND)
async def odd(conn: Connection, request: pytest.FixtureRequest) -> UUID:
    """A booking all of whose dates and moments are beyond Python's."""
    columns = ("check_in_date", "created_at", "confirmed_at", "cancelled_at")
    values = dict.fromkeys(columns, request.param)
    # the site may have a check that the stay ends after it begins
    return await insert_booking(conn, **values, check_out_date="infinity")


async def test_it_is_read_beside_others_with_its_dates_missing(conn: Connection, odd: UUID) -> None:
    other = await insert_booking(conn)

    read = await bookings.read(conn, [odd, other])
    views = await bookings.read_for_sync(conn, [odd, other], pms=PmsName.GUESTLY)

    for found in (read[BookingId(odd)], views[odd].booking):
        assert found is not None
        assert (found.check_in, found.check_out) == (None, None)
        assert (found.confirmed_at, found.cancelled_at) == (None, None)
    for found in (read[BookingId(other)], views[other].booking):
        assert found is not None
        assert str(found.check_in) == "2027-05-01"


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
@pytest.mark.parametrize("moment", ["9999-12-31 23:59:59+00", "0001-01-01 00:00:00+00"])
async def test_a_moment_at_the_very_edge_is_read_in_every_time_zone(
    conn: Connection, zone: str, moment: str
) -> None:
    await conn.execute("select set_config('timezone', %s, false)", [zone])
    edge = await insert_booking(conn, confirmed_at=moment, cancelled_at=moment)
    assert set(await bookings.read(conn, [edge])) == {edge}


async def test_it_is_listed_for_operators(conn: Connection, odd: UUID) -> None:
    found = await read_status(conn, MODE)
    assert [each.booking_id for each in found.missing] == [odd]
    assert [each.check_in for each in found.missing] == [None]

    view = plan.PmsView(pms=PmsName.GUESTLY, currency="EUR")
    (item,) = await plan.plan(conn, plan.Missing(), view=view)
    assert (item.booking_id, item.check_in) == (odd, None)

    target = Target(subject=Subject.BOOKING, key=str(odd), name=str(odd))
    shown = await read_timeline(conn, target, await read_fleet(conn, MODE))
    assert shown.booking is not None
    assert (shown.booking.check_in, shown.booking.created_at) == (None, None)


async def test_it_is_listed_once_it_was_given_up_after_those_with_a_date(
    conn: Connection, odd: UUID
) -> None:
    dated = await insert_booking(conn)
    for booking in (odd, dated):
        await conn.execute("select outbox.request_sync(%s, 'operator')", [booking])
    await conn.execute("update outbox.delivery set failed_at = now(), due_at = null")

    found = await read_status(conn, MODE)

    assert [each.check_in is None for each in found.parked] == [False, True]


async def test_a_payment_for_it_finds_it(conn: Connection, odd: UUID) -> None:
    cursor = await conn.execute(
        query("inbox_lock_bookings"), {"intent_id": None, "booking_id": odd, "reference": None}
    )
    assert [row["id"] for row in await cursor.fetchall()] == [odd]


async def test_it_is_refused_with_the_field_named_and_others_are_sent(
    conn: Connection, adapter: Guestly, pms: Simulator, booking: UUID
) -> None:
    odd = await insert_booking(conn, check_out_date="infinity")

    row = await sync(conn, odd, handler(adapter))

    assert row.last_error_code == "dates_missing"
    assert "check_out_date" in (row.last_error or "")
    assert (await booking_row(conn, booking))["guestly_sync_status"] != "failed"
    await sync(conn, booking, handler(adapter))
    assert len(pms.reservations()) == 1


async def test_an_odd_moment_of_its_cancelling_does_not_keep_it_from_being_cancelled(
    conn: Connection, adapter: Guestly, pms: Simulator, booking: UUID
) -> None:
    await sync(conn, booking, handler(adapter))
    await conn.execute(
        "update bookings set status = 'cancelled', cancelled_at = 'infinity' where id = %s",
        [booking],
    )
    row = await sync(conn, booking, handler(adapter))
    assert row.snapshot.delivered == row.snapshot.requested
    assert [held["status"] for held in pms.reservations()] == ["canceled"]
