"""A worker that stands still past its lease and goes on, or that a signal ends, at its create."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from outbox_worker.database import Connection
from outbox_worker.outbox.delivery import DeliveryId
from tests.support_engine import attempts_of, booking_row, end_lease, eventually, row_of
from tests.support_races import owed_booking, state
from tests.support_simulator import LISTING, Simulator
from tests.support_worker import WorkerProcess, environment, worker

pytestmark = pytest.mark.timeout(180)

#: Far from over when a test wants it to be: it lets leases end by itself.
_LEASE_S, _TIMEOUT_S = 30, 12


async def listed_booking(conn: Connection) -> tuple[UUID, DeliveryId]:
    await conn.execute(
        "insert into outbox.listing (pms, slug, listing_id) values ('guestly', 'sea-loft', %s)",
        [LISTING],
    )
    return await owed_booking(conn)


@contextlib.asynccontextmanager
async def stopped_after_its_create(
    log: Path, environ: dict[str, str], pms: Simulator
) -> AsyncIterator[WorkerProcess]:
    """A worker whose create has taken effect, and that stands still while it reads the answer."""
    pms.once("slow", operation="create", seconds=4)

    async def created() -> bool:
        return bool(pms.effects())

    with worker(log, environ) as process:
        await eventually(created, "the create")
        process.send(signal.SIGSTOP)

        async def stands() -> bool:
            return is_stopped(process.pid)

        await eventually(stands, "the worker's standstill")
        yield process


def is_stopped(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return stat.rpartition(")")[2].split()[0] == "T"


def settings(database_url: str, pms: Simulator) -> dict[str, str]:
    return environment(
        database_url,
        pms,
        WORKER_LEASE_SECONDS=str(_LEASE_S),
        PMS_TIMEOUT_SECONDS=str(_TIMEOUT_S),
        PMS_QUIET_SECONDS="0.5",
    )


async def test_what_a_stopped_worker_brings_back_after_another_has_finished_changes_nothing(
    conn: Connection, database_url: str, pms: Simulator, tmp_path: Path
) -> None:
    booking, delivery = await listed_booking(conn)
    environ = settings(database_url, pms)
    async with stopped_after_its_create(tmp_path / "a.log", environ, pms) as first:
        await end_lease(conn, delivery)

        async def synced() -> bool:
            return bool((await booking_row(conn, booking))["guestly_sync_status"] == "synced")

        with worker(tmp_path / "b.log", environ):
            await eventually(synced, "the sync by the second worker", within=20)
        left, shown = state(await row_of(conn, delivery)), await booking_row(conn, booking)

        first.send(signal.SIGCONT)
        refused = await first.logged("settle.refused")

    assert refused["delivery_id"] == delivery
    assert state(await row_of(conn, delivery)) == left
    assert await booking_row(conn, booking) == shown
    outcomes = [made["outcome"] for made in await attempts_of(conn, delivery)]
    assert (outcomes[0], "failed" in outcomes) == ("lost", False)
    assert [effect["op"] for effect in pms.effects()] == ["create"]
    assert len(pms.reservations()) == 1


async def test_what_a_stopped_worker_brings_back_while_another_is_at_work_changes_nothing(
    conn: Connection, database_url: str, pms: Simulator, tmp_path: Path
) -> None:
    booking, delivery = await listed_booking(conn)
    environ = settings(database_url, pms)
    async with stopped_after_its_create(tmp_path / "a.log", environ, pms) as first:
        before = await row_of(conn, delivery)
        await end_lease(conn, delivery)
        pms.faults({"fault": "latency", "operation": "lookup", "seconds": 7})
        with worker(tmp_path / "b.log", environ) as second:
            await second.logged("delivery.lost")
            at_work = await row_of(conn, delivery)

            first.send(signal.SIGCONT)
            await first.logged("settle.refused")
            after = await row_of(conn, delivery)

            async def synced() -> bool:
                return bool((await booking_row(conn, booking))["guestly_sync_status"] == "synced")

            await eventually(synced, "the sync by the second worker", within=30)

    assert before["owner"] != at_work["owner"]
    assert (after["owner"], after["fence"]) == (at_work["owner"], at_work["fence"])
    assert (after["delivered"], after["attempts"]) == (0, at_work["attempts"])
    assert [effect["op"] for effect in pms.effects()] == ["create"]


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGKILL],
    ids=lambda number: number.name,
)
async def test_whatever_signal_ends_a_worker_in_the_middle_of_a_create_nothing_is_doubled(
    conn: Connection,
    database_url: str,
    pms: Simulator,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    booking, delivery = await listed_booking(conn)
    pms.switch(idempotency="ignore", availability=False)  # it would make a second one
    environ = settings(database_url, pms)
    async with stopped_after_its_create(tmp_path / "a.log", environ, pms) as first:
        first.send(signal.SIGCONT)
        first.send(number)
        await first.ended()
    if (await row_of(conn, delivery))["owner"] is not None:
        await end_lease(conn, delivery)

    async def synced() -> bool:
        return bool((await booking_row(conn, booking))["guestly_sync_status"] == "synced")

    with worker(tmp_path / "b.log", environ):
        await eventually(synced, "the sync, by whichever worker", within=20)

    assert [effect["op"] for effect in pms.effects()] == ["create"]
    assert len(pms.reservations()) == 1
