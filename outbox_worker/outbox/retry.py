"""When to try again, and when to give up: pure decisions over one failed attempt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

#: The first redrives come sooner than the regular ones: most outages are short.
_FIRST_REDRIVES = (timedelta(minutes=5), timedelta(minutes=15))


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how soon one destination is tried.

    Args:
        max_attempts: Attempts of one round; None never gives up.
        base: Wait after the first failed attempt; doubled after each further one.
        cap: Longest wait within a round; base <= cap.
        redrive_every: Between regular redrives of a row that was given up; None turns redrives off.
        redrive_for: No redrive begins later than this after the row was given up.
    """

    max_attempts: int | None
    base: timedelta
    cap: timedelta
    redrive_every: timedelta | None
    redrive_for: timedelta

    def __post_init__(self) -> None:
        if self.max_attempts is not None and self.max_attempts < 1:
            raise ValueError("max_attempts must be 1 or more")
        if not timedelta(0) < self.base <= self.cap:
            raise ValueError("base must be above zero and at most cap")


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Try again within this round, after ``wait``."""

    wait: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """No attempt of this round is left, or trying again is pointless.

    Args:
        redrive_in: Wait before a new round begins by itself; None: a person's turn.
    """

    redrive_in: timedelta | None


Decision: TypeAlias = Again | GiveUp


def delay_before(attempt: int, *, policy: RetryPolicy, jitter: float) -> timedelta:
    """Wait after failed attempt ``attempt``, before the next one.

    Args:
        attempt: Attempts made so far, 1 or more.
        policy: Base and cap.
        jitter: Uniform sample in [0, 1), passed in so that the result is repeatable.

    Returns:
        A duration in [d, 1.25 d], d = min(base * 2 ** (attempt - 1), cap): jitter only adds.

    Raises:
        ValueError: attempt < 1.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    if attempt < 1:
        raise ValueError("attempt must be 1 or more")
    # the exponent is bounded: 2 ** 60 times a second is already far beyond any cap
    doubled = min(
        policy.base.total_seconds() * 2 ** min(attempt - 1, 60), policy.cap.total_seconds()
    )
    return timedelta(seconds=doubled * (1 + 0.25 * jitter))


def after_failure(
    *, attempts: int, policy: RetryPolicy, jitter: float, failed_at: datetime | None, now: datetime
) -> Decision:
    """What follows a failed attempt that time may heal.

    Args:
        attempts: Attempts of this round, the failed one included; 1 or more.
        policy: The destination's policy.
        jitter: Uniform sample in [0, 1).
        failed_at: When the row was first given up, if it was; aware UTC.
        now: The database's clock, aware UTC.

    Returns:
        `Again` while attempts are left, else `GiveUp` with the wait until the next redrive.
    """
    if policy.max_attempts is None or attempts < policy.max_attempts:
        return Again(wait=delay_before(attempts, policy=policy, jitter=jitter))
    return GiveUp(redrive_in=redrive_after(failed_at=failed_at, now=now, policy=policy))


def redrive_after(
    *, failed_at: datetime | None, now: datetime, policy: RetryPolicy
) -> timedelta | None:
    """Wait before the next redrive of a row that is given up.

    Args:
        failed_at: When it was first given up; None: just now.
        now: The database's clock, aware UTC.
        policy: The destination's policy.

    Returns:
        5 and 15 minutes for the first two redrives, then ``redrive_every``; None when redrives are
        off or would begin later than ``redrive_for`` after ``failed_at``.
    """
    if policy.redrive_every is None:
        return None
    age = timedelta(0) if failed_at is None else max(now - failed_at, timedelta(0))
    first, second = (min(wait, policy.redrive_every) for wait in _FIRST_REDRIVES)
    if failed_at is None:
        wait = first
    elif age < first + second:
        wait = second
    else:
        wait = policy.redrive_every
    return wait if age + wait <= policy.redrive_for else None
