"""What is sent to Guesty, body by body."""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outbox_worker.pms import exact_json, guesty_body
from outbox_worker.pms.guesty_parts import FIXED, Part
from outbox_worker.pms.port import ReservationStatus
from tests.support_booking import LISTING_ID, a_reservation
from tests.support_guesty_adapter import DETAIL, REFERENCE, a_stay


def test_a_reservation_is_created_with_its_reference_its_parts_and_every_check_on() -> None:
    assert guesty_body.creation(a_stay()) == {
        "listingId": LISTING_ID,
        "checkInDateLocalized": "2026-12-01",
        "checkOutDateLocalized": "2026-12-05",
        "source": "website",
        "origin": "website",
        "originId": REFERENCE,
        "confirmationCode": REFERENCE,
        "status": "confirmed",
        "guest": {
            "firstName": "Zoë",
            "lastName": "Müller-Łęcki",
            "email": "zoe.lecki@example.com",
            "phones": ["+493055501234"],
        },
        "guestsCount": 3,
        "numberOfGuests": {"numberOfAdults": 2, "numberOfChildren": 1, "numberOfInfants": 1},
        "accommodationFare": Decimal("1150.25"),
        "cleaningFee": Decimal("90.25"),
        "applyPromotions": False,
        "ignoreCalendar": False,
        "ignoreTerms": False,
        "ignoreBlocks": False,
    }


def test_a_create_leaves_out_what_the_booking_does_not_have() -> None:
    guest = guesty_body.creation(a_stay(guest_email=None, guest_phone=None))["guest"]
    assert guest == {"firstName": "Zoë", "lastName": "Müller-Łęcki", "phones": []}


@settings(deadline=None)
@given(cents=st.integers(0, 10**10 - 1), share=st.fractions(0, 1))
def test_fare_and_cleaning_fee_are_json_numbers_of_two_decimals_that_add_up(
    cents: int, share: Any
) -> None:
    fare, cleaning = Decimal(cents).scaleb(-2), Decimal(int(cents * share)).scaleb(-2)
    detail = dataclasses.replace(DETAIL, cleaning_fee=cleaning)
    text = exact_json.encode(guesty_body.creation(a_stay(fare=fare, detail=detail)))
    sent = json.loads(text, parse_float=Decimal)
    assert isinstance(sent["accommodationFare"], Decimal)
    assert sent["accommodationFare"] + sent["cleaningFee"] == fare
    assert f'"cleaningFee": {cleaning:.2f}' in text


@pytest.mark.parametrize(
    ("part", "segment", "body"),
    [
        (Part.LISTING, "relocate", {"listingId": LISTING_ID}),
        (
            Part.DATES,
            "dates",
            {"checkInDateLocalized": "2026-12-01", "checkOutDateLocalized": "2026-12-05"},
        ),
        (
            Part.GUESTS,
            "guests",
            {
                "guestsCount": 3,
                "numberOfGuests": {
                    "numberOfAdults": 2,
                    "numberOfChildren": 1,
                    "numberOfInfants": 1,
                },
            },
        ),
        (Part.STATUS, "status", {"status": "confirmed"}),
        (Part.NOTES, "notes", {"notes": {"other": a_stay().notes}}),
    ],
)
def test_each_part_is_changed_by_a_call_of_its_own(
    part: Part, segment: str, body: dict[str, Any]
) -> None:
    assert guesty_body.change(part, a_stay()) == (segment, body)


@pytest.mark.parametrize("part", FIXED)
def test_no_call_changes_the_price_or_the_guest(part: Part) -> None:
    with pytest.raises(AssertionError):
        guesty_body.change(part, a_stay())


def test_a_cancellation_gives_a_reason_of_the_fixed_list_and_accuses_nobody() -> None:
    body = guesty_body.cancellation()
    assert body["status"] == "canceled"
    assert body["cancellationReason"] == "No Reason Provided"
    assert "canceledBy" not in body
    canceled = a_stay(status=ReservationStatus.CANCELED)
    assert guesty_body.change(Part.STATUS, canceled) == ("status", body)


def test_a_reservation_without_detail_is_a_fault_of_the_program() -> None:
    with pytest.raises(AssertionError):
        guesty_body.creation(a_reservation(detail=None))


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        ("", "reference_missing"),
        ("x" * 51, "reference_invalid"),
        ("LA-1,LA-2", "reference_invalid"),
    ],
)
def test_a_reference_that_could_not_be_found_again_is_refused(reference: str, code: str) -> None:
    refused = guesty_body.unusable(reference)
    assert refused is not None
    assert refused.code == code


def test_a_reference_of_fifty_characters_is_taken() -> None:
    assert guesty_body.unusable("x" * 50) is None


def test_lists_and_truth_values_are_written_and_floats_are_not() -> None:
    assert exact_json.encode({"a": [True, None, Decimal("0.10"), ["é"]]}) == (
        '{"a": [true, null, 0.10, ["\\u00e9"]]}'
    )
    for value in (1.5, object(), (1,)):
        with pytest.raises(TypeError):
            exact_json.encode([value])
