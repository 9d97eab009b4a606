"""What a real worker does about connections and tasks that die or hang: it mends them, or ends."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from outbox_worker.database import Connection
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Destination, Reason
from tests.support_cli import outbox, settings
from tests.support_deaf import deaf_line
from tests.support_engine import eventually, insert_booking, owe
from tests.support_health import ANY_PORT, endpoint_of
from tests.support_simulator import LISTING, Simulator
from tests.support_wire import Wire
from tests.support_worker import environment, probing, worker

#: Bounds of a stop here: the time for calls (5 s), cutting off, the last settle (5 s), and slack.
STOPPED_WITHIN_S = 25.0

RAISES = """
from outbox_worker.worker.loop import Loop

async def cycle(self, conn):
    raise ZeroDivisionError("a bug of the test, zoe@example.com")

Loop.cycle = cycle
"""
DEAF_ONCE = """
from outbox_worker.worker.wakeup import Wakeup
hear = Wakeup._hear
bugs = ["one"]

async def broken(self, conn):
    if bugs:
        raise ZeroDivisionError(bugs.pop())
    await hear(self, conn)

Wakeup._hear = broken
"""


async def delivered(conn: Connection, key: str) -> None:
    """Owe the mail of an alert that there is not, and wait until that is on record."""
    mail = await owe(conn, key, Destination.EMAIL)

    async def done() -> bool:
        row = await store.read(conn, mail)
        return row is not None and row.snapshot.delivered == row.snapshot.requested

    await eventually(done, "a delivery", within=30)


async def test_half_open_connections_are_noticed_and_replaced(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    async with Wire(database_url) as wire:
        environ = environment(wire.url, None, METRICS_ADDRESS=ANY_PORT)
        with worker(tmp_path / "w.log", environ) as process:
            endpoint = await endpoint_of(process)
            await endpoint.becomes("/readyz", 200)
            await delivered(conn, "before")
            wire.strand()
            await process.logged("database.lost")
            await process.logged("database.restored")
            await delivered(conn, "after")
            assert await endpoint.status("/healthz") == 200
            process.send(signal.SIGTERM)
            assert await process.ended(within=STOPPED_WITHIN_S) == 0


async def test_a_network_that_says_nothing_is_waited_for(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    async with Wire(database_url) as wire:
        environ = environment(wire.url, None, METRICS_ADDRESS=ANY_PORT)
        with worker(tmp_path / "w.log", environ) as process:
            endpoint = await endpoint_of(process)
            await endpoint.becomes("/readyz", 200)
            wire.freeze()
            await endpoint.becomes("/readyz", 503)
            assert await endpoint.status("/healthz") == 200
            await wire.mend()
            await delivered(conn, "after")
            await endpoint.becomes("/readyz", 200)


async def test_a_network_that_says_nothing_does_not_make_stopping_hang(
    conn: Connection, database_url: str, pms: Simulator, tmp_path: Path
) -> None:
    await conn.execute(
        "insert into outbox.listing (pms, slug, listing_id) values ('guestly', 'sea-loft', %s)",
        [LISTING],
    )
    pms.once("timeout", when="after", seconds=30, operation="create")
    await store.request_sync(conn, await insert_booking(conn), reason=Reason.STRIPE)
    async with Wire(database_url) as wire:
        environ = environment(wire.url, pms, PMS_TIMEOUT_SECONDS="20", WORKER_LEASE_SECONDS="40")
        with worker(tmp_path / "w.log", environ) as process:

            async def created() -> bool:
                return bool(pms.effects())

            await eventually(created, "the effect")
            wire.freeze()
            process.send(signal.SIGTERM)
            assert await process.ended(within=STOPPED_WITHIN_S) == 0
            assert any("without recording" in message for message in process.messages())


async def test_a_worker_that_starts_on_a_silent_network_can_be_stopped(
    database_url: str, tmp_path: Path
) -> None:
    async with Wire(database_url) as wire:
        wire.freeze()
        with worker(tmp_path / "w.log", environment(wire.url, None)) as process:
            await process.logged("database.lost")
            process.send(signal.SIGTERM)
            assert await process.ended(within=STOPPED_WITHIN_S) == 0


async def test_a_loop_that_raises_ends_the_process_which_says_so(
    database_url: str, tmp_path: Path
) -> None:
    environ = environment(database_url, None)
    with worker(tmp_path / "w.log", environ, fault=RAISES) as process:
        assert await process.ended() == 1
    (told,) = process.events("service.failed")
    assert told["level"] == "critical"
    assert "ZeroDivisionError" in told["message"]
    assert "in cycle" in told["exception"]
    assert "zoe@example.com" not in process.text


@pytest.mark.needs_listen(reason="the listener that is begun anew has to hear something")
async def test_a_listener_that_raises_says_so_and_is_begun_anew(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    environ = environment(database_url, None, METRICS_ADDRESS=ANY_PORT)
    with worker(tmp_path / "w.log", environ, fault=DEAF_ONCE) as process:
        endpoint = await endpoint_of(process)
        told = await process.logged("listen.lost")
        assert "ZeroDivisionError" in told["message"]
        await delivered(conn, "by polling")
        await process.logged("listen.restored")
        assert (await endpoint.metrics())["outbox_listening",] == 1


async def test_a_listen_that_falls_silent_is_seen_by_operators_and_costs_no_delivery(
    conn: Connection, database_url: str, direct_url: str, tmp_path: Path
) -> None:
    async with deaf_line(direct_url) as line:
        line.deaf = False
        environ = environment(
            database_url, None, METRICS_ADDRESS=ANY_PORT, DATABASE_LISTEN_URL=line.url
        )
        with worker(tmp_path / "w.log", environ, fault=probing(within=3)) as process:
            endpoint = await endpoint_of(process)
            await process.logged("listen.restored")
            await eventually(lambda: wakes_by(conn, listening=True), "the beat about it")
            assert "  listening  " in await status(database_url)

            line.deaf = True
            await process.logged("listen.lost")
            await eventually(lambda: wakes_by(conn, listening=False), "the beat about that")

            assert "  polling  " in await status(database_url)
            assert (await endpoint.metrics())["outbox_listening",] == 0
            assert await endpoint.status("/readyz") == 200
            await delivered(conn, "by polling")


async def status(database_url: str) -> str:
    # the line to Postgres runs in this event loop
    shown = await asyncio.to_thread(outbox, "status", environ=settings(database_url))
    return shown.out


async def wakes_by(conn: Connection, *, listening: bool) -> bool:
    """Whether the one worker's row says so."""
    cursor = await conn.execute("select listening from outbox.worker")
    return [row["listening"] for row in await cursor.fetchall()] == [listening]
