"""Tokens, limits, faults and the disk of the stand-in that speaks the Guesty API."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support_simulator import LISTING, wait_for
from tests.support_simulator_guesty import (
    CLIENT_ID,
    CLIENT_SECRET,
    RESERVATIONS,
    GuestySimulator,
    create,
    creation,
    put,
    search,
    start_guesty,
)

A_LISTING = f"/v1/listings/{LISTING}"


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuestySimulator]:
    with start_guesty(tmp_path_factory.mktemp("limits")) as simulator:
        yield simulator


@pytest.fixture
def pms(process: GuestySimulator) -> GuestySimulator:
    process.reset()
    process.clear_faults()
    return process


def test_a_token_is_granted_by_form_or_by_basic_credentials(pms: GuestySimulator) -> None:
    by_form = pms.ask_token()
    by_header = httpx.post(
        f"{pms.url}/oauth2/token",
        data={"grant_type": "client_credentials", "scope": "open-api"},
        auth=(CLIENT_ID, CLIENT_SECRET),
        trust_env=False,
    )

    for answer in (by_form, by_header):
        assert answer.status_code == 200
        granted = answer.json()
        assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 86_400)
        assert granted["scope"] == "open-api"
        with pms.client(token=granted["access_token"]) as client:
            assert client.get(A_LISTING).status_code == 200
    assert by_form.json()["access_token"] != by_header.json()["access_token"]


def test_five_requests_a_day_are_counted_whatever_they_got(pms: GuestySimulator) -> None:
    assert pms.ask_token(secret="wrong").status_code == 401
    for _ in range(4):
        pms.token()

    limited = pms.ask_token()

    assert limited.status_code == 429
    assert limited.headers["retry-after"] == "3600"
    counted = pms.tokens()
    assert (counted["requests"], counted["granted"], counted["wrong"]) == (6, 4, 1)
    assert (counted["limited"], counted["left"]) == (1, 0)
    pms.forget_quota()
    pms.token()


def test_a_request_that_a_fault_swallows_is_said_apart_from_those_that_count(
    pms: GuestySimulator,
) -> None:
    pms.once("error", status=503, operation="token")
    pms.once("break", when="after", operation="token")
    assert pms.ask_token().status_code == 503
    with pytest.raises(httpx.RemoteProtocolError):
        pms.ask_token()
    pms.token()

    state = pms.state()

    assert state["counters"]["requests"]["token"] == 3
    assert state["counters"]["swallowed"] == {"token": 1}
    assert pms.tokens()["requests"] == 2, "one was granted, though nobody heard of it"
    page = httpx.get(pms.url, trust_env=False).text
    assert "<b>2</b> tokens asked for, 1 more swallowed by a fault" in page


@pytest.mark.parametrize("authorization", [None, "Bearer nothing", "Basic bm90aGluZw=="])
def test_a_call_without_a_good_token_is_refused_by_a_403_without_a_code(
    pms: GuestySimulator, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"authorization": authorization}

    answer = httpx.get(f"{pms.url}{A_LISTING}", headers=headers, trust_env=False)

    assert answer.status_code == 403
    assert set(answer.json()) == {"message"}
    assert answer.json()["message"].startswith("You don't have permission")


def test_all_tokens_can_be_made_useless_at_once_and_the_refusal_can_be_a_401(
    pms: GuestySimulator,
) -> None:
    with pms.client() as client:
        assert client.get(A_LISTING).status_code == 200
        pms.revoke_tokens()
        assert client.get(A_LISTING).status_code == 403
        pms.switch(denied=401)
        refused = client.get(A_LISTING)

    assert refused.status_code == 401
    assert refused.json() == {"error": {"code": "UNAUTHORIZED", "message": "Unauthorized"}}


def test_a_token_ends_when_its_life_is_over(pms: GuestySimulator) -> None:
    pms.switch(token_seconds=1)
    with pms.client() as client:
        wait_for(lambda: client.get(A_LISTING).status_code == 403)


def test_tokens_reservations_and_the_quota_survive_a_kill(tmp_path: Path) -> None:
    with start_guesty(tmp_path) as pms:
        token = pms.token()
        with pms.client(token=token) as client:
            reservation_id = create(client, "A")
            put(client, reservation_id, "notes", {"notes": {"other": "x"}})
        before = pms.reservations()

        pms.kill()
        pms.start()

        assert pms.reservations() == before
        with pms.client(token=token) as client:
            assert [row["reservationId"] for row in search(client, "A")] == [reservation_id]
        assert pms.tokens()["spent"] == 1
        assert (pms.state_dir / "tokens.json").stat().st_mode & 0o077 == 0
        assert [one["op"] for one in pms.effects()] == ["create", "change"]


def test_a_directory_of_the_other_api_is_refused(tmp_path: Path) -> None:
    with start_guesty(tmp_path) as pms, pms.client() as client:
        create(client, "A")
    command = [sys.executable, "-m", "outbox_worker.simulator", "--state", str(pms.state_dir)]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    assert ended.returncode == 1
    assert "reservations of the other API" in ended.stdout


def test_every_answer_says_what_is_left_and_the_next_call_is_limited(pms: GuestySimulator) -> None:
    pms.switch(rate_minute=3)
    with pms.client() as client:
        left = [client.get(A_LISTING).headers["x-ratelimit-remaining-minute"] for _ in range(3)]
        limited = client.get(A_LISTING)

    assert left == ["2", "1", "0"]
    assert limited.status_code == 429
    assert limited.headers["x-ratelimit-limit-minute"] == "3"
    assert 0 < int(limited.headers["retry-after"]) <= 60
    assert pms.state()["rate"]["limited"] == 1


def test_calls_at_once_are_limited_although_the_window_has_room(pms: GuestySimulator) -> None:
    pms.once("latency", operation="listing", seconds=15, times=2)
    token = pms.token()
    for _ in range(2):
        # whoever gives up leaves its call under way
        with pms.client(token=token, timeout=1) as client, pytest.raises(httpx.ReadTimeout):
            client.get(A_LISTING)
    assert pms.state()["faults"]["once"] == []
    pms.switch(rate_second=2)

    def limited_in_an_empty_window() -> bool:
        with pms.client(token=token) as client:
            answer = client.get(A_LISTING)
        left = answer.headers["x-ratelimit-remaining-second"]
        return (answer.status_code, left) == (429, "2")

    wait_for(limited_in_an_empty_window)


def test_the_defaults_are_the_three_windows_of_the_documents(tmp_path: Path) -> None:
    with start_guesty(tmp_path, arguments=["--rate", "15", "120", "5000"]) as pms:
        answer = httpx.get(f"{pms.url}{A_LISTING}", trust_env=False)

    limits = [answer.headers[f"X-RateLimit-Limit-{one}"] for one in ("Second", "Minute", "Hour")]
    assert limits == ["15", "120", "5000"]


FORMS: dict[str, Any] = {
    "error": {"error": {"code": "ODD", "message": "odd"}},
    "error_code": {"error_code": "ODD", "message": "odd", "data": {"errors": ["ODD"]}},
    "message": {"message": "odd"},
    "issues": [{"path": [], "message": "odd"}],
    "text": "odd",
}


@pytest.mark.parametrize("form", [*FORMS, "html"])
def test_an_injected_refusal_can_have_any_form(pms: GuestySimulator, form: str) -> None:
    pms.once("reject", operation="create", code="ODD", message="odd", form=form)
    with pms.client() as client:
        answer = client.post(RESERVATIONS, json=creation("A"))

    assert answer.status_code == 422
    assert pms.effects() == []
    if form == "html":
        assert answer.headers["content-type"].startswith("text/html")
        assert "odd" in answer.text
    else:
        assert answer.json() == FORMS[form]


def test_a_switch_gives_every_refusal_the_same_form(pms: GuestySimulator) -> None:
    pms.switch(form="text")
    with pms.client() as client:
        create(client, "A")
        taken = client.post(RESERVATIONS, json=creation("B"))
        wrong = client.post(RESERVATIONS, json=creation("B", guestsCount=0))

    assert isinstance(taken.json(), str)
    assert isinstance(wrong.json(), str)


def test_a_write_can_be_lost_after_its_effect_at_any_step(pms: GuestySimulator) -> None:
    with pms.client() as client:
        pms.once("break", when="after", operation="create")
        with pytest.raises(httpx.TransportError):
            client.post(RESERVATIONS, json=creation("A"))
        (row,) = search(client, "A")
        pms.once("break", when="after", operation="notes")
        with pytest.raises(httpx.TransportError):
            put(client, row["reservationId"], "notes", {"notes": {"other": "x"}})

    assert [(one["op"], one["step"], one["fault"]) for one in pms.effects()] == [
        ("create", "create", "break"),
        ("change", "notes", "break"),
    ]
    assert pms.held("A")[0]["notes"] == "x"


def test_a_rule_for_changes_strikes_every_step_and_no_rule_wastes_a_token_unasked(
    pms: GuestySimulator,
) -> None:
    with pms.client() as client:
        reservation_id = create(client, "A")
        pms.faults({"fault": "error", "operation": "change"})
        for step in ("dates", "guests", "relocate", "notes", "status"):
            assert put(client, reservation_id, step, {}).status_code == 500
        pms.faults({"fault": "error"})
        assert pms.ask_token().status_code == 200
        pms.faults({"fault": "error", "operation": "any"})
        assert pms.ask_token().status_code == 500
        assert client.get(A_LISTING).status_code == 500


def test_a_token_can_be_spent_and_its_answer_lost(pms: GuestySimulator) -> None:
    pms.once("break", when="after", operation="token")
    with pytest.raises(httpx.TransportError):
        pms.ask_token()

    assert pms.tokens()["granted"] == 1


def test_a_look_up_can_be_stale_unfiltered_or_about_somebody_else(pms: GuestySimulator) -> None:
    with pms.client() as client:
        create(client, "A")
        pms.once("stale", seconds=3600)
        assert search(client, "A") == []
        pms.once("unfiltered")
        assert [row["confirmationCode"] for row in search(client, "B")] == ["A"]
        pms.once("foreign", operation="find")
        assert [row["confirmationCode"] for row in search(client, "A")] == ["SOMEBODY-ELSE"]
        pms.once("no_id", operation="find")
        assert "reservationId" not in search(client, "A")[0]


def test_a_reset_forgets_reservations_tokens_and_switches(pms: GuestySimulator) -> None:
    pms.switch(token_quota=1)
    with pms.client() as client:
        create(client, "A")
        pms.reset()
        assert client.get(A_LISTING).status_code == 403

    assert pms.reservations() == []
    assert pms.tokens()["requests"] == 0
    assert pms.state()["switches"]["token_quota"] == 5


@pytest.mark.parametrize(
    "switches",
    [{"unavailable": 500}, {"denied": 500}, {"form": "poem"}, {"rate_second": -1}, {"x": 1}, []],
)
def test_switches_that_make_no_sense_change_nothing(pms: GuestySimulator, switches: Any) -> None:
    before = pms.state()["switches"]

    answer = httpx.patch(f"{pms.url}/_simulator/switches", json=switches, trust_env=False)

    assert answer.status_code == 422
    assert pms.state()["switches"] == before
