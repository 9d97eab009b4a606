"""Fingerprints tell states apart; idempotency keys tell attempts from new wishes."""

from __future__ import annotations

import dataclasses
import unicodedata
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outbox_worker.pms import mapping
from outbox_worker.pms.port import Detail, Reservation, ReservationStatus
from tests.support_booking import a_reservation

BOOKING = UUID("0b7e4d1e-52c4-4f6a-9a51-8f6f2f0f7a11")

DETAIL = Detail(
    first_name="Zoë",
    last_name="Müller-Łęcki",
    adults=2,
    children=1,
    infants=0,
    cleaning_fee=Decimal("60.00"),
)

CHANGES: dict[str, Any] = {
    "listing_id": "652f0000000000000000a002",
    "check_in": date(2026, 11, 30),
    "check_out": date(2026, 12, 6),
    "guest_name": "Zoë Müller",
    "guest_email": None,
    "guest_phone": None,
    "number_of_guests": 4,
    "status": ReservationStatus.INQUIRY,
    "fare": Decimal("1240.51"),
    "currency": "CHF",
    "notes": "",
    "source": "phone",
    "reference": "LA2026-48214",
    "detail": DETAIL,
}

DETAIL_CHANGES: dict[str, Any] = {
    "first_name": "Zoe",
    "last_name": "Müller",
    "adults": 1,
    "children": 2,
    "infants": 1,
    "cleaning_fee": Decimal("60.01"),
}


def test_each_field_changes_the_fingerprint() -> None:
    assert set(CHANGES) == {field.name for field in dataclasses.fields(Reservation)}
    fingerprints = {mapping.fingerprint(a_reservation())}
    fingerprints |= {
        mapping.fingerprint(a_reservation(**{name: value})) for name, value in CHANGES.items()
    }
    assert len(fingerprints) == len(CHANGES) + 1


def test_each_field_of_the_detail_changes_the_fingerprint() -> None:
    assert set(DETAIL_CHANGES) == {field.name for field in dataclasses.fields(Detail)}
    fingerprints = {mapping.fingerprint(a_reservation(detail=DETAIL))}
    fingerprints |= {
        mapping.fingerprint(a_reservation(detail=dataclasses.replace(DETAIL, **{name: value})))
        for name, value in DETAIL_CHANGES.items()
    }
    assert len(fingerprints) == len(DETAIL_CHANGES) + 1


def test_values_do_not_slip_from_one_field_into_the_next() -> None:
    one = a_reservation(guest_name="a", notes="b,c")
    other = a_reservation(guest_name="a,b", notes="c")
    assert mapping.fingerprint(one) != mapping.fingerprint(other)


def test_a_fingerprint_stays_the_same_from_release_to_release() -> None:
    # a change here makes every synced booking differ once: raise the version, and say so in the
    # change log
    assert mapping.fingerprint(a_reservation()) == (
        "6bd2ba64eb1202255f85808b26f7b75caaabbb022a03afe6de484f33768a64f4"
    )
    assert mapping.cancelled_fingerprint("LA2026-48213") == (
        "652eb35111ef7741deb3cb2a333ddb661f1a5f3e52717ba07eed1e7b5aac856b"
    )


def test_the_same_amount_written_otherwise_is_the_same_state() -> None:
    prints = {
        mapping.fingerprint(a_reservation(fare=Decimal(text)))
        for text in ("1240.5", "1240.50", "1240.500", "1.2405E+3")
    }
    assert len(prints) == 1


def test_composed_and_decomposed_letters_are_the_same_state() -> None:
    decomposed = unicodedata.normalize("NFD", "Zoë Müller-Łęcki")
    assert decomposed != "Zoë Müller-Łęcki"
    assert mapping.fingerprint(a_reservation(guest_name=decomposed)) == mapping.fingerprint(
        a_reservation()
    )


@pytest.mark.parametrize("field", sorted(set(CHANGES) - {"reference", "status"}))
def test_a_cancelled_reservation_depends_on_reference_and_status_alone(field: str) -> None:
    canceled = a_reservation(status=ReservationStatus.CANCELED)
    changed = dataclasses.replace(canceled, **{field: CHANGES[field]})
    expected = mapping.cancelled_fingerprint("LA2026-48213")
    assert mapping.fingerprint(canceled) == expected
    assert mapping.fingerprint(changed) == expected
    assert mapping.fingerprint(a_reservation()) != expected
    assert mapping.cancelled_fingerprint("LA2026-48214") != expected


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=())), st.text())
def test_any_text_has_a_fingerprint(name: str, notes: str) -> None:
    print_ = mapping.fingerprint(a_reservation(guest_name=name, notes=notes))
    assert len(print_) == 64
    assert set(print_) <= set("0123456789abcdef")


def test_the_key_of_a_create_is_the_same_for_every_attempt() -> None:
    assert mapping.idempotency_key_create(BOOKING, 0) == "696c9835-a63f-5b6c-9cb1-4fed5039a162"
    assert UUID(mapping.idempotency_key_create(BOOKING, 0)).version == 5
    assert mapping.idempotency_key_create(BOOKING, 1) != mapping.idempotency_key_create(BOOKING, 0)
    other = UUID("0b7e4d1e-52c4-4f6a-9a51-8f6f2f0f7a12")
    assert mapping.idempotency_key_create(other, 0) != mapping.idempotency_key_create(BOOKING, 0)


def test_the_key_of_a_change_is_the_same_for_every_attempt_at_a_version() -> None:
    key = mapping.idempotency_key_change("r1", "f1", version=3)
    assert key == mapping.idempotency_key_change("r1", "f1", version=3)
    assert UUID(key).version == 5
    others = {
        mapping.idempotency_key_change("r2", "f1", version=3),
        mapping.idempotency_key_change("r1", "f2", version=3),
    }
    assert len(others | {key}) == 3


def test_going_back_and_forth_between_two_states_never_repeats_a_key() -> None:
    keys = [
        mapping.idempotency_key_change("r1", state, version=version)
        for version, state in enumerate(("A", "B", "A", "B"), start=2)
    ]
    assert len(set(keys)) == 4
