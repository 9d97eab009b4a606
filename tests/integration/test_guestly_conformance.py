"""The adapter and the stand-in, written apart from one contract, understand each other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from outbox_worker.pms import mapping
from outbox_worker.pms.guestly import Guestly
from outbox_worker.pms.port import (
    Absent,
    Ambiguous,
    Found,
    Held,
    Listing,
    Misconfigured,
    PmsName,
    RateLimited,
    Rejected,
    Reservation,
    ReservationStatus,
    Unavailable,
)
from tests.support_booking import LISTING_ID, a_booking, a_reservation
from tests.support_engine import eventually
from tests.support_simulator import API_KEY, LISTINGS, Simulator, start_simulator, wait_for

REFERENCE = "LA2026-48213"
PATIENT = timedelta(seconds=20)
SHORT = timedelta(seconds=0.5)
WANTED = mapping.fingerprint(a_reservation())


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with start_simulator(tmp_path_factory.mktemp("pms")) as running:
        yield running


@pytest.fixture
def simulator(process: Simulator) -> Simulator:
    process.clear_faults()
    process.switch(idempotency="honour", availability=True)
    process.reset()
    return process


@pytest.fixture
async def pms(simulator: Simulator) -> AsyncIterator[Guestly]:
    adapter = Guestly(api_url=simulator.url, api_key=API_KEY, timeout=PATIENT, connections=4)
    yield adapter
    await adapter.aclose()


@pytest.fixture
async def hasty(simulator: Simulator) -> AsyncIterator[Guestly]:
    """With a short time-out, none of which is spent on connecting."""
    adapter = Guestly(api_url=simulator.url, api_key=API_KEY, timeout=SHORT, connections=1)

    async def connected() -> bool:
        return isinstance(await adapter.listing(LISTING_ID), Listing)

    await eventually(connected, "a connection")
    yield adapter
    await adapter.aclose()


async def created(pms: Guestly, reservation: Reservation, key: str = "k0") -> Held:
    answer = await pms.create(reservation, idempotency_key=key)
    assert isinstance(answer, Held)
    return answer


async def found(pms: Guestly) -> Any:
    answer = await pms.find(REFERENCE)
    assert isinstance(answer, Found)
    (hit,) = answer.reservations
    return hit


async def test_what_is_created_is_found_as_it_was_wanted(
    pms: Guestly, simulator: Simulator
) -> None:
    assert isinstance(await pms.find(REFERENCE), Absent)
    held = await created(pms, a_reservation())
    assert held.fingerprint == WANTED
    assert not held.existed
    hit = await found(pms)
    assert (hit.reservation_id, hit.fingerprint) == (held.reservation_id, WANTED)
    assert (hit.check_in, hit.check_out) == (date(2026, 12, 1), date(2026, 12, 5))
    assert hit.listing_id == LISTING_ID
    (stored,) = simulator.reservations()
    assert stored["money"] == {"fareAccommodation": 1240.5, "currency": "EUR"}
    assert [effect["op"] for effect in simulator.effects()][-1] == "create"


ODD: list[dict[str, Any]] = [
    {"email": None, "phone": None},
    {"first_name": None, "last_name": None},
    {"first_name": "Zoe\u0308\x00\ud800", "special_requests": "a\r\nb\x07\u2028c\n\n d "},
    {"first_name": "x" * 500, "last_name": "y" * 500, "special_requests": "z" * 9000},
    {"special_requests": '"}]\\ \\u0000 </script>', "company": "{{7*7}}\nPet: no"},
    {"first_name": "田中", "last_name": "עברית", "country": "🇩🇪"},
    {"total": Decimal("0.00")},
    {"total": Decimal("0.10")},
    {"total": Decimal("99999999.99")},
    {"adults": None, "children": 1},
]


@pytest.mark.parametrize("changes", ODD)
async def test_odd_bookings_come_back_as_they_were_sent(
    pms: Guestly, simulator: Simulator, changes: dict[str, Any]
) -> None:
    mapped = mapping.to_reservation(
        a_booking(**changes), listing_id=LISTING_ID, pms=PmsName.GUESTLY, currency="EUR"
    )
    held = await created(pms, mapped.reservation)
    assert held.fingerprint == mapping.fingerprint(mapped.reservation)
    assert (await found(pms)).fingerprint == held.fingerprint
    assert len(simulator.reservations()) == 1


CHANGES: list[dict[str, Any]] = [
    {"listing_id": list(LISTINGS)[1]},
    {"check_in": date(2026, 11, 30), "check_out": date(2026, 12, 7)},
    {"guest_name": "Zoë Müller"},
    {"guest_email": "other@example.org"},
    {"guest_email": None},
    {"guest_phone": None},
    {"number_of_guests": 4},
    {"status": ReservationStatus.INQUIRY},
    {"fare": Decimal("1240.51")},
    {"currency": "CHF"},
    {"notes": "changed"},
    {"source": "phone"},
]


@pytest.mark.parametrize("changes", CHANGES)
async def test_every_field_can_be_changed(pms: Guestly, changes: dict[str, Any]) -> None:
    held = await created(pms, a_reservation())
    wanted = a_reservation(**changes)
    answer = await pms.update(held.reservation_id, wanted, idempotency_key="k1")
    assert isinstance(answer, Held)
    assert answer.existed
    assert answer.fingerprint == mapping.fingerprint(wanted) != WANTED
    assert (await found(pms)).fingerprint == answer.fingerprint


async def test_a_cancelled_reservation_is_found_cancelled(pms: Guestly) -> None:
    held = await created(pms, a_reservation())
    for key in ("k1", "k2"):
        answer = await pms.cancel(held.reservation_id, reference=REFERENCE, idempotency_key=key)
        assert isinstance(answer, Held)
    hit = await found(pms)
    assert hit.status == "canceled"
    assert hit.fingerprint == mapping.cancelled_fingerprint(REFERENCE)


async def test_a_reservation_that_a_person_removed_is_absent(
    pms: Guestly, simulator: Simulator
) -> None:
    held = await created(pms, a_reservation())
    simulator.delete(held.reservation_id)
    update = await pms.update(held.reservation_id, a_reservation(), idempotency_key="k1")
    cancel = await pms.cancel(held.reservation_id, reference=REFERENCE, idempotency_key="k2")
    assert isinstance(update, Absent)
    assert isinstance(cancel, Absent)
    assert isinstance(await pms.find(REFERENCE), Absent)


async def test_listings_are_answered(pms: Guestly) -> None:
    assert await pms.listing(LISTING_ID) == Listing(
        listing_id=LISTING_ID, title=LISTINGS[LISTING_ID], active=True
    )
    assert isinstance(await pms.listing("652f0000000000000000ffff"), Absent)


async def test_a_repeated_key_creates_once(pms: Guestly, simulator: Simulator) -> None:
    first = await created(pms, a_reservation())
    second = await created(pms, a_reservation())
    assert second.reservation_id == first.reservation_id
    assert len(simulator.reservations()) == 1


async def test_a_replayed_answer_shows_the_older_version(pms: Guestly) -> None:
    await created(pms, a_reservation())
    newer = a_reservation(number_of_guests=4)
    answer = await created(pms, newer)
    assert answer.fingerprint == WANTED != mapping.fingerprint(newer)


async def test_a_refused_key_is_ambiguous(pms: Guestly, simulator: Simulator) -> None:
    simulator.switch(idempotency="refuse")
    await created(pms, a_reservation())
    answer = await pms.create(a_reservation(number_of_guests=4), idempotency_key="k0")
    assert isinstance(answer, Ambiguous)
    assert answer.code == "idempotency_key_reused"


async def test_two_reservations_under_one_reference_are_found_oldest_first(
    pms: Guestly, simulator: Simulator
) -> None:
    simulator.switch(idempotency="ignore", availability=False)
    first = await created(pms, a_reservation())
    second = await created(pms, a_reservation())
    answer = await pms.find(REFERENCE)
    assert isinstance(answer, Found)
    assert [hit.reservation_id for hit in answer.reservations] == [
        first.reservation_id,
        second.reservation_id,
    ]


async def test_dates_that_are_taken_are_rejected_as_such(pms: Guestly) -> None:
    await created(pms, a_reservation())
    other = a_reservation(reference="LA2026-00002", notes="Booking Reference: LA2026-00002")
    answer = await pms.create(other, idempotency_key="k1")
    assert isinstance(answer, Rejected)
    assert (answer.code, answer.dates_taken) == ("listing_not_available", True)


async def test_an_unknown_listing_is_rejected(pms: Guestly) -> None:
    answer = await pms.create(a_reservation(listing_id="nowhere"), idempotency_key="k1")
    assert isinstance(answer, Rejected)
    assert answer.code == "listing_not_found"
    assert not answer.dates_taken


async def test_a_wrong_key_is_a_fault_of_the_configuration(simulator: Simulator) -> None:
    stranger = Guestly(api_url=simulator.url, api_key="x", timeout=PATIENT, connections=1)
    answers = (
        await stranger.find(REFERENCE),
        await stranger.listing(LISTING_ID),
        await stranger.create(a_reservation(), idempotency_key="k"),
    )
    await stranger.aclose()
    for answer in answers:
        assert isinstance(answer, Misconfigured)
        assert answer.code == "unauthorized"


async def test_a_wrong_address_is_a_fault_of_the_configuration(simulator: Simulator) -> None:
    lost = Guestly(api_url=f"{simulator.url}/v9", api_key=API_KEY, timeout=PATIENT, connections=1)
    assert isinstance(await lost.find(REFERENCE), Misconfigured)
    assert isinstance(await lost.create(a_reservation(), idempotency_key="k"), Misconfigured)
    await lost.aclose()


@pytest.mark.parametrize(
    ("fault", "fields", "code", "finished", "took_effect"),
    [
        ("error", {"status": 500, "when": "before"}, "http_500", True, False),
        ("error", {"status": 500, "when": "after"}, "http_500", True, True),
        ("error", {"status": 503, "when": "before"}, "http_503", False, False),
        ("error", {"status": 504, "when": "after"}, "http_504", False, True),
        ("break", {"when": "before"}, "connection_lost", False, False),
        ("break", {"when": "before", "reset": True}, "connection_lost", False, False),
        ("break", {"when": "after"}, "connection_lost", False, True),
        ("cut", {"when": "after"}, "connection_lost", False, True),
        ("no_id", {}, "unexpected_answer", False, True),
        ("foreign", {}, "other_reference", False, True),
        ("html", {"when": "after"}, "unexpected_answer", False, True),
        ("oversized", {"bytes": 3_000_000}, "answer_too_large", False, True),
    ],
)
async def test_a_create_without_a_trustworthy_answer_is_ambiguous(
    pms: Guestly,
    simulator: Simulator,
    fault: str,
    fields: dict[str, Any],
    code: str,
    finished: bool,
    took_effect: bool,
) -> None:
    simulator.once(fault, operation="create", **fields)
    answer = await pms.create(a_reservation(), idempotency_key="k0")
    assert isinstance(answer, Ambiguous)
    assert (answer.code, answer.finished) == (code, finished)
    assert isinstance(await pms.find(REFERENCE), Found if took_effect else Absent)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_create_without_an_answer_in_time_is_ambiguous(
    hasty: Guestly, pms: Guestly, simulator: Simulator, when: str
) -> None:
    simulator.once("timeout", operation="create", when=when, seconds=30)
    answer = await hasty.create(a_reservation(), idempotency_key="k0")
    assert isinstance(answer, Ambiguous)
    assert (answer.code, answer.finished) == ("timeout", False)
    assert isinstance(await pms.find(REFERENCE), Found if when == "after" else Absent)


async def test_a_trickling_answer_does_not_stretch_the_call(
    hasty: Guestly, simulator: Simulator
) -> None:
    simulator.once("slow", operation="create", seconds=30)
    answer = await hasty.create(a_reservation(), idempotency_key="k0")
    assert isinstance(answer, Ambiguous)
    assert answer.code == "timeout"


@pytest.mark.parametrize(
    ("fault", "fields", "kind"),
    [
        ("error", {"status": 500}, Unavailable),
        ("error", {"status": 503}, Unavailable),
        ("break", {}, Unavailable),
        ("cut", {}, Unavailable),
        ("no_id", {}, Unavailable),
        ("oversized", {"bytes": 3_000_000}, Unavailable),
        ("html", {}, Misconfigured),
        ("redirect", {}, Misconfigured),
        ("reject", {"status": 422, "code": "BAD_FILTER"}, Rejected),
        ("foreign", {}, Absent),
        ("stale", {"seconds": 600}, Absent),
        ("unfiltered", {}, Found),
        ("unfiltered", {"uncounted": True}, Found),
    ],
)
async def test_a_look_up_that_goes_wrong_is_told_apart(
    pms: Guestly, simulator: Simulator, fault: str, fields: dict[str, Any], kind: type
) -> None:
    await created(pms, a_reservation())
    simulator.once(fault, operation="find", **fields)
    assert isinstance(await pms.find(REFERENCE), kind)


async def test_a_list_that_ignored_the_reference_and_broke_off_proves_nothing(
    pms: Guestly, simulator: Simulator
) -> None:
    simulator.switch(availability=False)
    for number in range(26):
        await created(pms, a_reservation(reference=f"LA2026-1{number:04}"), key=f"k{number}")
    simulator.once("unfiltered", operation="find")
    answer = await pms.find(REFERENCE)
    assert isinstance(answer, Unavailable)
    assert answer.code == "lookup_unfiltered"


async def test_a_list_that_ignored_the_reference_proves_something_only_if_it_is_whole(
    pms: Guestly, simulator: Simulator
) -> None:
    await created(pms, a_reservation(reference="LA2026-1"))
    simulator.once("unfiltered", operation="find")
    assert isinstance(await pms.find(REFERENCE), Absent)
    simulator.once("unfiltered", operation="find", uncounted=True)
    answer = await pms.find(REFERENCE)
    assert isinstance(answer, Unavailable)
    assert answer.code == "lookup_unfiltered"


@pytest.mark.parametrize("as_date", [True, False])
async def test_a_rate_limit_says_how_long(
    pms: Guestly, simulator: Simulator, *, as_date: bool
) -> None:
    simulator.once("rate_limit", times=2, retry_after=40, as_date=as_date)
    for answer in (
        await pms.find(REFERENCE),
        await pms.create(a_reservation(), idempotency_key="k0"),
    ):
        assert isinstance(answer, RateLimited)
        assert timedelta(seconds=30) <= answer.retry_after <= timedelta(seconds=41)
    assert simulator.reservations() == []


async def test_a_pms_that_is_down_was_sent_nothing(simulator: Simulator) -> None:
    adapter = Guestly(api_url=simulator.url, api_key=API_KEY, timeout=PATIENT, connections=2)
    await created(adapter, a_reservation())
    simulator.kill()
    answer = await adapter.create(a_reservation(reference="LA2026-2"), idempotency_key="k9")
    simulator.start()
    assert isinstance(answer, Unavailable)
    assert answer.code == "connection_refused"
    wait_for(lambda: len(simulator.reservations()) == 1)
    assert (await found(adapter)).fingerprint == WANTED
    await adapter.aclose()
