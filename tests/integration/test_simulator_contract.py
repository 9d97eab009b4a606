"""The stand-in answers every call of the Guestly contract as a real PMS would."""

from __future__ import annotations

import httpx

from tests.support_simulator import (
    LISTING,
    LISTINGS,
    Simulator,
    booking,
    create,
    refusal,
)


def test_create_answers_201_with_id_reference_and_status(client: httpx.Client) -> None:
    held = create(client, "LA2026-48213")

    assert held["_id"]
    assert held["confirmationCode"] == "LA2026-48213"
    assert held["status"] == "confirmed"
    assert held["money"] == {"fareAccommodation": 1240.5, "currency": "EUR"}
    assert held["guestName"] == "Zoë Müller-Łęcki"


def test_every_create_gets_an_id_of_its_own(client: httpx.Client) -> None:
    first = create(client, "A", checkIn="2026-01-01", checkOut="2026-01-02")
    second = create(client, "A", checkIn="2026-01-02", checkOut="2026-01-03")

    assert first["_id"] != second["_id"]


def test_look_up_finds_all_reservations_of_a_reference_oldest_first(client: httpx.Client) -> None:
    first = create(client, "A", checkIn="2026-01-01", checkOut="2026-01-02")
    create(client, "B", checkIn="2026-01-02", checkOut="2026-01-03")
    second = create(client, "A", checkIn="2026-01-03", checkOut="2026-01-04")
    client.put(f"/reservations/{first['_id']}", json={"notes": "changed last"})

    answer = client.get("/reservations", params={"confirmationCode": "A"})

    assert answer.status_code == 200
    assert [hit["_id"] for hit in answer.json()["results"]] == [first["_id"], second["_id"]]


def test_look_up_of_an_unknown_reference_finds_nothing(client: httpx.Client) -> None:
    create(client, "A")

    answer = client.get("/reservations", params={"confirmationCode": "a"})

    assert (answer.status_code, answer.json()["results"]) == (200, [])


def test_read_answers_the_reservation_or_404(client: httpx.Client) -> None:
    held = create(client, "A")

    assert client.get(f"/reservations/{held['_id']}").json() == held
    assert refusal(client.get("/reservations/nothing")) == (404, "RESERVATION_NOT_FOUND")


def test_change_takes_any_subset_and_answers_the_whole_reservation(client: httpx.Client) -> None:
    held = create(client, "A")

    answer = client.put(
        f"/reservations/{held['_id']}",
        json={"checkOut": "2026-12-09", "money": {"fareAccommodation": 99.95}},
    )

    assert answer.status_code == 200
    changed = answer.json()
    assert changed["checkOut"] == "2026-12-09"
    assert changed["money"] == {"fareAccommodation": 99.95, "currency": "EUR"}
    assert changed["guestName"] == held["guestName"]
    assert client.get(f"/reservations/{held['_id']}").json() == changed


def test_change_of_an_unknown_reservation_is_404(client: httpx.Client) -> None:
    answer = client.put("/reservations/nothing", json={"notes": "x"})

    assert refusal(answer) == (404, "RESERVATION_NOT_FOUND")


def test_cancel_frees_the_dates(client: httpx.Client) -> None:
    held = create(client, "A")

    answer = client.put(f"/reservations/{held['_id']}", json={"status": "canceled"})

    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
    create(client, "B")


def test_cancelling_twice_is_accepted(client: httpx.Client, pms: Simulator) -> None:
    held = create(client, "A")

    for _ in range(2):
        answer = client.put(f"/reservations/{held['_id']}", json={"status": "canceled"})
        assert answer.status_code == 200

    assert [(one["op"], one["altered"]) for one in pms.effects()[1:]] == [
        ("cancel", True),
        ("cancel", False),
    ]


def test_listing_answers_id_title_and_active_or_404(client: httpx.Client) -> None:
    answer = client.get(f"/listings/{LISTING}")

    assert answer.json() == {"_id": LISTING, "title": LISTINGS[LISTING], "active": True}
    assert refusal(client.get("/listings/nothing")) == (404, "LISTING_NOT_FOUND")


def test_list_pages_with_skip_and_limit(client: httpx.Client) -> None:
    for day in range(1, 6):
        create(client, f"R{day}", checkIn=f"2026-01-0{day}", checkOut=f"2026-01-0{day + 1}")

    answer = client.get("/reservations", params={"limit": 2, "skip": 2})

    assert [hit["confirmationCode"] for hit in answer.json()["results"]] == ["R3", "R4"]
    assert answer.json()["count"] == 5


def test_list_filters_by_source_and_creation_time(client: httpx.Client) -> None:
    create(client, "site", checkIn="2026-01-01", checkOut="2026-01-02")
    create(client, "desk", checkIn="2026-01-02", checkOut="2026-01-03", source="manual")
    latest = create(client, "late", checkIn="2026-01-03", checkOut="2026-01-04")

    by_source = client.get("/reservations", params={"source": "website"}).json()
    by_time = client.get("/reservations", params={"createdFrom": latest["createdAt"]}).json()

    assert [hit["confirmationCode"] for hit in by_source["results"]] == ["site", "late"]
    assert "late" in [hit["confirmationCode"] for hit in by_time["results"]]
    future = client.get("/reservations", params={"createdFrom": "2099-01-01"}).json()
    assert future["results"] == []


def test_an_effect_line_has_everything_but_the_guest(client: httpx.Client, pms: Simulator) -> None:
    held = create(client, "A")

    (effect,) = pms.effects()

    assert len(effect.pop("body_sha256")) == 64
    assert effect.pop("at").endswith("Z")
    assert effect.pop("request") == pms.requests()[-1]["n"]
    assert effect == {
        "n": 1,
        "op": "create",
        "reservation_id": held["_id"],
        "reference": "A",
        "idempotency_key": None,
        "status": "confirmed",
        "listing_id": LISTING,
        "check_in": "2026-12-01",
        "check_out": "2026-12-05",
        "fare": "1240.50",
        "currency": "EUR",
        "altered": True,
        "fault": None,
    }


def test_guest_data_stays_out_of_every_log(client: httpx.Client, pms: Simulator) -> None:
    held = create(client, "A")
    client.put(f"/reservations/{held['_id']}", json={"guestEmail": "canary@example.com"})
    client.post("/reservations", json=booking("B", guestEmail="canary@example.com"))
    client.post("/reservations", json=booking("C", guestEmail="canary"))

    assert pms.requests()
    for file in ("effects.jsonl", "requests.jsonl"):
        text = (pms.state_dir / file).read_text(encoding="utf-8")
        assert not any(word in text for word in ("canary", "zoe@", "Zo", "5550100", "Late arr"))
    text = pms.log_file.read_text(encoding="utf-8")
    assert "simulator.answered" in text
    assert not any(word in text for word in ("canary", "zoe@", "Zo", "5550100", "Late arr"))


def test_an_unknown_call_is_404_and_a_wrong_method_405_in_json(client: httpx.Client) -> None:
    assert refusal(client.get("/nothing")) == (404, "NOT_FOUND")
    assert refusal(client.delete("/reservations")) == (405, "METHOD_NOT_ALLOWED")


def test_a_fresh_page_of_results_has_at_most_a_hundred(client: httpx.Client) -> None:
    answer = client.get("/reservations", params={"limit": 1000}).json()

    assert answer["limit"] == 100
