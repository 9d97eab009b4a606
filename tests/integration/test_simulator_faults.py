"""Each fault is what a client of a real PMS would meet; the effects log tells what happened."""

from __future__ import annotations

import contextlib
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support_simulator import (
    Simulator,
    booking,
    start_simulator,
    wait_for,
)

FIND = {"confirmationCode": "A"}


def operations(pms: Simulator) -> list[str]:
    return [effect["op"] for effect in pms.effects()]


def in_background(call: Any) -> threading.Thread:
    def quietly() -> None:
        with contextlib.suppress(httpx.TransportError):
            call()

    thread = threading.Thread(target=quietly)
    thread.start()
    return thread


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize(("when", "effects"), [("before", []), ("after", ["create"])])
def test_a_5xx_strikes_before_or_after_the_effect(
    client: httpx.Client, pms: Simulator, status: int, when: str, effects: list[str]
) -> None:
    pms.once("error", status=status, when=when, operation="create")

    answer = client.post("/reservations", json=booking())

    assert answer.status_code == status
    assert operations(pms) == effects
    assert all(effect["fault"] == "error" for effect in pms.effects())


def test_a_500_is_the_api_s_own_json_and_a_502_the_proxy_s_page(
    client: httpx.Client, pms: Simulator
) -> None:
    pms.once("error", status=500)
    assert client.get("/reservations").json()["error"]["code"] == "INTERNAL_SERVER_ERROR"
    pms.once("error", status=502)
    assert client.get("/reservations").text.startswith("<html>")


@pytest.mark.parametrize("status", [401, 403, 404, 405, 501])
def test_any_error_status_can_be_injected(
    client: httpx.Client, pms: Simulator, status: int
) -> None:
    pms.once("error", status=status, code="EXPIRED", message="the key has expired")

    answer = client.post("/reservations", json=booking())

    error = {"code": "EXPIRED", "message": "the key has expired"}
    assert (answer.status_code, answer.json()) == (status, {"error": error})


def test_a_rejection_has_the_given_code_and_message(client: httpx.Client, pms: Simulator) -> None:
    pms.once("reject", status=400, code="MIN_NIGHTS", message="three nights at least")

    answer = client.post("/reservations", json=booking())

    error = {"code": "MIN_NIGHTS", "message": "three nights at least"}
    assert (answer.status_code, answer.json()) == (400, {"error": error})
    assert operations(pms) == []


@pytest.mark.parametrize(("when", "effects"), [("before", []), ("after", ["create"])])
def test_a_broken_connection_gives_the_client_no_byte_of_an_answer(
    client: httpx.Client, pms: Simulator, when: str, effects: list[str]
) -> None:
    pms.once("break", when=when, operation="create")

    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        client.post("/reservations", json=booking())

    assert operations(pms) == effects
    assert client.get("/reservations").status_code == 200


def test_a_connection_can_be_reset(client: httpx.Client, pms: Simulator) -> None:
    pms.once("break", reset=True)

    with pytest.raises(httpx.ReadError, match="reset by peer"):
        client.post("/reservations", json=booking())


def test_an_answer_can_be_cut_in_the_middle(client: httpx.Client, pms: Simulator) -> None:
    pms.once("cut", operation="create")

    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        client.post("/reservations", json=booking())

    assert operations(pms) == ["create"]


@pytest.mark.parametrize(("when", "effects"), [("before", []), ("after", ["create"])])
def test_a_time_out_leaves_the_client_without_an_answer(
    client: httpx.Client, pms: Simulator, when: str, effects: list[str]
) -> None:
    pms.once("timeout", seconds=30, when=when, operation="create")

    with pytest.raises(httpx.ReadTimeout):
        client.post("/reservations", json=booking(), timeout=0.2)

    wait_for(lambda: pms.state()["counters"]["faults"].get("timeout") == 1)
    wait_for(lambda: operations(pms) == effects)


def test_a_hang_ends_in_a_break_for_a_patient_client(client: httpx.Client, pms: Simulator) -> None:
    pms.once("timeout", seconds=0.2)
    began = time.monotonic()

    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/reservations")

    assert time.monotonic() - began >= 0.2


