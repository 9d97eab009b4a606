"""Reservations in the words of the Guestly contract: one parse function, one document. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from outbox_worker.errors import OutboxError

T = TypeVar("T")

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_CENT = Decimal("0.01")
#: With ten digits before the point and two after it, a fare stays exact as a JSON number.
_FARE_LIMIT = Decimal(10) ** 10
_LONGEST_STAY_DAYS = 730
_LONGEST_NOTES = 20_000


class Status(StrEnum):
    """Status words of the contract."""

    INQUIRY = "inquiry"
    CONFIRMED = "confirmed"
    CANCELED = "canceled"


class RequestRefusedError(OutboxError):
    """A request that the PMS understood and refused; nothing was changed.

    Args:
        status: HTTP status of the answer.
        code: Stable upper-case name, the ``error.code`` of the answer.
        message: One sentence that names fields and never quotes their values.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class _FieldError(Exception):
    """What is wrong with one field, as the end of a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """One reservation that the PMS holds.

    Args:
        reference: The ``confirmationCode``.
        check_in: First night.
        check_out: Day of departure, after ``check_in``.
        fare: Major units of ``currency``, two decimals.
        created_at: Aware, UTC.
        updated_at: Aware, UTC.
    """

    reservation_id: str
    reference: str
    status: Status
    listing_id: str
    check_in: date
    check_out: date
    guest_name: str
    guest_email: str | None
    guest_phone: str | None
    number_of_guests: int
    fare: Decimal
    currency: str
    notes: str
    source: str
    created_at: datetime
    updated_at: datetime

    def overlaps(self, other: Reservation) -> bool:
        """Whether both need a night of the same listing; departure and arrival share a day."""
        return (
            self.listing_id == other.listing_id
            and self.check_in < other.check_out
            and other.check_in < self.check_out
        )


def document(reservation: Reservation) -> dict[str, Any]:
    """The reservation as the API answers it and as the state file keeps it."""
    return {
        "_id": reservation.reservation_id,
        "confirmationCode": reservation.reference,
        "status": reservation.status.value,
        "listingId": reservation.listing_id,
        "checkIn": reservation.check_in.isoformat(),
        "checkOut": reservation.check_out.isoformat(),
        "guestName": reservation.guest_name,
        "guestEmail": reservation.guest_email,
        "guestPhone": reservation.guest_phone,
        "numberOfGuests": reservation.number_of_guests,
        "money": {
            # exact: a float holds fifteen digits, _FARE_LIMIT allows twelve
            "fareAccommodation": float(reservation.fare),
            "currency": reservation.currency,
        },
        "notes": reservation.notes,
        "source": reservation.source,
        "createdAt": timestamp(reservation.created_at),
        "lastUpdatedAt": timestamp(reservation.updated_at),
    }


def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds and ``Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def created(body: object, *, reservation_id: str, now: datetime) -> Reservation:
    """The reservation that a create asks for.

    Raises:
        RequestRefusedError: 422; all missing and wrong fields are named at once.
    """
    return _parse(_object(body), reservation_id=reservation_id, created_at=now, updated_at=now)


def changed(current: Reservation, body: object, *, now: datetime) -> Reservation:
    """The reservation after a change by any subset of the fields.

    Raises:
        RequestRefusedError: 422; all wrong fields are named at once.
    """
    patch = _object(body)
    before = document(current)
    merged = {**before, **patch}
    if isinstance(patch.get("money"), Mapping):
        merged["money"] = {**before["money"], **patch["money"]}
    return _parse(
        merged,
        reservation_id=current.reservation_id,
        created_at=current.created_at,
        updated_at=now,
    )


def restored(kept: Mapping[str, Any]) -> Reservation:
    """The reservation that `document` wrote.

    Raises:
        RequestRefusedError: The document is not one of ours.
    """
    try:
        return _parse(
            kept,
            reservation_id=str(kept["_id"]),
            created_at=datetime.fromisoformat(kept["createdAt"]),
            updated_at=datetime.fromisoformat(kept["lastUpdatedAt"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RequestRefusedError(422, "VALIDATION_ERROR", "not a kept reservation") from error


def _object(body: object) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        raise RequestRefusedError(422, "VALIDATION_ERROR", "the body must be a JSON object")
    return body


def _parse(
    body: Mapping[str, Any], *, reservation_id: str, created_at: datetime, updated_at: datetime
) -> Reservation:
    faults: list[str] = []

    def field(name: str, parse: Callable[[Any], T], source: Mapping[str, Any] = body) -> T | None:
        try:
            return parse(source.get(name))
        except _FieldError as error:
            faults.append(f"{name} {error}")
            return None

    money = body.get("money")
    if not isinstance(money, Mapping):
        faults.append("money is required" if money is None else "money must be an object")
        money = {"fareAccommodation": 0, "currency": "XXX"}
    values = {
        "listing_id": field("listingId", _text),
        "check_in": (check_in := field("checkIn", _date)),
        "check_out": (check_out := field("checkOut", _date)),
        "guest_name": field("guestName", _text),
        "guest_email": field("guestEmail", _email),
        "guest_phone": field("guestPhone", _optional_text),
        "number_of_guests": field("numberOfGuests", _guests),
        "status": field("status", _status),
        "fare": field("fareAccommodation", _fare, money),
        "currency": field("currency", _currency, money),
        "notes": field("notes", _notes),
        "source": field("source", _text),
        "reference": field("confirmationCode", _text),
    }
    if faults or check_in is None or check_out is None:
        raise RequestRefusedError(422, "VALIDATION_ERROR", "; ".join(faults))
    if not 0 < (check_out - check_in).days <= _LONGEST_STAY_DAYS:
        raise RequestRefusedError(
            422,
            "INVALID_DATES",
            f"checkOut must be 1 to {_LONGEST_STAY_DAYS} days after checkIn",
        )
    complete: dict[str, Any] = values
    return Reservation(
        reservation_id=reservation_id, created_at=created_at, updated_at=updated_at, **complete
    )


def _text(value: Any) -> str:
    if value is None:
        raise _FieldError("is required")
    if not isinstance(value, str) or not value.strip():
        raise _FieldError("must be a text that is not empty")
    return _encodable(value, limit=255)


def _optional_text(value: Any) -> str | None:
    return None if value is None else _text(value)


def _notes(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _FieldError("must be a text")
    return _encodable(value, limit=_LONGEST_NOTES)


def _encodable(value: str, *, limit: int) -> str:
    if len(value) > limit:
        raise _FieldError(f"must have at most {limit} characters")
    # NUL and lone surrogates pass through JSON escapes, but no real PMS can store them
    if "\x00" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise _FieldError("must be a text without NUL and lone surrogates")
    return value


def _email(value: Any) -> str | None:
    if value is None:
        return None
    text = _text(value)
    if "@" not in text:
        raise _FieldError("must be an e-mail address")
    return text


def _date(value: Any) -> date:
    if value is None:
        raise _FieldError("is required")
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise _FieldError("must be a date YYYY-MM-DD")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise _FieldError("must be a date of the calendar") from None


def _guests(value: Any) -> int:
    if value is None:
        raise _FieldError("is required")
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1000:  # noqa: PLR2004 # an absurdity check
        raise _FieldError("must be a whole number from 1 to 1000")
    return value


def _status(value: Any) -> Status:
    if value is None:
        raise _FieldError("is required")
    try:
        return Status(value)
    except ValueError:
        raise _FieldError("must be inquiry, confirmed or canceled") from None


def _fare(value: Any) -> Decimal:
    if value is None:
        raise _FieldError("is required")
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise _FieldError("must be a number")
    # a document of our own holds a float whose shortest form is the exact fare
    fare = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not 0 <= fare < _FARE_LIMIT:
        raise _FieldError("must be a number from 0 to below 10,000,000,000")
    cents = fare.quantize(_CENT)
    if cents != fare:
        raise _FieldError("must have at most two decimals")
    return cents


def _currency(value: Any) -> str:
    if value is None:
        raise _FieldError("is required")
    if not isinstance(value, str) or not _CURRENCY.fullmatch(value):
        raise _FieldError("must be a currency code of three capital letters")
    return value
