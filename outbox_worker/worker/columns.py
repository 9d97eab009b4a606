"""Results as the parameter lists of the settling statements. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias, assert_never

from outbox_worker.outbox.delivery import Claim, DeliveryId, Destination
from outbox_worker.outbox.outcome import Abandon, AttemptOutcome, Done, Park, Retry, Wait
from outbox_worker.outbox.retry import Again, GiveUp, RetryPolicy, after_failure
from outbox_worker.worker.execute import Finished

Columns: TypeAlias = dict[str, list[Any]]

_HELD = ("ids", "fences", "versions", "rounds", "numbers", "outcomes", "http_statuses")
_FAILED = (
    *_HELD,
    "codes",
    "errors",
    "ambiguous",
    "settled_for",
    "give_up",
    "again_in",
    "redrive_in",
    "probes",
)
_RELEASED = (*_HELD, "due_in", "certain", "codes", "errors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one settle writes.

    Args:
        held, failed, released: Parameters of the queries of those names; empty lists: no row.
        waits: The wait before the next attempt, of those that will be tried again in this round.
    """

    held: Columns
    failed: Columns
    released: Columns
    waits: Mapping[DeliveryId, timedelta]


def plan(
    finished: Sequence[Finished],
    *,
    policies: Mapping[Destination, RetryPolicy],
    jitter: Mapping[DeliveryId, float],
) -> Plan:
    """Sort results by the statement that records them.

    Args:
        finished: At most one per delivery.
        policies: Of every destination among them.
        jitter: Uniform samples in [0, 1), one per delivery that is to be tried again.
    """
    held: Columns = {name: [] for name in _HELD}
    failed: Columns = {name: [] for name in _FAILED}
    released: Columns = {name: [] for name in _RELEASED}
    waits: dict[DeliveryId, timedelta] = {}
    for item in finished:
        claim, outcome = item.claim, item.result.outcome
        match outcome:
            case Done():
                _held(held, claim, outcome)
            case Wait():
                _wait(released, claim, outcome)
            case Abandon():
                _abandon(released, claim, outcome)
            case Retry():
                wait = _retry(failed, claim, outcome, policies, jitter[claim.id])
                if wait is not None:
                    waits[claim.id] = wait
            case Park():
                _park(failed, claim, outcome)
            case _:
                assert_never(outcome)
    return Plan(held=held, failed=failed, released=released, waits=waits)


def storable(text: str) -> str:
    """Text as Postgres takes it: no NUL, no lone surrogate, at most 500 characters."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")[:500]


def _held(columns: Columns, claim: Claim, outcome: Done) -> None:
    # `_append` without its detour: nearly every result is one of these
    columns["ids"].append(claim.id)
    columns["fences"].append(claim.fence)
    columns["versions"].append(claim.version)
    columns["rounds"].append(claim.round)
    columns["numbers"].append(claim.attempts)
    columns["outcomes"].append(outcome.record)
    columns["http_statuses"].append(outcome.http_status)


def _wait(columns: Columns, claim: Claim, outcome: Wait) -> None:
    _append(
        columns,
        claim,
        outcomes=outcome.record,
        http_statuses=outcome.http_status,
        due_in=outcome.due_in,
        certain=outcome.certain,
        codes=outcome.code,
        errors=storable(outcome.message),
    )


def _abandon(columns: Columns, claim: Claim, outcome: Abandon) -> None:
    _append(
        columns,
        claim,
        outcomes=None,
        http_statuses=None,
        due_in=None,
        certain=False,
        codes=outcome.code,
        errors=None,
    )


def _park(columns: Columns, claim: Claim, outcome: Park) -> None:
    _append(
        columns,
        claim,
        outcomes=AttemptOutcome.REJECTED,
        http_statuses=outcome.http_status,
        codes=outcome.code,
        errors=storable(outcome.message),
        ambiguous=False,
        settled_for=timedelta(0),
        give_up=True,
        again_in=timedelta(0),
        redrive_in=None,
        probes=False,
    )


def _retry(
    columns: Columns,
    claim: Claim,
    outcome: Retry,
    policies: Mapping[Destination, RetryPolicy],
    jitter: float,
) -> timedelta | None:
    decision = after_failure(
        attempts=claim.attempts,
        policy=policies[claim.destination],
        jitter=jitter,
        failed_at=claim.failed_at,
        now=claim.seen_at,
    )
    probe = claim.probe and outcome.outage
    match Again(wait=timedelta(0)) if probe else decision:
        case Again(wait=wait):
            again_in, give_up, redrive_in = wait, False, None
        case GiveUp(redrive_in=redrive):
            again_in, give_up, redrive_in = timedelta(0), True, redrive
        case _:
            assert_never(decision)
    _append(
        columns,
        claim,
        outcomes=AttemptOutcome.AMBIGUOUS if outcome.ambiguous else AttemptOutcome.FAILED,
        http_statuses=outcome.http_status,
        codes=outcome.code,
        errors=storable(outcome.message),
        ambiguous=outcome.ambiguous,
        settled_for=outcome.settled_for,
        give_up=give_up,
        again_in=again_in,
        redrive_in=redrive_in,
        probes=probe,
    )
    return None if give_up or probe else again_in


def _append(columns: Columns, claim: Claim, **values: Any) -> None:
    row = {
        "ids": claim.id,
        "fences": claim.fence,
        "versions": claim.version,
        "rounds": claim.round,
        "numbers": claim.attempts,
        **values,
    }
    for name, column in columns.items():
        column.append(row[name])
