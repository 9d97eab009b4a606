"""Who is working, and which destinations take nothing at present."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from outbox_worker.database import Connection, Row
from outbox_worker.outbox.delivery import Destination
from outbox_worker.sql import query

#: A worker whose heartbeat is older than this is not counted as running.
ALIVE = timedelta(seconds=60)

DISABLED = "Guestly sync is disabled (GUESTLY_SYNC_ENABLED=false)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker that has been seen lately.

    Args:
        seen_ago: Since its last heartbeat, by the database's clock.
    """

    id: str
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncMode:
    """Whether bookings are sent, as one process's settings say."""

    enabled: bool
    test_mode: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The running workers and the gates that all of them share.

    Args:
        workers: Seen lately, oldest first.
        mode: How the running workers handle bookings; with none running, as our own settings say.
        closed: Why a destination takes nothing, one sentence each; open ones are absent.
        now: The database's clock, aware UTC.
    """

    workers: tuple[Worker, ...]
    mode: SyncMode
    closed: Mapping[Destination, str]
    now: datetime


async def read_fleet(conn: Connection, ours: SyncMode) -> Fleet:
    """Workers and gates.

    Args:
        conn: Any connection; only reads.
        ours: What our own environment says; used while no worker is running.
    """
    cursor = await conn.execute(query("live_workers"), {"alive": ALIVE})
    workers = tuple(
        Worker(
            id=row["id"],
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
        )
        for row in await cursor.fetchall()
    )
    # one that sends is enough for bookings to be sent, and for them to be real
    senders = [worker for worker in workers if worker.sync_enabled]
    mode = (
        SyncMode(enabled=bool(senders), test_mode=all(w.test_mode for w in senders or workers))
        if workers
        else ours
    )
    cursor = await conn.execute(query("closed_gates"))
    rows = await cursor.fetchall()
    closed = {Destination(row["destination"]): _reason(row) for row in rows if row["closed"]}
    if not mode.enabled:
        closed[Destination.GUESTLY] = DISABLED
    return Fleet(workers=workers, mode=mode, closed=closed, now=rows[0]["now"])


def _reason(row: Row) -> str:
    if row["paused"]:
        until = (
            "until resumed"
            if row["paused_until"] is None
            else f"until {row['paused_until']:%Y-%m-%d %H:%M} UTC"
        )
        why = f": {row['pause_reason']}" if row["pause_reason"] else ""
        return f"paused by {row['paused_by'] or 'an operator'} {until}{why}"
    return "its circuit is open: the last calls all failed"
