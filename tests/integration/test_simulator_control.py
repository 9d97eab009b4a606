"""The rehearsal's own API and the page."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support_simulator import LISTINGS, Simulator, booking

JSON = {"content-type": "application/json"}


def test_state_tells_what_is_held_and_what_is_armed(client: httpx.Client, pms: Simulator) -> None:
    held = client.post("/reservations", json=booking("A")).json()
    pms.faults({"fault": "latency", "seconds": 0.01})

    state = pms.state()

    assert state["reservations"] == [held]
    assert [listing["_id"] for listing in state["listings"]] == list(LISTINGS)
    assert state["faults"]["rules"] == [{"fault": "latency", "seconds": 0.01, "struck": 0}]
    assert state["switches"] == {"idempotency": "honour", "key_ttl_s": None, "availability": True}
    assert state["counters"]["effects"] == {"create": 1, "change": 0, "cancel": 0, "delete": 0}
    assert state["recent"][0]["operation"] == "create"


def test_reset_empties_the_pms_and_keeps_the_listings(client: httpx.Client, pms: Simulator) -> None:
    client.post("/reservations", json=booking(), headers={"idempotency-key": "k"})
    pms.faults({"fault": "error", "operation": "find"})
    pms.switch(idempotency="refuse")

    pms.reset()

    state = pms.state()
    assert (state["reservations"], state["faults"]["rules"], pms.effects()) == ([], [], [])
    assert state["switches"]["idempotency"] == "honour"
    assert len(state["listings"]) == len(LISTINGS)
    assert client.post("/reservations", json=booking(), headers={"idempotency-key": "k"}).is_success
    assert [effect["n"] for effect in pms.effects()] == [1]


@pytest.mark.parametrize(
    ("raw", "listings"),
    [
        ({"a": "Abbey"}, [{"_id": "a", "title": "Abbey", "active": True}]),
        ([{"_id": "a"}], [{"_id": "a", "title": "a", "active": True}]),
        (
            [{"_id": "a", "title": "Abbey", "active": False}],
            [{"_id": "a", "title": "Abbey", "active": False}],
        ),
    ],
)
def test_listings_are_a_map_or_a_list(
    client: httpx.Client, pms: Simulator, raw: Any, listings: Any
) -> None:
    pms.list_anew(raw)

    assert pms.state()["listings"] == listings
    assert client.get("/listings/a").json() == listings[0]


@pytest.mark.parametrize("raw", ["a", [{"title": "x"}], {"a": 1}, [{"_id": "a"}, {"_id": "a"}]])
def test_listings_that_make_no_sense_are_refused(pms: Simulator, raw: Any) -> None:
    answer = httpx.post(f"{pms.url}/_simulator/listings", json=raw, trust_env=False)

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "INVALID_LISTING")


def test_a_person_can_delete_a_reservation(client: httpx.Client, pms: Simulator) -> None:
    held = client.post("/reservations", json=booking("A")).json()

    pms.delete(held["_id"])

    assert client.get(f"/reservations/{held['_id']}").status_code == 404
    assert [effect["op"] for effect in pms.effects()] == ["create", "delete"]
    assert client.post("/reservations", json=booking("A")).status_code == 201
    again = httpx.delete(f"{pms.url}/_simulator/reservations/{held['_id']}", trust_env=False)
    assert again.status_code == 404


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ({"fault": "explode"}, "fault must be one of"),
        ({}, "fault must be one of"),
        ([1], "a rule must be a JSON object"),
        ({"fault": "error", "status": 200}, "status must be"),
        ({"fault": "error", "seconds": 3}, "error does not know seconds"),
        ({"fault": "break", "when": "later"}, "when must be"),
        ({"fault": "break", "probability": 1.5}, "probability must be"),
        ({"fault": "break", "times": -1}, "times must be"),
        ({"fault": "break", "operation": "explode"}, "operation must be"),
        ({"fault": "stale", "operation": "create"}, "cannot strike"),
        ({"fault": "timeout", "seconds": "long"}, "seconds must be"),
        ({"fault": "redirect", "location": "x\r\ny"}, "location must be"),
        ({"fault": "rate_limit", "retry_after": "x\r\ny"}, "retry_after must be"),
        ({"fault": "break", "reset": 1}, "reset must be"),
    ],
)
def test_rules_that_make_no_sense_are_refused_and_arm_nothing(
    pms: Simulator, rule: Any, complaint: str
) -> None:
    pms.faults({"fault": "latency"})

    answer = httpx.put(
        f"{pms.url}/_simulator/faults", json=[{"fault": "break"}, rule], trust_env=False
    )

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "INVALID_FAULT")
    assert complaint in answer.json()["error"]["message"]
    assert [armed["fault"] for armed in pms.state()["faults"]["rules"]] == ["latency"]


@pytest.mark.parametrize(
    "switches", [{"idempotency": "maybe"}, {"key_ttl_s": -1}, {"availability": 1}, {"x": 1}, []]
)
def test_switches_that_make_no_sense_are_refused(pms: Simulator, switches: Any) -> None:
    before = pms.state()["switches"]

    answer = httpx.patch(f"{pms.url}/_simulator/switches", json=switches, trust_env=False)

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "INVALID_SWITCH")
    assert pms.state()["switches"] == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "faults"),
        ("POST", "faults/once"),
        ("PATCH", "switches"),
        ("POST", "listings"),
        ("POST", "reset"),
    ],
)
def test_writes_of_another_media_type_are_refused(
    client: httpx.Client, pms: Simulator, method: str, path: str
) -> None:
    client.post("/reservations", json=booking())

    answer = httpx.request(
        method,
        f"{pms.url}/_simulator/{path}",
        content=b"{}",
        headers={"content-type": "text/plain"},
        trust_env=False,
    )

    assert answer.status_code == 415
    assert len(pms.reservations()) == 1


def test_the_page_shows_reservations_counters_faults_and_requests(
    client: httpx.Client, pms: Simulator
) -> None:
    client.post("/reservations", json=booking("LA2026-48213"))
    pms.once("rate_limit", retry_after=2, operation="find")
    client.get("/reservations", params={"confirmationCode": "LA2026-7"})
    pms.faults({"fault": "error", "status": 503, "operation": ["create", "change"]})

    text = httpx.get(f"{pms.url}/", trust_env=False).text

    for shown in (
        "LA2026-48213",
        "Harbour Loft",
        "2026-12-01 → 2026-12-05",
        "1240.50 EUR",
        "confirmed",
        "503",
        "create, change",
        "rate_limit",
        "LA2026-7",
        "<b>1</b> created",
    ):
        assert shown in text, shown


def test_the_page_escapes_what_guests_and_rules_say(client: httpx.Client, pms: Simulator) -> None:
    evil = "<script>alert('x')</script>\"&"
    client.post("/reservations", json=booking(evil, guestName=evil))
    pms.list_anew([{"_id": evil, "title": evil}])
    pms.faults({"fault": "reject", "message": evil, "operation": "create"})
    client.post("/reservations", json=booking(evil, guestName=evil))

    text = httpx.get(f"{pms.url}/", trust_env=False).text

    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&#34;&amp;") >= 4


def test_the_page_forbids_scripts_frames_and_caches(pms: Simulator) -> None:
    for path in ("/", "/_simulator/page.css"):
        headers = httpx.get(f"{pms.url}{path}", trust_env=False).headers
        policy = headers["content-security-policy"]

        assert policy.startswith("default-src 'none'")
        assert "script-src" not in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


def test_the_page_refreshes_by_itself_unless_told_to_stay_still(pms: Simulator) -> None:
    assert 'http-equiv="refresh"' in httpx.get(f"{pms.url}/", trust_env=False).text
    assert 'http-equiv="refresh"' not in httpx.get(f"{pms.url}/?still", trust_env=False).text


def test_an_empty_simulator_has_a_page_too(pms: Simulator) -> None:
    text = httpx.get(f"{pms.url}/", trust_env=False).text

    assert "None yet." in text
    assert "no fault is armed" in text
