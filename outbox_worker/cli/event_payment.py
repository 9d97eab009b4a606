"""What a person needs of an event's payment to find it in Stripe and on the site."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from outbox_worker.operations.event_payment import EventPayment


def payment_words(payment: EventPayment | None, intent_id: str | None = None) -> str:
    """How much was paid, and Stripe's id of it; empty where neither is known.

    Args:
        payment: As the event's body says it.
        intent_id: Of the payment, where the body is no longer kept.
    """
    if payment is None:
        return intent_id or ""
    known = payment.amount is not None
    amount = f"{payment.amount:,f} {payment.currency}" if known else "amount not said"
    return ", ".join(filter(None, [amount, payment.intent_id or intent_id]))


def named_words(payment: EventPayment | None) -> str:
    """Which booking the payment names; empty where that is not known."""
    if payment is None:
        return ""
    booking_id = f"booking id {payment.booking_id}" if payment.booking_id else ""
    return ", ".join(filter(None, [payment.reference, booking_id])) or "no booking"
