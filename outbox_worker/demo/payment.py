"""Stripe's side: the events of a payment, in Stripe's shape, with Stripe's signature. Pure."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

from outbox_worker.demo.site import Fate, SampleBooking


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One event that Stripe delivers, perhaps more than once.

    Args:
        reference: The booking that it is about.
        body: The exact bytes that are signed.
        deliveries: How often it is delivered: all at once.
    """

    reference: str
    body: bytes
    deliveries: int = 1


def signature(body: bytes, *, secret: str, at: int) -> str:
    """The ``Stripe-Signature`` header; ``at`` in seconds since 1970.

    Source: Stripe, "Verify webhook signatures manually".
    """
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def webhooks(bookings: Sequence[SampleBooking], *, created: datetime) -> tuple[Webhook, ...]:
    """What Stripe sends for these bookings, in their order; nothing for those that nobody pays."""
    return tuple(
        Webhook(
            reference=booking.reference,
            body=json.dumps(_event(booking, created)).encode(),
            deliveries=3 if booking.fate is Fate.REPEATED else 1,
        )
        for booking in bookings
        if booking.fate is not Fate.UNPAID
    )


def _event(booking: SampleBooking, created: datetime) -> dict[str, Any]:
    match booking.fate:
        case Fate.CHECKOUT:
            kind, thing = "checkout.session.completed", _session(booking)
        case Fate.DECLINED:
            kind, thing = "payment_intent.payment_failed", _intent(booking, paid=False)
        case (
            Fate.PLAIN | Fate.REPEATED | Fate.UNPAID | Fate.FAULT | Fate.BROKEN
            | Fate.TIMEOUT | Fate.OUTAGE | Fate.UNLISTED
        ):  # fmt: skip
            kind, thing = "payment_intent.succeeded", _intent(booking, paid=True)
        case _:
            assert_never(booking.fate)
    return {
        "id": f"evt_demo_{booking.intent_id.removeprefix('pi_')}",
        "object": "event",
        "api_version": "2025-09-30.clover",
        "created": int(created.timestamp()),
        "livemode": False,
        "type": kind,
        "data": {"object": thing},
    }


def payment_succeeded(booking: SampleBooking, *, created: datetime) -> bytes:
    """The body of one ``payment_intent.succeeded`` for a booking that nobody has paid yet."""
    return json.dumps(_event(booking, created), separators=(",", ":")).encode()


def _intent(booking: SampleBooking, *, paid: bool) -> dict[str, Any]:
    cents = _cents(booking)
    return {
        "id": booking.intent_id,
        "object": "payment_intent",
        "amount": cents,
        "amount_received": cents if paid else 0,
        "currency": "eur",
        "status": "succeeded" if paid else "requires_payment_method",
        "latest_charge": booking.intent_id.replace("pi_", "ch_"),
        "metadata": _metadata(booking),
    }


def _session(booking: SampleBooking) -> dict[str, Any]:
    return {
        "id": booking.intent_id.replace("pi_", "cs_test_"),
        "object": "checkout.session",
        "mode": "payment",
        "amount_total": _cents(booking),
        "currency": "eur",
        "payment_intent": booking.intent_id,
        "payment_status": "paid",
        "status": "complete",
        "metadata": _metadata(booking),
    }


def _metadata(booking: SampleBooking) -> dict[str, str]:
    return {"booking_id": str(booking.id), "booking_reference": booking.reference}


def _cents(booking: SampleBooking) -> int:
    return int(booking.total * 100)
