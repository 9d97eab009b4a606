"""What any PMS adapter has to do while its PMS works: each call, and the state it leaves there."""

from __future__ import annotations

import dataclasses
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from outbox_worker.pms.port import (
    Absent,
    Found,
    Held,
    Listing,
    Pms,
    PmsName,
    Rejected,
    RemoteReservation,
    Reservation,
    ReservationStatus,
    Unavailable,
)
from tests.support_pms import FIRST, REFERENCE, SECOND, Rig, changed, completed, created, update
from tests.support_simulator import LISTINGS

#: What can be changed of a stay, by the names of `Rig.calls`.
CHANGES: dict[str, dict[str, Any]] = {
    "listing": {"listing_id": SECOND},
    "dates": {"check_in": date(2026, 11, 30), "check_out": date(2026, 12, 7)},
    "guests": {"number_of_guests": 5},
    "status": {"status": ReservationStatus.INQUIRY},
    "notes": {"notes": "A cot, please\nBooking Reference: LA2026-48213"},
}


def a_stay(rig: Rig, *steps: str, **more: Any) -> Reservation:
    """The stay of these tests after some of `CHANGES`."""
    changes = {name: value for step in steps for name, value in CHANGES[step].items()}
    stay = rig.stay(**changes, **more)
    if "guests" in steps and stay.detail is not None:
        party = dataclasses.replace(stay.detail, adults=4, children=1, infants=1)
        stay = dataclasses.replace(stay, detail=party)
    return stay


async def found(pms: Pms, reference: str = REFERENCE) -> RemoteReservation:
    answer = await pms.find(reference)
    assert isinstance(answer, Found), answer
    (hit,) = answer.reservations
    return hit


def test_each_is_one_of_the_port(rig: Rig) -> None:
    assert rig.name in PmsName


async def test_what_is_created_is_held_and_found_by_its_reference(pms: Pms, rig: Rig) -> None:
    assert isinstance(await pms.find(REFERENCE), Absent)
    held = await completed(pms, rig.stay())
    assert rig.states() == [rig.shows(rig.stay())]
    hit = await found(pms)
    assert (hit.reservation_id, hit.reference) == (held.reservation_id, REFERENCE)
    assert (hit.check_in, hit.check_out) == (date(2026, 12, 1), date(2026, 12, 5))
    assert (hit.listing_id, hit.status) == (FIRST, "confirmed")


async def test_a_create_says_that_nothing_was_there_and_what_is_left(pms: Pms, rig: Rig) -> None:
    held = await created(pms, rig.stay())
    assert held.existed is False
    assert held.more is (rig.name is PmsName.GUESTY)
    assert len(rig.sent()) == 1


@pytest.mark.parametrize("fare", ["0.10", "1240.50", "99999999.99"])
async def test_the_price_is_what_was_paid_to_the_cent(pms: Pms, rig: Rig, fare: str) -> None:
    stay = rig.stay(fare=Decimal(fare))
    if stay.detail is not None:
        cleaning = min(stay.detail.cleaning_fee, stay.fare)
        stay = dataclasses.replace(
            stay, detail=dataclasses.replace(stay.detail, cleaning_fee=cleaning)
        )
    await completed(pms, stay)
    (held,) = rig.simulator.reservations()
    assert held["money"] == {"fareAccommodation": float(fare), "currency": "EUR"}


async def test_another_reference_is_not_found(pms: Pms, rig: Rig) -> None:
    await created(pms, rig.stay())
    assert isinstance(await pms.find("LA2026-48214"), Absent)


@pytest.mark.parametrize("uncounted", [False, True])
async def test_a_filter_that_is_ignored_never_makes_somebody_elses_ours(
    pms: Pms, rig: Rig, *, uncounted: bool
) -> None:
    await created(pms, rig.stay(reference="LA2026-1"))
    rig.simulator.once("unfiltered", operation="find", uncounted=uncounted)
    answer = await pms.find(REFERENCE)
    assert isinstance(answer, Absent | Unavailable), answer
    if uncounted:
        assert isinstance(answer, Unavailable), "nothing is proved by others' reservations"


async def test_among_others_only_our_own_are_hits(pms: Pms, rig: Rig) -> None:
    rig.simulator.switch(availability=False)
    ours = await created(pms, rig.stay())
    for number in range(5):
        await created(pms, rig.stay(reference=f"LA2026-1{number}"), key=f"k{number}")
    rig.simulator.once("unfiltered", operation="find")
    assert (await found(pms)).reservation_id == ours.reservation_id


async def test_a_full_page_of_others_proves_nothing(pms: Pms, rig: Rig) -> None:
    rig.simulator.switch(availability=False)
    for number in range(26):
        await created(pms, rig.stay(reference=f"LA2026-1{number:04}"), key=f"k{number}")
    rig.simulator.once("unfiltered", operation="find")
    answer = await pms.find(REFERENCE)
    assert isinstance(answer, Unavailable)
    assert answer.code == "lookup_unfiltered"


async def test_several_under_one_reference_are_found_oldest_first(pms: Pms, rig: Rig) -> None:
    rig.simulator.switch(availability=False)
    ids = [(await created(pms, rig.stay(), key=f"k{n}")).reservation_id for n in range(3)]
    answer = await pms.find(REFERENCE)
    assert isinstance(answer, Found)
    assert [hit.reservation_id for hit in answer.reservations] == ids


