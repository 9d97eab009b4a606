"""Breaks, refused tokens and the rate limit: what the Guesty adapter makes of them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from outbox_worker.pms.guesty import Guesty
from outbox_worker.pms.guesty_token import Token
from outbox_worker.pms.port import (
    Absent,
    Ambiguous,
    Found,
    Held,
    Listing,
    Misconfigured,
    RateLimited,
    Remaining,
    RemoteReservation,
    Unavailable,
)
from tests.support_guestly import HOW, breaks
from tests.support_guesty_adapter import (
    CALLS,
    EXPIRED,
    PATIENT,
    READS,
    SHORT,
    WRITES,
    Call,
    Tokens,
    a_stay,
    by_id,
    cancel,
    create,
    find,
    guesty,
    item,
    outcome,
    outcomes,
    page,
)
from tests.support_port import kept_port
from tests.support_scripted import answering, json_reply, reply

PERMISSION = {"message": "You don't have permission to access, please contact the support."}
GUEST = ("zoe", "zoë", "müller", "łęcki", "lecki", "5550", "testwerke", "cot, please")


# Breaks and time-outs


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("call", CALLS)
async def test_a_break_or_a_time_out_leaves_a_write_in_doubt_and_a_read_unavailable(
    call: Call, how: str
) -> None:
    within = SHORT if "silence" in how else PATIENT
    async with guesty(breaks(how), within=within) as (pms, server):
        result = await call(pms)
        assert len(server.requests) == 1
    assert isinstance(result, Ambiguous if call in WRITES else Unavailable)
    said = repr(result).casefold()
    assert not any(secret in said for secret in (*GUEST, "bearer", "secret"))


@pytest.mark.parametrize("call", CALLS)
async def test_a_connection_that_was_never_made_leaves_no_doubt(call: Call) -> None:
    url = f"http://127.0.0.1:{kept_port()}"
    pms = Guesty(api_url=url, tokens=Tokens(), timeout=PATIENT, connections=2)
    result = await call(pms)
    await pms.aclose()
    assert isinstance(result, Unavailable)
    assert result.code == "connection_refused"


@pytest.mark.parametrize("call", WRITES)
async def test_a_failing_pms_leaves_a_write_in_doubt(call: Call) -> None:
    for result in await outcomes(call, [reply(status) for status in (500, 502, 503, 504, 408)]):
        assert isinstance(result, Ambiguous)


@pytest.mark.parametrize("call", READS)
async def test_a_failing_pms_makes_a_read_unavailable(call: Call) -> None:
    for result in await outcomes(call, [reply(status) for status in (500, 503, 408, 401, 403)]):
        assert isinstance(result, Unavailable)


@pytest.mark.parametrize("call", READS)
async def test_what_cannot_be_read_proves_nothing(call: Call) -> None:
    answers = [
        reply(200, b""),
        reply(200, b"{"),
        reply(200, b"x" * 2_000_000),
        json_reply(200, {"message": "proxy"}),
        json_reply(200, {"results": [7]}),
        json_reply(200, [{"_id": "other"}]),
    ]
    for result in await outcomes(call, answers):
        assert isinstance(result, Unavailable)


async def test_a_page_or_a_missing_search_is_a_fault_of_the_address() -> None:
    for call in READS:
        assert isinstance(await outcome(call, reply(200, b"<html></html>")), Misconfigured)
    assert isinstance(await outcome(find, json_reply(404, {})), Misconfigured)


# The token


@pytest.mark.parametrize(
    "answer",
    [
        Unavailable(code="token_unavailable", message="x", outage=True, unasked=True),
        Unavailable(code="token_unavailable", message="x"),
        Misconfigured(code="token_refused", message="x", everybodys=True),
    ],
)
@pytest.mark.parametrize("call", CALLS)
async def test_without_a_token_nothing_is_sent_and_its_answer_is_the_calls(
    call: Call, answer: Unavailable | Misconfigured
) -> None:
    tokens = Tokens()
    tokens.answer = answer
    async with guesty(answering(reply(500)), tokens=tokens) as (pms, server):
        assert await call(pms) == answer
        assert server.requests == []


@pytest.mark.parametrize("call", CALLS)
async def test_a_refused_token_is_handed_back_and_its_answer_is_the_calls(call: Call) -> None:
    tokens = Tokens()
    tokens.answer = Token("secret-7", 7)
    async with guesty(answering(json_reply(403, PERMISSION)), tokens=tokens) as (pms, server):
        result = await call(pms)
        assert len(server.requests) == 1
    assert result == EXPIRED
    assert tokens.refusals == [(7, 403)]


@pytest.mark.parametrize("call", WRITES)
async def test_a_refusal_that_does_not_say_why_spends_no_token(call: Call) -> None:
    tokens = Tokens()
    answer = json_reply(403, {"message": "Forbidden resource"})
    async with guesty(answering(answer), tokens=tokens) as (pms, _):
        result = await call(pms)
    assert isinstance(result, Ambiguous)
    assert tokens.refusals == []


async def test_a_token_that_expires_before_the_read_after_a_refusal_is_handed_back() -> None:
    tokens = Tokens()
    answers = (json_reply(422, {"message": "no"}), json_reply(403, PERMISSION))
    async with guesty(answering(*answers), tokens=tokens) as (pms, server):
        result = await cancel(pms)
        assert [request.method for request in server.requests] == ["PUT", "GET"]
    assert not isinstance(result, Held | Absent)
    assert tokens.refusals == [(1, 403)]


# The rate limit


def windows(second: int, hour: int) -> dict[str, str]:
    return {
        "X-RateLimit-Limit-Second": "15",
        "X-RateLimit-Remaining-Second": str(second),
        "x-ratelimit-limit-HOUR": "5000",
        "X-RATELIMIT-REMAINING-hour": str(hour),
    }


async def test_the_least_that_was_left_is_heard_once() -> None:
    answers = [
        json_reply(200, page(), windows(9, 4000)),
        json_reply(200, page(), windows(12, 3999)),
        json_reply(200, page()),
        json_reply(200, page(), {"X-RateLimit-Limit-Minute": "120"}),
    ]
    async with guesty(answering(*answers)) as (pms, _):
        assert pms.heard() == ()
        await find(pms)
        await find(pms)
        assert pms.heard() == (
            Remaining(length=timedelta(seconds=1), limit=15, left=9),
            Remaining(length=timedelta(hours=1), limit=5000, left=3999),
        )
        assert pms.heard() == ()
        await find(pms)
        await find(pms)
        assert pms.heard() == ()


@pytest.mark.parametrize("call", CALLS)
async def test_too_many_requests_means_wait_and_is_heard(call: Call) -> None:
    answer = reply(429, b"slow down", {"Retry-After": "7", **windows(0, 10)})
    async with guesty(answering(answer)) as (pms, server):
        result = await call(pms)
        assert len(server.requests) == 1
        assert result == RateLimited(
            retry_after=timedelta(seconds=7),
            http_status=429,
            message="Guesty asked to slow down",
        )
        assert pms.heard()[0].left == 0


async def test_without_a_wait_the_window_that_is_used_up_is_waited_for() -> None:
    result = await outcome(find, reply(429, b"", windows(0, 10)))
    assert isinstance(result, RateLimited)
    assert timedelta(0) < result.retry_after <= timedelta(seconds=1)


# Guest data


@pytest.mark.parametrize("call", CALLS)
async def test_no_guest_data_survives_in_any_answer(call: Call) -> None:
    stay = a_stay()
    echo = (
        f"guest {stay.guest_name} <{stay.guest_email}> {stay.guest_phone}"
        f" of Norddeutsche Testwerke wrote: {stay.notes}"
    )
    bodies: list[Any] = [
        {"error": {"code": f"BAD_{stay.guest_name.split()[0]}", "message": echo}},
        [{"path": [stay.guest_name], "message": echo}],
        {"error_code": "X_Y", "message": echo, "data": {"errors": [echo]}},
        {"reservationId": echo, "confirmationCode": echo, "results": echo},
        echo,
    ]
    answers = [
        json_reply(status, body)
        for status in (200, 201, 400, 401, 403, 404, 409, 422, 429, 500, 503)
        for body in bodies
    ]
    for result in await outcomes(call, answers):
        assert not isinstance(result, Found | Held | Listing | RemoteReservation)
        said = repr(result).casefold()
        assert not any(secret in said for secret in GUEST)


async def test_a_reservation_read_by_id_is_not_told_with_its_notes() -> None:
    said = repr(await outcome(by_id, json_reply(200, [item()]))).casefold()
    assert not any(secret in said for secret in GUEST)


async def test_calls_at_the_same_time_share_the_connections_and_the_token() -> None:
    async with guesty(answering(json_reply(200, page()))) as (pms, server):
        results = await asyncio.gather(*(find(pms) for _ in range(8)))
        assert server.connections <= 2
    assert results == [Absent(http_status=200)] * 8


async def test_a_create_is_never_sent_twice_whatever_comes() -> None:
    for answer in (reply(503), reply(429), json_reply(403, PERMISSION), reply(500)):
        async with guesty(answering(answer)) as (pms, server):
            await create(pms)
            assert len(server.requests) == 1


class Waiting(Tokens):
    """A token that has to be requested first, which takes its time."""

    async def token(self) -> Token | Unavailable | Misconfigured:
        await asyncio.Event().wait()
        raise AssertionError("never set")


@pytest.mark.parametrize("call", WRITES)
async def test_a_write_waits_for_no_token_as_it_was_allowed_to_leave_at_once(call: Call) -> None:
    async with guesty(answering(reply(500)), tokens=Waiting()) as (pms, server):
        result = await call(pms)
        assert server.requests == []
    assert isinstance(result, Unavailable)
    assert (result.code, result.outage, result.unasked) == ("token_unavailable", False, False)
