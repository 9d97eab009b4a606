"""How many tokens and calls the Guesty stand-in allows, by a clock that the test holds."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from outbox_worker.simulator.guesty_refusal import GuestyRefusedError
from outbox_worker.simulator.guesty_switches import GuestySetup, GuestySwitches, guesty_setup
from outbox_worker.simulator.guesty_tokens import TokenDesk, desk_from
from outbox_worker.simulator.guesty_windows import RateWindows
from outbox_worker.simulator.reservation import RequestRefusedError

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SETUP = GuestySetup(client_id="me", client_secret="right")
SWITCHES = GuestySwitches()
RIGHT = "right"


def ask(desk: TokenDesk, *, at: datetime = NOW, value: str = "t", shown: str = RIGHT) -> None:
    """Ask for a token."""
    form = {
        "grant_type": "client_credentials",
        "scope": "open-api",
        "client_id": "me",
        "client_secret": shown,
    }
    desk.grant(form, switches=SWITCHES, token=value, now=at)


def refusal(desk: TokenDesk, *, at: datetime = NOW, shown: str = RIGHT) -> int:
    """Status of the refusal of a request for a token."""
    with pytest.raises(GuestyRefusedError) as refused:
        ask(desk, at=at, shown=shown)
    return refused.value.status


def test_the_sixth_request_within_a_day_is_limited_whatever_the_first_five_got() -> None:
    desk = TokenDesk(SETUP)
    assert refusal(desk, shown="wrong") == 401
    for _ in range(4):
        ask(desk)

    assert refusal(desk) == 429
    assert refusal(desk, at=NOW + timedelta(hours=23, minutes=59)) == 429
    ask(desk, at=NOW + timedelta(days=1))


def test_a_token_is_good_until_it_ends_and_no_longer() -> None:
    desk = TokenDesk(SETUP)
    ask(desk, value="t")

    assert desk.good("t", now=NOW + timedelta(hours=23, minutes=59))
    assert not desk.good("t", now=NOW + timedelta(days=1))
    assert not desk.good("other", now=NOW)


def test_tokens_and_what_was_spent_survive_being_written_down() -> None:
    desk = TokenDesk(SETUP)
    for number in range(5):
        ask(desk, value=f"t{number}")

    again = desk_from(json.loads(json.dumps(desk.document())), SETUP)

    assert again.good("t0", now=NOW)
    assert refusal(again) == 429
    assert again.counted(switches=SWITCHES, now=NOW) == {
        "requests": 6,
        "granted": 5,
        "wrong": 0,
        "limited": 1,
        "spent": 5,
        "left": 0,
        "live": 5,
    }


@pytest.mark.parametrize(
    ("switches", "length_s"),
    [
        (GuestySwitches(rate_second=3, rate_minute=0, rate_hour=0), 1),
        (GuestySwitches(rate_second=0, rate_minute=3, rate_hour=0), 60),
        (GuestySwitches(rate_second=0, rate_minute=0, rate_hour=3), 3600),
    ],
)
def test_each_window_slides(switches: GuestySwitches, length_s: int) -> None:
    windows = RateWindows()
    for number in range(3):
        windows.take(switches, now_s=number * length_s / 10)

    with pytest.raises(GuestyRefusedError) as refused:
        windows.take(switches, now_s=length_s / 2)
    assert refused.value.status == 429
    assert int(refused.value.headers["retry-after"]) == max(1, length_s // 2)
    windows.take(switches, now_s=length_s)
    with pytest.raises(GuestyRefusedError):
        windows.take(switches, now_s=length_s)


def test_more_calls_at_once_than_a_second_allows_are_limited_at_once() -> None:
    switches, windows = GuestySwitches(rate_second=2), RateWindows(under_way=2)
    windows.take(switches, now_s=0)
    windows.under_way = 3

    with pytest.raises(GuestyRefusedError):
        windows.take(switches, now_s=10)


def test_headers_say_what_is_left_of_each_window_that_there_is() -> None:
    switches, windows = GuestySwitches(rate_second=2, rate_minute=5, rate_hour=0), RateWindows()
    for now_s in (0.0, 5.0):
        windows.take(switches, now_s=now_s)

    assert windows.headers(switches, now_s=5.5) == {
        "x-ratelimit-limit-second": "2",
        "x-ratelimit-remaining-second": "1",
        "x-ratelimit-limit-minute": "5",
        "x-ratelimit-remaining-minute": "3",
    }


NOTHING = {
    "api_key": None,
    "client_id": None,
    "client_secret": None,
    "token_seconds": None,
    "token_quota": None,
    "rate": None,
}


def test_options_become_switches_and_the_rest_is_as_the_documents_say() -> None:
    options = NOTHING | {"token_seconds": 60, "rate": (1, 2, 3)}

    setup = guesty_setup("guesty", **options)  # type: ignore[arg-type] # a table of options

    assert setup is not None
    assert setup.switches == GuestySwitches(
        token_seconds=60, rate_second=1, rate_minute=2, rate_hour=3
    )
    assert (SWITCHES.rate_second, SWITCHES.rate_minute, SWITCHES.rate_hour) == (15, 120, 5000)
    assert guesty_setup("guestly", **NOTHING) is None


@pytest.mark.parametrize(
    ("pms", "options"), [("guestly", {"token_quota": 5}), ("guesty", {"api_key": "k"})]
)
def test_options_of_the_other_api_are_refused(pms: str, options: dict[str, object]) -> None:
    with pytest.raises(RequestRefusedError, match="--pms"):
        guesty_setup(pms, **(NOTHING | options))  # type: ignore[arg-type] # a table of options
