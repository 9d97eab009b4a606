"""The functions for Python callers, with a real database and the simulator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from uuid import UUID, uuid4

import pytest

from outbox_worker import api
from outbox_worker.bookings.booking import BookingStatus
from outbox_worker.database import Connection
from outbox_worker.errors import SettingsError
from tests.support_engine import booking_row, insert_booking
from tests.support_simulator import Simulator
from tests.support_worker import environment


@pytest.fixture
def environ(database_url: str, pms: Simulator) -> Mapping[str, str]:
    return environment(database_url, pms, PMS_QUIET_SECONDS="0.2")


async def test_a_booking_is_brought_to_the_pms_and_its_id_returned(
    environ: Mapping[str, str], pms: Simulator, booking: UUID
) -> None:
    result = await api.sync_booking_to_guestly(booking, environ=environ)
    (held,) = pms.reservations()
    assert result == api.SyncResult(
        success=True, reservation_id=held["_id"], error=None, attempts=1
    )


async def test_a_booking_that_is_synced_already_is_a_success_without_a_call(
    environ: Mapping[str, str], pms: Simulator, booking: UUID
) -> None:
    first = await api.sync_booking_to_guestly(booking, environ=environ)
    calls = len(pms.requests())
    assert await api.sync_booking_to_guestly(booking, environ=environ) == first
    assert len(pms.requests()) == calls


async def test_an_unknown_booking_says_so(environ: Mapping[str, str]) -> None:
    result = await api.sync_booking_to_guestly(uuid4(), environ=environ)
    assert (result.success, result.error) == (False, "Booking not found")


async def test_while_disabled_nothing_is_requested(
    conn: Connection, environ: Mapping[str, str], booking: UUID
) -> None:
    off = {**environ, "GUESTLY_SYNC_ENABLED": "false"}
    result = await api.sync_booking_to_guestly(booking, environ=off)
    assert (result.success, result.error) == (False, "Sync disabled")
    cursor = await conn.execute("select count(*) as n from outbox.delivery")
    assert await cursor.fetchone() == {"n": 0}


async def test_a_retry_begins_its_attempts_at_zero_again(
    conn: Connection, environ: Mapping[str, str], pms: Simulator, booking: UUID
) -> None:
    pms.faults({"fault": "error", "status": 503, "operation": "lookup"})
    failed = await api.sync_booking_to_guestly(booking, environ=environ)
    assert (failed.success, failed.attempts) == (False, 3)
    assert failed.error
    pms.clear_faults()
    again = await api.retry_failed_sync(booking, environ=environ)
    assert (again.success, again.attempts) == (True, 1)
    assert (await booking_row(conn, booking))["guestly_sync_attempts"] == 1


async def test_a_failed_booking_can_be_synced_again_too(
    environ: Mapping[str, str], pms: Simulator, booking: UUID
) -> None:
    pms.faults({"fault": "error", "status": 503, "operation": "lookup"})
    await api.sync_booking_to_guestly(booking, environ=environ)
    pms.clear_faults()
    assert (await api.sync_booking_to_guestly(booking, environ=environ)).success


async def test_statistics_count_every_booking_and_take_none_as_pending(
    conn: Connection, environ: Mapping[str, str], booking: UUID
) -> None:
    await api.sync_booking_to_guestly(booking, environ=environ)
    await insert_booking(conn, guestly_sync_status=None)
    await insert_booking(conn, guestly_sync_status="failed")
    counts = await api.get_sync_statistics(environ=environ)
    assert counts == {"pending": 1, "synced": 1, "failed": 1}


async def test_wrong_settings_are_all_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        await api.sync_booking_to_guestly(uuid4(), environ={"SYNC_MAX_ATTEMPTS": "many"})
    faults = " ".join(caught.value.faults)
    assert "DATABASE_URL" in faults
    assert "SYNC_MAX_ATTEMPTS" in faults


def test_every_booking_status_has_its_word_in_the_pms() -> None:
    words = {status: api.map_status_to_guestly(status) for status in BookingStatus}
    assert words == {
        "pending": "inquiry",
        "confirmed": "confirmed",
        "cancelled": "canceled",
        "completed": "confirmed",
    }


@pytest.mark.parametrize("call", [api.send_sync_failure_alert, api.send_booking_alert])
@pytest.mark.parametrize("status", ["confirmed", "archived"])
async def test_an_alert_asked_for_by_the_site_holds_nothing_of_the_guest(
    conn: Connection, database_url: str, call: Callable[..., Awaitable[int]], status: str
) -> None:
    await conn.execute("alter table bookings drop constraint bookings_status_check")
    booking = await insert_booking(
        conn,
        status=status,
        check_in_date="infinity",
        guest_phone="+49 30 5550100",
        special_requests="Quiet room please,\nallergic to peanuts and feathers",
        guest_company="Lantern Works",
    )
    text = (
        "http_503 for zoe CANARY-GUEST <zoe.canary@example.com>, 0305550100 of Lantern Works:"
        " is Allergic to peanuts and feathers"
    )

    await call(booking, text, environ={"DATABASE_URL": database_url})

    cursor = await conn.execute("select fingerprint || facts::text as kept from outbox.alert")
    (alert,) = await cursor.fetchall()
    kept = alert["kept"].casefold()
    assert "http_503" in kept
    for word in ("zoe", "canary", "5550100", "lantern", "peanuts", "feathers"):
        assert word not in kept
