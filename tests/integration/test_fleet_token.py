"""One token for all workers: who requests it, who uses it, and when it is renewed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from outbox_worker.database import Connection
from outbox_worker.pms.guesty_token import Token
from outbox_worker.pms.guesty_token_view import peek
from outbox_worker.pms.port import Misconfigured, Unavailable
from outbox_worker.worker.lease import boot_time
from tests.support_engine import eventually
from tests.support_mail import answer
from tests.support_token import (
    CLIENT,
    DAY,
    SECRET,
    Endpoint,
    Seam,
    endpoint,
    fleet,
    got,
    ours,
    pass_time,
    row_of,
)

NEAR_ITS_END = DAY - timedelta(minutes=25)


@pytest.fixture
async def guesty() -> AsyncIterator[Endpoint]:
    async with endpoint() as made:
        yield made


async def test_fifty_workers_that_start_at_once_spend_one(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    async with fleet(database_url, guesty.url, 50) as workers:
        tokens = await asyncio.gather(*(got(each) for each in workers))

    assert set(tokens) == {Token("token-1", 1)}
    assert guesty.requests == 1
    assert guesty.paths == ["POST /oauth2/token"]
    assert guesty.forms == [
        {
            "grant_type": ["client_credentials"],
            "scope": ["open-api"],
            "client_id": [CLIENT],
            "client_secret": [SECRET],
        }
    ]
    assert len((await row_of(conn))["auth_requests"]) == 1


async def test_a_good_token_costs_no_statement(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    seam = Seam(database_url)
    async with fleet("", guesty.url, 1, connect=seam.connect) as (worker,):
        first = await got(worker)
        before = seam.opened
        for _ in range(20):
            assert await got(worker) == first
            await row_of(conn)  # whatever the call has begun goes on meanwhile
        assert seam.opened == before


async def test_a_token_that_ends_under_load_spends_one(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    async def call(worker_number: int) -> Token:
        worker = workers[worker_number % 20]
        while True:
            token = await got(worker)
            if token.value != "token-1":
                return token
            told = await worker.refused(token, http_status=403)
            assert isinstance(told, Unavailable)
            assert told.code == "token_expired"
            assert not told.outage

    async with fleet(database_url, guesty.url, 20) as workers:
        await asyncio.gather(*(got(each) for each in workers))
        await pass_time(conn, DAY + timedelta(minutes=2))
        tokens = await asyncio.gather(*(call(number) for number in range(60)))

    assert set(tokens) == {Token("token-2", 2)}
    assert guesty.requests == 2


async def test_a_late_refusal_of_an_old_token_spends_nothing(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    async with fleet(database_url, guesty.url, 2) as (one, other):
        old = await got(one)
        assert await got(other) == old
        await pass_time(conn, timedelta(hours=2))
        await one.refused(old, http_status=401)
        new = await got(one)
        told = await other.refused(old, http_status=403)
        assert isinstance(told, Unavailable)
        assert await got(other) == new
        assert new.serial == old.serial + 1

    assert guesty.requests == 2


async def test_a_new_token_that_is_refused_lacks_a_permission_and_spends_nothing(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    async with fleet(database_url, guesty.url, 1) as (worker,):
        token = await got(worker)
        told = await worker.refused(token, http_status=403)
        assert isinstance(told, Misconfigured)
        assert (told.code, told.everybodys, told.http_status) == ("permission_refused", True, 403)
        # nor does it an hour later: that it is older now explains nothing
        await pass_time(conn, timedelta(hours=2))
        assert isinstance(await worker.refused(token, http_status=403), Misconfigured)
        assert await got(worker) == token
        # half a day later it may have been withdrawn
        await pass_time(conn, timedelta(hours=6))
        assert isinstance(await worker.refused(token, http_status=403), Unavailable)
        assert (await got(worker)).serial == 2

    assert guesty.requests == 2


async def test_one_worker_renews_it_early_and_the_others_use_the_old_one_meanwhile(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    async with fleet(database_url, guesty.url, 12) as (first, *others):
        old = await got(first)
        await pass_time(conn, NEAR_ITS_END)
        guesty.released.clear()
        renewing = asyncio.create_task(got(others[0]))

        async def requested() -> bool:
            return guesty.requests == 2

        await eventually(requested, "the early request")
        assert await asyncio.gather(*(got(each) for each in others[1:])) == [old] * 10
        guesty.released.set()
        new = await renewing

        async def all_have_it() -> bool:
            return all([await got(each) == new for each in others[:1]])

        await eventually(all_have_it, "the new token")
    async with fleet(database_url, guesty.url, 1) as (late,):
        assert await got(late) == new

    assert guesty.requests == 2


async def test_an_early_renewal_that_fails_is_not_repeated_at_once(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    async with fleet(database_url, guesty.url, 4) as (first, *others):
        old = await got(first)
        await pass_time(conn, NEAR_ITS_END)
        guesty.script.append(answer(503))
        assert [await got(each) for each in others] == [old] * 3
        assert guesty.requests == 2
        await pass_time(conn, timedelta(seconds=61))
        async with fleet(database_url, guesty.url, 1) as (later,):
            assert (await got(later)).serial == 2

    assert guesty.requests == 3


async def test_an_early_renewal_never_spends_the_last_request(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    async with fleet(database_url, guesty.url, 1) as (worker,):
        old = await got(worker)
    await pass_time(conn, NEAR_ITS_END)
    await conn.execute(
        "update outbox.destination set"
        " auth_requests = auth_requests || array_fill(now(), array[3]),"
        " auth_clients = array_fill(auth_clients[1], array[4]) where destination = 'guestly'"
    )
    async with fleet(database_url, guesty.url, 1) as (worker,):
        assert await got(worker) == old
        await pass_time(conn, timedelta(minutes=25))
    async with fleet(database_url, guesty.url, 1) as (worker,):
        assert (await got(worker)).serial == 2

    assert guesty.requests == 2


class Clock:
    """A worker's, to be moved on."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return boot_time() + self.ahead


