"""A worker that is lost, frozen or cut off while it requests the token for all."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest

from outbox_worker.database import Connection
from outbox_worker.errors import DatabaseUnreachableError
from outbox_worker.pms.guesty_token import Token
from outbox_worker.pms.guesty_token_source import FleetToken
from outbox_worker.pms.port import Unavailable
from tests.support_engine import eventually
from tests.support_mail import Answer, answer
from tests.support_token import (
    PATIENT,
    Endpoint,
    Seam,
    endpoint,
    fleet,
    got,
    row_of,
    source,
)
from tests.support_token_process import asking

FIRST = answer(200, b'{"access_token": "first", "expires_in": 86400}')


@pytest.fixture
async def guesty() -> AsyncIterator[Endpoint]:
    async with endpoint() as made:
        yield made


def after(event: asyncio.Event, said: Answer) -> Answer:
    async def write(writer: asyncio.StreamWriter) -> None:
        await event.wait()
        await said(writer)

    return write


async def requested(guesty: Endpoint, count: int) -> None:
    async def there() -> bool:
        return guesty.requests == count

    await eventually(there, f"request {count}", within=20)


async def ended(process: subprocess.Popen[str]) -> str:
    """What it was told."""
    said, _ = await asyncio.to_thread(process.communicate, timeout=20)
    return said


@contextlib.contextmanager
def killed_at_the_end(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def through(seam: Seam, url: str) -> FleetToken:
    return source("", url, connect=seam.connect)


async def end_sessions(conn: Connection) -> None:
    """As Postgres does with one that is idle in its transaction for too long."""
    await conn.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and application_name = 'outbox token seam'"
    )


async def test_processes_that_start_at_once_spend_one(database_url: str, guesty: Endpoint) -> None:
    processes = [asking(database_url, guesty.url, timeout=PATIENT) for _ in range(6)]
    told = await asyncio.gather(*(ended(each) for each in processes))

    assert told == ["token-1"] * 6
    assert guesty.requests == 1


async def test_a_worker_that_is_killed_during_its_request_is_followed_by_another(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    never = asyncio.Event()
    guesty.script.append(after(never, FIRST))
    with killed_at_the_end(asking(database_url, guesty.url, timeout=PATIENT)) as lost:
        await requested(guesty, 1)
        async with fleet(database_url, guesty.url, 3) as others:
            waiting = [asyncio.create_task(got(each)) for each in others]
            assert len((await row_of(conn))["auth_requests"]) == 1
            lost.kill()
            tokens = [await each for each in waiting]

    assert tokens == [Token("token-2", 1)] * 3
    assert guesty.requests == 2
    assert len((await row_of(conn))["auth_requests"]) == 2


async def test_a_worker_that_stops_during_its_request_is_followed_by_another(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    guesty.script.append(after(asyncio.Event(), FIRST))
    stopping = source(database_url, guesty.url)
    asked = asyncio.create_task(stopping.token())
    await requested(guesty, 1)
    asked.cancel()
    await stopping.aclose()
    async with fleet(database_url, guesty.url, 1) as (other,):
        assert await got(other) == Token("token-2", 1)

    assert len((await row_of(conn))["auth_requests"]) == 2


async def test_a_caller_that_is_cancelled_takes_nobodys_token_with_it(
    database_url: str, guesty: Endpoint
) -> None:
    guesty.released.clear()
    async with fleet(database_url, guesty.url, 1) as (worker,):
        asked = asyncio.create_task(worker.token())
        await requested(guesty, 1)
        asked.cancel()
        again = asyncio.create_task(worker.token())
        await asyncio.wait({asked})
        guesty.released.set()
        await asyncio.wait({again})
        assert not again.cancelled()
        assert again.result() == Token("token-1", 1)

    assert guesty.requests == 1


async def test_a_frozen_worker_loses_the_lock_and_replaces_no_newer_token_when_it_thaws(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    late = asyncio.Event()
    guesty.script.append(after(late, FIRST))
    short = timedelta(seconds=2)
    with killed_at_the_end(asking(database_url, guesty.url, timeout=short)) as frozen:
        await requested(guesty, 1)
        frozen.send_signal(signal.SIGSTOP)
        async with fleet(database_url, guesty.url, 5) as others:
            tokens = await asyncio.gather(*(got(each) for each in others))
        late.set()
        frozen.send_signal(signal.SIGCONT)
        await ended(frozen)

    assert tokens == [Token("token-2", 1)] * 5
    assert guesty.requests == 2
    row = await row_of(conn)
    assert (row["access_token"], row["token_serial"], row["auth_code"]) == ("token-2", 1, None)


async def test_a_token_that_comes_late_is_dropped_for_the_newer_one(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    seam, thawed = Seam(database_url), asyncio.Event()
    seam.before[3] = thawed.wait
    worker = through(seam, guesty.url)
    asked = asyncio.create_task(worker.token())

    async def about_to_store() -> bool:
        return seam.opened == 3

    await eventually(about_to_store, "the answer")
    await end_sessions(conn)
    async with fleet(database_url, guesty.url, 1) as (other,):
        newer = await got(other)
    thawed.set()

    assert await asked == newer == Token("token-2", 1)
    await worker.aclose()
    row = await row_of(conn)
    assert (row["access_token"], row["token_serial"]) == ("token-2", 1)


async def test_a_worker_that_was_held_up_before_it_counts_requests_nothing(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    seam, thawed = Seam(database_url), asyncio.Event()
    seam.before[2] = thawed.wait
    worker = through(seam, guesty.url)
    asked = asyncio.create_task(worker.token())

    async def about_to_count() -> bool:
        return seam.opened == 2

    await eventually(about_to_count, "the lock")
    await end_sessions(conn)
    guesty.script.append(answer(503))
    async with fleet(database_url, guesty.url, 1) as (other,):
        assert isinstance(await other.token(), Unavailable)
    thawed.set()

    assert isinstance(await asked, Unavailable)
    await worker.aclose()
    row = await row_of(conn)
    assert guesty.requests == len(row["auth_requests"]) == 1
    assert (row["auth_failures"], row["auth_code"]) == (1, "http_503")


async def test_a_lock_that_is_lost_before_the_request_leaves_sends_nothing(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    seam = Seam(database_url)
    seam.leaving[2] = lambda: end_sessions(conn)
    worker = through(seam, guesty.url)
    told = await worker.token()
    assert isinstance(told, Unavailable)
    assert guesty.requests == 0
    assert (await row_of(conn))["auth_requests"] == []

    assert (await got(worker)).value == "token-1"
    await worker.aclose()


async def test_a_token_that_could_not_be_stored_is_stored_with_the_next_call(
    database_url: str, guesty: Endpoint
) -> None:
    def gone() -> None:
        raise DatabaseUnreachableError("gone")

    seam = Seam(database_url)
    seam.before[3] = gone
    worker = through(seam, guesty.url)
    told = await worker.token()
    assert isinstance(told, Unavailable)
    assert not told.outage

    assert await got(worker) == Token("token-1", 1)
    await worker.aclose()
    async with fleet(database_url, guesty.url, 1) as (other,):
        assert await got(other) == Token("token-1", 1)
    assert guesty.requests == 1


async def test_nobody_waits_for_somebody_elses_request_longer_than_for_a_call(
    database_url: str, guesty: Endpoint
) -> None:
    guesty.released.clear()
    short = timedelta(seconds=0.3)
    async with (
        fleet(database_url, guesty.url, 1) as (slow,),
        fleet(database_url, guesty.url, 1, timeout=short) as (hasty,),
    ):
        asked = asyncio.create_task(got(slow))
        await requested(guesty, 1)
        told = await hasty.token()
        assert isinstance(told, Unavailable)
        assert (told.code, told.outage) == ("token_unavailable", False)
        guesty.released.set()
        token = await asked

        async def has_it_too() -> bool:
            return await hasty.token() == token

        await eventually(has_it_too, "the token")

    assert guesty.requests == 1
