"""One way from a row to what decides a delivery's state."""

from __future__ import annotations

from outbox_worker.database import Row
from outbox_worker.outbox.delivery import Snapshot


def snapshot_from(row: Row) -> Snapshot:
    """The columns that decide a delivery's state; the row has them under their own names."""
    return Snapshot(
        requested=row["requested"],
        delivered=row["delivered"],
        due_at=row["due_at"],
        failed_at=row["failed_at"],
        discarded_at=row["discarded_at"],
        uncertain_at=row["uncertain_at"],
        attempts=row["attempts"],
        lease_until=row["lease_until"],
    )
