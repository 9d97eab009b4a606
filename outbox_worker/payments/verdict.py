"""What becomes of an inbound event: decided here as a value, written by `payments.inbox`; pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never
from uuid import UUID

from outbox_worker.alerts.alert import AlertKind, NewAlert
from outbox_worker.bookings import transition
from outbox_worker.bookings.transition import (
    Change,
    PayableBooking,
    Payment,
    PaymentSucceeded,
    Sync,
)
from outbox_worker.payments import money
from outbox_worker.payments.match import Contradiction, Foreign, Match, NotYet, Ours
from outbox_worker.payments.stripe_event import Deferred, Ignored, Malformed, StripeEvent


class EventOutcome(StrEnum):
    """The values of ``outbox.inbox_event.outcome``."""

    APPLIED = "applied"
    NO_CHANGE = "no_change"
    IGNORED = "ignored"
    FOREIGN = "foreign"
    WAITING = "waiting"
    MISMATCH = "mismatch"
    MALFORMED = "malformed"
    DEFERRED = "deferred"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to be done about one event.

    Args:
        outcome: ``NO_CHANGE`` becomes ``APPLIED`` when a sync is requested after all.
        detail: Why, one clause for operators, without guest data.
        booking_id: The booking that it is about.
        change: What to write into that booking.
        sync: Whether the PMS has to be asked to hold it.
        alert: What to tell a person.
    """

    outcome: EventOutcome
    detail: str
    booking_id: UUID | None = None
    change: Change | None = None
    sync: Sync = Sync.NO
    alert: NewAlert | None = None


def at_sight(event: StripeEvent, *, livemode: bool | None, account: str | None) -> Verdict | None:
    """The verdict on an event that concerns no booking; None for one about a payment of ours.

    Args:
        event: As it was read.
        livemode: The mode that is wanted; None: both.
        account: The connected account that is wanted; None: every one. An event that names no
            account is one's own and always wanted.
    """
    if isinstance(event.meaning, Malformed):
        return Verdict(
            outcome=EventOutcome.MALFORMED,
            detail=event.meaning.reason,
            alert=_alert(
                AlertKind.EVENT_MALFORMED, event, fingerprint=event.id, reason=event.meaning.reason
            ),
        )
    if livemode is not None and event.livemode is not livemode:
        return Verdict(outcome=EventOutcome.IGNORED, detail="of the other mode, live or test")
    if account is not None and event.account not in {None, account}:
        return Verdict(outcome=EventOutcome.IGNORED, detail="of another account")
    match event.meaning:
        case Deferred():
            return Verdict(outcome=EventOutcome.DEFERRED, detail="kept until it can be applied")
        case Ignored(reason=reason):
            return Verdict(outcome=EventOutcome.IGNORED, detail=reason)
        case _:
            return None


def on_payment(event: StripeEvent, payment: Payment, found: Match, *, currency: str) -> Verdict:
    """The verdict on an event about a payment.

    Args:
        event: As it was read.
        payment: Its meaning.
        found: Which booking it is for; that booking is locked.
        currency: The site's currency, ISO 4217, upper case.
    """
    match found:
        case Foreign():
            return Verdict(outcome=EventOutcome.FOREIGN, detail="it names no booking of ours")
        case NotYet():
            if isinstance(payment, PaymentSucceeded):
                return Verdict(
                    outcome=EventOutcome.WAITING, detail="its booking does not exist yet"
                )
            return Verdict(outcome=EventOutcome.NO_CHANGE, detail="its booking does not exist")
        case Contradiction(named=named, holder=holder):
            reason = f"it names booking {named.id}, and booking {holder.id} claims it too"
            if not isinstance(payment, PaymentSucceeded):
                return Verdict(outcome=EventOutcome.NO_CHANGE, detail=reason)
            return _mismatch(event, payment, named, reason=reason, currency=currency)
        case Ours(booking=booking):
            if isinstance(payment, PaymentSucceeded):
                reason = money.difference(payment, total=booking.total, currency=currency) or ""
                if reason:
                    return _mismatch(event, payment, booking, reason=reason, currency=currency)
            return _transition(event, payment, booking)
        case _:
            assert_never(found)


def _transition(event: StripeEvent, payment: Payment, booking: PayableBooking) -> Verdict:
    became = transition.after(booking, payment)
    changed = became.change is not None or became.sync is Sync.YES
    alert = None
    if became.concern is not None:
        alert = _alert(
            AlertKind(became.concern),
            event,
            fingerprint=event.payment_intent_id or event.object_id or event.id,
            booking=booking,
            reason=became.reason,
        )
    return Verdict(
        outcome=EventOutcome.APPLIED if changed else EventOutcome.NO_CHANGE,
        detail=became.reason,
        booking_id=booking.id,
        change=became.change,
        sync=became.sync,
        alert=alert,
    )


def _mismatch(
    event: StripeEvent,
    payment: PaymentSucceeded,
    booking: PayableBooking,
    *,
    reason: str,
    currency: str,
) -> Verdict:
    received = "unknown" if payment.amount is None else str(payment.amount)
    alert = _alert(
        AlertKind.AMOUNT_MISMATCH,
        event,
        # a completed checkout and its intent are one payment and one incident
        fingerprint=event.payment_intent_id or event.object_id or event.id,
        booking=booking,
        reason=reason,
        received_minor_units=f"{received} {payment.currency or ''}".strip(),
        expected=f"{booking.total} {currency}",
    )
    return Verdict(outcome=EventOutcome.MISMATCH, detail=reason, booking_id=booking.id, alert=alert)


def _alert(
    kind: AlertKind,
    event: StripeEvent,
    *,
    fingerprint: str,
    booking: PayableBooking | None = None,
    **facts: str,
) -> NewAlert:
    known = {
        "event_id": event.id,
        "event_type": event.type,
        "payment_intent": event.payment_intent_id or "",
        "object_id": event.object_id or "",
        **facts,
    }
    return NewAlert(
        kind=kind,
        fingerprint=fingerprint,
        booking_id=None if booking is None else booking.id,
        facts={name: value for name, value in known.items() if value},
    )


def without_booking(event_id: str, intent_id: str | None) -> NewAlert:
    """A payment of ours whose booking still does not exist."""
    return _overdue(AlertKind.PAID_WITHOUT_BOOKING, event_id, intent_id, reason="")


def not_applied(event_id: str, intent_id: str | None, *, reason: str) -> NewAlert:
    """An event that still cannot be applied, for a reason without guest data."""
    return _overdue(AlertKind.EVENT_FAILED, event_id, intent_id, reason=reason)


def _overdue(kind: AlertKind, event_id: str, intent_id: str | None, *, reason: str) -> NewAlert:
    known = {"event_id": event_id, "payment_intent": intent_id or "", "reason": reason}
    return NewAlert(
        kind=kind,
        fingerprint=intent_id or event_id,
        facts={name: value for name, value in known.items() if value},
    )
