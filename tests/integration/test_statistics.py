"""The site's own count of its bookings."""

from __future__ import annotations

from outbox_worker.database import Connection
from outbox_worker.sql import query
from outbox_worker.statistics import SyncStatistics, get_sync_statistics
from tests.support_engine import insert_booking


async def test_no_bookings_count_as_nothing(conn: Connection) -> None:
    assert await get_sync_statistics(conn) == SyncStatistics(pending=0, synced=0, failed=0)


async def test_all_bookings_are_counted_and_null_is_pending(conn: Connection) -> None:
    for status in ("pending", None, "synced", "synced", "synced", "failed"):
        await insert_booking(conn, guestly_sync_status=status)

    assert await get_sync_statistics(conn) == SyncStatistics(pending=2, synced=3, failed=1)


async def test_counting_reads_the_index_and_not_the_bookings(session: Connection) -> None:
    # of so few rows the planner would rather read the table; what matters is that it need not
    await session.execute("set enable_seqscan = off")

    cursor = await session.execute("explain " + query("count_bookings"))
    plan = "\n".join(row["QUERY PLAN"] for row in await cursor.fetchall())

    assert "Index Only Scan using idx_bookings_guestly_sync_status" in plan
