"""The site's own count of its bookings."""

from __future__ import annotations

from dataclasses import dataclass

from outbox_worker.bookings.booking import SyncStatus
from outbox_worker.database import Connection
from outbox_worker.sql import query


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncStatistics:
    """All bookings of the site by their sync status; one that has none counts as pending."""

    pending: int
    synced: int
    failed: int


async def get_sync_statistics(conn: Connection) -> SyncStatistics:
    """Count all bookings by sync status.

    Args:
        conn: Any connection; reads the index on that column, not the bookings.
    """
    cursor = await conn.execute(query("count_bookings"))
    counts = dict.fromkeys(SyncStatus, 0)
    for row in await cursor.fetchall():
        counts[SyncStatus(row["status"])] += row["n"]
    return SyncStatistics(
        pending=counts[SyncStatus.PENDING],
        synced=counts[SyncStatus.SYNCED],
        failed=counts[SyncStatus.FAILED],
    )
