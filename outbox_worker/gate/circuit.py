"""The circuit breaker: pure decisions over what the calls of a destination came to.

Closed until enough calls in a row went unanswered; then open, with a probe after a wait that
doubles; half open while one worker of the fleet sends that probe. Every moment is the database's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from outbox_worker.outbox.delivery import DeliveryId, WorkerId

#: Wait before the first probe of an outage, doubled before each further one.
FIRST_PROBE = timedelta(seconds=5)
#: Wait for the next row when a probe made no call that says anything.
NEXT_ROW = timedelta(seconds=1)
#: Longest wait between two probes of an outage.
PROBE_CAP = timedelta(seconds=60)
#: Between two probes of a destination that refuses our key or address: nothing heals by itself.
PROBE_MISCONFIGURED = timedelta(minutes=5)


class State(StrEnum):
    """The values of ``outbox.destination.circuit``."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Cause(StrEnum):
    """Why a circuit is not closed; the values of ``outbox.destination.circuit_cause``."""

    OUTAGE = "outage"
    MISCONFIGURED = "misconfigured"


class Evidence(StrEnum):
    """What one finished claim says about its destination."""

    #: It answered: whatever it said of the booking, it works.
    ANSWERED = "answered"
    #: Refused, broken, timed out, or a 5xx.
    OUTAGE = "outage"
    #: Our key or address is refused: no booking's fault.
    MISCONFIGURED = "misconfigured"
    #: It asked to be left alone for a while.
    LIMITED = "limited"
    #: No call was made, or nothing can be said about it.
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One finished claim, as its destination's gate sees it.

    Args:
        code: Error code of a failure.
        sure: With ``MISCONFIGURED`` and ``OUTAGE``: whether it holds for whoever asks, whatever the
            booking; else two bookings at least must have met it.
        probe: Whether the claim went through a circuit that was not closed, to find out.
        retry_after: With ``LIMITED``: how long to leave the destination alone. With ``OUTAGE``: how
            long a probe is no use; zero: not known.
    """

    delivery: DeliveryId
    evidence: Evidence
    code: str | None = None
    sure: bool = False
    probe: bool = False
    retry_after: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """The circuit of one destination.

    Args:
        failures: Unanswered calls in a row while closed.
        row: Delivery of the first of them.
        several: Whether they were of two deliveries or more.
        opens: How often in a row it opened, first time included.
        until: Open: when the next probe may be sent; aware UTC.
        cause, code, opened_at: Why and since when it is not closed.
        probe_owner, probe_until: Half open: who probes, and until when we wait for it.
    """

    state: State = State.CLOSED
    failures: int = 0
    row: DeliveryId | None = None
    several: bool = False
    opens: int = 0
    until: datetime | None = None
    cause: Cause | None = None
    code: str | None = None
    opened_at: datetime | None = None
    probe_owner: WorkerId | None = None
    probe_until: datetime | None = None


CLOSED = Circuit()


def observe(
    circuit: Circuit,
    observations: Iterable[Observation],
    *,
    limit: int,
    owner: WorkerId,
    now: datetime,
) -> Circuit:
    """The circuit after some finished claims.

    Args:
        circuit: As it was.
        observations: In the order in which the claims ended.
        limit: Unanswered calls in a row that open it, over two deliveries at least: one booking
            that breaks the destination must not hold up the others.
        owner: The worker that made the calls; only its own probe can be given back by it.
        now: The database's clock, aware UTC.
    """
    for seen in observations:
        if circuit.state is State.CLOSED:
            circuit = _while_closed(circuit, seen, limit=limit, now=now)
        elif seen.probe:
            circuit = _after_probe(circuit, seen, owner=owner, now=now)
        # calls that began before it opened say nothing that the failures did not say
    return circuit


def opened(
    circuit: Circuit,
    *,
    cause: Cause,
    code: str | None,
    now: datetime,
    rest: timedelta = timedelta(0),
) -> Circuit:
    """Open, for the first time or once more; ``rest``: see `Observation.retry_after`."""
    opens = circuit.opens + 1
    if cause is Cause.MISCONFIGURED:
        wait = PROBE_MISCONFIGURED
    elif rest > timedelta(0):
        # within the cap: another worker may know better by then
        wait = max(NEXT_ROW, min(rest, PROBE_CAP))
    else:
        # the exponent is bounded: the cap is reached long before
        wait = min(FIRST_PROBE * 2 ** min(opens - 1, 10), PROBE_CAP)
    return Circuit(
        state=State.OPEN,
        opens=opens,
        until=now + wait,
        cause=cause,
        code=code,
        opened_at=circuit.opened_at or now,
    )


def _while_closed(circuit: Circuit, seen: Observation, *, limit: int, now: datetime) -> Circuit:
    match seen.evidence:
        case Evidence.ANSWERED:
            return CLOSED
        case Evidence.MISCONFIGURED:
            counted = _counted(circuit, seen)
            if seen.sure or counted.several:
                return opened(CLOSED, cause=Cause.MISCONFIGURED, code=seen.code, now=now)
            return counted
        case Evidence.OUTAGE:
            if seen.sure:
                return _out(CLOSED, seen, now=now)
            counted = _counted(circuit, seen)
            if counted.failures >= limit and counted.several:
                return _out(CLOSED, seen, now=now)
            return counted
        case Evidence.LIMITED | Evidence.NONE:
            return circuit


def _out(circuit: Circuit, seen: Observation, *, now: datetime) -> Circuit:
    return opened(circuit, cause=Cause.OUTAGE, code=seen.code, now=now, rest=seen.retry_after)


def _counted(circuit: Circuit, seen: Observation) -> Circuit:
    row = circuit.row if circuit.row is not None else seen.delivery
    return replace(
        circuit,
        failures=circuit.failures + 1,
        row=row,
        several=circuit.several or row != seen.delivery,
    )


def _after_probe(circuit: Circuit, seen: Observation, *, owner: WorkerId, now: datetime) -> Circuit:
    if seen.evidence in {Evidence.ANSWERED, Evidence.LIMITED}:
        return CLOSED
    if circuit.state is State.HALF_OPEN and circuit.probe_owner != owner:
        return circuit  # another worker probes by now: its probe decides
    match seen.evidence:
        case Evidence.OUTAGE:
            return _out(circuit, seen, now=now)
        case Evidence.MISCONFIGURED:
            return opened(circuit, cause=Cause.MISCONFIGURED, code=seen.code, now=now)
        case _:
            # nothing was found out: the next row may be tried soon
            return replace(
                circuit,
                state=State.OPEN,
                until=now + NEXT_ROW,
                probe_owner=None,
                probe_until=None,
            )
