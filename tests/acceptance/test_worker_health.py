"""What a real worker answers about itself, and that asking costs it nothing."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from outbox_worker.database import Connection
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Destination
from tests.support_engine import eventually, owe
from tests.support_health import ANY_PORT, Endpoint, endpoint_of
from tests.support_wire import Wire
from tests.support_worker import environment, worker

#: A loop that hangs for good, and that no cancellation ends: what the endpoint is there to tell.
HANGS = """
import asyncio
from datetime import timedelta
from outbox_worker import wiring
from outbox_worker.worker.loop import Loop

async def hang(self, conn):
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass

Loop.cycle = hang
wiring.longest_silence = lambda patience: timedelta(seconds=0.5)
"""
#: A second as the longest time between two beats.
BEATS_OFTEN = """
from datetime import timedelta
from outbox_worker.worker import heartbeat, supervisor
heartbeat.BEAT_EVERY = supervisor.BEAT_EVERY = timedelta(seconds=1)
"""


async def delivered(conn: Connection, key: str) -> None:
    """Owe the mail of an alert that there is not, and wait until that is on record."""
    mail = await owe(conn, key, Destination.EMAIL)

    async def done() -> bool:
        row = await store.read(conn, mail)
        return row is not None and row.snapshot.delivered == row.snapshot.requested

    await eventually(done, "a delivery")


async def test_a_worker_that_works_is_healthy_and_ready_and_counts(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    environ = environment(database_url, None, METRICS_ADDRESS=ANY_PORT)
    with worker(tmp_path / "w.log", environ) as process:
        endpoint = await endpoint_of(process)
        assert await endpoint.becomes("/readyz", 200) == "ok\n"
        assert (await endpoint.get("/healthz")).text == "ok\n"
        await delivered(conn, "1")

        async def counted() -> bool:
            attempts = ("outbox_attempts_total", "email", "nothing")
            return (await endpoint.metrics())[attempts] == 1

        await eventually(counted, "a count of the delivery")
        seen = await endpoint.metrics()
        assert seen["outbox_alive",] == seen["outbox_database_reachable",] == 1
        assert seen["outbox_cycles_total",] >= 1
        assert seen["outbox_attempts_total", "guestly", "held"] == 0, "a series from the beginning"
        (started,) = process.events("service.started")
        assert any(started["worker"] in key for key in seen)
        process.send(signal.SIGTERM)
        assert await process.ended() == 0


async def test_waiting_for_postgres_is_healthy_but_not_ready(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    async with Wire(database_url) as wire:
        await wire.cut()
        environ = environment(wire.url, None, METRICS_ADDRESS=ANY_PORT)
        with worker(tmp_path / "w.log", environ) as process:
            endpoint = await endpoint_of(process)
            await process.logged("database.lost")
            assert await endpoint.status("/healthz") == 200
            assert "waits for Postgres" in await endpoint.becomes("/readyz", 503)
            assert (await endpoint.metrics())["outbox_database_misses_total",] >= 1

            await wire.mend()
            await endpoint.becomes("/readyz", 200)
            await wire.cut()
            await endpoint.becomes("/readyz", 503)
            assert await endpoint.status("/healthz") == 200
            await wire.mend()
            await endpoint.becomes("/readyz", 200)
            await delivered(conn, "after it all")


async def test_a_loop_that_hangs_is_unhealthy_and_says_since_when(
    database_url: str, tmp_path: Path
) -> None:
    environ = environment(database_url, None, METRICS_ADDRESS=ANY_PORT)
    with worker(tmp_path / "w.log", environ, fault=HANGS) as process:
        endpoint = await endpoint_of(process)
        (line,) = (await endpoint.becomes("/healthz", 503)).splitlines()
        assert line.startswith("hangs: no claim cycle")
        assert "since 2" in line
        assert await endpoint.status("/readyz") == 503
        seen = await endpoint.metrics()
        assert seen["outbox_alive",] == 0
        assert seen["outbox_cycle_age_seconds",] >= 0.5


async def test_a_worker_that_polls_once_an_hour_gives_signs_of_life_all_the_same(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    environ = environment(database_url, None, METRICS_ADDRESS=ANY_PORT, WORKER_POLL_SECONDS="3600")
    with worker(tmp_path / "w.log", environ, fault=BEATS_OFTEN) as process:
        endpoint = await endpoint_of(process)
        await endpoint.becomes("/readyz", 200)

        async def cycles() -> bool:
            return (await endpoint.metrics())["outbox_cycles_total",] >= 4

        await eventually(cycles, "cycles without anything to do")
        cursor = await conn.execute("select seen_at from outbox.worker")
        (row,) = await cursor.fetchall()
        first = row["seen_at"]

        async def beaten() -> bool:
            cursor = await conn.execute("select seen_at from outbox.worker")
            (row,) = await cursor.fetchall()
            return bool(row["seen_at"] > first)

        await eventually(beaten, "another beat", within=20)


async def test_an_address_that_is_taken_is_an_error_in_the_log_and_no_more(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        environ = environment(database_url, None, METRICS_ADDRESS=address)
        with worker(tmp_path / "w.log", environ) as process:
            told = await process.logged("health.failed")
            assert told["level"] == "error"
            assert address in told["message"]
            assert "METRICS_ADDRESS" in told["hint"]
            await delivered(conn, "1")
            process.send(signal.SIGTERM)
            assert await process.ended() == 0


@contextlib.asynccontextmanager
async def crowd(endpoint: Endpoint, size: int) -> AsyncIterator[None]:
    """Clients that connect, say half a request and no more; whoever is hung up on comes back."""
    host, _, port = endpoint.url.removeprefix("http://").rpartition(":")

    async def loiter() -> None:
        while True:
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(b"GET /metrics HTTP/1.1\r\nHost: ")
                await reader.read()
            except OSError:
                pass
            finally:
                writer.close()

    async def ask() -> None:
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection(host, int(port))
                try:
                    writer.write(b"GET /metrics HTTP/1.1\r\nHost: w\r\n\r\n" * 50)
                    await reader.read()
                finally:
                    writer.close()

    tasks = [asyncio.create_task(loiter()) for _ in range(size)]
    tasks += [asyncio.create_task(ask()) for _ in range(size)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_neither_a_flood_nor_slow_clients_keep_a_worker_from_its_work_or_its_end(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    environ = environment(database_url, None, METRICS_ADDRESS=ANY_PORT)
    with worker(tmp_path / "w.log", environ) as process:
        endpoint = await endpoint_of(process)
        async with crowd(endpoint, 20):
            for number in range(5):
                await delivered(conn, str(number))

            async def answered() -> bool:
                with contextlib.suppress(httpx.TransportError):
                    return await endpoint.status("/healthz") == 200
                return False

            await eventually(answered, "an answer among the crowd")
            process.send(signal.SIGTERM)
            assert await process.ended() == 0
