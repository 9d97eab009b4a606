"""What one answer of the PMS makes of a claim: results as values, shared by all steps of a sync."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import assert_never
from uuid import UUID

from outbox_worker.alerts import shut_gate
from outbox_worker.alerts.alert import AlertKind, NewAlert
from outbox_worker.bookings.booking import Booking
from outbox_worker.bookings.store import HeldElsewhere, SyncView
from outbox_worker.handlers import decide
from outbox_worker.handlers.effect import (
    AlertRaised,
    Effect,
    ReservationHeld,
    Result,
)
from outbox_worker.handlers.protocol import Deadline
from outbox_worker.outbox.delivery import Claim
from outbox_worker.outbox.outcome import Abandon, AttemptOutcome, Done, Park, Retry, Wait
from outbox_worker.pms.port import (
    Absent,
    Ambiguous,
    Held,
    Misconfigured,
    Mode,
    Parts,
    PmsName,
    RateLimited,
    Rejected,
    Reservation,
    Unavailable,
    Unsupported,
    WriteAnswer,
)

#: A person is told when a write of unknown outcome stays unknown for longer.
_DOUBT_PATIENCE = timedelta(minutes=15)

#: Nothing is known part by part.
NO_PARTS: Parts = MappingProxyType({})

#: How soon a row is looked at again that waits for a person or for the settings to change.
RECHECK = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRules:
    """Settings of the sync that a decision needs.

    Args:
        timeout: Longest time of one call.
        quiet: How long after its end an unknown write may still take effect in the PMS.
        currency: Currency of every total, ISO 4217.
    """

    test_mode: bool
    timeout: timedelta
    quiet: timedelta
    look_before_create: bool
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One claim with all that its steps share."""

    pms: PmsName
    rules: SyncRules
    claim: Claim
    booking: Booking
    view: SyncView
    reservation: Reservation | None
    wanted: decide.Wanted
    doubt: decide.Doubt | None
    deadline: Deadline


def held(
    job: Job,
    reservation_id: str,
    *,
    mode: Mode = Mode.LIVE,
    record: AttemptOutcome = AttemptOutcome.HELD,
    parts: Parts = NO_PARTS,
    http_status: int | None,
) -> Result:
    """The PMS holds the wanted state under this reservation."""
    effect = reservation(
        job, reservation_id, fingerprint=job.wanted.fingerprint, mode=mode, parts=parts
    )
    return Result(
        outcome=Done(record=record, http_status=http_status),
        booking_id=job.booking.id,
        effects=(effect,),
        reservation_id=reservation_id,
    )


def partly_held(job: Job, answer: Held) -> Result:
    """One part is written; it is put on record before the next one is begun."""
    wait = Wait(
        due_in=timedelta(0),
        record=AttemptOutcome.HELD,
        code="parts_left",
        message=f"{job.pms.display_name} takes this booking in several calls; the next one follows",
        http_status=answer.http_status,
        certain=True,
    )
    effect = reservation(job, answer.reservation_id, fingerprint=None, parts=answer.parts)
    return Result(outcome=wait, booking_id=job.booking.id, effects=(effect,))


def adopted(job: Job, reservation_id: str, *, as_wanted: bool, parts: Parts = NO_PARTS) -> Result:
    """A look-up found our reservation; one that differs is put on record and changed next."""
    if as_wanted:
        return held(job, reservation_id, parts=parts, http_status=None)
    # Changed in this same claim, a crash in between would look to the next claimant like an
    # unknown create that has landed as wanted.
    wait = Wait(
        due_in=timedelta(0),
        record=AttemptOutcome.WAITING,
        code="adopted",
        message=f"{job.pms.display_name} already holds this booking in another state; it is changed"
        " next",
        certain=True,
    )
    effect = reservation(job, reservation_id, fingerprint=None, parts=parts)
    return Result(outcome=wait, booking_id=job.booking.id, effects=(effect,))


def reservation(
    job: Job,
    reservation_id: str,
    *,
    fingerprint: str | None,
    mode: Mode = Mode.LIVE,
    parts: Parts = NO_PARTS,
) -> ReservationHeld:
    """Put a reservation on record; ``fingerprint`` None: its state there is not known."""
    return ReservationHeld(
        booking_id=job.booking.id,
        pms=job.pms,
        reservation_id=reservation_id,
        mode=mode,
        fingerprint=fingerprint,
        parts=parts,
    )


def told_if_doubtful(job: Job, result: Result) -> Result:
    """The same, with an alert if nothing could be found out about a write for too long."""
    doubt = job.doubt
    if doubt is None or doubt.now - doubt.until <= _DOUBT_PATIENCE:
        return result
    alert = NewAlert(
        kind=AlertKind.SYNC_UNCERTAIN,
        fingerprint=f"{job.claim.destination}:uncertain",
        facts={"pms": job.pms},
    )
    effect = AlertRaised(alert=alert, only_if_given_up=False, names_delivery=True)
    return replace(result, effects=(*result.effects, effect))


def quiet(job: Job, rest: timedelta, *, http_status: int | None) -> Result:
    """Too early to write after a write of unknown outcome."""
    wait = Wait(
        due_in=rest,
        record=None if http_status is None else AttemptOutcome.WAITING,
        code="quiet_period",
        message="a write of unknown outcome may still take effect; nothing is sent before that",
        http_status=http_status,
    )
    return Result(outcome=wait, booking_id=job.booking.id)


