"""The worker's own row: who runs, in which mode, and whether it listens."""

from __future__ import annotations

from outbox_worker.database import Connection
from outbox_worker.outbox.delivery import WorkerId
from outbox_worker.worker.heartbeat import Heartbeat, Mode

MODE = Mode(pms="guestly", sync_enabled=True, test_mode=False)


async def test_a_worker_writes_its_row_seldom_and_at_once_when_it_begins_to_listen(
    conn: Connection,
) -> None:
    heartbeat = Heartbeat(WorkerId("w1"), MODE)
    await heartbeat.beat(conn, listening=False, in_flight=0)
    await heartbeat.beat(conn, listening=False, in_flight=7)
    cursor = await conn.execute("select id, listening, in_flight, test_mode from outbox.worker")
    assert await cursor.fetchall() == [
        {"id": "w1", "listening": False, "in_flight": 0, "test_mode": False}
    ]
    await heartbeat.beat(conn, listening=True, in_flight=3)
    cursor = await conn.execute("select listening, in_flight from outbox.worker")
    assert await cursor.fetchall() == [{"listening": True, "in_flight": 3}]


async def test_a_worker_that_stops_says_so(conn: Connection) -> None:
    heartbeat = Heartbeat(WorkerId("w1"), MODE)
    await heartbeat.beat(conn, listening=True, in_flight=1)
    await heartbeat.last(conn)
    cursor = await conn.execute(
        "select in_flight, stopped_at is not null as stopped from outbox.worker"
    )
    assert await cursor.fetchall() == [{"in_flight": 0, "stopped": True}]
