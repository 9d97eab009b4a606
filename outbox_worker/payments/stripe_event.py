"""Reading a verified Stripe body: bytes in, one frozen record out; pure.

About a dozen fields are read and the rest is opaque, so that every API version since 2017 reads the
same. Nothing here raises: a body that cannot be understood is a `Malformed` event.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NoReturn, TypeAlias
from uuid import UUID

from outbox_worker.bookings.transition import (
    Payment,
    PaymentCanceled,
    PaymentFailed,
    PaymentProcessing,
    PaymentSucceeded,
)

#: Stripe's ids and event types are short ASCII; an event id is also the key of a delivery.
_ID = re.compile(r"[A-Za-z0-9_.:\-]{1,200}")
_CURRENCY = re.compile(r"[A-Za-z]{3}")
_LONGEST_NAME = 200
#: More digits than any amount has; converting thousands of them would be refused, and slow before.
_LONGEST_INTEGER = 18

_DEFERRED = re.compile(r"charge\.refunded|charge\.refund\..+|refund\..+|charge\.dispute\..+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """A refund or a dispute: kept with its body until something here applies such events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """Nothing that concerns a booking's payment."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed:
    """Signed by Stripe and yet not an event that can be understood."""

    reason: str


Meaning: TypeAlias = Payment | Deferred | Ignored | Malformed


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """Which booking the metadata say that the payment is for. The site writes them, no guest does.

    Args:
        named: Whether they name a booking at all, be it unusably.
        booking_id: None: not named, or not a UUID.
        reference: None: not named, or nothing that a reference can be.
        property_id: None: not named, or not a UUID.
    """

    named: bool
    booking_id: UUID | None
    reference: str | None
    property_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeEvent:
    """One event, as far as it matters here.

    Args:
        id: Stripe's, or ``sha256:<hex of the body>`` where the body has no usable one.
        type: Dotted name; empty where the body has no usable one.
        livemode: None where it is not said.
        account: Connected account; None for one's own.
        object_id: Id of the object that the event is about.
        payment_intent_id: The intent behind that object, or the object itself.
        claimed: Which booking it is said to be for.
        meaning: What it means for a booking.
    """

    id: str
    type: str
    livemode: bool | None
    account: str | None
    object_id: str | None
    payment_intent_id: str | None
    claimed: Claimed
    meaning: Meaning


def read(body: bytes) -> StripeEvent:
    """Read one verified body.

    Args:
        body: The bytes that were signed, whatever they hold.
    """
    fields, fault = _parse(body)
    event_id, event_type = _id(fields.get("id")), _id(fields.get("type"))
    data = _object(fields.get("data"))
    thing = _object(data.get("object"))
    object_id = _id(thing.get("id"))
    if thing.get("object") == "payment_intent" or (event_type or "").startswith("payment_intent."):
        intent_id = object_id
    else:
        intent_id = _reference(thing.get("payment_intent"))
    if fault is None and event_id is None:
        fault = "it has no usable id"
    if fault is None and event_type is None:
        fault = "it has no usable type"
    livemode = fields.get("livemode")
    return StripeEvent(
        id=event_id or f"sha256:{sha256(body).hexdigest()}",
        type=event_type or "",
        livemode=livemode if isinstance(livemode, bool) else None,
        account=_id(fields.get("account")),
        object_id=object_id,
        payment_intent_id=intent_id,
        claimed=_claimed(_object(thing.get("metadata"))),
        meaning=Malformed(reason=fault)
        if fault is not None
        else _meaning(event_type or "", fields, thing, intent_id),
    )


def _parse(body: bytes) -> tuple[dict[str, Any], str | None]:
    """The body's top level, and why it is not an event."""
    try:
        fields = json.loads(body.decode(), parse_int=_integer, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        return {}, f"it is not JSON that can be read ({type(error).__name__})"
    if not isinstance(fields, dict):
        return {}, "it is not a JSON object"
    return fields, None


def _meaning(
    event_type: str, fields: dict[str, Any], thing: dict[str, Any], intent_id: str | None
) -> Meaning:
    if fields.get("object") == "v2.core.event":
        return Ignored(reason="a thin event")
    if _DEFERRED.fullmatch(event_type):
        return Deferred()
    meaning: Meaning
    match event_type:
        case "payment_intent.succeeded":
            meaning = PaymentSucceeded(
                intent_id=intent_id,
                charge_id=_charge(thing),
                amount=_amount(thing.get("amount_received")),
                currency=_currency(thing.get("currency")),
            )
        case "payment_intent.processing":
            meaning = PaymentProcessing(intent_id=intent_id)
        case "payment_intent.payment_failed" | "checkout.session.async_payment_failed":
            meaning = PaymentFailed(intent_id=intent_id)
        case "payment_intent.canceled" | "checkout.session.expired":
            meaning = PaymentCanceled(intent_id=intent_id)
        case "checkout.session.completed" | "checkout.session.async_payment_succeeded":
            meaning = _checkout(event_type, thing, intent_id)
        case _:
            return Ignored(reason="a type that changes no booking")
    if not thing:
        return Malformed(reason="it has no object")
    if _id(thing.get("id")) is None:
        return Malformed(reason="its object has no usable id")
    return meaning


def _checkout(event_type: str, thing: dict[str, Any], intent_id: str | None) -> Meaning:
    if thing.get("mode") == "setup":
        return Ignored(reason="a checkout that stores a card and takes no payment")
    status = thing.get("payment_status")
    # a tuple, not a set: the value may be unhashable
    unpaid = status not in ("paid", "no_payment_required")
    if event_type == "checkout.session.completed" and unpaid:
        return PaymentProcessing(intent_id=intent_id)
    return PaymentSucceeded(
        intent_id=intent_id,
        charge_id=None,
        amount=_amount(thing.get("amount_total")),
        currency=_currency(thing.get("currency")),
    )


def _claimed(metadata: dict[str, Any]) -> Claimed:
    booking_id, reference = metadata.get("booking_id"), metadata.get("booking_reference")
    return Claimed(
        named=bool(booking_id) or bool(reference),
        booking_id=_uuid(booking_id),
        reference=_name(reference),
        property_id=_uuid(metadata.get("property_id")),
    )


def _charge(intent: dict[str, Any]) -> str | None:
    """The charge that paid an intent: a field since 2022-11-15, the list of charges before."""
    latest = _reference(intent.get("latest_charge"))
    if latest is not None:
        return latest
    charges = _object(intent.get("charges")).get("data")
    listed = [_object(charge) for charge in charges] if isinstance(charges, list) else []
    return next((_id(c.get("id")) for c in listed if c.get("status") == "succeeded"), None)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _reference(value: object) -> str | None:
    """An id, given as itself or as the expanded object."""
    return _id(value.get("id") if isinstance(value, dict) else value)


def _id(value: object) -> str | None:
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def _name(value: object) -> str | None:
    """Text that Postgres can compare; NUL and lone surrogates are not."""
    if not isinstance(value, str) or "\0" in value:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    name = value.strip()
    return name if 1 <= len(name) <= _LONGEST_NAME else None


def _uuid(value: object) -> UUID | None:
    name = _name(value)
    try:
        return None if name is None else UUID(name)
    except ValueError:
        return None


def _amount(value: object) -> int | None:
    # a bool is an int to Python, and a float is no amount
    return value if type(value) is int and value >= 0 else None


def _currency(value: object) -> str | None:
    return value.upper() if isinstance(value, str) and _CURRENCY.fullmatch(value) else None


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else None


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
