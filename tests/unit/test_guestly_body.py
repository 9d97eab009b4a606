"""The JSON of the Guestly contract, out and in."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outbox_worker.errors import DecodeError
from outbox_worker.pms import exact_json, guestly_body, mapping
from outbox_worker.pms.port import Listing, ReservationStatus
from tests.support_booking import LISTING_ID, a_reservation

REFERENCE = "LA2026-48213"


def answered(**changes: Any) -> dict[str, Any]:
    """The PMS's answer about the reservation as it was sent."""
    body = json.loads(exact_json.encode(guestly_body.payload(a_reservation())))
    return {"_id": "r1", **body, **changes}


def parsed(value: Any) -> Any:
    return exact_json.decode(json.dumps(value).encode())


def test_a_reservation_is_worded_as_the_contract_says() -> None:
    assert guestly_body.payload(a_reservation()) == {
        "listingId": LISTING_ID,
        "checkIn": "2026-12-01",
        "checkOut": "2026-12-05",
        "guestName": "Zoë Müller-Łęcki",
        "guestEmail": "zoe.lecki@example.com",
        "guestPhone": "+49 30 5550 1234",
        "numberOfGuests": 3,
        "status": "confirmed",
        "money": {"fareAccommodation": Decimal("1240.50"), "currency": "EUR"},
        "notes": a_reservation().notes,
        "source": "website",
        "confirmationCode": REFERENCE,
    }


def test_a_create_leaves_out_what_the_booking_does_not_have() -> None:
    body = guestly_body.payload(a_reservation(guest_email=None, guest_phone=None))
    assert "guestEmail" not in body
    assert "guestPhone" not in body


def test_a_change_takes_away_what_the_booking_no_longer_has() -> None:
    body = guestly_body.full_state(a_reservation(guest_email=None, guest_phone=None))
    assert json.loads(exact_json.encode(body))["guestEmail"] is None
    assert json.loads(exact_json.encode(body))["guestPhone"] is None


@settings(deadline=None)
@given(cents=st.integers(0, 10**10 - 1))
def test_the_fare_is_a_json_number_with_exactly_the_digits_of_the_total(cents: int) -> None:
    fare = Decimal(cents).scaleb(-2)
    text = exact_json.encode(guestly_body.payload(a_reservation(fare=fare)))
    sent = json.loads(text, parse_float=Decimal, parse_int=Decimal)["money"]["fareAccommodation"]
    assert isinstance(sent, Decimal)
    assert sent == fare
    assert f'"fareAccommodation": {fare:f}' in text


@pytest.mark.parametrize("fare", ["1E+3", "1E-2", "0", "0.10", "99999999.99"])
def test_a_fare_is_never_written_with_an_exponent(fare: str) -> None:
    assert "E" not in exact_json.encode({"fare": Decimal(fare)}).upper().replace("FARE", "")


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=())))
def test_any_text_is_written_as_ascii_and_read_back(text: str) -> None:
    written = exact_json.encode({"notes": text})
    assert written.isascii()
    assert json.loads(written) == {"notes": text}


@pytest.mark.parametrize("value", [1.5, b"", object()])
def test_values_that_no_reservation_holds_are_not_written(value: Any) -> None:
    with pytest.raises(TypeError):
        exact_json.encode({"x": value})


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_a_decimal_that_is_no_number_is_not_written(value: str) -> None:
    with pytest.raises(ValueError, match="JSON has no such number"):
        exact_json.encode({"x": Decimal(value)})


def test_what_was_sent_and_came_back_has_our_fingerprint() -> None:
    remote = guestly_body.reservation(parsed(answered()))
    assert remote.fingerprint == mapping.fingerprint(a_reservation())
    assert remote.reservation_id == "r1"
    assert remote.reference == REFERENCE
    assert remote.listing_id == LISTING_ID
    assert (remote.check_in, remote.check_out) == (date(2026, 12, 1), date(2026, 12, 5))
    assert remote.guest_email == "zoe.lecki@example.com"
    assert remote.status == "confirmed"


