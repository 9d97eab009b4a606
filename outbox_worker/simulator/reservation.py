"""Reservations, and how they read in the Guestly contract: one parse function. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar

from outbox_worker.errors import OutboxError
from outbox_worker.simulator import reservation_fields as fields
from outbox_worker.simulator.guesty_state import GuestyState, document_of, state_from

T = TypeVar("T")

_LONGEST_STAY_DAYS = 730


class Status(StrEnum):
    """Status words; the Guestly contract has the first three, Guesty all."""

    INQUIRY = "inquiry"
    CONFIRMED = "confirmed"
    CANCELED = "canceled"
    RESERVED = "reserved"
    AWAITING_PAYMENT = "awaiting_payment"
    CLOSED = "closed"
    DECLINED = "declined"
    EXPIRED = "expired"

    @property
    def blocks(self) -> bool:
        """Whether a reservation of this status takes its nights from others."""
        return self in {Status.CONFIRMED, Status.RESERVED}


_GUESTLY_WORDS = frozenset({Status.INQUIRY, Status.CONFIRMED, Status.CANCELED})


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
        guesty: What only the Guesty API knows of it; None: it came by the Guestly contract.
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
    guesty: GuestyState | None = None

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
        **({} if reservation.guesty is None else {"guesty": document_of(reservation.guesty)}),
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
            guesty=state_from(kept["guesty"]) if "guesty" in kept else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RequestRefusedError(422, "VALIDATION_ERROR", "not a kept reservation") from error


def _object(body: object) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        raise RequestRefusedError(422, "VALIDATION_ERROR", "the body must be a JSON object")
    return body


def _parse(
    body: Mapping[str, Any],
    *,
    reservation_id: str,
    created_at: datetime,
    updated_at: datetime,
    guesty: GuestyState | None = None,
) -> Reservation:
    faults: list[str] = []
    words = _GUESTLY_WORDS if guesty is None else frozenset(Status)

    def field(name: str, parse: Callable[[Any], T], source: Mapping[str, Any] = body) -> T | None:
        try:
            return parse(source.get(name))
        except fields.FieldError as error:
            faults.append(f"{name} {error}")
            return None

    money = body.get("money")
    if not isinstance(money, Mapping):
        faults.append("money is required" if money is None else "money must be an object")
        money = {"fareAccommodation": 0, "currency": "XXX"}
    values = {
        "listing_id": field("listingId", fields.text),
        "check_in": (check_in := field("checkIn", fields.day)),
        "check_out": (check_out := field("checkOut", fields.day)),
        "guest_name": field("guestName", fields.text),
        "guest_email": field("guestEmail", fields.email),
        "guest_phone": field("guestPhone", fields.optional_text),
        "number_of_guests": field("numberOfGuests", fields.guests),
        "status": field("status", partial(_status, words=words)),
        "fare": field("fareAccommodation", fields.fare, money),
        "currency": field("currency", fields.currency, money),
        "notes": field("notes", fields.notes),
        "source": field("source", fields.text),
        "reference": field("confirmationCode", fields.text),
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
        reservation_id=reservation_id,
        created_at=created_at,
        updated_at=updated_at,
        guesty=guesty,
        **complete,
    )


def _status(value: Any, *, words: frozenset[Status]) -> Status:
    if value is None:
        raise fields.FieldError("is required")
    if not isinstance(value, str) or value not in words:
        raise fields.FieldError("must be inquiry, confirmed or canceled")
    return Status(value)
