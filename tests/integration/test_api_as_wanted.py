"""The functions for Python callers, where the record says done and the PMS holds another state."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias
from uuid import UUID

import pytest

from outbox_worker import api
from outbox_worker.database import Connection
from tests.support_engine import booking_row
from tests.support_simulator import Simulator
from tests.support_simulator import booking as body_of
from tests.support_sync import handler, sync
from tests.support_worker import environment

Call: TypeAlias = Callable[..., Awaitable[api.SyncResult]]

TEST_ID = "test-reservation-id"
BOTH = pytest.mark.parametrize("call", [api.sync_booking_to_guestly, api.retry_failed_sync])


@pytest.fixture
def live(database_url: str, pms: Simulator) -> Mapping[str, str]:
    return environment(database_url, pms, PMS_QUIET_SECONDS="0.2")


@pytest.fixture
def tested(live: Mapping[str, str]) -> Mapping[str, str]:
    return {**live, "GUESTLY_TEST_MODE": "true"}


async def taken_over(conn: Connection, pms: Simulator, booking_id: UUID) -> str:
    """A live reservation that the site's own sync made: its state is not known."""
    reference = (await booking_row(conn, booking_id))["booking_reference"]
    with pms.client() as client:
        held: dict[str, Any] = client.post("/reservations", json=body_of(reference)).json()
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
    booking: UUID,
    call: Call,
) -> None:
    first = await api.sync_booking_to_guestly(booking, environ=tested)
    assert (first.success, first.reservation_id) == (True, TEST_ID)

    result = await call(booking, environ=live)

    (held,) = pms.reservations()
    assert result == api.SyncResult(
        success=True, reservation_id=held["_id"], error=None, attempts=1
    )


@BOTH
async def test_in_test_mode_a_test_reservation_is_all_that_is_wanted(
    conn: Connection, tested: Mapping[str, str], pms: Simulator, booking: UUID, call: Call
) -> None:
    first = await api.sync_booking_to_guestly(booking, environ=tested)
    assert await call(booking, environ=tested) == first

    cursor = await conn.execute("select requested from outbox.delivery")
    assert await cursor.fetchall() == [{"requested": 1}]
    assert pms.requests() == []


async def test_a_test_reservation_of_a_cancelled_booking_is_not_shown_live(
    conn: Connection,
    tested: Mapping[str, str],
    live: Mapping[str, str],
    pms: Simulator,
    booking: UUID,
) -> None:
    await api.sync_booking_to_guestly(booking, environ=tested)
    await conn.execute("update bookings set status = 'cancelled' where id = %s", [booking])

    result = await api.sync_booking_to_guestly(booking, environ=live)

    assert (result.success, result.reservation_id) == (True, None)
    assert pms.requests() == []


@BOTH
async def test_a_booking_taken_over_and_cancelled_since_is_cancelled_in_the_pms(
    conn: Connection, live: Mapping[str, str], pms: Simulator, booking: UUID, call: Call
) -> None:
    reservation = await taken_over(conn, pms, booking)
    await conn.execute("update bookings set status = 'cancelled' where id = %s", [booking])

    result = await call(booking, environ=live)

    assert (result.success, result.reservation_id) == (True, reservation)
    (held,) = pms.reservations()
    assert held["status"] == "canceled"


@BOTH
async def test_a_booking_taken_over_and_changed_since_is_changed_in_the_pms(
    conn: Connection, live: Mapping[str, str], pms: Simulator, booking: UUID, call: Call
) -> None:
    reservation = await taken_over(conn, pms, booking)
    await conn.execute("update bookings set adults = 4 where id = %s", [booking])

    result = await call(booking, environ=live)

    assert (result.success, result.reservation_id) == (True, reservation)
    (held,) = pms.reservations()
    assert held["numberOfGuests"] == 5


async def test_what_the_pms_refuses_is_no_success_although_it_was_done_before(
    conn: Connection, live: Mapping[str, str], pms: Simulator, booking: UUID
) -> None:
    await taken_over(conn, pms, booking)
    pms.faults({"fault": "reject", "operation": "change"})

    result = await api.sync_booking_to_guestly(booking, environ=live)

    assert not result.success
    assert result.error


async def test_a_worker_in_test_mode_that_took_the_row_first_makes_no_live_success(
    conn: Connection, live: Mapping[str, str], pms: Simulator, booking: UUID
) -> None:
    """The trigger plays that worker: it settles each request as test mode does."""
    await sync(conn, booking, handler(None, test_mode=True))
    await conn.execute(
        "create function take() returns trigger language plpgsql as"
        " $$ begin new.delivered := new.requested; new.due_at := null; return new; end $$"
    )
    await conn.execute(
        "create trigger take before update on outbox.delivery for each row execute function take()"
    )

    result = await api.sync_booking_to_guestly(booking, environ=live)

    assert (result.success, result.reservation_id) == (False, None)
    assert result.error == "The PMS does not hold the booking as it is now; ask again"
    assert pms.reservations() == []
