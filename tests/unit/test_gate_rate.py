"""The common limit of calls against a log of every single call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox_worker.gate.rate import SLOTS, Usage, Window, give_back, take, told

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECOND = Window(limit=15, length=timedelta(seconds=1))
MINUTE = Window(limit=120, length=timedelta(minutes=1))
HOUR = Window(limit=5000, length=timedelta(hours=1))
ALL = (SECOND, MINUTE, HOUR)


def stored(usage: Usage) -> Usage:
    """As it comes back from the database."""
    return {
        key: [tuple(pair) for pair in slots] for key, slots in json.loads(json.dumps(usage)).items()
    }


def most_in_any_stretch(calls: Sequence[tuple[float, int]], length: float) -> int:
    return max(
        (sum(count for at, count in calls if start <= at < start + length) for start, _ in calls),
        default=0,
    )


@given(
    st.lists(
        st.tuples(
            st.floats(min_value=0, max_value=20, allow_nan=False),
            st.integers(min_value=1, max_value=40),
        ),
        min_size=1,
        max_size=60,
    )
)
def test_no_stretch_of_a_windows_length_ever_holds_more_calls_than_its_limit(
    asked: list[tuple[float, int]],
) -> None:
    at, usage, calls = 0.0, dict[str, Sequence[tuple[int, int]]](), list[tuple[float, int]]()
    for later, want in asked:
        at += later
        taken = take(usage, ALL, now=START + timedelta(seconds=at), want=want, least=1)
        usage = dict(stored(taken.usage)) if taken.granted else usage
        if taken.granted:
            calls.append((at, taken.granted))
    for window in ALL:
        length = window.length.total_seconds()
        assert most_in_any_stretch(calls, length) <= window.limit


def test_under_full_load_nearly_all_of_the_limit_is_used() -> None:
    usage: Usage = {}
    granted, at = 0, 0.0
    while at < 600:
        taken = take(usage, (MINUTE,), now=START + timedelta(seconds=at), want=7, least=1)
        usage, granted = taken.usage, granted + taken.granted
        at += 0.25
    assert 0.98 * 1200 <= granted <= 1200 + MINUTE.limit


def test_the_wait_is_when_enough_calls_are_free_and_not_sooner() -> None:
    full = take({}, (MINUTE,), now=START, want=120, least=1)
    refused = take(full.usage, (MINUTE,), now=START + timedelta(seconds=10), want=9, least=2)
    assert refused.granted == 0
    early = START + timedelta(seconds=10) + refused.wait - timedelta(milliseconds=50)
    assert take(full.usage, (MINUTE,), now=early, want=9, least=2).granted == 0
    late = START + timedelta(seconds=10) + refused.wait + timedelta(milliseconds=50)
    assert take(full.usage, (MINUTE,), now=late, want=9, least=2).granted == 9


def test_fewer_than_are_of_use_are_not_taken() -> None:
    usage = take({}, (MINUTE,), now=START, want=119, least=1).usage
    taken = take(usage, (MINUTE,), now=START, want=10, least=2)
    assert taken.granted == 0
    assert take(usage, (MINUTE,), now=START, want=10, least=1).granted == 1


def test_the_tightest_window_decides() -> None:
    taken = take({}, ALL, now=START, want=100, least=1)
    assert taken.granted == SECOND.limit


def test_what_is_given_back_may_be_taken_again() -> None:
    full = take({}, ALL, now=START, want=15, least=1)
    assert take(full.usage, ALL, now=START, want=2, least=1).granted == 0
    back = give_back(full.usage, ALL, count=2, taken_at=full.at)
    assert take(back, ALL, now=START, want=9, least=1).granted == 2


def test_giving_back_more_than_was_taken_leaves_nothing_negative() -> None:
    taken = take({}, ALL, now=START, want=3, least=1)
    back = give_back(taken.usage, ALL, count=10, taken_at=taken.at)
    assert back == {"1": [], "60": [], "3600": []}


def test_giving_back_frees_no_call_that_somebody_else_made() -> None:
    ours = take({}, ALL, now=START, want=14, least=1)
    later = START + timedelta(seconds=1.1)
    theirs = take(ours.usage, ALL, now=later, want=15, least=1)
    assert theirs.granted == 15
    back = give_back(theirs.usage, ALL, count=14, taken_at=ours.at)
    assert take(back, ALL, now=later, want=1, least=1).granted == 0


def test_a_window_that_is_not_limited_any_more_is_forgotten() -> None:
    taken = take({}, ALL, now=START, want=3, least=1)
    assert set(take(taken.usage, (MINUTE,), now=START, want=3, least=1).usage) == {"60"}


def test_without_windows_everything_is_granted() -> None:
    assert take({}, (), now=START, want=500, least=2).granted == 500


def test_a_clock_that_was_set_back_does_not_stop_everything_for_good() -> None:
    future = START + timedelta(days=1)
    full = take({}, (MINUTE,), now=future, want=120, least=1)
    assert take(full.usage, (MINUTE,), now=START, want=5, least=1).granted == 5


@pytest.mark.parametrize("window", ALL, ids=["second", "minute", "hour"])
def test_the_record_stays_small(window: Window) -> None:
    usage: Usage = {}
    for step in range(5 * SLOTS):
        now = START + step * window.length / 100
        usage = take(usage, (window,), now=now, want=1, least=1).usage
    assert len(usage[window.key]) <= SLOTS + 1


def test_what_others_have_used_is_counted_as_used() -> None:
    usage = take({}, ALL, now=START, want=4, least=1).usage
    counted = told(usage, ALL, {SECOND.key: 3, MINUTE.key: 100}, now=START)
    assert counted is not None
    left = take(counted, ALL, now=START, want=50, least=1)
    assert left.granted == 3
    later = START + timedelta(seconds=2)
    assert take(counted, ALL, now=later, want=500, least=1).granted == 15
    minute = {window.key: calls for window in (MINUTE,) for calls in [counted[window.key]]}
    assert sum(calls for _, calls in minute[MINUTE.key]) == 20


def test_what_is_left_of_a_limit_frees_no_call_that_we_know_of() -> None:
    usage = take({}, ALL, now=START, want=10, least=1).usage
    assert told(usage, ALL, {SECOND.key: 15, MINUTE.key: 118}, now=START) is None


def test_a_window_that_we_do_not_limit_is_not_counted() -> None:
    assert told({}, (MINUTE,), {SECOND.key: 0}, now=START) is None
    assert told({}, (), {SECOND.key: 0}, now=START) is None


@pytest.mark.parametrize(("window", "left_s"), [(MINUTE, 17), (HOUR, 30)])
def test_what_others_have_used_is_free_again_when_the_clocks_window_ends(
    window: Window, left_s: int
) -> None:
    now = datetime(2026, 5, 1, 13, tzinfo=UTC) - timedelta(seconds=left_s)
    counted = told({}, (window,), {window.key: 0}, now=now)
    assert counted is not None
    refused = take(counted, (window,), now=now, want=1, least=1)
    assert refused.granted == 0
    assert refused.wait <= timedelta(seconds=left_s)
    later = now + timedelta(seconds=left_s)
    assert take(counted, (window,), now=later, want=1, least=1).granted == 1


def test_what_others_have_used_is_given_back_by_nobody() -> None:
    counted = told({}, (MINUTE,), {MINUTE.key: 0}, now=START)
    assert counted is not None
    after = give_back(counted, (MINUTE,), count=50, taken_at=START)
    assert take(after, (MINUTE,), now=START, want=1, least=1).granted == 0
