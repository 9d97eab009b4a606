"""Breaks, time-outs and every status: what the adapter makes of them, and that no guest shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from outbox_worker.pms.guestly import Guestly
from outbox_worker.pms.port import (
    Absent,
    Ambiguous,
    Found,
    Held,
    Misconfigured,
    RateLimited,
    Rejected,
    ReservationStatus,
    Unavailable,
)
from tests.support_booking import a_reservation
from tests.support_guestly import (
    BODIES,
    CALLS,
    HOW,
    HTML,
    PATIENT,
    READS,
    REFERENCE,
    SHORT,
    WRITES,
    Call,
    breaks,
    cancel,
    create,
    find,
    guestly,
    listing,
    outcome,
    outcomes,
    stored,
    update,
    with_every_body,
)
from tests.support_port import kept_port
from tests.support_scripted import Peer, json_reply, reply, serving

# Breaks and time-outs


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("call", CALLS)
async def test_a_break_or_a_time_out_leaves_a_write_in_doubt_and_a_read_unavailable(
    call: Call, how: str
) -> None:
    within = SHORT if "silence" in how else PATIENT
    async with guestly(breaks(how), within=within) as (pms, server):
        result = await call(pms)
        assert len(server.requests) == 1
    assert isinstance(result, Ambiguous if call in WRITES else Unavailable)
    assert result.code == ("timeout" if "silence" in how else "connection_lost")
    if isinstance(result, Ambiguous):
        assert result.finished is False


@pytest.mark.parametrize("call", CALLS)
async def test_a_connection_that_was_never_made_leaves_no_doubt(call: Call) -> None:
    url = f"http://127.0.0.1:{kept_port()}"
    pms = Guestly(api_url=url, api_key="key", timeout=PATIENT, connections=2)
    result = await call(pms)
    await pms.aclose()
    assert isinstance(result, Unavailable)
    assert result.code == "connection_refused"
    assert result.http_status is None


@pytest.mark.parametrize("call", CALLS)
async def test_a_handshake_that_fails_leaves_no_doubt(call: Call) -> None:
    async def script(_: Peer) -> None:
        """Close at once."""

    async with serving(script) as server:
        url = server.url.replace("http://", "https://")
        pms = Guestly(api_url=url, api_key="key", timeout=PATIENT, connections=2)
        result = await call(pms)
        await pms.aclose()
    assert isinstance(result, Unavailable)


# Status codes


@pytest.mark.parametrize("call", WRITES)
async def test_a_gateway_speaking_leaves_a_write_in_doubt_and_still_under_way(call: Call) -> None:
    statuses, answers = zip(
        *with_every_body([502, 503, 504, 520, 522, 524, 530, 598, 599]), strict=True
    )
    for status, result in zip(statuses, await outcomes(call, answers), strict=True):
        assert isinstance(result, Ambiguous)
        assert (result.code, result.finished) == (f"http_{status}", False)


@pytest.mark.parametrize("call", WRITES)
async def test_the_pms_itself_failing_leaves_a_write_in_doubt_but_finished(call: Call) -> None:
    statuses, answers = zip(*with_every_body([500, 501, 505, 507, 511]), strict=True)
    for status, result in zip(statuses, await outcomes(call, answers), strict=True):
        assert isinstance(result, Ambiguous)
        assert (result.code, result.finished) == (f"http_{status}", True)
        assert result.http_status == status


@pytest.mark.parametrize("call", WRITES)
async def test_a_failure_that_never_ends_is_not_finished(call: Call) -> None:
    result = await outcome(call, reply(500, b"x" * 2_000_000))
    assert isinstance(result, Ambiguous)
    assert result.finished is False


@pytest.mark.parametrize("call", READS)
async def test_a_read_that_meets_a_failing_pms_is_unavailable(call: Call) -> None:
    statuses, answers = zip(*with_every_body([500, 502, 503, 504, 520, 599]), strict=True)
    for status, result in zip(statuses, await outcomes(call, answers), strict=True):
        assert isinstance(result, Unavailable)
        assert (result.code, result.http_status) == (f"http_{status}", status)


@pytest.mark.parametrize("call", CALLS)
async def test_a_request_that_timed_out_in_the_server_is_a_failure_not_a_refusal(
    call: Call,
) -> None:
    result = await outcome(call, reply(408))
    assert isinstance(result, Ambiguous if call in WRITES else Unavailable)
    assert result.code == "http_408"


WAITS = [
    ({"Retry-After": "7"}, timedelta(seconds=7)),
    ({"Retry-After": "0"}, timedelta(0)),
    ({"Retry-After": "999999999999"}, timedelta(hours=1)),
    ({"Retry-After": "nonsense"}, timedelta(seconds=5)),
    ({}, timedelta(seconds=5)),
]


@pytest.mark.parametrize("call", CALLS)
async def test_too_many_requests_means_wait(call: Call) -> None:
    answers = [reply(429, b"slow down", headers) for headers, _ in WAITS]
    for (_, wait), result in zip(WAITS, await outcomes(call, answers), strict=True):
        assert result == RateLimited(
            retry_after=wait, http_status=429, message="Guestly asked to slow down"
        )


async def test_a_date_to_wait_for_is_honoured() -> None:
    until = datetime.now(UTC) + timedelta(minutes=10)
    headers = {"Retry-After": format_datetime(until, usegmt=True)}
    result = await outcome(find, reply(429, b"", headers))
    assert isinstance(result, RateLimited)
    assert timedelta(minutes=9) < result.retry_after <= timedelta(minutes=10)


@pytest.mark.parametrize("call", CALLS)
async def test_a_wrong_key_and_a_redirect_are_faults_of_the_configuration(call: Call) -> None:
    codes = {401: "unauthorized", 403: "forbidden"}
    redirects = [300, 301, 302, 303, 304, 307, 308]
    statuses, answers = zip(*with_every_body([*codes, *redirects]), strict=True)
    for status, result in zip(statuses, await outcomes(call, answers), strict=True):
        assert isinstance(result, Misconfigured)
        assert (result.code, result.http_status) == (codes.get(status, "redirect"), status)


@pytest.mark.parametrize(
    ("call", "statuses"), [(create, [404, 405]), (find, [404, 405]), (listing, [405])]
)
async def test_a_call_that_nobody_serves_is_a_fault_of_the_configuration(
    call: Call, statuses: list[int]
) -> None:
    answers = [answer for _, answer in with_every_body(statuses)]
    for result in await outcomes(call, answers):
        assert isinstance(result, Misconfigured)
        assert "GUESTLY_API_URL" in result.message


@pytest.mark.parametrize("call", READS)
async def test_a_web_page_in_the_place_of_an_answer_is_a_fault_of_the_configuration(
    call: Call,
) -> None:
    pages = [HTML, b"  \r\n<html>", b"\xef\xbb\xbf<?xml version='1.0'?><x/>"]
    for result in await outcomes(call, [reply(200, page) for page in pages]):
        assert isinstance(result, Misconfigured)
        assert result.code == "html_answer"


async def test_a_look_up_that_cannot_be_read_does_not_prove_absence() -> None:
    answers = [
        reply(200, b""),
        reply(200, b"{"),
        reply(200, b"\xff"),
        reply(204),
        reply(200, b"x" * 2_000_000),
        reply(200, b"[" * 500_000),
        json_reply(200, {"results": None}),
        json_reply(200, []),
        json_reply(200, {"results": [{"confirmationCode": REFERENCE}]}),
        json_reply(200, {"results": [{"confirmationCode": "other"}], "count": 90}),
    ]
    for result in await outcomes(find, answers):
        assert isinstance(result, Unavailable)


async def test_a_listing_that_cannot_be_read_is_unavailable() -> None:
    bodies = [b"{}", b"", b"[]", b'{"title": "x"}', b'{"_id": "another"}']
    for result in await outcomes(listing, [reply(200, body) for body in bodies]):
        assert isinstance(result, Unavailable)


@pytest.mark.parametrize("call", [update, cancel])
async def test_a_reservation_that_is_gone_is_absent(call: Call) -> None:
    bodies = [b"", b"{}", b'"Reservation Not Found"', b"gone"]
    for result in await outcomes(call, [reply(404, body) for body in bodies]):
        assert result == Absent(http_status=404)


@pytest.mark.parametrize("call", [update, cancel])
async def test_a_page_that_says_404_proves_nothing_about_a_reservation(call: Call) -> None:
    result = await outcome(call, reply(404, HTML))
    assert isinstance(result, Rejected)
    assert result.code == "http_404"


@pytest.mark.parametrize("call", WRITES)
async def test_any_other_refusal_of_a_write_is_rejected(call: Call) -> None:
    body = {"error": {"code": "MIN_NIGHTS", "message": "at least 3 nights"}}
    statuses = [400, 402, 406, 409, 410, 411, 413, 415, 418, 422, 451, 499]
    answers = [json_reply(status, body) for status in statuses]
    for status, result in zip(statuses, await outcomes(call, answers), strict=True):
        assert isinstance(result, Rejected)
        assert (result.code, result.http_status) == ("min_nights", status)
        assert result.dates_taken is False


@pytest.mark.parametrize("call", READS)
async def test_any_other_refusal_of_a_read_is_rejected(call: Call) -> None:
    statuses = [400, 406, 409, 410, 422]
    answers = [json_reply(status, {"message": "no"}) for status in statuses]
    for status, result in zip(statuses, await outcomes(call, answers), strict=True):
        assert isinstance(result, Rejected)
        assert (result.code, result.http_status) == (f"http_{status}", status)


async def test_a_refusal_of_any_shape_has_a_code_and_a_sentence() -> None:
    for result in await outcomes(create, [reply(422, body) for body in BODIES]):
        assert isinstance(result, Rejected)
        assert result.code == "http_422"
        assert result.message


@pytest.mark.parametrize(
    "code", ["LISTING_NOT_AVAILABLE", "LISTING_IS_NOT_AVAILABLE", "LISTING_CALENDAR_BLOCKED"]
)
@pytest.mark.parametrize("call", [create, update])
async def test_dates_that_are_taken_are_said_to_be(call: Call, code: str) -> None:
    body = {"error": {"code": code, "message": "x"}}
    answers = [json_reply(status, body) for status in (400, 409, 422)]
    for result in await outcomes(call, answers):
        assert isinstance(result, Rejected)
        assert (result.code, result.dates_taken) == (code.lower(), True)


@pytest.mark.parametrize("call", WRITES)
async def test_a_reused_key_is_ambiguous(call: Call) -> None:
    bodies = [
        {"error": {"code": "IDEMPOTENCY_KEY_REUSED", "message": "another body"}},
        {"message": "A request with this Idempotency-Key is in progress"},
    ]
    answers = [json_reply(status, body) for status in (400, 409, 422) for body in bodies]
    for result in await outcomes(call, answers):
        assert isinstance(result, Ambiguous)
        assert (result.code, result.finished) == ("idempotency_key_reused", False)


async def test_a_reference_that_exists_already_is_ambiguous_for_a_create_only() -> None:
    body = {"error": {"code": "DUPLICATE_CONFIRMATION_CODE", "message": "exists"}}
    result = await outcome(create, json_reply(409, body))
    assert isinstance(result, Ambiguous)
    assert (result.code, result.finished) == ("reference_exists", True)
    assert isinstance(await outcome(update, json_reply(409, body)), Rejected)


# Guest data


GUEST = ("zoe", "zoë", "müller", "muller", "łęcki", "lecki", "5550", "testwerke", "cot, please")


@pytest.mark.parametrize("call", CALLS)
async def test_no_guest_data_survives_in_any_answer(call: Call) -> None:
    reservation = a_reservation()
    echo = (
        f"guest {reservation.guest_name} <{reservation.guest_email}> {reservation.guest_phone}"
        f" of Norddeutsche Testwerke wrote: {reservation.notes}"
    )
    bodies: list[Any] = [
        {"error": {"code": f"BAD_{reservation.guest_name.split()[0]}", "message": echo}},
        {"error": {"code": "zoe.lecki@example.com", "message": echo}},
        {"message": [echo, stored()]},
        {"errors": [{"path": [reservation.guest_name], "message": echo}]},
        {"_id": echo, "confirmationCode": REFERENCE},
        {"_id": "r1", "confirmationCode": echo},
        {"results": [{"_id": echo, "confirmationCode": REFERENCE}]},
        {"results": echo},
        echo,
    ]
    answers = [reply(302, headers={"Location": "/?name=Zoe"}), reply(204, headers={"X": "Zoe"})]
    for status in (200, 201, 400, 401, 403, 404, 405, 408, 409, 422, 429, 500, 503, 599):
        answers += [json_reply(status, body) for body in bodies]
        answers += [reply(status, echo.encode()), reply(status, f"<html>{echo}".encode())]
    for result in await outcomes(call, answers):
        assert not isinstance(result, Found | Held)
        said = repr(result).casefold()
        for secret in GUEST:
            assert secret not in said


@pytest.mark.parametrize("how", HOW)
async def test_no_guest_data_survives_in_a_broken_call(how: str) -> None:
    within = SHORT if "silence" in how else PATIENT
    async with guestly(breaks(how), within=within) as (pms, _):
        said = repr(await create(pms)).casefold()
    for secret in (*GUEST, "bearer", "key"):
        assert secret not in said


def test_the_status_words_of_the_port_are_those_of_the_contract() -> None:
    assert {status.value for status in ReservationStatus} == {"inquiry", "confirmed", "canceled"}
