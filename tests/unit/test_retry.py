from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox_worker.outbox.retry import (
    Again,
    GiveUp,
    RetryPolicy,
    after_failure,
    delay_before,
    redrive_after,
)

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)
DEFAULT = RetryPolicy(
    max_attempts=3,
    base=timedelta(seconds=1),
    cap=timedelta(seconds=300),
    redrive_every=timedelta(minutes=60),
    redrive_for=timedelta(hours=72),
)
NEVER_GIVES_UP = RetryPolicy(
    max_attempts=None,
    base=timedelta(seconds=1),
    cap=timedelta(seconds=300),
    redrive_every=None,
    redrive_for=timedelta(0),
)

durations = st.timedeltas(min_value=timedelta(milliseconds=1), max_value=timedelta(days=1))
jitters = st.floats(min_value=0, max_value=1, exclude_max=True)
attempt_counts = st.integers(min_value=1, max_value=10_000)


@st.composite
def policies(draw: st.DrawFn) -> RetryPolicy:
    base, cap = sorted((draw(durations), draw(durations)))
    return RetryPolicy(
        max_attempts=draw(st.none() | st.integers(min_value=1, max_value=20)),
        base=base,
        cap=cap,
        redrive_every=draw(st.none() | durations),
        redrive_for=draw(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=10))),
    )


def test_the_default_waits_are_one_two_and_four_seconds() -> None:
    waits = [delay_before(attempt, policy=DEFAULT, jitter=0) for attempt in (1, 2, 3)]

    assert waits == [timedelta(seconds=1), timedelta(seconds=2), timedelta(seconds=4)]


@given(attempt_counts, policies(), jitters)
def test_jitter_only_adds_and_at_most_a_quarter(
    attempt: int, policy: RetryPolicy, jitter: float
) -> None:
    plain = delay_before(attempt, policy=policy, jitter=0)

    wait = delay_before(attempt, policy=policy, jitter=jitter)

    assert plain <= wait <= plain * 1.25 + timedelta(microseconds=1)


@given(attempt_counts, policies())
def test_a_wait_doubles_until_the_cap(attempt: int, policy: RetryPolicy) -> None:
    wait = delay_before(attempt, policy=policy, jitter=0)
    following = delay_before(attempt + 1, policy=policy, jitter=0)

    assert policy.base <= wait <= policy.cap
    assert abs(following - min(wait * 2, policy.cap)) <= timedelta(microseconds=2)


@pytest.mark.parametrize("attempt", [0, -1])
def test_there_is_no_wait_before_the_first_attempt(attempt: int) -> None:
    with pytest.raises(ValueError, match="attempt must be 1 or more"):
        delay_before(attempt, policy=DEFAULT, jitter=0)


@given(policies(), jitters, attempt_counts)
def test_a_round_ends_exactly_at_its_limit(
    policy: RetryPolicy, jitter: float, attempts: int
) -> None:
    decision = after_failure(
        attempts=attempts, policy=policy, jitter=jitter, failed_at=None, now=NOW
    )

    if policy.max_attempts is None or attempts < policy.max_attempts:
        assert decision == Again(wait=delay_before(attempts, policy=policy, jitter=jitter))
    else:
        assert decision == GiveUp(redrive_in=redrive_after(failed_at=None, now=NOW, policy=policy))


def test_three_failed_attempts_are_the_default() -> None:
    decisions = [
        after_failure(attempts=attempts, policy=DEFAULT, jitter=0, failed_at=None, now=NOW)
        for attempts in (1, 2, 3)
    ]

    assert decisions == [
        Again(wait=timedelta(seconds=1)),
        Again(wait=timedelta(seconds=2)),
        GiveUp(redrive_in=timedelta(minutes=5)),
    ]


@given(attempt_counts)
def test_without_a_limit_nothing_is_ever_given_up(attempts: int) -> None:
    decision = after_failure(
        attempts=attempts, policy=NEVER_GIVES_UP, jitter=0, failed_at=NOW, now=NOW
    )

    assert isinstance(decision, Again)
    assert decision.wait <= NEVER_GIVES_UP.cap


def test_redrives_come_after_five_and_fifteen_minutes_then_hourly_for_three_days() -> None:
    moments: list[timedelta] = []
    now, failed_at = NOW, None
    while (wait := redrive_after(failed_at=failed_at, now=now, policy=DEFAULT)) is not None:
        failed_at = NOW
        now += wait
        moments.append(now - NOW)

    assert moments[:4] == [
        timedelta(minutes=5),
        timedelta(minutes=20),
        timedelta(minutes=80),
        timedelta(minutes=140),
    ]
    assert moments[-1] <= timedelta(hours=72) < moments[-1] + timedelta(minutes=60)


@given(policies(), st.none() | st.timedeltas(timedelta(days=-20), timedelta(days=20)))
def test_no_redrive_begins_after_the_last_moment(
    policy: RetryPolicy, age: timedelta | None
) -> None:
    failed_at = None if age is None else NOW - age

    wait = redrive_after(failed_at=failed_at, now=NOW, policy=policy)

    if wait is not None:
        assert policy.redrive_every is not None
        assert timedelta(0) < wait <= policy.redrive_every
        # a clock that went back counts as no time passed
        assert max(age or timedelta(0), timedelta(0)) + wait <= policy.redrive_for


@given(policies(), st.timedeltas(timedelta(0), timedelta(days=20)))
def test_redrives_that_are_off_leave_the_row_to_a_person(
    policy: RetryPolicy, age: timedelta
) -> None:
    off = RetryPolicy(
        max_attempts=policy.max_attempts,
        base=policy.base,
        cap=policy.cap,
        redrive_every=policy.redrive_every,
        redrive_for=timedelta(0),
    )

    assert redrive_after(failed_at=NOW - age, now=NOW, policy=off) is None
    assert redrive_after(failed_at=NOW - age, now=NOW, policy=NEVER_GIVES_UP) is None


@given(policies())
def test_every_row_is_left_alone_in_the_end(policy: RetryPolicy) -> None:
    late = NOW - policy.redrive_for - timedelta(microseconds=1)

    assert redrive_after(failed_at=late, now=NOW, policy=policy) is None


@pytest.mark.parametrize(
    ("attempts", "base", "cap"), [(0, 1, 2), (-1, 1, 2), (1, 0, 2), (1, -1, 2), (1, 3, 2)]
)
def test_a_policy_that_makes_no_sense_is_refused(attempts: int, base: int, cap: int) -> None:
    with pytest.raises(ValueError, match=r"must be"):
        RetryPolicy(
            max_attempts=attempts,
            base=timedelta(seconds=base),
            cap=timedelta(seconds=cap),
            redrive_every=None,
            redrive_for=timedelta(0),
        )
