"""Workers: those that run, those that stopped, and those that fell silent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from outbox_worker.database import Connection, Row
from outbox_worker.operations.fleet import ALIVE
from outbox_worker.sql import query

#: Workers that have not been seen for longer are left out.
LATELY = timedelta(hours=24)


class WorkerState(StrEnum):
    """What is known of a worker."""

    RUNNING = "running"
    #: Its heartbeat is overdue and it never said that it stops: it was killed, hangs or lost
    #: Postgres.
    SILENT = "silent"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedWorker:
    """A worker that has been seen lately.

    Args:
        test_mode: How it handles bookings; says nothing where ``sync_enabled`` is false.
        listening: Whether it hears notifications; else it polls.
        in_flight: Calls under way at its last heartbeat.
        seen_ago: Since its last heartbeat, by the database's clock.
        stopped_at: When it said that it stops; aware UTC.
    """

    id: str
    state: WorkerState
    host: str
    pid: int
    version: str
    pms: str
    sync_enabled: bool
    test_mode: bool
    listening: bool
    in_flight: int
    started_at: datetime
    seen_ago: timedelta
    stopped_at: datetime | None


async def list_workers(conn: Connection, *, within: timedelta = LATELY) -> tuple[ListedWorker, ...]:
    """Workers seen lately: running ones first, then silent ones, then those that stopped.

    Args:
        conn: Any connection; only reads.
        within: How long ago is lately.
    """
    cursor = await conn.execute(query("recent_workers"), {"within": within, "alive": ALIVE})
    return tuple(_worker(row) for row in await cursor.fetchall())


def _worker(row: Row) -> ListedWorker:
    if row["stopped_at"] is not None:
        state = WorkerState.STOPPED
    else:
        state = WorkerState.RUNNING if row["seen_ago"] < ALIVE else WorkerState.SILENT
    return ListedWorker(
        id=row["id"],
        state=state,
        host=row["host"],
        pid=row["pid"],
        version=row["version"],
        pms=row["pms"],
        sync_enabled=row["sync_enabled"],
        test_mode=row["test_mode"],
        listening=row["listening"],
        in_flight=row["in_flight"],
        started_at=row["started_at"],
        seen_ago=row["seen_ago"],
        stopped_at=row["stopped_at"],
    )
