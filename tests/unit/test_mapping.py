"""A booking becomes what the PMS should hold, or is refused with the field named."""

from __future__ import annotations

import unicodedata
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from outbox_worker.bookings.booking import BookingStatus
from outbox_worker.errors import MappingError
from outbox_worker.pms import mapping
from outbox_worker.pms.mapping import Mapped
from outbox_worker.pms.port import PmsName, ReservationStatus
from tests.support_booking import LISTING_ID, a_booking

#: Any text at all: control characters, lone surrogates and unassigned letters included.
odd_text = st.text(st.characters(exclude_categories=()), max_size=60)


def mapped(**changes: Any) -> Mapped:
    return mapping.to_reservation(
        a_booking(**changes), listing_id=LISTING_ID, pms=PmsName.GUESTLY, currency="EUR"
    )


def refusal(*, listing_id: str | None = LISTING_ID, **changes: Any) -> MappingError:
    with pytest.raises(MappingError) as caught:
        mapping.to_reservation(
            a_booking(**changes), listing_id=listing_id, pms=PmsName.GUESTLY, currency="EUR"
        )
    return caught.value


def test_a_full_booking_is_mapped_field_by_field() -> None:
    result = mapped()
    reservation = result.reservation
    assert result.warnings == ()
    assert reservation.listing_id == LISTING_ID
    assert (reservation.check_in, reservation.check_out) == (date(2026, 12, 1), date(2026, 12, 5))
    assert reservation.guest_name == "Zoë Müller-Łęcki"
    assert reservation.guest_email == "zoe.lecki@example.com"
    assert reservation.guest_phone == "+49 30 5550 1234"
    assert reservation.number_of_guests == 3
    assert reservation.status is ReservationStatus.CONFIRMED
    assert reservation.fare == Decimal("1240.50")
    assert reservation.currency == "EUR"
    assert reservation.source == "website"
    assert reservation.reference == "LA2026-48213"


def test_notes_stand_in_the_agreed_order() -> None:
    assert mapped().reservation.notes.split("\n") == [
        "We arrive late in the evening.",
        "A cot, please.",
        "Purpose: Trade fair",
        "Company: Norddeutsche Testwerke",
        "Children: 1",
        "Infants: 1",
        "Country: Germany",
        "Booking Reference: LA2026-48213",
        "Pet: yes",
        "Early check-in: yes",
        "Late check-out: yes",
    ]


def test_empty_remarks_leave_no_line_in_the_notes() -> None:
    result = mapped(
        special_requests="  ",
        purpose_of_stay=None,
        company="",
        children=0,
        infants=None,
        country="\t",
        has_pet=False,
        early_check_in=False,
        late_check_out=False,
    )
    assert result.reservation.notes == "Booking Reference: LA2026-48213"


def test_a_remark_cannot_make_up_a_line_of_the_notes() -> None:
    notes = mapped(company="Acme\nBooking Reference: LA0000\u2028Pet: no").reservation.notes
    assert "Company: Acme Booking Reference: LA0000 Pet: no" in notes.split("\n")


@pytest.mark.parametrize(
    ("first", "last", "name"),
    [
        ("  Zoë ", "\tMüller\n", "Zoë Müller"),
        ("Zoë", None, "Zoë"),
        (None, "Müller", "Müller"),
        ("Zo\x00ë", "Mül\ud800ler", "Zoë Müller"),
        ("Zoe\u0308", "Li", "Zoë Li"),
        ("Ana\nMaria", "Sá", "Ana Maria Sá"),
    ],
)
def test_names_are_trimmed_and_made_safe(first: str | None, last: str | None, name: str) -> None:
    assert mapped(first_name=first, last_name=last).reservation.guest_name == name


def test_a_booking_without_a_name_is_sent_under_its_reference_with_a_warning() -> None:
    result = mapped(first_name=" ", last_name=None)
    assert result.reservation.guest_name == "Guest LA2026-48213"
    assert len(result.warnings) == 1


@pytest.mark.parametrize("email", [None, "", "  ", "nobody", "a b@example.com", "@example.com"])
def test_an_unusable_email_is_left_out_with_a_warning(email: str | None) -> None:
    result = mapped(email=email)
    assert result.reservation.guest_email is None
    assert len(result.warnings) == 1
    assert not (email and email.strip()) or email not in result.warnings[0]


def test_an_email_longer_than_any_address_is_left_out_with_a_warning() -> None:
    result = mapped(email="a" * 250 + "@example.com")
    assert result.reservation.guest_email is None
    assert len(result.warnings) == 1


