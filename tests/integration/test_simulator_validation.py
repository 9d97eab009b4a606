"""The stand-in refuses what a real PMS would refuse, and changes nothing then."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.support_simulator import (
    LISTINGS,
    Simulator,
    booking,
    create,
    refusal,
)


@pytest.mark.parametrize("query", [{"limit": "many"}, {"skip": "-1"}, {"createdFrom": "lately"}])
def test_list_refuses_parameters_that_make_no_sense(
    client: httpx.Client, query: dict[str, str]
) -> None:
    assert refusal(client.get("/reservations", params=query)) == (400, "INVALID_PARAMETER")


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic rehearsal-key", "Bearer"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_calls_without_the_key_are_401_and_change_nothing(
    pms: Simulator, authorization: str | None, method: str
) -> None:
    headers = {} if authorization is None else {"authorization": authorization}

    answer = httpx.request(method, f"{pms.url}/reservations", headers=headers, trust_env=False)

    assert refusal(answer) == (401, "UNAUTHORIZED")
    assert pms.effects() == []


@pytest.mark.parametrize(
    "field",
    [
        "listingId",
        "checkIn",
        "checkOut",
        "guestName",
        "numberOfGuests",
        "status",
        "money",
        "source",
        "confirmationCode",
    ],
)
def test_create_without_a_required_field_names_it(
    client: httpx.Client, pms: Simulator, field: str
) -> None:
    body = booking()
    del body[field]

    answer = client.post("/reservations", json=body)

    assert refusal(answer) == (422, "VALIDATION_ERROR")
    assert f"{field} is required" in answer.json()["error"]["message"]
    assert pms.effects() == []


@pytest.mark.parametrize("field", ["guestEmail", "guestPhone", "notes"])
def test_create_without_an_optional_field_is_accepted(client: httpx.Client, field: str) -> None:
    body = booking()
    del body[field]

    assert client.post("/reservations", json=body).status_code == 201


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("checkIn", "01.12.2026"),
        ("checkIn", "20261201"),
        ("checkIn", "2026-02-30"),
        ("checkIn", "2026-12-01T00:00:00Z"),
        ("numberOfGuests", 0),
        ("numberOfGuests", "3"),
        ("numberOfGuests", True),
        ("guestName", "  "),
        ("guestName", 7),
        ("guestName", "a\x00b"),
        ("guestName", "\ud800"),
        ("guestName", "x" * 256),
        ("guestEmail", "nobody"),
        ("status", "cancelled"),
        ("status", ["confirmed"]),
        ("notes", {"text": "x"}),
        ("money", 12),
        ("money", {"fareAccommodation": "12.00", "currency": "EUR"}),
        ("money", {"fareAccommodation": 12.345, "currency": "EUR"}),
        ("money", {"fareAccommodation": -1, "currency": "EUR"}),
        ("money", {"fareAccommodation": 1e300, "currency": "EUR"}),
        ("money", {"fareAccommodation": 12, "currency": "eur"}),
    ],
)
def test_create_with_a_wrong_value_is_refused_without_quoting_it(
    client: httpx.Client, pms: Simulator, field: str, value: object
) -> None:
    body = json.dumps(booking() | {field: value})

    answer = client.post(
        "/reservations", content=body, headers={"content-type": "application/json"}
    )

    assert refusal(answer) == (422, "VALIDATION_ERROR")
    assert "nobody" not in answer.text
    assert pms.effects() == []


@pytest.mark.parametrize("check_out", ["2026-12-01", "2026-11-30", "2031-01-01"])
def test_a_stay_is_one_to_730_nights_long(client: httpx.Client, check_out: str) -> None:
    answer = client.post("/reservations", json=booking(checkOut=check_out))

    assert refusal(answer) == (422, "INVALID_DATES")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"a": NaN}', b"[" * 100_000])
def test_a_body_that_is_not_json_is_400(client: httpx.Client, body: bytes) -> None:
    answer = client.post(
        "/reservations", content=body, headers={"content-type": "application/json"}
    )

    assert refusal(answer) == (400, "INVALID_JSON")


def test_a_body_of_another_media_type_is_415(client: httpx.Client) -> None:
    answer = client.post("/reservations", data={"a": "b"})

    assert refusal(answer) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_body_that_is_too_large_is_413(client: httpx.Client) -> None:
    answer = client.post("/reservations", json=booking(notes="x" * (2 << 20)))

    assert refusal(answer) == (413, "BODY_TOO_LARGE")


@pytest.mark.parametrize("fare", ["0", "0.1", "1240.50", "1240.5", "99999999.99", "0.07", "4.35"])
def test_a_fare_comes_back_to_the_cent(client: httpx.Client, pms: Simulator, fare: str) -> None:
    body = json.dumps(booking(money={"fareAccommodation": "@", "currency": "EUR"}))
    body = body.replace('"@"', fare)

    answer = client.post(
        "/reservations", content=body, headers={"content-type": "application/json"}
    )

    assert answer.json()["money"]["fareAccommodation"] == float(fare)
    assert pms.effects()[0]["fare"] == f"{float(fare):.2f}"


def test_unknown_and_inactive_listings_are_refused(client: httpx.Client, pms: Simulator) -> None:
    pms.list_anew([{"_id": "closed", "title": "Closed", "active": False}])

    unknown = client.post("/reservations", json=booking(listingId="nothing"))
    inactive = client.post("/reservations", json=booking(listingId="closed"))

    assert refusal(unknown) == (422, "LISTING_NOT_FOUND")
    assert refusal(inactive) == (422, "LISTING_NOT_ACTIVE")


@pytest.mark.parametrize(
    ("check_in", "check_out", "taken"),
    [
        ("2026-12-01", "2026-12-05", True),
        ("2026-12-04", "2026-12-06", True),
        ("2026-11-30", "2026-12-02", True),
        ("2026-12-02", "2026-12-03", True),
        ("2026-11-01", "2026-12-31", True),
        ("2026-12-05", "2026-12-07", False),
        ("2026-11-28", "2026-12-01", False),
    ],
)
def test_confirmed_stays_of_a_listing_may_touch_but_not_overlap(
    client: httpx.Client, check_in: str, check_out: str, *, taken: bool
) -> None:
    create(client, "A")

    answer = client.post("/reservations", json=booking("B", checkIn=check_in, checkOut=check_out))

    if taken:
        assert refusal(answer) == (409, "LISTING_NOT_AVAILABLE")
    else:
        assert answer.status_code == 201


def test_another_listing_is_free_on_the_same_dates(client: httpx.Client) -> None:
    create(client, "A")

    create(client, "B", listingId=list(LISTINGS)[1])


def test_inquiries_neither_block_nor_are_blocked(client: httpx.Client) -> None:
    create(client, "A", status="inquiry")
    create(client, "B")
    create(client, "C", status="inquiry")


def test_an_inquiry_cannot_be_confirmed_on_taken_dates(client: httpx.Client) -> None:
    inquiry = create(client, "A", status="inquiry")
    create(client, "B")

    answer = client.put(f"/reservations/{inquiry['_id']}", json={"status": "confirmed"})

    assert refusal(answer) == (409, "LISTING_NOT_AVAILABLE")


def test_a_change_does_not_collide_with_the_reservation_itself(client: httpx.Client) -> None:
    held = create(client, "A")

    answer = client.put(f"/reservations/{held['_id']}", json={"checkOut": "2026-12-06"})

    assert answer.status_code == 200


def test_availability_can_be_switched_off(client: httpx.Client, pms: Simulator) -> None:
    pms.switch(availability=False)

    create(client, "A")
    create(client, "B")

    assert len(pms.reservations()) == 2
