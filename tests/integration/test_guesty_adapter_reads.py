"""What the Guesty adapter reads, and which successes prove nothing."""

from __future__ import annotations

from datetime import date

import pytest

from outbox_worker.pms import guesty_parts
from outbox_worker.pms.guesty_parts import Part
from outbox_worker.pms.port import (
    Absent,
    Ambiguous,
    Found,
    Listing,
    RateLimited,
    RemoteReservation,
    Unavailable,
)
from tests.support_booking import LISTING_ID
from tests.support_guesty_adapter import (
    REFERENCE,
    RESERVATION_ID,
    WRITES,
    Call,
    a_stay,
    by_id,
    created,
    find,
    hit,
    item,
    listing,
    outcome,
    page,
)
from tests.support_scripted import json_reply, reply

TARGET = guesty_parts.wanted(a_stay())

# Reads


async def test_a_look_up_finds_ours_with_the_parts_that_a_read_by_id_adds() -> None:
    result = await outcome(find, json_reply(200, page(hit())), json_reply(200, [item()]))
    assert isinstance(result, Found)
    (found,) = result.reservations
    assert (found.reservation_id, found.listing_id) == (RESERVATION_ID, LISTING_ID)
    shown = (Part.LISTING, Part.DATES, Part.GUESTS, Part.STATUS, Part.NOTES)
    assert found.fingerprint is None
    assert found.parts == {part: TARGET[part] for part in shown}


@pytest.mark.parametrize(("origin", "marked"), [(REFERENCE, True), ("another", False)])
async def test_an_origin_id_of_ours_marks_a_hit(origin: str, *, marked: bool) -> None:
    result = await outcome(
        find, json_reply(200, page(hit())), json_reply(200, [item(originId=origin)])
    )
    assert isinstance(result, Found)
    assert result.reservations[0].marked is marked


async def test_a_hit_that_shows_its_guests_needs_no_further_read() -> None:
    guests = {"numberOfAdults": 2, "numberOfChildren": 1, "numberOfInfants": 1}
    result = await outcome(find, json_reply(200, page(hit(numberOfGuests=guests))))
    assert isinstance(result, Found)
    assert result.reservations[0].parts["guests"] == TARGET["guests"]


async def test_several_hits_are_for_a_person_and_need_no_further_read() -> None:
    result = await outcome(find, json_reply(200, page(hit(), hit(reservationId="another"))))
    assert isinstance(result, Found)
    assert len(result.reservations) == 2


@pytest.mark.parametrize(
    "shown", [json_reply(200, []), json_reply(200, [item(confirmationCode="x")]), reply(422)]
)
async def test_a_hit_stands_where_the_read_by_its_id_adds_nothing(shown: bytes) -> None:
    result = await outcome(find, json_reply(200, page(hit())), shown)
    assert isinstance(result, Found)
    assert "guests" not in result.reservations[0].parts


async def test_a_look_up_fails_where_the_read_by_id_failed() -> None:
    result = await outcome(
        find, json_reply(200, page(hit())), reply(429, b"", {"Retry-After": "9"})
    )
    assert isinstance(result, RateLimited)
    result = await outcome(find, json_reply(200, page(hit())), reply(503))
    assert isinstance(result, Unavailable)


async def test_a_look_up_without_a_hit_is_absent() -> None:
    assert await outcome(find, json_reply(200, page())) == Absent(http_status=200)


@pytest.mark.parametrize("more", [True, False])
async def test_a_look_up_that_was_not_filtered_does_not_prove_absence(more: bool) -> None:
    body = page(hit(confirmationCode="LA2026-4"), more=more)
    result = await outcome(find, json_reply(200, body))
    assert isinstance(result, Unavailable)
    assert (result.code, result.http_status) == ("lookup_unfiltered", 200)


async def test_a_reservation_is_read_by_its_id() -> None:
    result = await outcome(by_id, json_reply(200, [item()]))
    assert isinstance(result, RemoteReservation)
    assert (result.reference, result.check_out) == (REFERENCE, date(2026, 12, 5))
    assert await outcome(by_id, json_reply(200, [])) == Absent(http_status=200)


async def test_a_listing_is_answered_with_its_currency() -> None:
    body = {"_id": LISTING_ID, "title": "Harbour Loft", "prices": {"currency": "EUR"}}
    assert await outcome(listing, json_reply(200, body)) == Listing(
        listing_id=LISTING_ID, title="Harbour Loft", active=True, currency="EUR"
    )
    assert await outcome(listing, json_reply(404, {})) == Absent(http_status=404)


# Success without proof


@pytest.mark.parametrize("call", WRITES)
@pytest.mark.parametrize(
    "answer",
    [
        json_reply(200, {}),
        json_reply(200, {"success": True}),
        json_reply(200, created(reservationId="other", confirmationCode="LA2026-4")),
        reply(200, b"<html></html>"),
        reply(200, b"x" * 2_000_000),
        reply(204),
    ],
)
async def test_a_success_of_unknown_shape_is_ambiguous(call: Call, answer: bytes) -> None:
    result = await outcome(call, answer)
    assert isinstance(result, Ambiguous)
    assert result.finished is False
