"""Real workers on a Postgres whose clock jumps, while a create is under way."""

from __future__ import annotations

import signal
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from outbox_worker.database import Connection
from outbox_worker.outbox.delivery import DeliveryId
from tests.support_clock import jump
from tests.support_engine import attempts_of, eventually, is_synced, row_of
from tests.support_races import owed_booking
from tests.support_simulator import Simulator
from tests.support_worker import at_work, environment, worker

pytestmark = pytest.mark.timeout(120)

HOUR = timedelta(hours=1)
PATIENT = {"PMS_TIMEOUT_SECONDS": "20", "WORKER_LEASE_SECONDS": "60"}


@pytest.fixture
async def owed(conn: Connection, listed: None) -> tuple[UUID, DeliveryId]:
    del listed
    return await owed_booking(conn)


async def another(conn: Connection, month: int) -> UUID:
    stay = {"check_in_date": f"2027-{month:02}-01", "check_out_date": f"2027-{month:02}-05"}
    return (await owed_booking(conn, **stay))[0]


async def created(pms: Simulator) -> bool:
    return bool(pms.effects())


async def test_a_jump_ahead_ends_the_lease_of_a_worker_at_work_and_doubles_nothing(
    conn: Connection,
    database_url: str,
    pms: Simulator,
    tmp_path: Path,
    owed: tuple[UUID, DeliveryId],
) -> None:
    booking, delivery = owed
    pms.switch(idempotency="ignore", availability=False)
    pms.once("slow", operation="create", seconds=3)
    environ = environment(database_url, pms, **PATIENT)
    with worker(tmp_path / "first.log", environ) as first:
        await eventually(lambda: created(pms), "the create")
        first.send(signal.SIGSTOP)
        await jump(conn, HOUR)
        with worker(tmp_path / "second.log", environ):
            await eventually(lambda: is_synced(conn, booking), "the take-over")
            left = await row_of(conn, delivery)
            first.send(signal.SIGCONT)
            await first.logged("settle.refused")

    after = await row_of(conn, delivery)
    assert {**after, "now": None} == {**left, "now": None}
    assert (await attempts_of(conn, delivery))[0]["outcome"] == "lost"
    assert [effect["op"] for effect in pms.effects()] == ["create"]


@pytest.mark.usefixtures("listed")
async def test_after_a_jump_ahead_a_create_that_comes_late_is_refused_by_its_key_alone(
    conn: Connection, database_url: str, pms: Simulator, tmp_path: Path
) -> None:
    """The quiet period is measured by that clock: what is in doubt is taken for over."""
    pms.faults({"fault": "late", "operation": "create", "seconds": 8, "times": 1})
    environ = environment(database_url, pms, **PATIENT, PMS_QUIET_SECONDS="60")
    with (
        worker(tmp_path / "first.log", environ) as first,
        worker(tmp_path / "second.log", environ) as second,
    ):
        await at_work(conn, 2)
        second.send(signal.SIGSTOP)
        booking, _ = await owed_booking(conn)
        await eventually(lambda: asked(pms), "the create's request")
        first.send(signal.SIGKILL)
        await jump(conn, HOUR)
        second.send(signal.SIGCONT)
        await eventually(lambda: is_synced(conn, booking), "the take-over")

        async def both() -> bool:
            return len(creates(pms)) == 2

        await eventually(both, "the end of the late one", within=20)

    assert [effect["op"] for effect in pms.effects()] == ["create"]


async def test_a_jump_back_makes_leases_and_waits_longer_and_nothing_else(
    conn: Connection,
    database_url: str,
    pms: Simulator,
    tmp_path: Path,
    owed: tuple[UUID, DeliveryId],
) -> None:
    booking, delivery = owed
    pms.switch(idempotency="ignore", availability=False)
    pms.once("slow", operation="create", seconds=2)
    environ = environment(database_url, pms, **PATIENT)
    with worker(tmp_path / "first.log", environ) as first:
        await eventually(lambda: created(pms), "the create")
        first.send(signal.SIGSTOP)
        waiting = await another(conn, 6)
        await jump(conn, -HOUR)
        first.send(signal.SIGCONT)
        await eventually(lambda: is_synced(conn, booking), "what was under way")
        new = await another(conn, 7)
        await eventually(lambda: is_synced(conn, new), "what is asked for now")
        assert not await is_synced(conn, waiting)
        await jump(conn, HOUR)
        await eventually(lambda: is_synced(conn, waiting), "what waited, once the hour is over")

    assert [each["outcome"] for each in await attempts_of(conn, delivery)] == ["held"]
    assert [effect["op"] for effect in pms.effects()] == ["create"] * 3


def creates(pms: Simulator) -> list[str]:
    return [each["operation"] for each in pms.requests() if each["operation"] == "create"]


async def asked(pms: Simulator) -> bool:
    """Whether the create that will come late has arrived."""
    return bool(pms.state()["faults"]["rules"][0]["struck"])