@pytest.mark.parametrize("empty", [None, ""])
def test_a_missing_email_and_an_empty_one_are_the_same_state(empty: str | None) -> None:
    remote = guestly_body.reservation(parsed(answered(guestEmail=empty, guestPhone=empty)))
    sent = a_reservation(guest_email=None, guest_phone=None)
    assert remote.fingerprint == mapping.fingerprint(sent)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("listingId", "other"),
        ("checkIn", "2026-11-30"),
        ("checkOut", "2026-12-06"),
        ("guestName", "Zoë"),
        ("guestEmail", None),
        ("guestPhone", None),
        ("numberOfGuests", 4),
        ("status", "inquiry"),
        ("money", {"fareAccommodation": 1240.51, "currency": "EUR"}),
        ("money", {"fareAccommodation": 1240.5, "currency": "CHF"}),
        ("notes", ""),
        ("source", "phone"),
        ("confirmationCode", "LA2026-48214"),
    ],
)
def test_each_field_of_an_answer_changes_its_fingerprint(field: str, value: Any) -> None:
    remote = guestly_body.reservation(parsed(answered(**{field: value})))
    assert remote.fingerprint is not None
    assert remote.fingerprint != mapping.fingerprint(a_reservation())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("listingId", None),
        ("checkIn", "2026-12-01T15:00:00.000Z"),
        ("checkIn", "20261201"),
        ("checkIn", "2026-13-01"),
        ("checkOut", None),
        ("guestName", None),
        ("numberOfGuests", None),
        ("numberOfGuests", "3"),
        ("status", "reserved"),
        ("status", None),
        ("money", None),
        ("money", {"currency": "EUR"}),
        ("money", {"fareAccommodation": "1240.50", "currency": "EUR"}),
        ("money", {"fareAccommodation": True, "currency": "EUR"}),
        ("money", {"fareAccommodation": 1240.5}),
        ("notes", None),
        ("source", None),
    ],
)
def test_an_answer_that_leaves_something_out_has_no_fingerprint(field: str, value: Any) -> None:
    assert guestly_body.reservation(parsed(answered(**{field: value}))).fingerprint is None


def test_an_absurd_fare_has_no_fingerprint() -> None:
    for fare in (b"1e999999999", b"1e-999999999", b"9" * 4000):
        body = json.dumps(answered()).encode().replace(b"1240.5", fare)
        assert guestly_body.reservation(exact_json.decode(body)).fingerprint is None


@pytest.mark.parametrize("word", ["canceled", "cancelled"])
def test_a_cancelled_answer_needs_reference_and_status_only(word: str) -> None:
    remote = guestly_body.reservation({"_id": "r1", "confirmationCode": REFERENCE, "status": word})
    assert remote.status == "canceled"
    assert remote.fingerprint == mapping.cancelled_fingerprint(REFERENCE)
    canceled = a_reservation(status=ReservationStatus.CANCELED)
    assert remote.fingerprint == mapping.fingerprint(canceled)


def test_midnight_is_read_as_the_day_and_another_time_of_day_is_not() -> None:
    for text in ("2026-12-01T00:00:00Z", "2026-12-01T00:00:00.000Z", "2026-12-01T00:00:00"):
        remote = guestly_body.reservation(parsed(answered(checkIn=text)))
        assert remote.check_in == date(2026, 12, 1)
    for text in ("2026-12-01T23:00:00Z", "2026-12-01T00:00:00+02:00", "2026-12-01 "):
        assert guestly_body.reservation(parsed(answered(checkIn=text))).check_in is None


def test_a_whole_number_serves_as_an_id() -> None:
    assert guestly_body.reservation(parsed(answered(_id=4711))).reservation_id == "4711"


@pytest.mark.parametrize(
    "value", [None, "", " ", "a b", "a\n", "a\x00", "\ud800", "x" * 201, True, 1.5, [], {}]
)
def test_an_answer_without_a_usable_id_is_not_a_reservation(value: Any) -> None:
    with pytest.raises(DecodeError):
        guestly_body.reservation({**answered(), "_id": value})


@pytest.mark.parametrize("value", [None, "", 7])
def test_an_answer_without_a_reference_is_not_a_reservation(value: Any) -> None:
    with pytest.raises(DecodeError):
        guestly_body.reservation({**answered(), "confirmationCode": value})