def test_a_late_effect_happens_after_the_client_has_given_up(
    client: httpx.Client, pms: Simulator
) -> None:
    pms.once("late", seconds=3, operation="create")

    with pytest.raises(httpx.ReadTimeout):
        client.post("/reservations", json=booking("A"), timeout=0.1)

    assert operations(pms) == []
    assert client.get("/reservations", params=FIND).json()["results"] == []
    wait_for(lambda: operations(pms) == ["create"])
    assert len(client.get("/reservations", params=FIND).json()["results"]) == 1


def test_a_late_create_and_a_blind_retry_make_two_reservations_without_a_key(
    client: httpx.Client, pms: Simulator
) -> None:
    pms.switch(idempotency="ignore", availability=False)
    pms.once("late", seconds=2, operation="create")
    with pytest.raises(httpx.ReadTimeout):
        client.post("/reservations", json=booking(), timeout=0.1)

    client.post("/reservations", json=booking())

    wait_for(lambda: operations(pms) == ["create", "create"])


def test_a_late_create_is_absorbed_by_a_honoured_key(client: httpx.Client, pms: Simulator) -> None:
    headers = {"idempotency-key": "k"}
    pms.once("late", seconds=2, operation="create")
    with pytest.raises(httpx.ReadTimeout):
        client.post("/reservations", json=booking(), headers=headers, timeout=0.1)

    client.post("/reservations", json=booking(), headers=headers)

    wait_for(lambda: pms.state()["counters"]["repeated"] == 1)
    assert operations(pms) == ["create"]


def test_a_late_answer_reaches_a_patient_client(client: httpx.Client, pms: Simulator) -> None:
    pms.once("late", seconds=0.2)

    assert client.post("/reservations", json=booking()).status_code == 201


def test_429_says_when_to_come_back_in_seconds(client: httpx.Client, pms: Simulator) -> None:
    pms.once("rate_limit", retry_after=17)

    answer = client.post("/reservations", json=booking())

    assert (answer.status_code, answer.headers["retry-after"]) == (429, "17")
    assert operations(pms) == []


def test_429_says_when_to_come_back_as_a_date(client: httpx.Client, pms: Simulator) -> None:
    pms.once("rate_limit", retry_after=90, as_date=True)

    until = parsedate_to_datetime(client.get("/reservations").headers["retry-after"])

    assert timedelta(seconds=60) < until - datetime.now(UTC) <= timedelta(seconds=90)


@pytest.mark.parametrize("text", ["soon", "-5", "99999999999"])
def test_429_can_say_nonsense(client: httpx.Client, pms: Simulator, text: str) -> None:
    pms.once("rate_limit", retry_after=text)

    assert client.get("/reservations").headers["retry-after"] == text


def test_429_can_be_silent_about_when(client: httpx.Client, pms: Simulator) -> None:
    pms.once("rate_limit", retry_after="")

    answer = client.get("/reservations")

    assert answer.status_code == 429
    assert "retry-after" not in answer.headers


def test_stale_look_ups_miss_what_is_young_and_reads_do_not(
    client: httpx.Client, pms: Simulator
) -> None:
    pms.faults({"fault": "stale", "seconds": 3})
    held = client.post("/reservations", json=booking("A")).json()

    assert client.get("/reservations", params=FIND).json()["results"] == []
    assert client.get("/reservations").json()["count"] == 0
    assert client.get(f"/reservations/{held['_id']}").status_code == 200
    wait_for(lambda: client.get("/reservations", params=FIND).json()["results"] or None)


def test_a_look_up_can_ignore_its_filter(client: httpx.Client, pms: Simulator) -> None:
    client.post("/reservations", json=booking("B"))
    pms.once("unfiltered")

    (hit,) = client.get("/reservations", params=FIND).json()["results"]

    assert hit["confirmationCode"] == "B"


def test_a_look_up_that_ignores_its_filter_can_hide_how_many_there_are(
    client: httpx.Client, pms: Simulator
) -> None:
    pms.once("unfiltered", uncounted=True)
    assert "count" not in client.get("/reservations", params=FIND).json()
    assert client.get("/reservations", params=FIND).json()["count"] == 0


def test_a_201_can_lack_its_id(client: httpx.Client, pms: Simulator) -> None:
    pms.once("no_id", operation="create")

    answer = client.post("/reservations", json=booking())

    assert answer.status_code == 201
    assert "_id" not in answer.json()
    assert operations(pms) == ["create"]


