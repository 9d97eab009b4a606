"""Alerts that the site's own programs ask for. They only write rows; the worker sends the mails."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from outbox_worker.alerts import store
from outbox_worker.alerts.alert import AlertKind, NewAlert, RaisedAlert
from outbox_worker.database import Connection
from outbox_worker.outbox.delivery import Destination
from outbox_worker.redaction import mask
from outbox_worker.sql import query


async def sync_failure(
    conn: Connection, booking_id: UUID, error: str, *, channels: Sequence[Destination]
) -> RaisedAlert:
    """Report that a booking did not reach the PMS.

    The alert names the booking's delivery while it is owed, so that its success resolves the alert.

    Args:
        conn: Inside the caller's transaction.
        booking_id: Of the site.
        error: Why, in one sentence, without the guest's name and notes; what looks like an address
            or a phone number is masked here.
        channels: Where alerts are told.
    """
    alert = NewAlert(
        kind=AlertKind.SYNC_FAILED,
        fingerprint=f"reported:{booking_id}",
        booking_id=booking_id,
        facts={"error": mask(error)},
    )
    # locked, or the delivery could succeed, and find nothing to heal, before this is committed
    cursor = await conn.execute(query("alert_lock_owed_delivery"), {"key": str(booking_id)})
    owed = [row["id"] for row in await cursor.fetchall()]
    return await store.raise_alert(conn, alert, deliveries=owed, channels=channels)


async def booking_attention(
    conn: Connection, booking_id: UUID, message: str, *, channels: Sequence[Destination]
) -> RaisedAlert:
    """Ask that a person looks at a booking.

    Args:
        conn: Inside the caller's transaction.
        booking_id: Of the site.
        message: Why, in one sentence and without guest data; it is masked all the same. Another
            message about the booking is another incident.
        channels: Where alerts are told.
    """
    reason = mask(message)
    alert = NewAlert(
        kind=AlertKind.REPORTED,
        fingerprint=f"{booking_id}:{reason}",
        booking_id=booking_id,
        facts={"message": reason},
    )
    return await store.raise_alert(conn, alert, channels=channels)
