"""What Guesty wants apart is taken apart; what it cannot take is refused, the field named."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from outbox_worker.errors import MappingError
from outbox_worker.pms import mapping
from outbox_worker.pms.port import Detail, PmsName
from tests.support_booking import LISTING_ID, a_booking


def mapped(**changes: Any) -> mapping.Mapped:
    return mapping.to_reservation(
        a_booking(**changes), listing_id=LISTING_ID, pms=PmsName.GUESTY, currency="EUR"
    )


def test_names_guests_and_price_are_sent_apart() -> None:
    found = mapped(cleaning_fee=Decimal("85.25"))
    assert found.reservation.detail == Detail(
        first_name="Zoë",
        last_name="Müller-Łęcki",
        adults=2,
        children=1,
        infants=1,
        cleaning_fee=Decimal("85.25"),
    )
    assert found.reservation.fare == Decimal("1240.50")
    assert found.warnings == ()


def test_guestly_gets_no_detail() -> None:
    found = mapping.to_reservation(
        a_booking(), listing_id=LISTING_ID, pms=PmsName.GUESTLY, currency="EUR"
    )
    assert found.reservation.detail is None


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("+49 30 5550 1234", "+493055501234"),
        ("0049 (30) 5550-1234", "+493055501234"),
        ("+49 (0)30/5550.1234", "+493055501234"),
        (None, None),
        ("  ", None),
        ("+49\u00a030\u20115550\u20131234", "+493055501234"),
        ("\u202a+49\u200e 30\u2009\u20125550\u20101234\u202c", "+493055501234"),
        ("+49 30 5550\u20141\u2015234", "+493055501234"),
        ("\uff0b\uff14\uff19\u3000\uff13\uff10\uff0d5550 1234", "+493055501234"),
        ("tel:+49-30-5550-1234", "+493055501234"),
        ("TEL: 0049 30 5550 1234", "+493055501234"),
        ("+49 ( 0 ) 30 5550 1234", "+493055501234"),
        ("+49\u00a0(\u00a00\u00a0)30 5550 1234", "+493055501234"),
        ("(0049)(0)30 5550 1234", "+493055501234"),
        ("+39 (0)6 5550 1234", "+390655501234"),
        ("+39 06 5550 1234", "+390655501234"),
        ("+378 0549 555012", "+3780549555012"),
        ("+225 07 55 50 12 34", "+2250755501234"),
        ("+49 30 5550 1234 ext 5", "+493055501234"),
        ("+49 30 5550 1234 ext. 5", "+493055501234"),
        ("+49 30 5550 1234x5", "+493055501234"),
        ("+49 30 5550 1234 (Extension 12)", "+493055501234"),
        ("tel:+49-30-5550-1234;ext=5", "+493055501234"),
    ],
)
def test_a_phone_number_is_sent_as_digits_behind_its_country_code(
    written: str | None, sent: str | None
) -> None:
    assert mapped(phone=written).reservation.guest_phone == sent


@pytest.mark.parametrize("phone", ["030 5550 1234", "+0305550123", "+49 30 call me", "+4930"])
def test_a_phone_without_a_country_code_is_refused(phone: str) -> None:
    with pytest.raises(MappingError) as caught:
        mapped(phone=phone)
    assert (caught.value.code, caught.value.field) == ("phone_invalid", "guest_phone")
    assert phone not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("+49 0 30 5550 1234", "+4903055501234"),
        ("+49 030 5550 1234", "+4903055501234"),
        ("+49 (030) 5550 1234", "+4903055501234"),
        ("0049 030 5550 1234", "+4903055501234"),
        ("+49 (0)(0)30 5550 1234", "+49003055501234"),
        ("+49 30 (0) 5550 1234", "+4930055501234"),
        ("+1 0 555 010 9999", "+105550109999"),
        ("+358 040 555 0123", "+3580405550123"),
    ],
)
def test_a_zero_that_nobody_may_dial_holds_up_no_paid_booking(written: str, sent: str) -> None:
    found = mapped(phone=written)
    assert found.reservation.guest_phone == sent
    (warning,) = found.warnings
    assert " 0 " in warning
    assert "5550" not in warning


@pytest.mark.parametrize("phone", ["+49 30 5550 1234\u00b2", "+49 30 5550 1234\u2026"])
def test_a_character_that_only_resembles_a_digit_or_a_dot_is_refused(phone: str) -> None:
    with pytest.raises(MappingError):
        mapped(phone=phone)


@pytest.mark.parametrize("reference", ["L" * 51, "LA2026,48213"])
def test_a_reference_that_guesty_could_not_find_again_is_refused(reference: str) -> None:
    with pytest.raises(MappingError) as caught:
        mapped(reference=reference)
    assert (caught.value.code, caught.value.field) == ("reference_invalid", "booking_reference")


def test_a_reference_of_fifty_characters_is_sent() -> None:
    assert mapped(reference="L" * 50).reservation.reference == "L" * 50


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"adults": 0}, "guests_missing", "adults"),
        ({"adults": None}, "guests_missing", "adults"),
        ({"infants": -1}, "guests_invalid", "infants"),
    ],
)
def test_children_do_not_travel_alone(changes: dict[str, Any], code: str, field: str) -> None:
    with pytest.raises(MappingError) as caught:
        mapped(**changes)
    assert (caught.value.code, caught.value.field) == (code, field)


@pytest.mark.parametrize("fee", ["-1", "1240.51", "10.005", "NaN", "Infinity"])
def test_a_cleaning_fee_that_is_no_part_of_the_total_is_not_sent_apart(fee: str) -> None:
    found = mapped(cleaning_fee=Decimal(fee))
    assert found.reservation.detail is not None
    assert found.reservation.detail.cleaning_fee == 0
    assert any("cleaning fee" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"first_name": None}, ("Guest", "Müller-Łęcki")),
        ({"last_name": " "}, ("Zoë", "LA2026-48213")),
        ({"first_name": None, "last_name": None}, ("Guest", "LA2026-48213")),
    ],
)
def test_a_missing_name_has_a_stand_in_and_a_warning(
    changes: dict[str, Any], names: tuple[str, str]
) -> None:
    found = mapped(**changes)
    assert found.reservation.detail is not None
    assert (found.reservation.detail.first_name, found.reservation.detail.last_name) == names
    assert found.warnings
