"""When the fleet's token is used, renewed, and not requested."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from outbox_worker.gate.token_state import UNFINISHED, Request, TokenRow, identity
from outbox_worker.pms import guesty_token as rules
from outbox_worker.pms import guesty_token_words as words
from outbox_worker.pms.guesty_token import Plan, Refusal, Token
from outbox_worker.pms.port import Misconfigured, Unavailable

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(hours=24)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
URL = "https://pms.example.com"
OURS = identity(api_url=URL, client_id="client", client_secret="secret")
EMPTY = TokenRow(
    value=None,
    serial=0,
    since=None,
    expires_at=None,
    refused=False,
    forbidden=False,
    credentials=None,
    requests=(),
    failing=None,
    failures=0,
    code=None,
    not_before=None,
    now=NOW,
)
TOKEN = Token("a-token", 7)


def aged(age: timedelta, **changes: Any) -> TokenRow:
    """A row with a token of that age."""
    row = replace(
        EMPTY,
        value=TOKEN.value,
        serial=TOKEN.serial,
        since=NOW - age,
        expires_at=NOW - age + DAY,
        credentials=OURS.credentials,
    )
    return replace(row, **changes)


def failed(code: str, wait: timedelta, row: TokenRow = EMPTY) -> TokenRow:
    return replace(row, failing=OURS.credentials, failures=1, code=code, not_before=NOW + wait)


def requests(*ages: timedelta) -> tuple[Request, ...]:
    return tuple(Request(at=NOW - age, client=OURS.client) for age in ages)


FIVE = requests(5 * HOUR, 4 * HOUR, 3 * HOUR, 2 * HOUR, HOUR)


def plan(row: TokenRow, *, share: float = 0.0, locked: bool = True) -> Plan:
    return rules.decide(row, OURS, share=share, locked=locked)


def test_with_none_on_record_one_is_requested() -> None:
    assert plan(EMPTY) == Plan(request=True)


@pytest.mark.parametrize(
    ("left", "share", "early"),
    [
        (61 * MINUTE, 0.999, False),
        (59 * MINUTE, 0.999, True),
        (59 * MINUTE, 0.0, False),
        (31 * MINUTE, 0.0, False),
        (29 * MINUTE, 0.0, True),
        (2 * MINUTE, 0.5, True),
    ],
)
def test_it_is_renewed_30_to_60_minutes_before_its_end_and_used_meanwhile(
    left: timedelta, share: float, early: bool
) -> None:
    assert plan(aged(DAY - left), share=share) == Plan(token=TOKEN, request=early)


def test_in_its_last_minute_it_is_not_used() -> None:
    assert plan(aged(DAY - 59 * SECOND)) == Plan(request=True)


@pytest.mark.parametrize("changes", [{"refused": True}, {"credentials": "of others"}])
def test_a_token_that_was_refused_or_is_somebody_elses_is_not_used(
    changes: dict[str, Any],
) -> None:
    assert plan(aged(HOUR, **changes)) == Plan(request=True)


def test_five_requests_in_a_day_are_all() -> None:
    five = requests(DAY, 3 * HOUR, 2 * HOUR, HOUR, MINUTE)
    told = plan(replace(EMPTY, requests=five))
    assert isinstance(told.refusal, Misconfigured)
    assert told.refusal.code == "token_quota"
    assert "2026-03-01 12:01 UTC" in told.refusal.message
    assert not told.request
    # a minute more than a day: a request arrives later than it was counted
    assert plan(replace(EMPTY, requests=five, now=NOW + MINUTE + SECOND)).request
    of_others = tuple(replace(each, client="other") for each in five)
    assert plan(replace(EMPTY, requests=of_others)).request


def test_a_token_that_was_given_up_is_used_only_when_there_can_be_no_other() -> None:
    given_up = aged(5 * HOUR, refused=True, requests=FIVE)
    assert plan(given_up) == Plan(token=TOKEN)
    assert plan(replace(given_up, requests=FIVE[1:])) == Plan(request=True)
    for useless in (
        replace(given_up, credentials="of others"),
        replace(given_up, since=NOW - DAY, expires_at=NOW),
        replace(given_up, value=None),
    ):
        told = plan(useless).refusal
        assert isinstance(told, Misconfigured)
        assert told.code == "token_quota"
    told = plan(failed(words.CREDENTIALS_REFUSED, HOUR, given_up)).refusal
    assert isinstance(told, Misconfigured)
    assert told.code == "credentials_refused"


def test_the_last_request_is_kept_while_the_token_is_good() -> None:
    row = aged(DAY - 10 * MINUTE)
    assert plan(replace(row, requests=requests(3 * HOUR, 2 * HOUR, HOUR))).request
    four = replace(row, requests=requests(4 * HOUR, 3 * HOUR, 2 * HOUR, HOUR))
    assert plan(four) == Plan(token=TOKEN)


def test_an_early_renewal_that_failed_waits_a_minute_at_least() -> None:
    row = aged(DAY - 10 * MINUTE, requests=requests(59 * SECOND))
    assert plan(failed("http_503", timedelta(0), row)) == Plan(token=TOKEN)
    later = replace(row, requests=requests(MINUTE))
    assert plan(failed("http_503", timedelta(0), later)).request
    assert not plan(failed("http_503", SECOND, later)).request


def test_what_is_under_way_is_waited_for_and_taken_over_when_its_worker_was_lost() -> None:
    row = failed(UNFINISHED, MINUTE)
    assert plan(row, locked=False) == Plan(request=True)
    assert isinstance(plan(row, locked=True).refusal, Unavailable)
    assert plan(failed(UNFINISHED, timedelta(0)), locked=True).request


def test_a_failure_holds_up_nobody_with_other_credentials() -> None:
    row = replace(failed(words.CREDENTIALS_REFUSED, HOUR), failing="of others")
    assert plan(row) == Plan(request=True)
    assert rules.failures(row, OURS) == 0


def test_refused_credentials_are_said_before_a_spent_quota() -> None:
    row = failed(words.CREDENTIALS_REFUSED, HOUR)
    told = plan(replace(row, requests=requests(*[HOUR] * 5))).refusal
    assert isinstance(told, Misconfigured)
    assert told.code == "credentials_refused"


def test_a_rest_that_was_asked_for_is_what_is_left_of_it() -> None:
    told = plan(failed(words.TOKEN_LIMITED, 20 * MINUTE)).refusal
    assert isinstance(told, Unavailable)
    assert (told.unasked, told.outage, told.rest) == (True, True, 20 * MINUTE)
    assert "(token_limited); the next one is requested in 20 min" in told.message


def test_waits_grow_with_failures_and_the_last_request_is_kept_for_later() -> None:
    assert [rules.pace(n) for n in range(1, 7)] == [
        timedelta(0),
        MINUTE,
        10 * MINUTE,
        HOUR,
        HOUR,
        HOUR,
    ]

    def pause(code: str = "http_503", *, counted: int = 1, asked: timedelta = SECOND) -> timedelta:
        return rules.pause_after(code, in_a_row=2, counted=counted, retry_after=asked)

    assert pause() == MINUTE
    assert pause(asked=HOUR) == HOUR
    assert pause(counted=4) == 6 * HOUR
    assert pause(words.CREDENTIALS_REFUSED, asked=timedelta(0)) == 6 * HOUR


@pytest.mark.parametrize(
    ("row", "means"),
    [
        (aged(59 * MINUTE), Refusal.FORBIDDEN),
        (aged(61 * MINUTE), Refusal.ENDED),
        (aged(MINUTE, refused=True), Refusal.ENDED),
        (aged(DAY + SECOND), Refusal.ENDED),
        (aged(5 * HOUR, forbidden=True), Refusal.FORBIDDEN),
        (aged(7 * HOUR, forbidden=True), Refusal.ENDED),
        (aged(MINUTE, requests=FIVE), Refusal.FORBIDDEN),
        (aged(2 * HOUR, requests=FIVE), Refusal.SPENT),
        (aged(2 * HOUR, requests=FIVE[1:]), Refusal.ENDED),
        (aged(MINUTE, refused=True, requests=FIVE), Refusal.SPENT),
        (aged(DAY + SECOND, requests=FIVE), Refusal.ENDED),
        (aged(MINUTE, serial=8), Refusal.REPLACED),
        (aged(MINUTE, credentials="of others"), Refusal.REPLACED),
    ],
)
def test_a_refused_token_has_ended_or_lacks_a_permission(row: TokenRow, means: Refusal) -> None:
    assert rules.judge(row, TOKEN, OURS) is means


def test_no_text_of_ours_shows_a_token() -> None:
    assert "a-token" not in repr(TOKEN) + repr(aged(HOUR)) + repr(plan(aged(HOUR)))


def test_another_address_is_another_identity() -> None:
    other = identity(api_url=f"{URL}/v2", client_id="client", client_secret="secret")
    assert (other.client != OURS.client, other.credentials != OURS.credentials) == (True, True)
    same = identity(api_url=f"{URL}/", client_id="client", client_secret="secret")
    assert same == OURS
    for spelt in ("HTTPS://PMS.Example.com", f"{URL}:443", f"{URL}:443//", f"{URL}./"):
        assert identity(api_url=spelt, client_id="client", client_secret="secret") == OURS, spelt
    for another in (f"{URL}:444", "http://pms.example.com", f"{URL}/Case", "https://pms.example"):
        one = identity(api_url=another, client_id="client", client_secret="secret")
        assert one.client != OURS.client, another
    rotated = identity(api_url=URL, client_id="client", client_secret="new")
    assert rotated.client == OURS.client
    assert rotated.credentials != OURS.credentials
