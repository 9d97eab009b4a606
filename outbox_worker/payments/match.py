"""Which booking a payment is for, if it is for one of ours; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from outbox_worker.bookings.transition import PayableBooking
from outbox_worker.payments.stripe_event import StripeEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """The payment is for this booking."""

    booking: PayableBooking


@dataclass(frozen=True, slots=True, kw_only=True)
class NotYet:
    """The payment is for a booking of ours that does not exist (yet)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """The payment has nothing to do with bookings: another product of the same account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """The payment names one booking and another one holds its intent: a person has to look."""

    named: PayableBooking
    holder: PayableBooking


Match: TypeAlias = Ours | NotYet | Foreign | Contradiction


def match(
    event: StripeEvent, candidates: Sequence[PayableBooking], *, known_property: bool
) -> Match:
    """Find the booking of a payment.

    Args:
        event: About a payment.
        candidates: Every booking that holds the intent or that the metadata name, oldest first.
        known_property: Whether the metadata name a property of ours.
    """
    holders = [b for b in candidates if b.intent_id and b.intent_id == event.payment_intent_id]
    named = [
        b
        for b in candidates
        if b.id == event.claimed.booking_id or b.reference == event.claimed.reference
    ]
    both = [booking for booking in holders if booking in named]
    if both:
        return Ours(booking=both[0])
    if holders and named:
        # The metadata are written by the site and the column by whoever inserted the row, but a
        # booking that has its intent taken by another one is more than a late update.
        return Contradiction(named=named[0], holder=holders[0])
    if len(named) > 1:
        return Contradiction(named=named[0], holder=named[1])
    if holders or named:
        return Ours(booking=(holders or named)[0])
    return NotYet() if event.claimed.named or known_property else Foreign()