@pytest.mark.parametrize("phone", [None, "", " \t "])
def test_a_missing_phone_number_is_left_out_without_a_warning(phone: str | None) -> None:
    result = mapped(phone=phone)
    assert result.reservation.guest_phone is None
    assert result.warnings == ()


def test_long_texts_are_cut_with_a_warning_each() -> None:
    result = mapped(
        first_name="x" * 500, last_name="y" * 500, phone="1" * 500,
        special_requests="z" * 9000, company="c" * 500,
    )  # fmt: skip
    reservation = result.reservation
    assert len(reservation.guest_name) == 201
    assert reservation.guest_phone is not None
    assert len(reservation.guest_phone) == 50
    assert len(reservation.notes.split("\n")[0]) == 4000
    assert "Booking Reference: LA2026-48213" in reservation.notes
    assert len(result.warnings) == 5


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (BookingStatus.PENDING, "inquiry"),
        (BookingStatus.CONFIRMED, "confirmed"),
        (BookingStatus.CANCELLED, "canceled"),
        (BookingStatus.COMPLETED, "confirmed"),
    ],
)
def test_each_status_has_its_word(status: BookingStatus, word: str) -> None:
    assert mapping.status_of(status) == word
    assert mapped(status=status).reservation.status == word


def test_every_status_of_the_site_has_a_word() -> None:
    assert {mapping.status_of(status) for status in BookingStatus} == set(ReservationStatus)


@pytest.mark.parametrize(
    ("adults", "children", "guests"), [(2, None, 2), (None, 3, 3), (0, 1, 1), (2, 0, 2)]
)
def test_guests_are_adults_and_children_and_null_counts_as_none(
    adults: int | None, children: int | None, guests: int
) -> None:
    result = mapped(adults=adults, children=children, infants=4)
    assert result.reservation.number_of_guests == guests


@pytest.mark.parametrize("listing_id", [None, "", "  "])
def test_a_property_without_a_listing_is_refused_with_slug_and_command(
    listing_id: str | None,
) -> None:
    error = refusal(listing_id=listing_id)
    assert error.code == "listing_missing"
    assert error.field == "property_id"
    assert str(error).startswith("Could not map property to Guestly listing")
    assert '"harbour-loft"' in str(error)
    assert "outbox listings set harbour-loft LISTING_ID" in str(error)
    assert error.hint == "outbox listings set harbour-loft LISTING_ID"


def test_the_command_for_an_odd_slug_can_be_pasted_into_a_shell() -> None:
    error = refusal(listing_id=None, slug="loft; rm -rf \x00x")
    assert error.hint == "outbox listings set 'loft; rm -rf x' LISTING_ID"


@pytest.mark.parametrize("slug", [None, "", "\x00"])
def test_a_booking_without_a_property_is_refused(slug: str | None) -> None:
    error = refusal(listing_id=None, slug=slug)
    assert error.code == "listing_missing"
    assert str(error).startswith("Could not map property to Guestly listing")


def test_the_refusal_names_the_pms_in_use() -> None:
    with pytest.raises(MappingError, match="Could not map property to Guesty listing"):
        mapping.to_reservation(a_booking(), listing_id=None, pms=PmsName.GUESTY, currency="EUR")


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"check_in": None}, "dates_missing", "check_in_date"),
        ({"check_out": None}, "dates_missing", "check_out_date"),
        ({"check_out": date(2026, 12, 1)}, "dates_invalid", "check_out_date"),
        ({"check_out": date(2026, 11, 30)}, "dates_invalid", "check_out_date"),
        ({"adults": None, "children": None}, "guests_missing", "adults"),
        ({"adults": 0, "children": 0, "infants": 2}, "guests_missing", "adults"),
        ({"adults": -1, "children": 3}, "guests_invalid", "adults"),
        ({"adults": 3, "children": -1}, "guests_invalid", "children"),
        ({"total": None}, "total_missing", "total"),
        ({"total": Decimal("-0.01")}, "total_negative", "total"),
        ({"total": Decimal("NaN")}, "total_invalid", "total"),
        ({"total": Decimal("sNaN")}, "total_invalid", "total"),
        ({"total": Decimal("Infinity")}, "total_invalid", "total"),
        ({"total": Decimal("1E+8")}, "total_invalid", "total"),
        ({"total": Decimal("10.005")}, "total_invalid", "total"),
        ({"total": Decimal("1E-999999")}, "total_invalid", "total"),
        ({"reference": ""}, "reference_missing", "booking_reference"),
        ({"reference": " \t"}, "reference_missing", "booking_reference"),
        ({"reference": " LA1"}, "reference_invalid", "booking_reference"),
        ({"reference": "LA1\n"}, "reference_invalid", "booking_reference"),
        ({"reference": "LA\x001"}, "reference_invalid", "booking_reference"),
        ({"reference": "LA\ud8001"}, "reference_invalid", "booking_reference"),
        ({"reference": "LA\u20281"}, "reference_invalid", "booking_reference"),
        ({"reference": "L" * 101}, "reference_invalid", "booking_reference"),
    ],
)
def test_what_the_pms_cannot_hold_is_refused_with_the_field_named(
    changes: dict[str, Any], code: str, field: str
) -> None:
    error = refusal(**changes)
    assert (error.code, error.field) == (code, field)
    assert error.hint


