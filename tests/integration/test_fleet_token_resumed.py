"""A token without a permission, and what a person who resumes has done about it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from outbox_worker.database import Connection
from outbox_worker.gate import store as gates
from outbox_worker.operations import gates as acts
from outbox_worker.outbox.delivery import Destination
from outbox_worker.pms.guesty_token import QUOTA
from outbox_worker.pms.port import Misconfigured, Unavailable
from tests.support_mail import answer
from tests.support_token import Endpoint, endpoint, fleet, got, pass_time


@pytest.fixture
async def guesty() -> AsyncIterator[Endpoint]:
    async with endpoint() as made:
        yield made


async def test_resuming_again_and_again_never_leads_to_the_last_request(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    async with fleet(database_url, guesty.url, 1) as (worker,):
        for serial in (1, 2, 3, 4, 4, 4):
            token = await got(worker)
            assert token.serial == serial
            told = await worker.refused(token, http_status=403)
            assert isinstance(told, Misconfigured)
            assert told.code == "permission_refused"
            await gates.resume(conn, Destination.GUESTLY)
            await worker.refused(token, http_status=403)
        # nor hours later, when it might have ended
        await pass_time(conn, timedelta(hours=2))
        token = await got(worker)
        assert isinstance(await worker.refused(token, http_status=403), Misconfigured)
    assert guesty.requests == QUOTA - 1
    # when no more than three of them are left of the day, it is replaced
    await pass_time(conn, timedelta(hours=1))
    await conn.execute(
        "update outbox.destination set auth_requests[1] = auth_requests[1] - interval '1 day'"
        " where destination = 'guestly'"
    )
    await gates.resume(conn, Destination.GUESTLY)
    async with fleet(database_url, guesty.url, 1) as (worker,):
        assert (await got(worker)).serial == 5


async def test_a_token_that_was_given_up_is_used_when_the_quota_is_spent(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    async with fleet(database_url, guesty.url, 1) as (worker,):
        token = await got(worker)
        await pass_time(conn, timedelta(hours=2))
        assert isinstance(await worker.refused(token, http_status=403), Unavailable)
        guesty.script.extend([answer(503)] * 4)
        for _ in range(4):
            assert isinstance(await worker.token(), Unavailable)
            await conn.execute(
                "update outbox.destination set auth_not_before = now() - interval '1 second'"
                " where destination = 'guestly'"
            )
        assert await got(worker) == token
        told = await worker.refused(token, http_status=403)
        assert isinstance(told, Misconfigured)
        assert told.code == "token_quota"
        # the next call tries it again: whoever has mended it in Guesty is served
        assert await got(worker) == token
    assert guesty.requests == 5


async def test_a_wait_for_the_next_request_ends_with_a_resume_although_nothing_is_paused(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    guesty.script.extend([answer(503)] * 2)
    async with fleet(database_url, guesty.url, 1) as (worker,):
        for _ in range(3):
            assert isinstance(await worker.token(), Unavailable)
        assert guesty.requests == 2
        resumed = await acts.resume(conn, Destination.GUESTLY, actor="anna")
        assert resumed.changed
        assert resumed.no_token
        assert (await got(worker)).value
    again = await acts.resume(conn, Destination.GUESTLY, actor="anna")
    assert not again.changed
