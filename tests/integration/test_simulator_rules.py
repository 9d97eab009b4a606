"""Which calls a fault strikes: filters, counts, dice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support_simulator import (
    LISTINGS,
    Simulator,
    booking,
    start_simulator,
)

FIND = {"confirmationCode": "A"}


@pytest.fixture(scope="module")
def simulator_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with start_simulator(tmp_path_factory.mktemp("rules"), seed=7) as simulator:
        yield simulator


def dice(pms: Simulator, references: list[str]) -> dict[str, list[int]]:
    """What each reference meets in ten look-ups, in the given order of calls."""
    pms.reset()
    pms.faults({"fault": "error", "probability": 0.5})
    met: dict[str, list[int]] = {reference: [] for reference in references}
    with pms.client() as client:
        for _ in range(10):
            for reference in references:
                answer = client.get("/reservations", params={"confirmationCode": reference})
                met[reference].append(answer.status_code)
    return met


def test_a_one_shot_strikes_as_often_as_told_then_never(
    client: httpx.Client, pms: Simulator
) -> None:
    pms.once("error", status=500)
    pms.once("error", status=503, times=2)

    statuses = [client.get("/reservations").status_code for _ in range(4)]

    assert statuses == [500, 503, 503, 200]
    assert pms.state()["faults"] == {"rules": [], "once": []}


def test_a_rule_can_let_the_first_calls_pass(client: httpx.Client, pms: Simulator) -> None:
    pms.faults({"fault": "error", "skip": 2, "times": 1})

    statuses = [client.get("/reservations").status_code for _ in range(4)]

    assert statuses == [200, 200, 500, 200]


@pytest.mark.parametrize(
    ("operation", "struck"),
    [
        ("create", ["create"]),
        ("write", ["create", "change", "cancel"]),
        ("lookup", ["find", "list"]),
        ("read", ["read"]),
        (["change", "listing"], ["change", "listing"]),
    ],
)
def test_a_rule_strikes_only_its_operations(
    client: httpx.Client, pms: Simulator, operation: str | list[str], struck: list[str]
) -> None:
    held = client.post("/reservations", json=booking("A")).json()
    url = f"/reservations/{held['_id']}"
    pms.faults({"fault": "error", "operation": operation})

    calls = {
        "create": client.post("/reservations", json=booking("B")),
        "change": client.put(url, json={"notes": "x"}),
        "cancel": client.put(url, json={"status": "canceled"}),
        "find": client.get("/reservations", params=FIND),
        "list": client.get("/reservations"),
        "read": client.get(url),
        "listing": client.get(f"/listings/{held['listingId']}"),
    }

    assert [name for name, answer in calls.items() if answer.status_code == 500] == struck


def test_a_rule_strikes_only_its_reference_and_listing(
    client: httpx.Client, pms: Simulator
) -> None:
    one, two, three = LISTINGS
    held = client.post("/reservations", json=booking("A", listingId=one)).json()
    pms.faults(
        {"fault": "error", "status": 500, "reference": "A"},
        {"fault": "error", "status": 501, "listing_id": two},
    )

    assert client.get("/reservations", params=FIND).status_code == 500
    assert client.put(f"/reservations/{held['_id']}", json={"notes": "x"}).status_code == 500
    assert client.post("/reservations", json=booking("B", listingId=two)).status_code == 501
    assert client.get(f"/listings/{two}").status_code == 501
    assert client.post("/reservations", json=booking("C", listingId=three)).status_code == 201


def test_dice_do_not_depend_on_how_requests_interleave(pms: Simulator) -> None:
    together = dice(pms, ["A", "B", "C"])

    assert dice(pms, ["C"])["C"] == together["C"]
    assert dice(pms, ["B", "A"])["A"] == together["A"]
    assert together["A"] != together["B"]
    assert {200, 500} == set(together["A"])


def test_another_seed_throws_other_dice(pms: Simulator, tmp_path: Path) -> None:
    with start_simulator(tmp_path, seed=8) as other:
        assert dice(other, ["A"]) != dice(pms, ["A"])


def test_calls_without_the_key_use_no_fault_up(pms: Simulator, client: httpx.Client) -> None:
    pms.once("error", status=503)

    httpx.get(f"{pms.url}/reservations", trust_env=False)

    assert client.get("/reservations").status_code == 503


def test_faults_are_counted_and_logged(client: httpx.Client, pms: Simulator) -> None:
    pms.once("break", when="after", operation="create")
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/reservations", json=booking("A"))

    line = pms.requests()[-1]
    assert {name: line[name] for name in ("method", "path", "outcome", "fault", "effect")} == {
        "method": "POST",
        "path": "/reservations",
        "outcome": "no answer",
        "fault": "break",
        "effect": 1,
    }
    counters = pms.state()["counters"]
    assert counters["faults"] == {"break": 1}
    assert counters["outcomes"] == {"no answer": 1}
    assert counters["effects"]["create"] == 1


def test_clearing_disarms_everything_and_keeps_the_switches(
    client: httpx.Client, pms: Simulator
) -> None:
    pms.switch(availability=False)
    pms.faults({"fault": "error"})
    pms.once("break")

    pms.clear_faults()

    assert client.get("/reservations").status_code == 200
    assert pms.state()["switches"]["availability"] is False
