"""What the protocol makes of one outbox row, without a database: pure, in whole ticks of time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import assert_never

from outbox_worker.outbox.outcome import Abandon, AttemptOutcome, Done, Outcome, Park, Retry, Wait
from outbox_worker.outbox.retry import RetryPolicy

#: Waits of the policy below are shorter than a tick and count as a whole one.
TICK = timedelta(minutes=20)
LEASE_TICKS = 2
#: A row given up so many ticks ago is redriven once more; later it is a person's turn.
LAST_REDRIVE_TICKS = 2

POLICY = RetryPolicy(
    max_attempts=2,
    base=timedelta(minutes=15),
    cap=timedelta(minutes=15),
    redrive_every=TICK,
    redrive_for=TICK * (LAST_REDRIVE_TICKS + 1.5),
)
MOST_ATTEMPTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One line of the history of calls."""

    fence: int
    round: int
    number: int
    version: int | None
    worker: str
    outcome: str
    code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of ``outbox.delivery`` with its history; times in ticks.

    Args:
        named: Whether an open alert names it.
        told: How often a person was to be told.
    """

    requested: int
    due: int | None
    delivered: int = 0
    failed: int | None = None
    discarded: int | None = None
    uncertain: int | None = None
    attempts: int = 0
    round: int = 1
    owner: str | None = None
    fence: int = 0
    lease: int | None = None
    code: str | None = None
    named: bool = False
    told: int = 0
    history: tuple[Attempt, ...] = ()

    @property
    def status(self) -> str:
        """What the site is shown of it."""
        if self.failed is not None or self.discarded is not None:
            return "failed"
        return "synced" if self.delivered == self.requested else "pending"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a claim was told."""

    owner: str
    fence: int
    version: int
    attempts: int
    round: int
    failed: int | None
    at: int


def request(row: Row | None, now: int) -> Row:
    """The site, Stripe or an alert asks."""
    if row is None:
        return Row(requested=1, due=now)
    asked = replace(row, requested=row.requested + 1, failed=None)
    if row.discarded is not None or (row.due is not None and row.failed is None):
        return asked
    asked = replace(asked, due=now)
    return asked if row.owner else replace(asked, attempts=0, round=row.round + 1)


def in_flight(row: Row, now: int) -> bool:
    return row.lease is not None and row.lease > now


def claimable(row: Row, now: int, *, probe: bool = False) -> bool:
    """Whether a worker may take it; a probe does not wait for a redrive that is planned."""
    if row.due is None or in_flight(row, now):
        return False
    return row.due <= now or (probe and row.failed is not None)


def claim(row: Row, now: int, *, owner: str, fence: int) -> Row:
    """A worker takes a row that is claimable."""
    redriven = row.owner is None and row.attempts >= MOST_ATTEMPTS
    return replace(
        lose(row),
        owner=owner,
        fence=fence,
        lease=now + LEASE_TICKS,
        attempts=1 if redriven else row.attempts + 1,
        round=row.round + (1 if redriven else 0),
    )


def lose(row: Row) -> Row:
    """The owner never settled: on record, and it may have sent until its lease ended."""
    if row.owner is None or row.lease is None:
        return row
    lost = Attempt(
        fence=row.fence,
        round=row.round,
        number=row.attempts,
        version=None,
        worker=row.owner,
        outcome="lost",
        code="worker_lost",
    )
    return replace(
        rest(row), uncertain=_later(row.uncertain, row.lease), history=(*row.history, lost)
    )


def rest(row: Row) -> Row:
    return replace(row, owner=None, fence=0, lease=None)


def is_ours(row: Row, taken: Taken) -> bool:
    return (row.owner, row.fence) == (taken.owner, taken.fence)


def extend(row: Row, taken: Taken, now: int) -> Row | None:
    """The row with a lease that begins anew; None: refused."""
    if not is_ours(row, taken) or not in_flight(row, now):
        return None
    return replace(row, lease=now + LEASE_TICKS)


def settle(row: Row, taken: Taken, outcome: Outcome, now: int) -> Row | None:
    """The row after its result is on record; None: refused."""
    if not is_ours(row, taken):
        return None
    match outcome:
        case Done():
            return _held(row, taken, outcome, now)
        case Retry():
            return _retried(row, taken, outcome, now)
        case Park():
            row = _noted(row, taken, AttemptOutcome.REJECTED, outcome.code)
            return _given_up(row, taken, now, redrive=False)
        case Wait():
            return _released(row, taken, outcome, now)
        case Abandon():
            return replace(rest(row), attempts=max(row.attempts - 1, 0))
        case _:
            assert_never(outcome)


def requeue(row: Row, now: int) -> Row | None:
    """An operator asks for all attempts anew; None: refused."""
    if in_flight(row, now):
        return None
    return replace(
        lose(row),
        requested=row.requested + 1,
        due=now,
        failed=None,
        discarded=None,
        attempts=0,
        round=row.round + 1,
        named=False,
    )


def discard(row: Row, now: int) -> Row | None:
    """A person says that it is not owed; None: refused."""
    if in_flight(row, now) or row.delivered == row.requested or row.discarded is not None:
        return None
    return replace(lose(row), due=None, failed=None, discarded=now, named=False)


def _held(row: Row, taken: Taken, outcome: Done, now: int) -> Row:
    again = row.requested > taken.version
    done = replace(
        _noted(row, taken, outcome.record, None),
        delivered=taken.version,
        due=now if again else None,
        failed=None,
        uncertain=None,
        named=False,
    )
    return _fresh(done) if again else done


def _retried(row: Row, taken: Taken, outcome: Retry, now: int) -> Row:
    record = AttemptOutcome.AMBIGUOUS if outcome.ambiguous else AttemptOutcome.FAILED
    failed = _noted(row, taken, record, outcome.code)
    if outcome.ambiguous:
        sent = now - round(outcome.settled_for / TICK)
        failed = replace(failed, uncertain=_later(row.uncertain, sent))
    if taken.attempts < MOST_ATTEMPTS:
        return replace(failed, due=now + 1)
    redrive = taken.failed is None or taken.at - taken.failed <= LAST_REDRIVE_TICKS
    return _given_up(failed, taken, now, redrive=redrive)


def _given_up(row: Row, taken: Taken, now: int, *, redrive: bool) -> Row:
    if row.requested > taken.version:
        return _fresh(replace(row, due=now))
    told = row.failed is None or not redrive
    return replace(
        row,
        failed=now if row.failed is None else row.failed,
        due=now + 1 if redrive else None,
        named=row.named or told,
        told=row.told + (1 if told else 0),
    )


def _released(row: Row, taken: Taken, outcome: Wait, now: int) -> Row:
    attempts = max(row.attempts - 1, 0)
    waiting = (
        rest(row) if outcome.record is None else _noted(row, taken, outcome.record, outcome.code)
    )
    return replace(
        waiting,
        attempts=attempts,
        due=row.due if outcome.due_in is None else now + round(outcome.due_in / TICK),
        uncertain=None if outcome.certain else row.uncertain,
    )


def _noted(row: Row, taken: Taken, outcome: AttemptOutcome, code: str | None) -> Row:
    made = Attempt(
        fence=taken.fence,
        round=taken.round,
        number=taken.attempts,
        version=taken.version,
        worker=taken.owner,
        outcome=outcome,
        code=code,
    )
    return replace(rest(row), code=code, history=(*row.history, made))


def _fresh(row: Row) -> Row:
    return replace(row, attempts=0, round=row.round + 1)


def _later(one: int | None, other: int) -> int:
    return other if one is None else max(one, other)
