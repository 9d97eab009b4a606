"""No token: what is asked again when, and what never spends the day's requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from outbox_worker.database import Connection
from outbox_worker.gate import store as gates
from outbox_worker.outbox.delivery import Destination
from outbox_worker.pms.guesty_token import QUOTA, Token
from outbox_worker.pms.guesty_token_view import peek
from outbox_worker.pms.port import Misconfigured, Unavailable
from tests.support_hook import patience
from tests.support_mail import Answer, answer
from tests.support_port import kept_port
from tests.support_token import (
    DAY,
    Endpoint,
    endpoint,
    fleet,
    got,
    ours,
    pass_time,
    row_of,
    source,
)

MINUTE = timedelta(minutes=1)
PAGE = b"<!doctype html><html><body>Attention required</body></html>"


@pytest.fixture
async def guesty() -> AsyncIterator[Endpoint]:
    async with endpoint() as made:
        yield made


async def asked(database_url: str, url: str, **settings: str) -> object:
    """What a worker is told that starts now."""
    async with fleet(database_url, url, 1, **settings) as (worker,):
        return await worker.token()


async def test_a_wrong_secret_spends_one_and_every_later_call_says_so(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    async with fleet(database_url, guesty.url, 20, secret="wrong") as workers:
        told = await asyncio.gather(*(each.token() for each in [*workers, *workers]))
        await pass_time(conn, timedelta(hours=5))
        told += await asyncio.gather(*(each.token() for each in workers))

    assert len(told) == 60
    for each in told:
        assert isinstance(each, Misconfigured)
        assert (each.code, each.everybodys) == ("credentials_refused", True)
        assert "GUESTY_CLIENT_SECRET" in each.message
        assert "wrong" not in each.message
    assert guesty.requests == 1


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_refused_credentials_are_tried_again_after_six_hours(
    database_url: str, conn: Connection, guesty: Endpoint, status: int
) -> None:
    guesty.script.extend([answer(status, b'{"error": "invalid_client"}')] * 2)
    assert isinstance(await asked(database_url, guesty.url), Misconfigured)
    await pass_time(conn, timedelta(hours=6))
    assert isinstance(await asked(database_url, guesty.url), Misconfigured)
    assert isinstance(await asked(database_url, guesty.url), Misconfigured)

    assert guesty.requests == 2


async def test_a_person_who_resumes_has_them_tried_again_at_once(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    async with fleet(database_url, guesty.url, 1, secret="late") as (worker,):
        assert isinstance(await worker.token(), Misconfigured)
        guesty.secrets.add("late")
        assert isinstance(await worker.token(), Misconfigured)
        await gates.resume(conn, Destination.GUESTLY)
        assert (await got(worker)).value == "token-2"


async def test_a_person_who_resumes_has_a_token_without_a_permission_replaced(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    async with fleet(database_url, guesty.url, 1) as (worker,):
        token = await got(worker)
        assert isinstance(await worker.refused(token, http_status=403), Misconfigured)
        await gates.resume(conn, Destination.GUESTLY)
        assert isinstance(await worker.refused(token, http_status=403), Unavailable)
        assert (await got(worker)).serial == 2
        # nothing is wrong with this one
        await gates.resume(conn, Destination.GUESTLY)
    async with fleet(database_url, guesty.url, 1) as (worker,):
        assert (await got(worker)).serial == 2

    assert guesty.requests == 2


async def test_other_credentials_are_tried_at_once(database_url: str, guesty: Endpoint) -> None:
    assert isinstance(await asked(database_url, guesty.url, secret="wrong"), Misconfigured)
    async with fleet(database_url, guesty.url, 1) as (worker,):
        assert (await got(worker)).value == "token-2"


async def test_the_sixth_request_in_a_day_is_refused_here_and_says_when_the_next_is_possible(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    for number in range(1, 6):
        async with fleet(database_url, guesty.url, 1) as (worker,):
            token = await got(worker)
            assert token.serial == number
            await pass_time(conn, timedelta(hours=2))
            refused = await worker.refused(token, http_status=403)
            assert refused.code == ("token_quota" if number == QUOTA else "token_expired")

    # there can be no other one: each call tries it
    assert (await asked(database_url, guesty.url)) == Token("token-5", 5)
    told = await asked(database_url, guesty.url, secret="another one")
    assert isinstance(told, Misconfigured)
    assert (told.code, told.everybodys) == ("token_quota", True)
    view = await peek(conn, ours(guesty))
    assert f"{view.next_request_at:%Y-%m-%d %H:%M} UTC" in told.message
    assert timedelta(hours=13) < view.next_request_at - view.now < timedelta(hours=15)
    # nobody but that client is held up
    async with fleet(database_url, guesty.url, 1, client_id="client-2") as (other,):
        assert (await got(other)).serial == 6

    assert guesty.requests == 6
    await pass_time(conn, view.next_request_at - view.now + MINUTE)
    async with fleet(database_url, guesty.url, 1) as (worker,):
        assert (await got(worker)).serial == 7


async def test_an_outage_of_the_endpoint_is_asked_after_0_1_10_minutes_and_keeps_one_for_later(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    guesty.script.extend([answer(503)] * 4)
    pauses = [timedelta(0), MINUTE, 10 * MINUTE, timedelta(hours=6)]
    for number, pause in enumerate(pauses, start=1):
        told = await asked(database_url, guesty.url)
        assert isinstance(told, Unavailable)
        assert (told.code, told.outage) == ("token_unavailable", True)
        assert ("outbox resume guestly" in told.message) is bool(pause)
        assert guesty.requests == number
        if pause:
            await pass_time(conn, pause - 5 * timedelta(seconds=1))
            told = await asked(database_url, guesty.url)
            assert isinstance(told, Unavailable)
            assert guesty.requests == number
            await pass_time(conn, 5 * timedelta(seconds=1))

    async with fleet(database_url, guesty.url, 1) as (worker,):
        assert (await got(worker)).value == "token-5"
    assert (await row_of(conn))["auth_failures"] == 0


async def test_a_crowd_does_not_ask_more_often_during_an_outage(
    database_url: str, guesty: Endpoint
) -> None:
    guesty.script.extend([answer(500)] * 20)
    async with fleet(database_url, guesty.url, 10) as workers:
        told = await asyncio.gather(*(each.token() for each in [*workers, *workers]))

    assert not any(isinstance(each, Token) for each in told)
    assert {each.code for each in told if not isinstance(each, Token)} == {"token_unavailable"}
    assert guesty.requests == 2


async def test_a_request_that_has_never_left_is_not_counted_but_waits_like_the_others(
    database_url: str, conn: Connection
) -> None:
    url = f"http://127.0.0.1:{kept_port()}"
    for _ in range(8):
        told = await asked(database_url, url)
        assert isinstance(told, Unavailable)
        assert told.outage
        await pass_time(conn, timedelta(minutes=11))
    row = await row_of(conn)
    assert (row["auth_requests"], row["auth_clients"]) == ([], [])
    # eight looks eleven minutes apart: 0, 0, 1 and 10 minutes after the last, then one an hour
    assert row["auth_failures"] == 4


async def test_who_is_asked_to_wait_waits(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    hour = timedelta(hours=1)
    guesty.script.extend([patience(1800), patience(86400)])
    first = await asked(database_url, guesty.url)
    assert isinstance(first, Unavailable)
    assert (first.rest, first.http_status) == (hour / 2, 429)
    again = await asked(database_url, guesty.url)
    assert isinstance(again, Unavailable)
    assert hour / 2 - MINUTE < (again.rest or DAY) <= hour / 2
    assert first.unasked
    assert again.unasked
    assert guesty.requests == 1
    await pass_time(conn, hour / 2)
    last = await asked(database_url, guesty.url)
    assert isinstance(last, Unavailable)
    assert (last.rest, last.http_status) == (hour, 429)
    await pass_time(conn, hour)
    async with fleet(database_url, guesty.url, 1) as (worker,):
        assert (await got(worker)).value == "token-3"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (answer(404, b"{}"), "token_address"),
        (answer(302, b"", Location="/login"), "token_address"),
        (answer(200, PAGE, content_type="text/html"), "token_address"),
        (answer(403, PAGE, content_type="text/html"), "token_unavailable"),
        (answer(200, b"{}"), "token_unavailable"),
        (answer(200, b'{"access_token": "a b"}'), "token_unavailable"),
        (answer(200, b'{"access_token": "abc", "expires_in": 0}'), "token_unavailable"),
        (answer(200, b'{"access_token": 7}'), "token_unavailable"),
        (answer(200, b"["), "token_unavailable"),
    ],
)
async def test_no_other_answer_passes_for_a_token_or_for_refused_credentials(
    database_url: str, guesty: Endpoint, said: Answer, code: str
) -> None:
    guesty.script.append(said)
    told = await asked(database_url, guesty.url)

    assert isinstance(told, Misconfigured if code == "token_address" else Unavailable)
    assert told.code == code
    assert guesty.requests == 1


async def test_a_token_without_a_life_lives_for_a_day(
    database_url: str, conn: Connection, guesty: Endpoint
) -> None:
    guesty.script.append(answer(200, b'{"access_token": "abc"}'))
    async with fleet(database_url, guesty.url, 1) as (worker,):
        await got(worker)
    row = await row_of(conn)
    assert row["token_expires_at"] - row["token_since"] == DAY


async def test_without_postgres_nothing_is_requested_and_it_is_no_outage_of_the_pms(
    guesty: Endpoint,
) -> None:
    worker = source("postgresql://nobody@127.0.0.1:9/none", guesty.url)
    told = await worker.token()
    await worker.aclose()

    assert isinstance(told, Unavailable)
    assert (told.code, told.outage) == ("token_unavailable", False)
    assert guesty.requests == 0
