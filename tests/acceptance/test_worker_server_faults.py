"""A real worker while its Postgres is killed, full, only reads, or is an old backup."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import pytest

from outbox_worker.database import Connection
from outbox_worker.demo.postgres_binaries import PostgresStartError
from outbox_worker.errors import DatabaseUnreachableError
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Reason
from tests.support_engine import eventually, insert_booking, is_synced
from tests.support_health import ANY_PORT, endpoint_of
from tests.support_own_server import OwnServer, crowd, execute, migrated, own_server
from tests.support_races import session
from tests.support_simulator import LISTING, Simulator
from tests.support_small_disk import SmallDisk, small_disk
from tests.support_worker import WorkerProcess, environment, probing, worker

pytestmark = pytest.mark.timeout(180)

#: Few enough to be filled at once.
_CONNECTIONS = 25


@pytest.fixture(scope="module")
def own() -> Iterator[OwnServer]:
    """A server that these tests kill, crowd and keep from writing."""
    try:
        with own_server({"max_connections": str(_CONNECTIONS)}) as server:
            yield server
    except PostgresStartError as error:
        pytest.skip(f"no server of the tests' own: {error}")


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    with small_disk(tmp_path_factory.mktemp("disk")) as running:
        yield running


@pytest.fixture
def url(own: OwnServer) -> str:
    return migrated(own.url)


@pytest.fixture
def pms(pms: Simulator) -> Simulator:
    """Only the engine's own rules keep a booking from being doubled."""
    pms.switch(idempotency="ignore", availability=False)
    return pms


async def requested(conn: Connection, count: int = 1) -> list[UUID]:
    """Confirmed bookings of a property with a listing, whose sync is owed."""
    await conn.execute(
        "insert into outbox.listing (pms, slug, listing_id) values ('guestly', 'sea-loft', %s)"
        " on conflict do nothing",
        [LISTING],
    )
    bookings = [await insert_booking(conn) for _ in range(count)]
    for booking in bookings:
        await store.request_sync(conn, booking, reason=Reason.STRIPE)
    return bookings


async def all_synced(conn: Connection) -> bool:
    cursor = await conn.execute(
        "select bool_and(guestly_sync_status = 'synced') as all_of_them from bookings"
    )
    return bool((await cursor.fetchone() or {})["all_of_them"])


async def wait_until_synced(url: str) -> None:
    async with session(url, "watch") as conn:
        await eventually(lambda: all_synced(conn), "the sync of every booking", within=60)


@contextlib.asynccontextmanager
async def creating(log: Path, url: str, pms: Simulator) -> AsyncIterator[WorkerProcess]:
    """A worker in the middle of a create that has taken effect and is not answered yet."""
    async with session(url, "site") as conn:
        await requested(conn)
    pms.once("slow", operation="create", seconds=3)
    environ = environment(
        url, pms, PMS_TIMEOUT_SECONDS="8", WORKER_LEASE_SECONDS="16", METRICS_ADDRESS=ANY_PORT
    )
    with worker(log, environ) as process:

        async def created() -> bool:
            return bool(pms.effects())

        await eventually(created, "the create", within=20)
        yield process


async def test_a_server_that_is_killed_in_the_middle_of_a_create_costs_nothing(
    own: OwnServer, url: str, pms: Simulator, tmp_path: Path
) -> None:
    async with creating(tmp_path / "w.log", url, pms) as process:
        await own.kill()
        await process.logged("database.lost")
        await own.start()
        await wait_until_synced(url)
        await process.logged("database.restored")

    assert [effect["op"] for effect in pms.effects()] == ["create"]


async def test_a_server_that_comes_back_as_a_standby_is_waited_for_until_it_is_promoted(
    own: OwnServer, url: str, pms: Simulator, tmp_path: Path
) -> None:
    async with creating(tmp_path / "w.log", url, pms) as process:
        endpoint = await endpoint_of(process)
        await own.crash()
        (own.data / "standby.signal").touch()
        await own.start()
        refused = await process.logged("service.failed", within=40)
        await endpoint.becomes("/readyz", 503)
        assert await endpoint.status("/healthz") == 200
        execute(own.url, "select pg_promote()")
        await wait_until_synced(url)
        await endpoint.becomes("/readyz", 200)

    assert "read-only" in refused["message"]
    assert [effect["op"] for effect in pms.effects()] == ["create"]