def test_a_refusal_names_no_guest() -> None:
    faults: list[dict[str, Any]] = [
        {"reference": ""},
        {"slug": None},
        {"check_in": None},
        {"check_out": date(2026, 11, 30)},
        {"adults": 0, "children": 0},
        {"total": None},
        {"total": Decimal(-1)},
    ]
    for changes in faults:
        error = refusal(listing_id=None if "slug" in changes else LISTING_ID, **changes)
        said = f"{error} {error.hint}"
        for secret in ("Zoë", "Müller", "zoe.lecki", "5550", "Testwerke", "evening"):
            assert secret not in said


@pytest.mark.parametrize(
    ("total", "fare"),
    [
        (Decimal(0), "0.00"),
        (Decimal("-0.00"), "0.00"),
        (Decimal("1240.5"), "1240.50"),
        (Decimal("99999999.99"), "99999999.99"),
        (Decimal("1.2E+3"), "1200.00"),
    ],
)
def test_the_fare_is_the_total_with_two_decimals(total: Decimal, fare: str) -> None:
    assert str(mapped(total=total).reservation.fare) == fare


@settings(deadline=None)
@given(cents=st.integers(0, 10**10 - 1))
def test_every_amount_of_cents_survives_unchanged(cents: int) -> None:
    total = Decimal(cents).scaleb(-2)
    assert mapped(total=total).reservation.fare == total


@settings(deadline=None)
@given(adults=st.none() | st.integers(-3, 50), children=st.none() | st.integers(-3, 50))
def test_any_head_count_is_mapped_or_refused(adults: int | None, children: int | None) -> None:
    wanted = (adults or 0) + (children or 0)
    if wanted < 1 or (adults or 0) < 0 or (children or 0) < 0:
        assert refusal(adults=adults, children=children).code.startswith("guests_")
    else:
        assert mapped(adults=adults, children=children).reservation.number_of_guests == wanted


@settings(deadline=None)
@given(
    text=st.fixed_dictionaries(
        dict.fromkeys(
            (
                "first_name",
                "last_name",
                "email",
                "phone",
                "company",
                "country",
                "special_requests",
                "purpose_of_stay",
            ),
            st.none() | odd_text,
        )
    )
)
@example(text={"first_name": "\u0344" * 60, "last_name": "\x1c\x85", "email": "\ud800@\udfff"})
def test_whatever_a_guest_writes_is_mapped_to_safe_text(text: dict[str, str | None]) -> None:
    result = mapped(**text)
    reservation = result.reservation
    lines = [
        reservation.guest_name,
        reservation.guest_email or "",
        reservation.guest_phone or "",
        *reservation.notes.split("\n"),
        *result.warnings,
    ]
    for line in lines:
        line.encode("utf-8")
        assert not any(unicodedata.category(letter) == "Cc" for letter in line)
        assert unicodedata.is_normalized("NFC", line)
        assert len(line) <= 4000
    assert reservation.guest_name == reservation.guest_name.strip() != ""
    assert f"Booking Reference: {reservation.reference}" in lines


@settings(deadline=None)
@given(reference=odd_text)
def test_a_reference_is_sent_as_it_is_or_refused(reference: str) -> None:
    try:
        sent = mapped(reference=reference).reservation.reference
    except MappingError:
        sent = None
    assert sent in {None, reference}


@settings(deadline=None)
@given(days=st.integers(-400, 400))
def test_a_stay_ends_after_it_begins_or_is_refused(days: int) -> None:
    check_out = date.fromordinal(date(2026, 12, 1).toordinal() + days)
    if days > 0:
        assert mapped(check_out=check_out).reservation.check_out == check_out
    else:
        assert refusal(check_out=check_out).code == "dates_invalid"