@pytest.mark.parametrize("value", [None, [], "x", 7, {"results": None}, {"results": {}}, {}])
def test_other_json_is_not_the_answer_of_a_look_up(value: Any) -> None:
    with pytest.raises(DecodeError):
        guestly_body.hits(value, REFERENCE)


def test_only_hits_under_our_very_reference_count() -> None:
    others = [
        answered(_id="a", confirmationCode="LA2026-4821"),
        answered(_id="b", confirmationCode="la2026-48213"),
        answered(_id="c", confirmationCode=None),
        None,
        "x",
    ]
    # without a count others' reservations may be the first page of an unfiltered list, with ours on
    # the second: taken for "absent" they would let ours be created once more
    with pytest.raises(guestly_body.UnfilteredError):
        guestly_body.hits({"results": others}, REFERENCE)
    assert guestly_body.hits({"results": others, "count": len(others)}, REFERENCE) == ()
    ours = guestly_body.hits({"results": [*others, answered(_id="d")]}, REFERENCE)
    assert [hit.reservation_id for hit in ours] == ["d"]


def test_hits_come_oldest_first() -> None:
    results = [
        answered(_id="c", createdAt="2026-11-21T12:00:00.000Z"),
        answered(_id="a", createdAt="2026-11-21T10:00:00+01:00"),
        answered(_id="b", createdAt="2026-11-21T11:00:00"),
        answered(_id="a", createdAt="2026-11-21T10:00:00+01:00"),
    ]
    found = guestly_body.hits({"results": results}, REFERENCE)
    assert [hit.reservation_id for hit in found] == ["a", "b", "c"]


def test_hits_keep_their_order_where_a_date_of_creation_is_missing() -> None:
    results = [answered(_id="b", createdAt="2026-11-21T12:00:00Z"), answered(_id="a")]
    found = guestly_body.hits({"results": results}, REFERENCE)
    assert [hit.reservation_id for hit in found] == ["b", "a"]


def test_a_hit_of_ours_without_an_id_is_not_passed_over() -> None:
    with pytest.raises(DecodeError):
        guestly_body.hits({"results": [answered(_id=None)]}, REFERENCE)


def test_a_part_of_an_unfiltered_list_proves_nothing() -> None:
    other = answered(confirmationCode="LA2026-1")
    # more, fewer, and no number at all
    for count in (2, 0, -1, True, 1.0, "1", None):
        with pytest.raises(guestly_body.UnfilteredError):
            guestly_body.hits(parsed({"results": [other], "count": count}), REFERENCE)
    assert guestly_body.hits({"results": [other], "count": 1}, REFERENCE) == ()


def test_a_look_up_without_results_finds_nothing() -> None:
    assert guestly_body.hits({"results": []}, REFERENCE) == ()
    assert guestly_body.hits({"results": [], "count": 0}, REFERENCE) == ()


def test_a_listing_is_read() -> None:
    body = {"_id": "l1", "title": "Harbour\nLoft", "active": True}
    assert guestly_body.listing(body, "l1") == Listing(
        listing_id="l1", title="Harbour Loft", active=True
    )
    assert guestly_body.listing({"_id": "l1", "active": False}, "l1").active is False
    assert guestly_body.listing({"_id": "l1"}, "l1").active is True
    wrong: tuple[Any, ...] = (None, [], {"title": "x"}, {"_id": ""}, {"_id": "l2"})
    for value in wrong:
        with pytest.raises(DecodeError):
            guestly_body.listing(value, "l1")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"<html>",
        b"NaN",
        b'{"x": Infinity}',
        b"\xff",
        b"[" * 100_000,
        b"9" * 10_000,
        b"1e99999999999999999999",
    ],
)
def test_what_is_not_json_is_named_without_quoting_it(body: bytes) -> None:
    with pytest.raises(DecodeError, match=r"^the answer is not JSON$"):
        exact_json.decode(body)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_not(body: bytes) -> None:
    try:
        value = exact_json.decode(body)
    except DecodeError:
        return
    with pytest.raises(DecodeError):
        guestly_body.reservation(value)
    with pytest.raises(DecodeError):
        guestly_body.listing(value, "l1")
