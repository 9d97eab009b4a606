"""A repeated Idempotency-Key is honoured, ignored or refused, and keys can be lost."""

from __future__ import annotations

import httpx

from tests.support_simulator import (
    Simulator,
    booking,
    create,
    refusal,
)


def test_a_honoured_key_repeats_the_first_answer_without_an_effect(
    client: httpx.Client, pms: Simulator
) -> None:
    headers = {"idempotency-key": "k"}
    first = client.post("/reservations", json=booking("A"), headers=headers)
    again = client.post("/reservations", json=booking("A"), headers=headers)
    other_body = client.post("/reservations", json=booking("A", notes="other"), headers=headers)

    assert (again.status_code, again.json()) == (201, first.json())
    assert other_body.json() == first.json()
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert len(pms.effects()) == 1
    assert pms.state()["counters"]["repeated"] == 2


def test_a_refused_create_does_not_use_its_key_up(client: httpx.Client) -> None:
    headers = {"idempotency-key": "k"}
    client.post("/reservations", json=booking(numberOfGuests=0), headers=headers)

    assert client.post("/reservations", json=booking(), headers=headers).status_code == 201


def test_an_ignored_key_means_nothing(client: httpx.Client, pms: Simulator) -> None:
    pms.switch(idempotency="ignore", availability=False)

    for _ in range(2):
        answer = client.post("/reservations", json=booking(), headers={"idempotency-key": "k"})
        assert answer.status_code == 201

    assert [one["idempotency_key"] for one in pms.effects()] == ["k", "k"]
    assert len(pms.reservations()) == 2


def test_a_key_with_another_body_can_be_refused(client: httpx.Client, pms: Simulator) -> None:
    pms.switch(idempotency="refuse")
    headers = {"idempotency-key": "k"}
    first = client.post("/reservations", json=booking("A"), headers=headers)

    same = client.post("/reservations", json=booking("A"), headers=headers)
    other = client.post("/reservations", json=booking("A", notes="other"), headers=headers)

    assert same.json() == first.json()
    assert refusal(other) == (409, "IDEMPOTENCY_KEY_REUSED")


def test_keys_can_be_lost_at_once_or_after_a_time(client: httpx.Client, pms: Simulator) -> None:
    pms.switch(availability=False)
    headers = {"idempotency-key": "k"}
    client.post("/reservations", json=booking(), headers=headers)
    pms.forget_keys()
    client.post("/reservations", json=booking(), headers=headers)
    pms.switch(key_ttl_s=0)
    client.post("/reservations", json=booking(), headers=headers)
    pms.switch(key_ttl_s=3600)
    client.post("/reservations", json=booking(), headers=headers)

    assert len(pms.effects()) == 3


def test_keys_protect_changes_too(client: httpx.Client, pms: Simulator) -> None:
    held = create(client, "A")
    url = f"/reservations/{held['_id']}"
    headers = {"idempotency-key": "k"}

    first = client.put(url, json={"notes": "one"}, headers=headers)
    client.put(url, json={"notes": "two"})
    again = client.put(url, json={"notes": "one"}, headers=headers)

    assert again.json() == first.json()
    assert client.get(url).json()["notes"] == "two"
    assert len(pms.effects()) == 3
