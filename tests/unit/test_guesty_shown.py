"""What is read out of Guesty's answers, in each of the forms that are about."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outbox_worker.errors import DecodeError
from outbox_worker.pms import exact_json, guesty_parts, guesty_shown
from outbox_worker.pms.guesty_parts import Part
from outbox_worker.pms.port import Listing
from tests.support_booking import LISTING_ID
from tests.support_guesty_adapter import (
    REFERENCE,
    RESERVATION_ID,
    a_stay,
    created,
    hit,
    item,
    page,
)

SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "pms"
TARGET = guesty_parts.wanted(a_stay())


def test_the_answer_to_a_create_is_read_under_either_name_of_the_id() -> None:
    for answer in (created(), {**created(reservationId=None), "_id": RESERVATION_ID}):
        shown = guesty_shown.written(answer)
        assert (shown.reservation_id, shown.reference) == (RESERVATION_ID, REFERENCE)
        assert shown.status == "confirmed"


@pytest.mark.parametrize("value", [None, [], "x", {}, {"reservationId": ""}, {"_id": "a b"}])
def test_an_answer_to_a_write_without_a_usable_id_is_none(value: Any) -> None:
    with pytest.raises(DecodeError):
        guesty_shown.written(value)


def test_a_hit_shows_its_stay_and_the_parts_that_it_tells() -> None:
    (found,) = guesty_shown.hits(page(hit()), REFERENCE)
    assert (found.reservation_id, found.reference) == (RESERVATION_ID, REFERENCE)
    assert (found.check_in, found.check_out) == (date(2026, 12, 1), date(2026, 12, 5))
    assert (found.listing_id, found.status, found.fingerprint) == (LISTING_ID, "confirmed", None)
    assert found.parts == {part: TARGET[part] for part in (Part.LISTING, Part.DATES, Part.STATUS)}


def test_a_read_by_id_shows_guests_and_notes_as_well() -> None:
    found = guesty_shown.by_id([item()], RESERVATION_ID)
    assert found is not None
    shown = (Part.LISTING, Part.DATES, Part.GUESTS, Part.STATUS, Part.NOTES)
    assert found.parts == {part: TARGET[part] for part in shown}


def test_a_read_by_id_is_absent_only_from_an_empty_list() -> None:
    assert guesty_shown.by_id([], RESERVATION_ID) is None
    for value in ([item(_id="other")], {}, None, "x", {"message": "proxy"}):
        with pytest.raises(DecodeError):
            guesty_shown.by_id(value, RESERVATION_ID)


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"status": None}, Part.STATUS),
        ({"notes": None}, Part.NOTES),
        ({"notes": {"guest": "x"}}, Part.NOTES),
    ],
)
def test_a_part_that_is_not_shown_is_not_known(changes: dict[str, Any], missing: Part) -> None:
    found = guesty_shown.reservation(item(**changes))
    assert missing not in found.parts


@pytest.mark.parametrize(
    "guests",
    [
        None,
        3,
        {},
        {"numberOfAdults": "2"},
        {"numberOfAdults": True},
        {"numberOfAdults": 2, "numberOfChildren": None},
    ],
)
def test_guests_that_are_not_whole_numbers_are_not_known(guests: Any) -> None:
    stay = {**item()["stay"][0], "numberOfGuests": guests}
    assert Part.GUESTS not in guesty_shown.reservation(item(stay=[stay])).parts


def test_children_and_infants_that_are_left_out_are_none() -> None:
    stay = {**item()["stay"][0], "numberOfGuests": {"numberOfAdults": 2}}
    parts = guesty_shown.reservation(item(stay=[stay])).parts
    assert parts[Part.GUESTS] == guesty_parts.guests(adults=2, children=0, infants=0)


@pytest.mark.parametrize(
    "stay",
    [
        {"listingId": "unit", "parentListingId": LISTING_ID},
        {"unitId": "unit", "unitTypeId": LISTING_ID},
        {},
    ],
)
def test_a_unit_and_its_property_are_not_mistaken_for_one_another(stay: dict[str, Any]) -> None:
    found = guesty_shown.reservation(item(stay=[stay]))
    assert found.listing_id is None
    assert Part.LISTING not in found.parts


def test_dates_that_contradict_each_other_are_not_known() -> None:
    found = guesty_shown.reservation(hit(checkInDateLocalized="2026-12-02"))
    assert found.check_in is None
    assert Part.DATES not in found.parts


def test_a_moment_is_not_taken_for_the_local_date() -> None:
    bare = {"reservationId": "r", "confirmationCode": REFERENCE, "checkIn": "2026-12-01T23:00:00Z"}
    assert guesty_shown.reservation(bare).check_in is None


def test_one_of_several_stays_is_none_of_ours() -> None:
    found = guesty_shown.reservation(item(stay=[*item()["stay"], *item()["stay"]]))
    assert found.parts.keys() == {Part.STATUS, Part.NOTES}


def test_both_spellings_of_a_cancelled_reservation_are_read() -> None:
    for word in ("canceled", "cancelled"):
        assert guesty_shown.reservation(hit(status=word)).status == "canceled"


def test_every_hit_has_its_own_reference_compared() -> None:
    others = [hit(reservationId="a", confirmationCode="LA2026-4"), hit(reservationId="b")]
    (found,) = guesty_shown.hits(page(*others, more=True), REFERENCE)
    assert found.reservation_id == "b"


@pytest.mark.parametrize(
    "answer",
    [
        page(hit(confirmationCode="LA2026-4")),
        page(hit(confirmationCode="LA2026-4"), more=True),
        page(hit(confirmationCode=None)),
        page(more=True),
        {"results": ["x"]},
    ],
)
def test_others_without_ours_prove_nothing(answer: Any) -> None:
    with pytest.raises(guesty_shown.UnfilteredError):
        guesty_shown.hits(answer, REFERENCE)


@pytest.mark.parametrize("answer", [page(), {"results": []}, {"results": [], "pagination": None}])
def test_an_empty_page_finds_nothing(answer: Any) -> None:
    assert guesty_shown.hits(answer, REFERENCE) == ()


@pytest.mark.parametrize("answer", [None, [], {}, {"results": {}}, {"message": "proxy"}])
def test_what_is_no_page_of_a_search_is_not_taken_for_an_empty_one(answer: Any) -> None:
    with pytest.raises(DecodeError):
        guesty_shown.hits(answer, REFERENCE)


def test_hits_come_oldest_first_and_once() -> None:
    answer = page(
        hit(reservationId="new", createdAt="2026-11-21T12:00:00Z"),
        hit(reservationId="old", createdAt=None, creationTime="2026-11-21T11:00:00Z"),
        hit(reservationId="old", createdAt="2026-11-21T11:00:00Z"),
    )
    found = guesty_shown.hits(answer, REFERENCE)
    assert [each.reservation_id for each in found] == ["old", "new"]


@pytest.mark.parametrize(
    ("shown", "currency"),
    [
        ({"currency": "EUR"}, "EUR"),
        ({"currency": "eur"}, "EUR"),
        ({"currency": "EURO"}, None),
        ({"currency": 7}, None),
        (None, None),
    ],
)
def test_a_listing_is_read_with_its_currency(shown: Any, currency: str | None) -> None:
    body = {"_id": "l1", "title": "Harbour\nLoft", "active": True, "prices": shown}
    assert guesty_shown.listing(body, "l1") == Listing(
        listing_id="l1", title="Harbour Loft", active=True, currency=currency
    )


def test_a_listing_without_a_title_is_shown_by_its_nickname() -> None:
    body = {"_id": "l1", "title": "", "nickname": "Loft", "active": False}
    found = guesty_shown.listing(body, "l1")
    assert (found.title, found.active) == ("Loft", False)


@pytest.mark.parametrize("value", [None, [], {}, {"_id": "l2"}, {"title": "x"}])
def test_another_listing_is_not_the_one_asked_for(value: Any) -> None:
    with pytest.raises(DecodeError):
        guesty_shown.listing(value, "l1")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["results", "stay", "notes", "pagination", "guest", "numberOfGuests"]),
            inner,
        )
    ),
    max_leaves=10,
)


@settings(deadline=None)
@given(json_values)
def test_whatever_comes_is_read_or_refused(value: Any) -> None:
    parsed = exact_json.decode(json.dumps(value).encode())
    fields = parsed if isinstance(parsed, dict) else {"stay": parsed}
    guesty_shown.reservation({**hit(), **fields})
    for read in (
        lambda: guesty_shown.hits(parsed, REFERENCE),
        lambda: guesty_shown.by_id(parsed, RESERVATION_ID),
        lambda: guesty_shown.listing(parsed, "l1"),
        lambda: guesty_shown.written(parsed),
    ):
        try:
            read()
        except DecodeError:
            continue


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the collected sample bodies are not here")
def test_a_collected_page_of_a_search_proves_nothing_about_our_reference() -> None:
    body = (SAMPLES / "guesty_v3_search_page.from_test.json").read_bytes()
    with pytest.raises(guesty_shown.UnfilteredError):
        guesty_shown.hits(exact_json.decode(body), REFERENCE)
