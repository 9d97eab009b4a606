"""Which part of a reservation is written next, and what is on record after it."""

from __future__ import annotations

import dataclasses
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox_worker.pms import guesty_parts
from outbox_worker.pms.guesty_parts import FIXED, REPRICING, WRITABLE, Complete, Fixed, Part, Write
from outbox_worker.pms.port import ReservationStatus
from tests.support_guesty_adapter import DETAIL, a_stay

TARGET = guesty_parts.wanted(a_stay())


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"listing_id": "other"}, Part.LISTING),
        ({"check_in": date(2026, 11, 30)}, Part.DATES),
        ({"check_out": date(2026, 12, 6)}, Part.DATES),
        ({"detail": dataclasses.replace(DETAIL, adults=3)}, Part.GUESTS),
        ({"detail": dataclasses.replace(DETAIL, children=0)}, Part.GUESTS),
        ({"detail": dataclasses.replace(DETAIL, infants=0)}, Part.GUESTS),
        ({"status": ReservationStatus.INQUIRY}, Part.STATUS),
        ({"notes": "Quiet room"}, Part.NOTES),
        ({"fare": Decimal("1240.51")}, Part.FARE),
        ({"detail": dataclasses.replace(DETAIL, cleaning_fee=Decimal(0))}, Part.FARE),
        ({"detail": dataclasses.replace(DETAIL, first_name="Zo")}, Part.CONTACT),
        ({"detail": dataclasses.replace(DETAIL, last_name="M")}, Part.CONTACT),
        ({"guest_email": None}, Part.CONTACT),
        ({"guest_phone": None}, Part.CONTACT),
    ],
)
def test_a_change_changes_the_hash_of_its_part_alone(changes: dict[str, Any], part: Part) -> None:
    changed = guesty_parts.wanted(a_stay(**changes))
    assert {name for name in TARGET if changed[name] != TARGET[name]} == {part}


def test_a_hash_depends_on_neither_the_form_of_a_number_nor_that_of_a_letter() -> None:
    same = a_stay(
        fare=Decimal("1240.5"), detail=dataclasses.replace(DETAIL, first_name="Zoe\u0308")
    )
    assert guesty_parts.wanted(same) == TARGET


def test_every_hash_is_of_64_hexadecimal_digits_and_tells_its_part() -> None:
    assert set(TARGET) == set(Part)
    assert all(len(digest) == 64 and int(digest, 16) >= 0 for digest in TARGET.values())
    assert guesty_parts.listing("x") != guesty_parts.status("x")


def test_what_is_as_wanted_is_complete() -> None:
    assert guesty_parts.next_step(TARGET, TARGET) == Complete()


@pytest.mark.parametrize("part", WRITABLE)
def test_a_part_that_differs_or_is_not_known_is_written(part: Part) -> None:
    differing = {**TARGET, part: "old"}
    unknown = {name: digest for name, digest in TARGET.items() if name != part}
    assert guesty_parts.next_step(differing, TARGET) == Write(part=part)
    assert guesty_parts.next_step(unknown, TARGET) == Write(part=part)


@pytest.mark.parametrize("part", FIXED)
def test_a_fixed_part_matters_only_where_it_is_known_to_differ(part: Part) -> None:
    differing = {**TARGET, part: "old"}
    unknown = {name: digest for name, digest in TARGET.items() if name != part}
    assert guesty_parts.next_step(differing, TARGET) == Fixed(parts=(part,))
    assert guesty_parts.next_step(unknown, TARGET) == Complete()


def test_what_can_be_written_comes_before_what_cannot() -> None:
    held = {**TARGET, Part.FARE: "old", Part.CONTACT: "old", Part.NOTES: "old"}
    assert guesty_parts.next_step(held, TARGET) == Write(part=Part.NOTES)
    held[Part.NOTES] = TARGET[Part.NOTES]
    assert guesty_parts.next_step(held, TARGET) == Fixed(parts=(Part.FARE, Part.CONTACT))


