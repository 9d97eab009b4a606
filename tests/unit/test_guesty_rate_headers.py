"""What answers say of the rate limit's windows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from outbox_worker.pms import rate_headers
from outbox_worker.pms.port import Remaining

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
NOW = datetime(2026, 11, 21, 10, 20, 30, 250_000, tzinfo=UTC)


def headers(word: str, limit: str, left: str) -> dict[str, str]:
    return {f"x-ratelimit-limit-{word}": limit, f"x-ratelimit-remaining-{word}": left}


def test_every_window_that_is_told_of_is_read() -> None:
    told = headers("hour", "5000", "4999") | headers("second", "15", "0")
    assert rate_headers.remaining(told) == (
        Remaining(length=SECOND, limit=15, left=0),
        Remaining(length=HOUR, limit=5000, left=4999),
    )


@pytest.mark.parametrize(
    ("limit", "left"),
    [
        ("", "1"),
        ("15", ""),
        ("15", "-1"),
        ("15", "16"),
        ("0", "0"),
        ("15", "1.5"),
        ("15", "14, 13"),
        ("15", "\u0661"),
        ("9" * 4000, "1"),
        ("unlimited", "1"),
    ],
)
def test_nonsense_is_left_out(limit: str, left: str) -> None:
    assert rate_headers.remaining(headers("minute", limit, left)) == ()


def test_an_answer_without_such_headers_tells_nothing() -> None:
    assert rate_headers.remaining({"retry-after": "3", "x-ratelimit-limit-second": "15"}) == ()


@pytest.mark.parametrize(
    ("told", "rest"),
    [
        ({}, None),
        (headers("second", "15", "1"), None),
        (headers("second", "15", "0"), timedelta(milliseconds=750)),
        (headers("minute", "120", "0"), timedelta(seconds=29, milliseconds=750)),
        (
            headers("second", "15", "0") | headers("hour", "5000", "0"),
            timedelta(minutes=39, seconds=29, milliseconds=750),
        ),
        (headers("second", "15", "0") | headers("hour", "5000", "1"), timedelta(milliseconds=750)),
    ],
)
def test_a_window_that_is_used_up_is_waited_for(
    told: dict[str, str], rest: timedelta | None
) -> None:
    assert rate_headers.rest_of_spent(rate_headers.remaining(told), now=NOW) == rest


def test_at_the_very_beginning_of_a_window_all_of_it_is_left() -> None:
    windows = rate_headers.remaining(headers("minute", "120", "0"))
    assert rate_headers.rest_of_spent(windows, now=NOW.replace(second=0, microsecond=0)) == MINUTE
