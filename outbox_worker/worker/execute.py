"""One claim: run its handler and make any end of it a record. No I/O with that record here."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from outbox_worker.events import Event
from outbox_worker.handlers.effect import Result
from outbox_worker.handlers.protocol import Handler
from outbox_worker.outbox.delivery import Claim
from outbox_worker.outbox.outcome import Abandon, Retry
from outbox_worker.telemetry import logger
from outbox_worker.worker.lease import Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A claim with what became of it.

    Args:
        seconds: How long the handler took.
        calls: How many calls it made.
    """

    claim: Claim
    result: Result
    seconds: float
    calls: int = 0


async def execute(claim: Claim, state: Any, handler: Handler[Any], lease: Lease) -> Finished:
    """Run the handler of one claim.

    Args:
        claim: The claimed row.
        state: What the handler's ``load`` answered for it.
        handler: The destination's handler.
        lease: Asked by the handler before every write.

    Returns:
        Never raises for a fault of the handler: that is a failed attempt like any other.
    """
    started = time.monotonic()
    limit = handler.policy.max_attempts
    if limit is not None and claim.attempts > limit:
        # Every attempt of this round was claimed by a worker that never came back. Trying once more
        # might take this worker down too, so it is given up unsent; time may heal it.
        result = handler.failed(
            claim,
            Retry(code="worker_lost", message="the worker was lost during the last attempt"),
        )
    else:
        try:
            result = await handler.run(claim, state, lease)
        except Exception as error:  # noqa: BLE001 - one poisoned row must not stop the others
            logger().error(
                Event.HANDLER_CRASHED,
                message=f"the handler of {claim.destination} failed: {type(error).__name__}",
                delivery_id=claim.id,
                exc_info=error,
            )
            retry = Retry(
                code="handler_crashed",
                message=f"internal error: {type(error).__name__}",
                # whatever it had sent before it failed may have taken effect
                ambiguous=lease.begun,
            )
            result = handler.failed(claim, retry)
    return Finished(
        claim=claim, result=result, seconds=time.monotonic() - started, calls=lease.calls
    )


def cut_off(claim: Claim, handler: Handler[Any], lease: Lease) -> Finished:
    """What a claim comes to whose handler was cancelled.

    A call that has begun is settled as ambiguous; anything else is given back uncharged. What it
    has read by then was asked of the destination all the same.
    """
    if lease.begun:
        retry = Retry(code="interrupted", message="the worker was stopped", ambiguous=True)
        return Finished(
            claim=claim, result=handler.failed(claim, retry), seconds=0.0, calls=lease.calls
        )
    return given_back(claim, code="worker_stopped", calls=lease.calls)


def given_back(claim: Claim, *, code: str, calls: int = 0) -> Finished:
    """A claim that is returned as if never taken; ``calls``: what it has read."""
    return Finished(
        claim=claim, result=Result(outcome=Abandon(code=code)), seconds=0.0, calls=calls
    )
