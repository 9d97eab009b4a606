"""What a kept event says of its payment, without guest data: how much, for which booking. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from outbox_worker.bookings.transition import PaymentSucceeded
from outbox_worker.payments import money
from outbox_worker.payments.stripe_event import read


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPayment:
    """A payment that came in.

    Args:
        intent_id: Stripe's id of it, ``pi_…``; None: the event does not say.
        amount: In major units of ``currency``; None: the event says no amount, or no currency.
        currency: ISO 4217, upper case.
        reference: The booking that the site named when it asked for the payment.
        booking_id: The same by its id.
    """

    intent_id: str | None
    amount: Decimal | None
    currency: str | None
    reference: str | None
    booking_id: UUID | None


def payment_of(body: bytes | None) -> EventPayment | None:
    """Read it from a stored body.

    Args:
        body: As it was signed; None: no longer kept.

    Returns:
        None: no body, or one that reports no payment.
    """
    if body is None:
        return None
    event = read(body)
    paid = event.meaning
    if not isinstance(paid, PaymentSucceeded):
        return None
    amount: Decimal | None = None
    if paid.amount is not None and paid.currency is not None:
        amount = Decimal(paid.amount).scaleb(-money.exponent(paid.currency))
    return EventPayment(
        intent_id=event.payment_intent_id,
        amount=amount,
        currency=paid.currency,
        reference=event.claimed.reference,
        booking_id=event.claimed.booking_id,
    )
