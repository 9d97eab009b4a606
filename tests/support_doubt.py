"""Bookings whose last call had no answer, and ways to ask about them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from outbox_worker.database import Connection
from outbox_worker.operations.ask_pms import PmsReader
from outbox_worker.operations.check import Checked, check
from outbox_worker.operations.link import Linked, link
from outbox_worker.operations.plan import PmsView
from outbox_worker.operations.refs import Subject, Target
from outbox_worker.operations.slices import Request
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import DeliveryId, Destination
from outbox_worker.pms.port import PmsName
from tests.support_engine import booking_row
from tests.support_simulator import LISTING, Json, Simulator, create

VIEW = PmsView(pms=PmsName.GUESTLY, currency="EUR")
#: Nothing in a test takes so long.
QUIET = timedelta(minutes=10)


def target(booking: UUID) -> Target:
    return Target(subject=Subject.BOOKING, key=str(booking), name="LA-1")


async def in_doubt(
    conn: Connection, booking: UUID, *, since: timedelta = timedelta(0)
) -> DeliveryId:
    """The booking is owed, and a write of unknown outcome ended ``since`` ago."""
    await conn.execute("select outbox.request_sync(%s, 'stripe')", [booking])
    delivery = await store.find(conn, destination=Destination.GUESTLY, key=str(booking))
    assert delivery is not None
    await conn.execute(
        "update outbox.delivery set attempts = 1, uncertain_at = now() - %s,"
        " due_at = now() + interval '1 hour', last_error_code = 'timeout', last_error = 'no answer'"
        " where id = %s",
        [since, delivery],
    )
    return delivery


async def in_guestly(conn: Connection, pms: Simulator, booking: UUID, **changes: Any) -> Json:
    """What a create of this booking would have made in the PMS, but for the changes."""
    row = await booking_row(conn, booking)
    notes = f"Children: 1\nBooking Reference: {row['booking_reference']}"
    fields: dict[str, Any] = {
        "listingId": LISTING,
        "checkIn": "2027-05-01",
        "checkOut": "2027-05-05",
        "guestName": "Zoë Canary-Guest",
        "guestEmail": "zoe.canary@example.com",
        "guestPhone": None,
        "notes": notes,
        **changes,
    }
    reference = fields.pop("confirmationCode", row["booking_reference"])
    with pms.client() as client:
        return create(client, reference, **fields)


async def asked(
    conn: Connection, adapter: PmsReader, booking: UUID, *, quiet: timedelta = QUIET
) -> Checked:
    return await check(conn, target(booking), pms=adapter, view=VIEW, quiet=quiet, actor="anna")


async def linked(
    conn: Connection,
    adapter: PmsReader | None,
    booking: UUID,
    reservation_id: str,
    *,
    quiet: timedelta = QUIET,
) -> Linked:
    request = Request(actor="anna", target=f"LA-1 {reservation_id}", reason="entered by hand")
    return await link(
        conn,
        target(booking),
        reservation_id,
        pms=adapter,
        view=VIEW,
        quiet=quiet,
        request=request,
    )


async def on_record(conn: Connection, booking: UUID) -> dict[str, Any] | None:
    cursor = await conn.execute(
        "select reservation_id, mode, fingerprint, reservations from outbox.reservation"
        " where booking_id = %s",
        [booking],
    )
    return await cursor.fetchone()
