"""A real worker that is told to stop while a call takes long, or while Postgres is gone."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from outbox_worker.database import Connection, connect
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Reason
from tests.support_engine import eventually, insert_booking
from tests.support_simulator import LISTING, Simulator, start_simulator
from tests.support_wire import Wire
from tests.support_worker import WorkerProcess, environment, worker

#: Without the second signal's own bound the last settle would go on for so long.
SETTLES_LONG = """
from datetime import timedelta
from outbox_worker.worker import supervisor

supervisor._LAST_SETTLE = timedelta(seconds=60)
"""


@pytest.fixture
def pms(tmp_path: Path) -> Iterator[Simulator]:
    with start_simulator(tmp_path / "pms") as simulator:
        simulator.once("timeout", when="after", seconds=30, operation="create")
        yield simulator


@pytest.fixture
async def owed(conn: Connection) -> None:
    """A booking whose create takes half a minute to be answered."""
    await conn.execute(
        "insert into outbox.listing (pms, slug, listing_id) values ('guestly', 'sea-loft', %s)",
        [LISTING],
    )
    await store.request_sync(conn, await insert_booking(conn), reason=Reason.STRIPE)


def patient(database_url: str, pms: Simulator) -> dict[str, str]:
    """A worker that would wait for that answer, but not when it is told to stop."""
    return environment(
        database_url, pms, PMS_TIMEOUT_SECONDS="20", WORKER_LEASE_SECONDS="40",
        WORKER_SHUTDOWN_SECONDS="1",
    )  # fmt: skip


async def test_a_call_that_outlasts_the_shutdown_time_is_cut_off_as_ambiguous(
    conn: Connection, database_url: str, pms: Simulator, owed: None, tmp_path: Path
) -> None:
    del owed
    with worker(tmp_path / "w.log", patient(database_url, pms)) as process:

        async def created() -> bool:
            return bool(pms.effects())

        await eventually(created, "the effect")
        process.send(signal.SIGTERM)
        assert await process.ended(within=15) == 0
    cursor = await conn.execute("select owner, last_error_code from outbox.delivery")
    assert await cursor.fetchone() == {"owner": None, "last_error_code": "interrupted"}


async def test_a_database_that_is_gone_does_not_make_stopping_hang(
    conn: Connection, database_url: str, pms: Simulator, owed: None, tmp_path: Path
) -> None:
    del owed, conn
    async with Wire(database_url) as wire:
        with worker(tmp_path / "w.log", patient(wire.url, pms)) as process:

            async def created() -> bool:
                return bool(pms.effects())

            await eventually(created, "the effect")
            await wire.cut()
            await process.logged("database.lost")
            began = time.monotonic()
            process.send(signal.SIGTERM)
            assert await process.ended(within=15) == 0
            assert time.monotonic() - began < 10, "shutdown time plus the last settle"


def very_patient(database_url: str, pms: Simulator) -> dict[str, str]:
    """A worker that stops only when the answer has come, unless it is told twice."""
    return {**patient(database_url, pms), "WORKER_SHUTDOWN_SECONDS": "60"}


async def told_twice(process: WorkerProcess, pms: Simulator) -> None:
    """Once the call is under way: the second signal comes when the first is being obeyed."""

    async def created() -> bool:
        return bool(pms.effects())

    await eventually(created, "the effect")
    process.send(signal.SIGTERM)
    await process.logged("service.draining")
    process.send(signal.SIGTERM)


async def test_a_second_signal_cuts_calls_off_and_records_what_became_of_them(
    conn: Connection, database_url: str, pms: Simulator, owed: None, tmp_path: Path
) -> None:
    del owed
    with worker(tmp_path / "w.log", very_patient(database_url, pms)) as process:
        await told_twice(process, pms)
        assert await process.ended(within=10) == 0
    cursor = await conn.execute("select owner, last_error_code from outbox.delivery")
    assert await cursor.fetchone() == {"owner": None, "last_error_code": "interrupted"}
    assert process.events("database.lost") == []


@pytest.mark.parametrize("how", ["refuses", "is silent"])
async def test_a_second_signal_ends_the_process_though_the_database_is_gone(
    conn: Connection, database_url: str, pms: Simulator, owed: None, tmp_path: Path, how: str
) -> None:
    """Far sooner than the shutdown time, the last settle's own bound, or the call."""
    del owed, conn
    async with Wire(database_url) as wire:
        environ = very_patient(wire.url, pms)
        with worker(tmp_path / "w.log", environ, fault=SETTLES_LONG) as process:

            async def created() -> bool:
                return bool(pms.effects())

            await eventually(created, "the effect")
            if how == "refuses":
                await wire.cut()
                await process.logged("database.lost")
            else:
                wire.freeze()
            await told_twice(process, pms)
            assert await process.ended(within=15) == 0
            (lost,) = [
                line for line in process.events("database.lost") if "stopped" in line["message"]
            ]
            assert "the leases end by themselves" in lost["message"]


async def test_a_result_that_a_lock_holds_up_is_recorded_after_a_second_signal_all_the_same(
    conn: Connection, database_url: str, pms: Simulator, owed: None, tmp_path: Path
) -> None:
    del owed
    environ = {**very_patient(database_url, pms), "LOG_LEVEL": "debug"}
    with worker(tmp_path / "w.log", environ) as process:

        async def created() -> bool:
            return bool(pms.effects())

        await eventually(created, "the effect")
        other = await connect(database_url, application_name="holder")
        try:
            async with other.transaction():
                await other.execute("select 1 from bookings for update")
                await told_twice(process, pms)
                await process.logged("settle.deferred")
        finally:
            await other.close()
        assert await process.ended(within=10) == 0
    cursor = await conn.execute("select owner, last_error_code from outbox.delivery")
    assert await cursor.fetchone() == {"owner": None, "last_error_code": "interrupted"}
