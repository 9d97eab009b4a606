"""The stand-in speaks the Guesty API: creates, look-ups, reads, listings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support_simulator import LISTING, LISTINGS
from tests.support_simulator_guesty import (
    RESERVATIONS,
    GuestySimulator,
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
    with start_guesty(tmp_path_factory.mktemp("guesty")) as simulator:
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


def test_a_create_answers_with_another_key_for_the_id_and_without_listing_or_fare(
    client: httpx.Client,
) -> None:
    answer = client.post(RESERVATIONS, json=creation("A"))

    assert answer.status_code == 201
    shown = answer.json()
    assert shown["reservationId"]
    assert (shown["confirmationCode"], shown["status"], shown["guestsCount"]) == (
        "A",
        "confirmed",
        3,
    )
    assert not {"_id", "listingId", "accommodationFare", "money"} & set(shown)


def test_all_that_was_written_is_in_the_state(pms: GuestySimulator, client: httpx.Client) -> None:
    reservation_id = create(client, "A")
    put(client, reservation_id, "notes", {"notes": {"other": "Late arrival"}})

    (held,) = pms.held("A")

    assert held["_id"] == reservation_id
    assert (held["checkIn"], held["checkOut"]) == ("2026-12-01", "2026-12-05")
    assert held["money"] == {"fareAccommodation": 1240.5, "currency": "EUR"}
    assert held["notes"] == "Late arrival"
    own = held["guesty"]
    assert own["guest"] == creation()["guest"]
    assert own["numberOfGuests"] == creation()["numberOfGuests"]
    assert (own["accommodationFare"], own["cleaningFee"]) == (1160.5, 80)
    assert (own["promotion"], own["repriced"], own["originId"]) == (False, 0, "A")
    assert own["written"] == {"create": 1, "notes": 1}


def test_a_promotion_lowers_the_fare_unless_it_is_switched_off(
    pms: GuestySimulator, client: httpx.Client
) -> None:
    body = creation("A", accommodationFare=100, cleaningFee=0)
    del body["applyPromotions"]
    assert client.post(RESERVATIONS, json=body).status_code == 201

    (held,) = pms.held("A")

    assert held["guesty"]["promotion"] is True
    assert held["money"]["fareAccommodation"] == 90


def test_the_same_code_twice_is_two_reservations_whatever_key_is_sent(
    pms: GuestySimulator, client: httpx.Client
) -> None:
    client.headers["idempotency-key"] = "k"
    first = create(client, "A")
    second = create(client, "A", listingId=_SECOND)

    assert first != second
    assert {row["reservationId"] for row in search(client, "A")} == {first, second}
    creates = [one for one in pms.effects() if one["op"] == "create"]
    assert [one["reference"] for one in creates] == ["A", "A"]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"listingId": None}, ["listingId"]),
        ({"checkInDateLocalized": "2026-12-01T15:00:00Z"}, ["checkInDateLocalized"]),
        ({"checkOutDateLocalized": "2026-12-01"}, ["checkOutDateLocalized"]),
        ({"status": "cancelled"}, ["status"]),
        ({"source": ""}, ["source"]),
        ({"guestsCount": "3"}, ["guestsCount"]),
        ({"guest": None}, ["guest", "firstName"]),
        ({"guest": {**creation()["guest"], "phones": ["0301234567"]}}, ["guest", "phones", "0"]),
        ({"guest": {**creation()["guest"], "email": None}}, ["guest", "email"]),
        ({"numberOfGuests": {"numberOfAdults": 0}}, ["numberOfGuests", "numberOfAdults"]),
        ({"accommodationFare": "1160.50"}, ["accommodationFare"]),
        ({"cleaningFee": -1}, ["cleaningFee"]),
        ({"confirmationCode": "x" * 51}, ["confirmationCode"]),
        ({"originId": "x" * 51}, ["originId"]),
        ({"notes": "not here"}, ["notes"]),
        ({"applyPromotions": "no"}, ["applyPromotions"]),
    ],
)
def test_a_create_that_is_wrong_is_refused_with_the_path_of_the_field(
    pms: GuestySimulator, client: httpx.Client, fields: dict[str, Any], path: list[str]
) -> None:
    answer = client.post(RESERVATIONS, json=creation("A", **fields))

    assert answer.status_code == 400
    assert path in [issue["path"] for issue in answer.json()]
    assert pms.effects() == []


def test_a_search_takes_several_codes_and_ignores_filters_that_it_does_not_know(
    client: httpx.Client,
) -> None:
    for number, code in enumerate("ABC", start=1):
        create(client, code, **nights(f"2026-11-0{number}", f"2026-11-0{number + 1}"))

    assert [row["confirmationCode"] for row in search(client, "A", "C")] == ["C", "A"]
    assert search(client, "D") == []
    unknown = client.get(f"{RESERVATIONS}/search", params={"filter[originId]": "A"}).json()
    assert [row["confirmationCode"] for row in unknown["results"]] == ["C", "B", "A"]
    page = client.get(f"{RESERVATIONS}/search", params={"limit": 2, "skip": 1}).json()
    assert [row["confirmationCode"] for row in page["results"]] == ["B", "A"]
    assert page["pagination"] == {"skip": 1, "limit": 2, "hasMore": False}


def test_a_search_misses_what_is_younger_than_its_lag_and_a_read_by_id_does_not(
    pms: GuestySimulator, client: httpx.Client
) -> None:
    pms.switch(search_lag_s=3600)
    reservation_id = create(client, "A")

    assert search(client, "A") == []
    assert [one["_id"] for one in read(client, reservation_id)] == [reservation_id]
    pms.switch(search_lag_s=0)
    assert [row["reservationId"] for row in search(client, "A")] == [reservation_id]


def test_a_read_by_ids_leaves_out_unknown_ones(client: httpx.Client) -> None:
    reservation_id = create(client, "A")

    (shown,) = read(client, "0" * 24, reservation_id)

    assert shown["confirmationCode"] == "A"
    assert shown["stay"] == [
        {
            "checkInDateLocalized": "2026-12-01",
            "checkOutDateLocalized": "2026-12-05",
            "guestsCount": 3,
            "numberOfGuests": creation()["numberOfGuests"],
            "unitTypeId": LISTING,
        }
    ]
    assert read(client, "0" * 24) == []
    assert client.get(RESERVATIONS).status_code == 400


def test_a_listing_says_its_currency(pms: GuestySimulator, client: httpx.Client) -> None:
    pms.list_anew([{"_id": "a", "title": "A", "currency": "CHF"}, {"_id": "b", "title": "B"}])

    first, second = (client.get(f"/v1/listings/{one}").json() for one in "ab")

    assert first == {
        "_id": "a",
        "title": "A",
        "active": True,
        "isListed": True,
        "prices": {"currency": "CHF"},
    }
    assert second["prices"] == {"currency": "EUR"}
    assert client.get("/v1/listings/c").status_code == 404
    create(client, "A", listingId="a")
    assert pms.effects()[0]["currency"] == "CHF"


def test_the_page_shows_reservations_and_tokens(pms: GuestySimulator, client: httpx.Client) -> None:
    create(client, "LA2026-48213")

    page = httpx.get(pms.url, trust_env=False).text

    assert "Guesty simulator" in page
    assert "LA2026-48213" in page
    assert "tokens asked for" in page
