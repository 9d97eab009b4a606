"""What the worker says in its log about settled results: one canonical line per attempt.

The four sentences of the system that this one replaces are kept letter by letter, so that old
searches and habits go on working.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any, assert_never

from outbox_worker.errors import DatabaseError
from outbox_worker.events import Event
from outbox_worker.metrics import Metrics
from outbox_worker.outbox.delivery import Claim, Destination
from outbox_worker.outbox.outcome import Abandon, AttemptOutcome, Done, Park, Retry, Wait
from outbox_worker.telemetry import logger, written
from outbox_worker.worker.execute import Finished
from outbox_worker.worker.settle import Settled


class Reporter:
    """Logs and counts what becomes of the claims of one process.

    Args:
        metrics: Where it is counted.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def settled(self, done: Settled) -> None:
        """Tell what a committed settle recorded, and what it refused."""
        settled(done)
        for item in done.accepted:
            outcome, destination = item.result.outcome, item.claim.destination
            if not isinstance(outcome, Abandon):
                self._metrics.attempt(destination, _word(outcome))
            if item.claim.id in done.gave_up:
                self._metrics.given_up(destination)
        for item in done.refused:
            self._metrics.settle_refused(item.claim.destination)

    def lost(self, claim: Claim) -> None:
        """Tell that a row was taken over from a worker that never settled it."""
        logger().warning(
            Event.DELIVERY_LOST,
            message=f"taken over: worker {claim.lost_owner} never settled it",
            **_ids(claim),
            lost_worker=claim.lost_owner,
        )
        self._metrics.lease_lost(claim.destination)

    def settle_failed(self, claim: Claim, error: DatabaseError) -> None:
        """Tell that Postgres refused to record a result."""
        logger().error(
            Event.SETTLE_FAILED,
            message=f"a result could not be recorded: {error}",
            **_ids(claim),
            error_code=type(error).__name__,
        )
        self._metrics.settle_failed(claim.destination)


def settled(done: Settled) -> None:
    """Log what a committed settle recorded, and what it refused."""
    quiet = not written(logging.INFO)
    for item in done.accepted:
        outcome = item.result.outcome
        if quiet and isinstance(outcome, Done):
            continue  # what is said of a success would be made up in full, only to be dropped
        _attempt(item)
        if isinstance(outcome, Retry | Park):
            _failure(
                item, gave_up=item.claim.id in done.gave_up, wait=done.waits.get(item.claim.id)
            )
        elif isinstance(outcome, Done):
            _success(item, outcome)
    for item in done.refused:
        logger().warning(
            Event.SETTLE_REFUSED,
            message="a result came too late and changed nothing: the row is no longer ours",
            **_ids(item.claim),
            outcome=type(item.result.outcome).__name__.lower(),
            reservation_id=item.result.reservation_id,
        )
    if done.deferred:
        logger().debug(
            Event.SETTLE_DEFERRED,
            message=f"{len(done.deferred)} results wait for bookings that somebody else holds",
            count=len(done.deferred),
        )


def _attempt(item: Finished) -> None:
    outcome = item.result.outcome
    if isinstance(outcome, Abandon):
        logger().info(
            Event.DELIVERY_RELEASED,
            message="given back before anything was sent",
            **_ids(item.claim),
            error_code=outcome.code,
        )
        return
    word = _word(outcome)
    message = f"attempt {item.claim.attempts}: {word}"
    if isinstance(outcome, Wait) and outcome.record is AttemptOutcome.MISCONFIGURED:
        # nothing of this destination gets through until somebody mends the settings
        logger().error(
            Event.ATTEMPT_FINISHED,
            message=f"{message}: {outcome.message}",
            **_ids(item.claim),
            **_ended(item, outcome, word),
        )
        return
    logger().info(
        Event.ATTEMPT_FINISHED, message=message, **_ids(item.claim), **_ended(item, outcome, word)
    )


def _ended(item: Finished, outcome: Done | Wait | Retry | Park, word: str) -> dict[str, Any]:
    return {
        "outcome": word,
        "error_code": None if isinstance(outcome, Done) else outcome.code,
        "http_status": outcome.http_status,
        "duration_ms": round(item.seconds * 1000, 1),
    }


def _word(outcome: Done | Wait | Retry | Park) -> AttemptOutcome:
    match outcome:
        case Done(record=record):
            return record
        case Wait(record=record):
            return record or AttemptOutcome.WAITING
        case Retry():
            return AttemptOutcome.AMBIGUOUS if outcome.ambiguous else AttemptOutcome.FAILED
        case Park():
            return AttemptOutcome.REJECTED
        case _:
            assert_never(outcome)


def _success(item: Finished, outcome: Done) -> None:
    if item.claim.destination is not Destination.GUESTLY or item.result.reservation_id is None:
        return
    logger().info(
        Event.BOOKING_SYNCED,
        message=f"✓ Guestly sync successful for booking {item.claim.key}:"
        f" reservation {item.result.reservation_id}",
        **_ids(item.claim),
        booking_id=item.claim.key,
        reservation_id=item.result.reservation_id,
        outcome=outcome.record,
    )


def _failure(item: Finished, *, gave_up: bool, wait: timedelta | None) -> None:
    outcome = item.result.outcome
    if item.claim.destination is not Destination.GUESTLY or not isinstance(outcome, Retry | Park):
        return
    booking, error = item.claim.key, outcome.message
    logger().warning(
        Event.ATTEMPT_FAILED,
        message=f"Sync attempt {item.claim.attempts} failed for booking {booking}: {error}",
        **_ids(item.claim),
        booking_id=booking,
        error_code=outcome.code,
    )
    if wait is not None:
        milliseconds = round(wait.total_seconds() * 1000)
        logger().info(
            Event.RETRY_SCHEDULED,
            message=f"Waiting {milliseconds}ms before retry...",
            **_ids(item.claim),
            booking_id=booking,
            wait_ms=milliseconds,
        )
    if gave_up:
        logger().error(
            Event.BOOKING_FAILED,
            message=f"✗ Guestly sync failed for booking {booking}: {error}",
            **_ids(item.claim),
            booking_id=booking,
            error_code=outcome.code,
        )


def _ids(claim: Claim) -> dict[str, Any]:
    return {
        "delivery_id": claim.id,
        "destination": claim.destination,
        "key": claim.key,
        "version": claim.version,
        "round": claim.round,
        "attempt": claim.attempts,
    }
