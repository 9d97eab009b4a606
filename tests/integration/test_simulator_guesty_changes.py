"""The stand-in speaks the Guesty API: the calendar, and one call for each change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support_simulator import LISTINGS, wait_for
from tests.support_simulator_guesty import (
    RESERVATIONS,
    GuestySimulator,
    cancellation,
    create,
    creation,
    nights,
    put,
    read,
    search,
    start_guesty,
)

_SECOND = list(LISTINGS)[1]


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuestySimulator]:
    with start_guesty(tmp_path_factory.mktemp("changes")) as simulator:
        yield simulator


@pytest.fixture
def pms(process: GuestySimulator) -> GuestySimulator:
    process.reset()
    process.clear_faults()
    process.list_anew(dict(LISTINGS))
    process.switch(status_lag_s=0)
    return process


@pytest.fixture
def client(pms: GuestySimulator) -> Iterator[httpx.Client]:
    with pms.client() as client:
        yield client


@pytest.mark.parametrize("status", [401, 422, 400])
def test_dates_that_are_taken_are_refused_by_the_status_that_a_switch_says(
    pms: GuestySimulator, client: httpx.Client, status: int
) -> None:
    pms.switch(unavailable=status)
    create(client, "A")
    answer = client.post(RESERVATIONS, json=creation("B"))

    assert answer.status_code == status
    assert "LISTING" in answer.text
    assert len(pms.effects()) == 1
    create(client, "C", **nights("2026-12-05", "2026-12-06"))


def test_an_ignored_calendar_lets_a_second_stay_in_and_says_so(
    pms: GuestySimulator, client: httpx.Client
) -> None:
    create(client, "A")
    create(client, "B", ignoreCalendar=True)

    assert [one["overlapping"] for one in pms.effects()] == [False, True]
    (held,) = pms.held("B")
    assert held["guesty"]["ignored"] == ["ignoreCalendar"]


def test_an_inquiry_takes_no_nights_until_it_is_confirmed(
    pms: GuestySimulator, client: httpx.Client
) -> None:
    inquiry = create(client, "A", status="inquiry")
    create(client, "B")

    answer = put(client, inquiry, "status", {"status": "confirmed"})

    assert answer.status_code == 401
    (held,) = pms.held("A")
    assert held["status"] == "inquiry"


def test_a_cancellation_needs_a_reason_of_the_list_and_works_once(
    pms: GuestySimulator, client: httpx.Client
) -> None:
    reservation_id = create(client, "A")
    for body in (cancellation("Because"), {"status": "canceled"}):
        refused = put(client, reservation_id, "status", body)
        assert refused.status_code == 400
        assert refused.json()["error"] == {
            "code": "VALIDATION_ERROR",
            "message": "Cancellation reason is not valid",
        }

    done = put(client, reservation_id, "status", cancellation())
    again = put(client, reservation_id, "status", cancellation())

    assert (done.status_code, done.json()) == (
        200,
        {"reservationId": reservation_id, "status": "canceled"},
    )
    assert again.status_code == 422
    assert again.json()["error"]["message"] == "Reservation not cancellable"
    assert [one["op"] for one in pms.effects()] == ["create", "cancel"]


def test_reads_show_the_old_status_until_a_change_has_settled(
    pms: GuestySimulator, client: httpx.Client
) -> None:
    pms.switch(status_lag_s=3600)
    reservation_id = create(client, "A")
    put(client, reservation_id, "status", cancellation())

    assert read(client, reservation_id)[0]["status"] == "confirmed"
    assert search(client, "A")[0]["status"] == "confirmed"
    assert pms.held("A")[0]["status"] == "canceled"
    pms.switch(status_lag_s=0.01)
    wait_for(lambda: read(client, reservation_id)[0]["status"] == "canceled")


def test_coming_back_from_a_cancellation_asks_the_calendar_again(
    client: httpx.Client,
) -> None:
    first = create(client, "A")
    put(client, first, "status", cancellation())
    second = create(client, "B")

    assert put(client, first, "status", {"status": "confirmed"}).status_code == 401
    put(client, second, "status", cancellation())
    assert put(client, first, "status", {"status": "confirmed"}).status_code == 200


def test_other_dates_are_written_once_and_priced_anew(
    pms: GuestySimulator, client: httpx.Client
) -> None:
    reservation_id = create(client, "A")
    for _ in range(2):
        body = nights("2026-12-02", "2026-12-04")
        assert put(client, reservation_id, "dates", body).json()["reservationId"] == reservation_id

    (held,) = pms.held("A")
    assert (held["checkIn"], held["checkOut"]) == ("2026-12-02", "2026-12-04")
    assert held["guesty"]["repriced"] == 1
    assert held["guesty"]["cleaningFee"] == 80
    assert held["money"]["fareAccommodation"] != 1240.5
    effects = pms.effects()
    assert [one["altered"] for one in effects] == [True, True, False]
    assert [one["repriced"] for one in effects] == [False, True, True]


def test_without_repricing_the_fare_stays(pms: GuestySimulator, client: httpx.Client) -> None:
    pms.switch(repricing=False)
    reservation_id = create(client, "A")

    put(client, reservation_id, "dates", nights("2026-12-02", "2026-12-04"))

    assert pms.held("A")[0]["money"]["fareAccommodation"] == 1240.5


def test_guests_and_listing_have_a_call_of_their_own(
    pms: GuestySimulator, client: httpx.Client
) -> None:
    reservation_id = create(client, "A")
    party = {"guestsCount": 4, "numberOfGuests": {"numberOfAdults": 4}}

    assert put(client, reservation_id, "guests", party).status_code == 200
    assert put(client, reservation_id, "relocate", {"listingId": _SECOND}).status_code == 200

    (held,) = pms.held("A")
    assert (held["numberOfGuests"], held["listingId"]) == (4, _SECOND)
    assert held["guesty"]["numberOfGuests"]["numberOfChildren"] == 0
    assert [one["step"] for one in pms.effects()] == ["create", "guests", "relocate"]
    assert put(client, reservation_id, "guests", {"guestsCount": 4}).status_code == 400


@pytest.mark.parametrize(
    ("step", "body"),
    [
        ("dates", nights("2026-12-04", "2026-12-08")),
        ("relocate", {"listingId": _SECOND}),
    ],
)
def test_a_change_into_taken_nights_is_refused_unless_the_calendar_is_ignored(
    pms: GuestySimulator, client: httpx.Client, step: str, body: dict[str, Any]
) -> None:
    reservation_id = create(client, "A")
    create(client, "B", **nights("2026-12-06", "2026-12-09"))
    create(client, "C", listingId=_SECOND)

    assert put(client, reservation_id, step, body).status_code == 401
    assert put(client, reservation_id, step, {**body, "ignoreCalendar": True}).status_code == 200
    assert pms.held("A")[0]["guesty"]["overlapping"] is True


@pytest.mark.parametrize("step", ["status", "dates", "guests", "relocate", "notes"])
def test_an_unknown_reservation_is_a_bare_text(client: httpx.Client, step: str) -> None:
    answer = put(client, "0" * 24, step, {})

    assert (answer.status_code, answer.json()) == (404, "Reservation Not Found")