async def test_a_worker_learns_of_a_newer_token_within_a_minute(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    clock = Clock()
    async with (
        fleet(database_url, guesty.url, 1, clock=clock) as (worker,),
        fleet(database_url, guesty.url, 1) as (other,),
    ):
        old = await got(worker)
        assert await got(other) == old
        await pass_time(conn, timedelta(hours=2))
        await other.refused(old, http_status=401)
        new = await got(other)
        assert await got(worker) == old
        clock.ahead = 61

        async def has_it() -> bool:
            return await got(worker) == new

        await eventually(has_it, "the newer token")

    assert guesty.requests == 2


async def test_each_of_two_sets_of_credentials_keeps_its_token(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    """As while they are exchanged, one worker after the other."""
    guesty.secrets.add("rotated")
    clock, seam = Clock(), Seam(database_url)
    async with (
        fleet("", guesty.url, 1, clock=clock, connect=seam.connect) as (old,),
        fleet(database_url, guesty.url, 2, secret="rotated") as (new, newer),
    ):
        assert (await got(old)).value == "token-1"
        assert (await got(new)).value == "token-2"
        assert (await got(newer)).value == "token-2"
        before = seam.closed
        clock.ahead = 61
        assert (await got(old)).value == "token-1"

        async def has_looked() -> bool:
            return before < seam.closed == seam.opened

        await eventually(has_looked, "another look at the row")
        assert (await got(old)).value == "token-1"
        # the client is the same, so its requests are counted together
        assert (await peek(conn, ours(guesty))).spent == 2
        assert (await peek(conn, ours(guesty, client_id="client-2"))).spent == 0

    assert guesty.requests == 2


async def test_the_token_is_shown_to_nobody(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    with capture_logs() as lines:
        async with fleet(database_url, guesty.url, 1) as (worker,):
            token = await got(worker)
            shown = [token, worker, await peek(conn, ours(guesty)), vars(worker)]
            shown.append(await worker.refused(token, http_status=403))

    assert [line["event"] for line in lines] == ["token.renewed"]
    for text in (*map(repr, shown), str(lines)):
        assert "token-1" not in text


async def test_people_see_whether_there_is_one_and_what_it_has_cost_without_requesting_one(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    before = await peek(conn, ours(guesty))
    assert (before.usable, before.until, before.spent) == (False, None, 0)
    async with fleet(database_url, guesty.url, 1) as (worker,):
        await got(worker)
    after = await peek(conn, ours(guesty))
    assert after.usable
    assert after.until is not None
    assert DAY - timedelta(minutes=1) < after.until - after.now <= DAY
    assert (after.spent, after.code) == (1, None)
    other = await peek(conn, ours(guesty, secret="other"))
    assert (other.usable, other.spent) == (False, 1)

    assert guesty.requests == 1


async def test_without_its_row_nothing_is_requested(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    await conn.execute("delete from outbox.destination where destination = 'guestly'")
    async with fleet(database_url, guesty.url, 1) as (worker,):
        told = await worker.token()

    assert isinstance(told, Unavailable)
    assert (told.code, told.outage) == ("token_unavailable", False)
    assert guesty.requests == 0
