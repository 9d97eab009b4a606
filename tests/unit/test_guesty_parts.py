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


def test_another_split_of_the_same_total_is_the_same_price() -> None:
    split = a_stay(detail=dataclasses.replace(DETAIL, cleaning_fee=Decimal(0)))
    assert guesty_parts.wanted(split) == TARGET


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


def test_in_doubt_without_a_read_everything_is_written_again_but_for_what_cannot_be() -> None:
    record = guesty_parts.seen(TARGET, {}, TARGET)
    assert set(record) == {Part.CONTACT}
    assert guesty_parts.next_step(record, TARGET) == Write(part=Part.LISTING)


known_parts = st.dictionaries(st.sampled_from(list(Part)), st.sampled_from(["old", "wanted"]))
shown_parts = st.dictionaries(st.sampled_from(WRITABLE), st.sampled_from(["old", "wanted"]))


def hashes(words: dict[Part, str]) -> dict[str, str]:
    return {part.value: TARGET[part] if word == "wanted" else word for part, word in words.items()}


@given(held=known_parts, shown=shown_parts, doubtful=st.booleans())
def test_from_any_record_and_any_read_a_few_writes_lead_to_the_end(
    held: dict[Part, str], shown: dict[Part, str], *, doubtful: bool
) -> None:
    before, read = hashes(held), hashes(shown)
    record = (
        guesty_parts.seen(before, read, TARGET)
        if doubtful
        else guesty_parts.completed(before, read)
    )
    written = []
    while isinstance(step := guesty_parts.next_step(record, TARGET), Write):
        written.append(step.part)
        record = guesty_parts.after_write(record, step.part, TARGET)
        # the claim that follows may read again, and is shown what was there before
        record = guesty_parts.completed(record, read)
    assert written == sorted(set(written), key=WRITABLE.index), "each once, in order"
    assert all(record[part] == TARGET[part] for part in WRITABLE)
    wrong = tuple(part for part in FIXED if record.get(part, TARGET[part]) != TARGET[part])
    assert step == (Fixed(parts=wrong) if wrong else Complete())
    if REPRICING & set(written):
        assert Part.FARE not in record


def test_in_doubt_the_record_is_what_a_read_shows_and_what_no_write_touches() -> None:
    held = {**TARGET, Part.NOTES.value: "old"}
    shown = {part.value: TARGET[part] for part in (*REPRICING, Part.STATUS)}
    seen = guesty_parts.seen(held, shown, TARGET)
    assert seen == {part: digest for part, digest in TARGET.items() if part != Part.NOTES}


def test_in_doubt_about_the_notes_what_a_read_hides_is_not_written_again() -> None:
    held = {part: digest for part, digest in TARGET.items() if part != Part.NOTES}
    shown = {part.value: TARGET[part] for part in (Part.DATES, Part.STATUS)}
    seen = guesty_parts.seen(held, shown, TARGET)
    assert seen == held
    assert guesty_parts.next_step(seen, TARGET) == Write(part=Part.NOTES)


def test_in_doubt_about_a_hidden_part_it_is_written_again_and_the_fare_is_not_known() -> None:
    held = {**TARGET, Part.GUESTS.value: "old"}
    shown = {part.value: TARGET[part] for part in (Part.DATES, Part.STATUS)}
    seen = guesty_parts.seen(held, shown, TARGET)
    assert guesty_parts.next_step(seen, TARGET) == Write(part=Part.GUESTS)
    assert seen[Part.LISTING] == TARGET[Part.LISTING]
    assert Part.FARE not in seen


def test_where_all_is_on_record_as_wanted_the_unknown_write_was_for_another_state() -> None:
    shown = {part.value: TARGET[part] for part in (Part.DATES, Part.GUESTS, Part.STATUS)}
    seen = guesty_parts.seen(TARGET, shown, TARGET)
    assert guesty_parts.next_step(seen, TARGET) == Write(part=Part.LISTING)


def test_without_doubt_a_read_adds_to_the_record_and_changes_nothing_in_it() -> None:
    held = {Part.STATUS.value: TARGET[Part.STATUS], Part.FARE.value: TARGET[Part.FARE]}
    shown = {Part.STATUS.value: "lags", Part.DATES.value: TARGET[Part.DATES]}
    assert guesty_parts.completed(held, shown) == {**held, Part.DATES.value: TARGET[Part.DATES]}
    assert guesty_parts.completed(TARGET, {}) == TARGET


def test_without_doubt_the_fare_is_not_known_where_somebody_else_has_moved_the_stay() -> None:
    assert Part.FARE not in guesty_parts.completed(TARGET, {Part.DATES.value: "moved"})


@pytest.mark.parametrize("part", sorted(REPRICING))
def test_a_change_that_has_landed_unseen_has_set_the_price_anew(part: Part) -> None:
    shown = {each.value: TARGET[each] for each in (*REPRICING, Part.STATUS)}
    assert Part.FARE not in guesty_parts.seen({**TARGET, part.value: "before"}, shown, TARGET)


def test_what_a_person_has_confirmed_stays_known_when_it_is_looked_at() -> None:
    shown = {each.value: TARGET[each] for each in (*REPRICING, Part.STATUS)}
    for record in (
        guesty_parts.completed(guesty_parts.confirmed(TARGET), shown),
        guesty_parts.seen(guesty_parts.confirmed(TARGET), shown, TARGET),
    ):
        assert {part.value: TARGET[part] for part in FIXED}.items() <= record.items()


def test_a_read_that_lags_does_not_revive_what_we_have_cancelled() -> None:
    shown = {each.value: TARGET[each] for each in (*REPRICING, Part.STATUS)}
    held = guesty_parts.after_cancel(TARGET)
    for record in (
        guesty_parts.seen(held, shown, TARGET),
        guesty_parts.completed(held, shown),
    ):
        assert record[Part.STATUS.value] == guesty_parts.status(ReservationStatus.CANCELED.value)
        assert guesty_parts.next_step(record, TARGET) == Write(part=Part.STATUS)


def test_a_cancelled_reservation_is_known_by_its_price_and_its_guest() -> None:
    held = guesty_parts.after_cancel(TARGET)
    assert set(held) == {*FIXED, Part.STATUS}
    dearer = guesty_parts.wanted(a_stay(fare=Decimal("1300.00")))
    revived = guesty_parts.after_write({**dearer, **held}, Part.STATUS, dearer)
    assert guesty_parts.next_step(revived, dearer) == Fixed(parts=(Part.FARE,))


def test_a_doubt_that_a_person_has_ended_leaves_the_price_if_nothing_could_have_set_it() -> None:
    assert guesty_parts.after_doubt(TARGET, TARGET) == guesty_parts.confirmed(TARGET)
    assert guesty_parts.after_doubt(TARGET, {}) == guesty_parts.confirmed(TARGET)
    moved = guesty_parts.wanted(a_stay(listing_id="another"))
    assert set(guesty_parts.after_doubt(TARGET, moved)) == {Part.CONTACT}