@pytest.mark.parametrize("part", WRITABLE)
def test_the_fare_is_not_known_after_guesty_has_set_its_own(part: Part) -> None:
    record = guesty_parts.after_write({**TARGET, part: "old"}, part, TARGET)
    assert record[part] == TARGET[part]
    assert (Part.FARE in record) is (part not in REPRICING)


def test_a_created_reservation_has_all_but_its_notes() -> None:
    record = guesty_parts.after_create(TARGET, notes="x")
    assert set(record) == set(Part) - {Part.NOTES}
    assert guesty_parts.next_step(record, TARGET) == Write(part=Part.NOTES)


def test_a_created_reservation_without_notes_is_complete() -> None:
    target = guesty_parts.wanted(a_stay(notes=""))
    record = guesty_parts.after_create(target, notes="")
    assert guesty_parts.next_step(record, target) == Complete()


def test_what_proves_nothing_is_written_again_but_for_what_cannot_be() -> None:
    record = guesty_parts.unproved(TARGET)
    assert set(record) == set(FIXED)
    assert guesty_parts.next_step(record, TARGET) == Write(part=Part.LISTING)


known_parts = st.dictionaries(st.sampled_from(list(Part)), st.sampled_from(["old", "wanted"]))


@given(shown=known_parts, anew=st.booleans())
def test_from_any_record_a_few_writes_lead_to_the_end(shown: dict[Part, str], anew: bool) -> None:
    held: Any = {part: TARGET[part] if word == "wanted" else word for part, word in shown.items()}
    record = guesty_parts.unproved(held) if anew else held
    written = []
    while isinstance(step := guesty_parts.next_step(record, TARGET), Write):
        written.append(step.part)
        record = guesty_parts.after_write(record, step.part, TARGET)
    assert written == sorted(set(written), key=WRITABLE.index), "each once, in order"
    assert anew is False or written == list(WRITABLE)
    assert all(record[part] == TARGET[part] for part in WRITABLE)
    repriced = bool(REPRICING & set(written))
    fixed = [part for part in FIXED if held.get(part, TARGET[part]) != TARGET[part]]
    left = [part for part in fixed if not (repriced and part is Part.FARE)]
    assert step == (Fixed(parts=tuple(left)) if left else Complete())


def test_what_a_read_shows_is_the_record_but_for_the_notes_and_what_no_write_touches() -> None:
    shown = {part.value: TARGET[part] for part in (*REPRICING, Part.STATUS)}
    seen = guesty_parts.seen(TARGET, shown)
    assert seen == {part: digest for part, digest in TARGET.items() if part != Part.NOTES}


@pytest.mark.parametrize("part", sorted(REPRICING))
def test_a_change_that_has_landed_unseen_has_set_the_price_anew(part: Part) -> None:
    shown = {each.value: TARGET[each] for each in (*REPRICING, Part.STATUS)}
    assert Part.FARE.value not in guesty_parts.seen({**TARGET, part.value: "before"}, shown)


def test_what_a_person_has_confirmed_stays_known_when_it_is_looked_at() -> None:
    shown = {each.value: TARGET[each] for each in (*REPRICING, Part.STATUS)}
    seen = guesty_parts.seen(guesty_parts.confirmed(TARGET), shown)
    assert {part.value: TARGET[part] for part in FIXED}.items() <= seen.items()


def test_a_read_that_lags_does_not_revive_what_we_have_cancelled() -> None:
    canceled = guesty_parts.status(ReservationStatus.CANCELED.value)
    held = {**TARGET, Part.STATUS.value: canceled}
    shown = {each.value: TARGET[each] for each in (*REPRICING, Part.STATUS)}
    seen = guesty_parts.seen(held, shown)
    assert seen[Part.STATUS.value] == canceled
    assert guesty_parts.next_step(seen, TARGET) == Write(part=Part.STATUS)
