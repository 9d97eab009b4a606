"""Workers: those that run, those that stopped, and those that fell silent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from outbox_worker.database import Connection, Row
from outbox_worker.operations.fleet import ALIVE, Worker, worker_facts
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
class ListedWorker(Worker):
    """A worker, running or not.

    Args:
        stopped_at: When it said that it stops; aware UTC.
    """

    state: WorkerState
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
    return ListedWorker(**worker_facts(row), state=state, stopped_at=row["stopped_at"])