async def test_a_reservation_is_read_by_its_id(pms: Pms, rig: Rig) -> None:
    held = await completed(pms, rig.stay())
    shown = await pms.reservation(held.reservation_id)
    assert isinstance(shown, RemoteReservation)
    assert (shown.reservation_id, shown.reference) == (held.reservation_id, REFERENCE)
    assert (shown.check_in, shown.check_out) == (date(2026, 12, 1), date(2026, 12, 5))
    assert isinstance(await pms.reservation("652f0000000000000000ffff"), Absent)


@pytest.mark.parametrize(
    "steps", [(step,) for step in CHANGES] + [("dates", "notes"), tuple(CHANGES)]
)
async def test_what_was_changed_is_brought_there_in_as_many_calls_as_are_told(
    pms: Pms, rig: Rig, steps: tuple[str, ...]
) -> None:
    held = await completed(pms, a_stay(rig))
    before = len(rig.writes())
    answers = await changed(pms, held, a_stay(rig, *steps))
    assert rig.states() == [rig.shows(a_stay(rig, *steps))]
    assert rig.writes()[before:] == rig.calls(*steps)
    assert [answer.more for answer in answers] == [True] * (len(answers) - 1) + [False]
    assert all(answer.existed for answer in answers)


async def test_what_is_as_it_was_is_written_once_at_the_most(pms: Pms, rig: Rig) -> None:
    held = await completed(pms, rig.stay())
    before = len(rig.writes())
    (answer,) = await changed(pms, held, rig.stay())
    assert not answer.more
    assert not answer.repriced
    assert len(rig.writes()) - before == (1 if rig.name is PmsName.GUESTLY else 0)
    assert rig.states() == [rig.shows(rig.stay())]


async def test_a_reservation_of_which_nothing_is_known_is_brought_to_the_full_state(
    pms: Pms, rig: Rig
) -> None:
    held = await completed(pms, a_stay(rig))
    wanted = a_stay(rig, *CHANGES)
    nothing = Held(reservation_id=held.reservation_id)
    await changed(pms, nothing, wanted)
    assert rig.states() == [rig.shows(wanted)]


async def test_a_cancelled_reservation_stays_cancelled_however_often_it_is_cancelled(
    pms: Pms, rig: Rig
) -> None:
    held = await completed(pms, rig.stay())
    for key in ("k1", "k2", "k3"):
        answer = await pms.cancel(held.reservation_id, reference=REFERENCE, idempotency_key=key)
        assert isinstance(answer, Held | Rejected), answer
        if key == "k1":
            assert isinstance(answer, Held)
    (state,) = rig.states()
    assert state["status"] == "canceled"


async def test_a_second_cancellation_is_done_once_a_read_shows_the_first(
    pms: Pms, rig: Rig
) -> None:
    if rig.name is PmsName.GUESTY:
        rig.simulator.switch(status_lag_s=0)
    held = await completed(pms, rig.stay())
    for key in ("k1", "k2"):
        answer = await pms.cancel(held.reservation_id, reference=REFERENCE, idempotency_key=key)
        assert isinstance(answer, Held)
    hit = await found(pms)
    assert hit.status == "canceled"


async def test_a_reservation_that_a_person_removed_is_absent_and_is_not_made_again(
    pms: Pms, rig: Rig
) -> None:
    held = await completed(pms, rig.stay())
    rig.simulator.delete(held.reservation_id)
    assert isinstance(await update(pms, held.reservation_id, rig.stay()), Absent)
    cancel = await pms.cancel(held.reservation_id, reference=REFERENCE, idempotency_key="k2")
    assert isinstance(cancel, Absent)
    assert isinstance(await pms.find(REFERENCE), Absent)
    assert isinstance(await pms.reservation(held.reservation_id), Absent)
    assert rig.states() == []


async def test_a_listing_is_answered_with_its_title(pms: Pms, rig: Rig) -> None:
    currency = "EUR" if rig.name is PmsName.GUESTY else None
    assert await pms.listing(FIRST) == Listing(
        listing_id=FIRST, title=LISTINGS[FIRST], active=True, currency=currency
    )
    assert isinstance(await pms.listing("652f0000000000000000ffff"), Absent)


async def test_a_listing_tells_its_currency_and_whether_it_is_active(pms: Pms, rig: Rig) -> None:
    rig.simulator.list_anew(
        [{"_id": FIRST, "title": "Harbour Loft", "active": False, "currency": "CHF"}]
    )
    shown = await pms.listing(FIRST)
    assert isinstance(shown, Listing)
    assert shown.active is False
    assert shown.currency == ("CHF" if rig.name is PmsName.GUESTY else None)


async def test_dates_that_are_taken_are_rejected_as_such(pms: Pms, rig: Rig) -> None:
    await completed(pms, rig.stay())
    answer = await pms.create(rig.stay(reference="LA2026-2"), idempotency_key="k1")
    assert isinstance(answer, Rejected), answer
    assert answer.dates_taken
    other = await completed(pms, rig.stay(reference="LA2026-3", listing_id=SECOND), key="k2")
    move = await update(pms, other.reservation_id, rig.stay(reference="LA2026-3"))
    assert isinstance(move, Rejected), move
    assert move.dates_taken
    assert len(rig.states()) == 2


async def test_a_listing_that_is_not_known_is_rejected(pms: Pms, rig: Rig) -> None:
    answer = await pms.create(rig.stay(listing_id="nowhere"), idempotency_key="k1")
    assert isinstance(answer, Rejected), answer
    assert not answer.dates_taken
    assert rig.states() == []


async def test_an_empty_reference_is_refused_before_any_call(pms: Pms, rig: Rig) -> None:
    assert isinstance(await pms.find(""), Rejected)
    assert rig.simulator.requests() == [] or all(
        one["operation"] == "token" for one in rig.simulator.requests()
    )
