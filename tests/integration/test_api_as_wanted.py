"""The functions for Python callers, where the record says done and the PMS holds another state."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import pytest

from outbox_worker import api
from outbox_worker.database import Connection
from tests.support_engine import booking_row, insert_booking
from tests.support_simulator import API_KEY, LISTING, Simulator, booking, start_simulator
from tests.support_sync import handler, sync

Call: TypeAlias = Callable[..., Awaitable[api.SyncResult]]

TEST_ID = "test-reservation-id"
BOTH = pytest.mark.parametrize("call", [api.sync_booking_to_guestly, api.retry_failed_sync])


@pytest.fixture
def pms(tmp_path: Path) -> Iterator[Simulator]:
    with start_simulator(tmp_path / "pms") as simulator:
        yield simulator


@pytest.fixture
def live(database_url: str, pms: Simulator) -> Mapping[str, str]:
    return {
        "DATABASE_URL": database_url,
        "GUESTLY_SYNC_ENABLED": "true",
        "GUESTLY_TEST_MODE": "false",
        "GUESTLY_API_URL": pms.url,
        "GUESTLY_API_KEY": API_KEY,
        "PMS_TIMEOUT_SECONDS": "2",
        "PMS_QUIET_SECONDS": "0.2",
        "SYNC_RETRY_BASE_SECONDS": "0.05",
    }


@pytest.fixture
def tested(live: Mapping[str, str]) -> Mapping[str, str]:
    return {**live, "GUESTLY_TEST_MODE": "true"}


@pytest.fixture
async def a_booking(conn: Connection) -> UUID:
    await conn.execute(
        "insert into outbox.listing (pms, slug, listing_id) values ('guestly', 'sea-loft', %s)",
        [LISTING],
    )
    return await insert_booking(conn, slug="sea-loft")


async def taken_over(conn: Connection, pms: Simulator, booking_id: UUID) -> str:
    """A live reservation that the site's own sync made: its state is not known."""
    reference = (await booking_row(conn, booking_id))["booking_reference"]
    with pms.client() as client:
        held: dict[str, Any] = client.post("/reservations", json=booking(reference)).json()
    await conn.execute(
        "insert into outbox.reservation (booking_id, pms, reservation_id, mode, reservations)"
        " values (%s, 'guestly', %s, 'live', 1)",
        [booking_id, held["_id"]],
    )
    await conn.execute(
        "insert into outbox.delivery (destination, key, requested, delivered)"
        " values ('guestly', %s, 1, 1)",
        [str(booking_id)],
    )
    return str(held["_id"])


@BOTH
async def test_a_booking_synced_in_test_mode_is_sent_once_it_is_called_live(
    tested: Mapping[str, str],
    live: Mapping[str, str],
    pms: Simulator,
    a_booking: UUID,
    call: Call,
) -> None:
    first = await api.sync_booking_to_guestly(a_booking, environ=tested)
    assert (first.success, first.reservation_id) == (True, TEST_ID)

    result = await call(a_booking, environ=live)

    (held,) = pms.reservations()
    assert result == api.SyncResult(
        success=True, reservation_id=held["_id"], error=None, attempts=1
    )


@BOTH
async def test_in_test_mode_a_test_reservation_is_all_that_is_wanted(
    conn: Connection, tested: Mapping[str, str], pms: Simulator, a_booking: UUID, call: Call
) -> None:
    first = await api.sync_booking_to_guestly(a_booking, environ=tested)
    assert await call(a_booking, environ=tested) == first

    cursor = await conn.execute("select requested from outbox.delivery")
    assert await cursor.fetchall() == [{"requested": 1}]
    assert pms.requests() == []


async def test_a_test_reservation_of_a_cancelled_booking_is_not_shown_live(
    conn: Connection,
    tested: Mapping[str, str],
    live: Mapping[str, str],
    pms: Simulator,
    a_booking: UUID,
) -> None:
    await api.sync_booking_to_guestly(a_booking, environ=tested)
    await conn.execute("update bookings set status = 'cancelled' where id = %s", [a_booking])

    result = await api.sync_booking_to_guestly(a_booking, environ=live)

    assert (result.success, result.reservation_id) == (True, None)
    assert pms.requests() == []


@BOTH
async def test_a_booking_taken_over_and_cancelled_since_is_cancelled_in_the_pms(
    conn: Connection, live: Mapping[str, str], pms: Simulator, a_booking: UUID, call: Call
) -> None:
    reservation = await taken_over(conn, pms, a_booking)
    await conn.execute("update bookings set status = 'cancelled' where id = %s", [a_booking])

    result = await call(a_booking, environ=live)

    assert (result.success, result.reservation_id) == (True, reservation)
    (held,) = pms.reservations()
    assert held["status"] == "canceled"


@BOTH
async def test_a_booking_taken_over_and_changed_since_is_changed_in_the_pms(
    conn: Connection, live: Mapping[str, str], pms: Simulator, a_booking: UUID, call: Call
) -> None:
    reservation = await taken_over(conn, pms, a_booking)
    await conn.execute("update bookings set adults = 4 where id = %s", [a_booking])

    result = await call(a_booking, environ=live)

    assert (result.success, result.reservation_id) == (True, reservation)
    (held,) = pms.reservations()
    assert held["numberOfGuests"] == 5


async def test_what_the_pms_refuses_is_no_success_although_it_was_done_before(
    conn: Connection, live: Mapping[str, str], pms: Simulator, a_booking: UUID
) -> None:
    await taken_over(conn, pms, a_booking)
    pms.faults({"fault": "reject", "operation": "change"})

    result = await api.sync_booking_to_guestly(a_booking, environ=live)

    assert not result.success
    assert result.error


async def test_a_worker_in_test_mode_that_took_the_row_first_makes_no_live_success(
    conn: Connection, live: Mapping[str, str], pms: Simulator, a_booking: UUID
) -> None:
    """The trigger plays that worker: it settles each request as test mode does."""
    await sync(conn, a_booking, handler(None, test_mode=True))
    await conn.execute(
        "create function take() returns trigger language plpgsql as"
        " $$ begin new.delivered := new.requested; new.due_at := null; return new; end $$"
    )
    await conn.execute(
        "create trigger take before update on outbox.delivery for each row execute function take()"
    )

    result = await api.sync_booking_to_guestly(a_booking, environ=live)

    assert (result.success, result.reservation_id) == (False, None)
    assert result.error == "The PMS does not hold the booking as it is now; ask again"
    assert pms.reservations() == []