@pytest.mark.parametrize(("when", "effects"), [("before", []), ("after", ["create"])])
def test_a_2xx_can_be_a_page_of_html(
    client: httpx.Client, pms: Simulator, when: str, effects: list[str]
) -> None:
    pms.once("html", when=when, operation="create")

    answer = client.post("/reservations", json=booking())

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert operations(pms) == effects


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_an_answer_can_be_about_somebody_else(
    client: httpx.Client, pms: Simulator, method: str
) -> None:
    if method == "GET":
        client.post("/reservations", json=booking("A"))
    pms.once("foreign")

    if method == "GET":
        answer = client.get("/reservations", params=FIND).json()["results"][0]
    else:
        answer = client.post("/reservations", json=booking("A")).json()

    assert answer["confirmationCode"] == "SOMEBODY-ELSE"
    assert pms.reservations()[0]["confirmationCode"] == "A"


def test_a_redirect_points_elsewhere(client: httpx.Client, pms: Simulator) -> None:
    pms.once("redirect", status=307, location="https://pms.example.org/login")

    answer = client.post("/reservations", json=booking())

    assert (answer.status_code, answer.headers["location"]) == (
        307,
        "https://pms.example.org/login",
    )
    assert operations(pms) == []


def test_latency_is_fixed_plus_jitter(client: httpx.Client, pms: Simulator) -> None:
    pms.faults({"fault": "latency", "seconds": 0.15, "jitter_s": 0.05})

    took = [client.get("/reservations").elapsed.total_seconds() for _ in range(5)]

    assert all(0.15 <= one < 5 for one in took)
    assert len({round(one, 3) for one in took}) > 1


def test_latency_adds_to_another_fault(client: httpx.Client, pms: Simulator) -> None:
    pms.faults({"fault": "latency", "seconds": 0.15}, {"fault": "error", "status": 500})

    answer = client.get("/reservations")

    assert answer.status_code == 500
    assert answer.elapsed >= timedelta(seconds=0.15)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_body_can_be_larger_than_anyone_wants(
    client: httpx.Client, pms: Simulator, *, compressed: bool
) -> None:
    client.post("/reservations", json=booking("A"))
    pms.once("oversized", bytes=3 << 20, compressed=compressed)

    with client.stream("GET", "/reservations", params=FIND) as answer:
        assert "content-length" not in answer.headers
        body = answer.read()
        received = answer.num_bytes_downloaded

    assert len(body) == 3 << 20
    assert answer.json()["results"][0]["confirmationCode"] == "A"
    assert (received < 1 << 16) is compressed


def test_a_client_that_stops_reading_an_oversized_body_ends_it(
    client: httpx.Client, pms: Simulator
) -> None:
    pms.once("oversized", bytes=1 << 30)

    with client.stream("GET", "/reservations") as answer:
        next(answer.iter_raw())

    assert client.get("/reservations").status_code == 200


def test_a_slow_body_trickles(client: httpx.Client, pms: Simulator) -> None:
    # ten pieces and more, of which some may arrive together
    pms.once("slow", seconds=2, operation="create")
    began = time.monotonic()

    with client.stream("POST", "/reservations", json=booking()) as answer:
        pieces = list(answer.iter_raw())
        took = time.monotonic() - began

    assert answer.status_code == 201
    assert len(pieces) >= 3
    assert took >= 1.5
    assert operations(pms) == ["create"]


def test_a_fault_on_a_refused_request_does_not_make_it_accepted(
    client: httpx.Client, pms: Simulator
) -> None:
    pms.once("no_id", operation="create")

    answer = client.post("/reservations", json=booking(numberOfGuests=0))

    assert answer.status_code == 422


def test_many_requests_hang_while_others_are_answered(tmp_path: Path) -> None:
    with (
        start_simulator(tmp_path) as pms,
        pms.client() as client,
        pms.client(timeout=60) as patient,
    ):
        pms.once("timeout", seconds=60, times=20, reference="A")
        threads = [
            in_background(lambda: patient.get("/reservations", params=FIND)) for _ in range(20)
        ]
        wait_for(lambda: pms.state()["counters"]["faults"].get("timeout") == 20)

        assert client.get("/reservations").status_code == 200
        assert all(thread.is_alive() for thread in threads)
        pms.stop()
        for thread in threads:
            thread.join(timeout=20)
