"""What the adapter sends, and which answers prove that Guestly holds a reservation."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from outbox_worker.pms import exact_json, guestly_body, mapping
from outbox_worker.pms.port import (
    Absent,
    Ambiguous,
    Found,
    Held,
    Listing,
    Pms,
    PmsName,
    Rejected,
    Unavailable,
)
from tests.support_booking import LISTING_ID, a_reservation
from tests.support_guestly import (
    HTML,
    REFERENCE,
    WRITES,
    Call,
    cancel,
    create,
    find,
    guestly,
    listing,
    outcome,
    outcomes,
    stored,
    update,
)
from tests.support_scripted import answering, json_reply, reply

# What is sent


async def test_a_create_sends_the_payload_once_with_its_key() -> None:
    async with guestly(answering(json_reply(201, stored()))) as (pms, server):
        await pms.create(a_reservation(), idempotency_key="k1")
        (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/v1/reservations")
    assert request.headers["authorization"] == "Bearer key"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["idempotency-key"] == "k1"
    assert request.json() == json.loads(exact_json.encode(guestly_body.payload(a_reservation())))
    assert b'"fareAccommodation": 1240.50' in request.body


async def test_an_update_sends_the_whole_state() -> None:
    async with guestly(answering(json_reply(200, stored()))) as (pms, server):
        await pms.update("r/1", a_reservation(guest_phone=None), idempotency_key="k1")
        (request,) = server.requests
    assert (request.method, request.target) == ("PUT", "/v1/reservations/r%2F1")
    assert request.headers["idempotency-key"] == "k1"
    assert request.json()["guestPhone"] is None
    assert request.json()["confirmationCode"] == REFERENCE


async def test_a_cancellation_sends_the_status_alone() -> None:
    async with guestly(answering(json_reply(200, stored(status="canceled")))) as (pms, server):
        await pms.cancel("r1", reference=REFERENCE, idempotency_key="k1")
        (request,) = server.requests
    assert (request.method, request.target) == ("PUT", "/v1/reservations/r1")
    assert request.headers["idempotency-key"] == "k1"
    assert request.json() == {"status": "canceled"}


async def test_reads_are_sent_without_body_and_key() -> None:
    async with guestly(answering(json_reply(200, {"results": []}))) as (pms, server):
        await pms.find("LA 1&limit=0")
        await pms.listing("l/1")
        first, second = server.requests
    assert first.target == "/v1/reservations?confirmationCode=LA%201%26limit%3D0"
    assert second.target == "/v1/listings/l%2F1"
    for request in (first, second):
        assert request.method == "GET"
        assert "idempotency-key" not in request.headers
        assert request.body == b""


async def test_an_empty_reference_is_not_looked_up() -> None:
    async with guestly(answering(json_reply(200, {"results": []}))) as (pms, server):
        assert isinstance(await pms.find(""), Rejected)
        assert server.requests == []


async def test_it_is_the_pms_of_the_port() -> None:
    async with guestly(answering(reply(200))) as (pms, _):
        port: Pms = pms
        assert port.name is PmsName.GUESTLY


# Success


@pytest.mark.parametrize("status", [200, 201])
async def test_a_created_reservation_is_held(status: int) -> None:
    result = await outcome(create, json_reply(status, stored(_id="652f0000000000000000b001")))
    assert result == Held(
        reservation_id="652f0000000000000000b001",
        existed=False,
        fingerprint=mapping.fingerprint(a_reservation()),
        http_status=status,
    )


async def test_a_short_answer_to_a_create_is_held_without_a_fingerprint() -> None:
    result = await outcome(create, json_reply(201, {"_id": "r1", "confirmationCode": REFERENCE}))
    assert result == Held(reservation_id="r1", fingerprint=None, http_status=201)


async def test_an_answer_that_shows_another_state_shows_it_in_its_fingerprint() -> None:
    result = await outcome(create, json_reply(201, stored(numberOfGuests=7)))
    assert isinstance(result, Held)
    assert result.fingerprint == mapping.fingerprint(a_reservation(number_of_guests=7))


async def test_an_updated_reservation_is_held() -> None:
    result = await outcome(update, json_reply(200, stored()))
    assert isinstance(result, Held)
    assert (result.reservation_id, result.existed) == ("r1", True)


async def test_a_cancelled_reservation_is_held() -> None:
    result = await outcome(cancel, json_reply(200, stored(status="canceled")))
    assert isinstance(result, Held)
    assert result.fingerprint == mapping.cancelled_fingerprint(REFERENCE)


async def test_a_look_up_finds_ours_as_wanted() -> None:
    result = await outcome(find, json_reply(200, {"results": [stored()], "count": 1}))
    assert isinstance(result, Found)
    (hit,) = result.reservations
    assert hit.fingerprint == mapping.fingerprint(a_reservation())
    assert (hit.check_in, hit.check_out) == (date(2026, 12, 1), date(2026, 12, 5))
    assert (hit.reservation_id, hit.listing_id) == ("r1", LISTING_ID)


async def test_a_look_up_that_finds_a_changed_one_tells_it_apart() -> None:
    changed = stored(money={"fareAccommodation": 1240.51, "currency": "EUR"})
    result = await outcome(find, json_reply(200, {"results": [changed]}))
    assert isinstance(result, Found)
    wanted = mapping.fingerprint(a_reservation())
    assert result.reservations[0].fingerprint not in {None, wanted}
    expected = a_reservation(fare=Decimal("1240.51"))
    assert result.reservations[0].fingerprint == mapping.fingerprint(expected)


async def test_a_look_up_answers_the_oldest_first() -> None:
    results = [
        stored(_id="new", createdAt="2026-11-21T12:00:00Z"),
        stored(_id="old", createdAt="2026-11-21T11:00:00Z"),
    ]
    result = await outcome(find, json_reply(200, {"results": results}))
    assert isinstance(result, Found)
    assert [hit.reservation_id for hit in result.reservations] == ["old", "new"]


@pytest.mark.parametrize(
    "body",
    [
        {"results": []},
        {"results": [{"_id": "x", "confirmationCode": "LA2026-4"}], "count": 1},
        {"results": [{"_id": "x"}], "count": 1},
    ],
)
async def test_a_look_up_without_a_hit_of_ours_is_absent(body: dict[str, Any]) -> None:
    result = await outcome(find, json_reply(200, body))
    assert result == Absent(http_status=200)


@pytest.mark.parametrize("count", [{}, {"count": 0}, {"count": 2}, {"count": None}])
async def test_a_look_up_that_was_not_filtered_and_may_go_on_does_not_prove_absence(
    count: dict[str, Any],
) -> None:
    results = [{"_id": "x", "confirmationCode": "LA2026-4"}]
    result = await outcome(find, json_reply(200, {"results": results, **count}))
    assert isinstance(result, Unavailable)
    assert (result.code, result.http_status) == ("lookup_unfiltered", 200)


async def test_a_listing_is_answered() -> None:
    body = {"_id": "l1", "title": "Harbour Loft", "active": False}
    result = await outcome(listing, json_reply(200, body))
    assert result == Listing(listing_id="l1", title="Harbour Loft", active=False)


async def test_an_unknown_listing_is_absent() -> None:
    assert await outcome(listing, json_reply(404, {})) == Absent(http_status=404)


# Success without proof


UNPROVED = [
    json_reply(200, {}),
    json_reply(200, []),
    json_reply(200, {"confirmationCode": REFERENCE}),
    json_reply(200, {"_id": "", "confirmationCode": REFERENCE}),
    json_reply(200, {"_id": None, "confirmationCode": REFERENCE}),
    json_reply(200, {"_id": "r1"}),
    json_reply(200, {"_id": "r1", "confirmationCode": "LA2026-1"}),
    json_reply(200, {"success": False, "message": "no"}),
    reply(200, b""),
    reply(200, b"{"),
    reply(200, HTML),
    reply(200, b"x" * 2_000_000),
    reply(202, b""),
    reply(204),
]


@pytest.mark.parametrize("call", WRITES)
async def test_a_success_without_a_usable_id_of_ours_is_ambiguous(call: Call) -> None:
    for result in await outcomes(call, UNPROVED):
        assert isinstance(result, Ambiguous)
        assert result.finished is False


@pytest.mark.parametrize("call", [update, cancel])
async def test_a_success_about_another_reservation_is_ambiguous(call: Call) -> None:
    result = await outcome(call, json_reply(200, stored(_id="r2")))
    assert isinstance(result, Ambiguous)
    assert result.code == "other_reservation"