def failed(job: Job, answer: WriteAnswer, *, creating: bool = False) -> Result:
    """A call that did not bring the PMS to the wanted state.

    Args:
        job: The claim.
        answer: What the PMS said.
        creating: The call was a create. Even where it was answered in full, and nothing of it is
            under way any more, a search that lags may not show yet what it has created.
    """
    match answer:
        case RateLimited(retry_after=retry_after):
            wait = Wait(
                # "Retry-After: 0" must not become a tight loop that costs no attempt
                due_in=max(retry_after, timedelta(seconds=1)),
                record=AttemptOutcome.RATE_LIMITED,
                code=answer.code,
                message=answer.message,
                http_status=answer.http_status,
            )
            return Result(outcome=wait, booking_id=job.booking.id)
        case Misconfigured():
            return _misconfigured(job, answer)
        case Unavailable(unasked=True):
            return _unasked(job, answer)
        case Unavailable():
            retry = Retry(
                code=answer.code,
                message=answer.message,
                outage=answer.outage,
                http_status=answer.http_status,
            )
            return retried(job, retry)
        case Ambiguous():
            retry = Retry(
                code=answer.code,
                message=answer.message,
                ambiguous=True,
                outage=answer.outage,
                settled_for=job.rules.quiet if answer.finished and not creating else timedelta(0),
                http_status=answer.http_status,
            )
            return retried(job, retry)
        case Rejected():
            park = Park(code=answer.code, message=answer.message, http_status=answer.http_status)
            return parked(job.claim, job.booking.id, park, pms=job.pms)
        case Unsupported():
            park = Park(code=answer.code, message=answer.message)
            return parked(job.claim, job.booking.id, park, pms=job.pms)
        case Held() | Absent():
            raise AssertionError("handled by the step that called")
        case _:
            assert_never(answer)


def retried(job: Job, retry: Retry) -> Result:
    """A failed attempt; an alert follows if it was the last one."""
    return unseen(job.claim, retry, pms=job.pms, booking_id=job.booking.id)


def unseen(claim: Claim, retry: Retry, *, pms: PmsName, booking_id: UUID | None) -> Result:
    """A failed attempt of which nothing but the claim is known."""
    alert = _incident(AlertKind.SYNC_FAILED, claim, code=retry.code, pms=pms)
    return Result(outcome=retry, booking_id=booking_id, effects=(alert,))


def held_elsewhere(job: Job, other: HeldElsewhere) -> Result:
    """Another PMS is on record as holding the booking: creating it here may double it."""
    command = shlex.join(("outbox", "link", job.booking.reference, other.reservation_id))
    there, here = PmsName(other.pms).display_name, job.pms.display_name
    park = Park(
        code="held_elsewhere",
        message=f"reservation {other.reservation_id} is on record for {there}, none for"
        f" {here}: if {here} holds it under that id: {command}",
    )
    return parked(job.claim, job.booking.id, park, pms=job.pms)


def gone(job: Job, answer: Absent) -> Result:
    """The PMS has lost a reservation that it had."""
    park = Park(
        code="reservation_gone",
        message=f"{job.pms.display_name} no longer has this booking's reservation; it is never"
        " created a second time by itself",
        http_status=answer.http_status,
    )
    return parked(job.claim, job.booking.id, park, pms=job.pms)


def parked(
    claim: Claim,
    booking_id: UUID | None,
    park: Park,
    *,
    pms: PmsName,
    also: tuple[Effect, ...] = (),
) -> Result:
    """A person's turn; ``also`` is applied with it.

    Args:
        claim: Of the booking.
        booking_id: None where the site has no such booking (any more).
        park: Why.
        pms: Whose refusal it is.
        also: Further effects.
    """
    return Result(
        outcome=park,
        booking_id=booking_id,
        effects=(*also, _incident(AlertKind.SYNC_REJECTED, claim, code=park.code, pms=pms)),
    )


def abandoned(job: Job) -> Result:
    """Too late for another call within the lease: give the row back, uncharged."""
    return Result(outcome=Abandon(code="lease_too_short"), booking_id=job.booking.id)


def _misconfigured(job: Job, answer: Misconfigured) -> Result:
    wait = Wait(
        # Behind the others where the gate holds them all, so that another row is the next probe. An
        # address may be wrong for this booking alone: then the others go on, and it comes back.
        due_in=timedelta(0) if answer.everybodys else RECHECK,
        record=AttemptOutcome.MISCONFIGURED,
        code=answer.code,
        message=answer.message,
        http_status=answer.http_status,
        everybodys=answer.everybodys,
    )
    result = Result(outcome=wait, booking_id=job.booking.id)
    if job.claim.probe:
        return result  # told when the gate was shut; the rows behind it are not told one by one
    alert = shut_gate.refused(
        job.claim.destination, pms=job.pms, code=answer.code, error=answer.message
    )
    # Named, so that its own success alone is the end of it: other calls may work all the while.
    effect = AlertRaised(alert=alert, only_if_given_up=False, names_delivery=True)
    return replace(result, effects=(effect,))


def _unasked(job: Job, answer: Unavailable) -> Result:
    """No call could be made, whatever the booking: it keeps its place, and is sent when one can."""
    wait = Wait(
        # no time of its own: whoever opens the gate sees it sent at once
        due_in=None,
        # while the gate is shut the gate tells it, or an outage would fill one booking's history
        record=None if job.claim.probe and answer.outage else AttemptOutcome.WAITING,
        code=answer.code,
        message=answer.message,
        http_status=answer.http_status,
        outage=answer.outage,
        rest=answer.rest,
    )
    return Result(outcome=wait, booking_id=job.booking.id)


def _incident(kind: AlertKind, claim: Claim, *, code: str, pms: PmsName) -> AlertRaised:
    # one incident per cause: an outage is one mail that names many bookings
    fingerprint = f"{claim.destination}:{code}"
    alert = NewAlert(kind=kind, fingerprint=fingerprint, facts={"code": code, "pms": pms})
    return AlertRaised(alert=alert, only_if_given_up=True, names_delivery=True)