async def test_a_full_server_keeps_out_no_worker_that_is_in_and_another_one_waits(
    own: OwnServer, url: str, pms: Simulator, tmp_path: Path
) -> None:
    del own
    # a cycle may take a third of it: whoever gives its connection up here does not come in again
    environ = environment(url, pms, WORKER_LEASE_SECONDS="30")
    async with session(url, "site") as conn:
        # it hears every probe, however slow the machine is
        with worker(tmp_path / "early.log", environ, fault=probing(within=30)) as early:
            await early.logged("listen.restored")
            async with filled(url, early), contextlib.AsyncExitStack() as stack:
                late = stack.enter_context(worker(tmp_path / "late.log", environ))
                (booking,) = await requested(conn)
                await eventually(lambda: is_synced(conn, booking), "a delivery", within=20)
                await late.logged("database.lost")
                late.send(signal.SIGTERM)
                assert await late.ended() == 0

            async def proved_again() -> bool:
                return len(early.events("listen.restored")) > 1

            await eventually(proved_again, "a probe once there is room", within=20)
            told, *_ = early.events("listen.unproved")
            assert early.events("listen.lost") == []
    assert "too many clients" in told["message"]
    assert [effect["op"] for effect in pms.effects()] == ["create"]


@contextlib.asynccontextmanager
async def filled(url: str, prober: WorkerProcess) -> AsyncIterator[None]:
    """No connection is left, not even the one that a probe of LISTEN takes for a moment."""
    async with crowd(url, _CONNECTIONS + 15, full=True), contextlib.AsyncExitStack() as more:

        async def full() -> bool:
            with contextlib.suppress(DatabaseUnreachableError):
                await more.enter_async_context(session(url, "crowd"))
            return bool(prober.events("listen.unproved"))

        await eventually(full, "a probe that finds no room", within=20)
        yield


async def test_on_a_restored_backup_what_the_pms_holds_is_adopted_and_nothing_is_doubled(
    own: OwnServer, url: str, pms: Simulator, tmp_path: Path
) -> None:
    async with session(url, "site") as conn:
        await requested(conn, 3)
    await drained(tmp_path / "before.log", url, pms)
    async with session(url, "site") as conn:
        await requested(conn, 3)
    backup = f"{urlsplit(url).path[1:]}_backup"
    execute(own.url, "create database {} template {}", backup, urlsplit(url).path[1:])
    await drained(tmp_path / "forgotten.log", url, pms)
    assert len(pms.effects()) == 6

    restored = urlunsplit(urlsplit(url)._replace(path=f"/{backup}"))
    async with session(restored, "site") as conn:
        await requested(conn)
    await drained(tmp_path / "after.log", restored, pms)

    async with session(restored, "watch") as conn:
        assert await all_synced(conn)
    effects = pms.effects()
    assert [effect["op"] for effect in effects] == ["create"] * 7
    assert len({effect["reference"] for effect in effects}) == 7


async def test_results_that_a_full_disk_refuses_are_kept_and_recorded_when_there_is_room(
    disk: SmallDisk, pms: Simulator, tmp_path: Path
) -> None:
    url = migrated(disk.url)
    async with session(url, "site") as conn:
        await requested(conn, 200)
    # a segment of its own for what is written from now on: a full one would end the server
    execute(disk.url, "select pg_switch_wal()")
    execute(disk.url, "select pg_logical_emit_message(true, 'test', 'begins the segment')")
    # slow until the disk is full, or all would be over before it is
    pms.faults({"fault": "latency", "seconds": 0.3})
    fast = {"PMS_RATE_PER_SECOND": "0", "PMS_RATE_PER_MINUTE": "0", "PMS_RATE_PER_HOUR": "0"}
    # a full disk refuses renewals as well: no lease ends before there is room
    environ = environment(url, pms, WORKER_LEASE_SECONDS="60", **fast)
    with worker(tmp_path / "w.log", environ) as process:
        await process.logged("booking.synced")
        disk.fill()
        try:
            refused = await process.logged("settle.failed", within=40)
        finally:
            disk.free()
            pms.clear_faults()
        await wait_until_synced(url)

    assert "No space left on device" in refused["message"]
    references = [effect["reference"] for effect in pms.effects()]
    assert len(references) == len(set(references)) == 200
    async with session(url, "watch") as conn:
        cursor = await conn.execute("select distinct outcome from outbox.attempt order by 1")
        assert [row["outcome"] for row in await cursor.fetchall()] == ["held"]


async def drained(log: Path, url: str, pms: Simulator) -> None:
    with worker(log, environment(url, pms), "--drain") as process:
        assert await process.ended(within=40) == 0, process.text
