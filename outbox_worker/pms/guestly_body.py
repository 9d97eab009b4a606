"""The JSON of the Guestly contract: one encoder out, one parse function in for each thing. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from outbox_worker.errors import DecodeError
from outbox_worker.pms import mapping, safe_text
from outbox_worker.pms.port import Listing, RemoteReservation, Reservation, ReservationStatus

_LONGEST_ID = 200  # as outbox.reservation.reservation_id
_LONGEST_TITLE = 200
_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})(?:T00:00:00(?:\.0+)?Z?)?", re.ASCII)
#: A fare outside of this is no fare, and writing it out could fill the memory.
_FARE_LIMIT = 30


class UnfilteredError(DecodeError):
    """The PMS ignored the reference looked for, and did not show all that it holds."""


def payload(reservation: Reservation) -> dict[str, Any]:
    """The body of a create; what the booking does not have (e-mail, phone) is left out.

    ``fareAccommodation`` is the Decimal itself: write it with `encode`, which knows no float.
    """
    return {name: value for name, value in full_state(reservation).items() if value is not None}


def full_state(reservation: Reservation) -> dict[str, Any]:
    """The body of a change.

    A change may carry any subset, so what the booking no longer has is null here: left out, it
    would stay in the PMS for ever.
    """
    return {
        "listingId": reservation.listing_id,
        "checkIn": reservation.check_in.isoformat(),
        "checkOut": reservation.check_out.isoformat(),
        "guestName": reservation.guest_name,
        "guestEmail": reservation.guest_email,
        "guestPhone": reservation.guest_phone,
        "numberOfGuests": reservation.number_of_guests,
        "status": reservation.status.value,
        "money": {
            "fareAccommodation": reservation.fare,
            "currency": reservation.currency,
        },
        "notes": reservation.notes,
        "source": reservation.source,
        "confirmationCode": reservation.reference,
    }


def encode(value: Mapping[str, Any] | str | int | Decimal | None) -> str:
    """JSON in ASCII, with the digits of a Decimal as they are.

    Raises:
        TypeError: A value of another type; ValueError: a Decimal that is no number.
    """
    match value:
        case bool():
            raise TypeError("a reservation holds no truth values")
        case str() | int() | None:
            return json.dumps(value)
        case Decimal():
            if not value.is_finite():
                raise ValueError("JSON has no such number")
            return format(value, "f")
        case Mapping():
            members = (f"{json.dumps(name)}: {encode(member)}" for name, member in value.items())
            return "{" + ", ".join(members) + "}"
        case _:
            raise TypeError(f"a reservation holds no {type(value).__name__}")


def decode(body: bytes) -> Any:
    """Parsed JSON, its fractions as Decimal.

    Raises:
        DecodeError: It is not JSON, or nested beyond reason.
    """
    try:
        return json.loads(body, parse_float=Decimal, parse_constant=_refused)
    except (ValueError, RecursionError, ArithmeticError):
        # the parser's own message quotes the body
        raise DecodeError("the answer is not JSON") from None


def hits(answer: Any, reference: str) -> tuple[RemoteReservation, ...]:
    """Reservations under our reference in the answer of a look-up, oldest first.

    A server may ignore a filter that it does not know, so each hit's reference is compared.

    Raises:
        UnfilteredError: Others' reservations, none of ours, and no ``count`` that says that these
            are all of them: ours may stand on the next page, so nothing is proved.
        DecodeError: Not the answer of a look-up; or a hit of ours without a usable id.
    """
    results = answer.get("results") if isinstance(answer, Mapping) else None
    if not isinstance(results, list):
        raise DecodeError("the answer of the look-up has no list of results")
    ours = [
        hit
        for hit in results
        if isinstance(hit, Mapping) and hit.get("confirmationCode") == reference
    ]
    if results and not ours and not _is_whole(answer.get("count"), results):
        raise UnfilteredError(
            "the PMS ignored the reference looked for and does not say that this is its whole list"
        )
    if ours and all(_created_at(hit) is not None for hit in ours):
        ours.sort(key=lambda hit: _created_at(hit) or datetime.min.replace(tzinfo=UTC))
    found: dict[str, RemoteReservation] = {}
    for hit in map(reservation, ours):
        found.setdefault(hit.reservation_id, hit)
    return tuple(found.values())


def reservation(answer: Any) -> RemoteReservation:
    """A reservation as the PMS answered it.

    Raises:
        DecodeError: It has no usable ``_id`` or no ``confirmationCode``.
    """
    if not isinstance(answer, Mapping):
        raise DecodeError("the answer is not a reservation")
    reference = answer.get("confirmationCode")
    if not isinstance(reference, str) or not reference:
        raise DecodeError("the reservation in the answer has no confirmationCode")
    status = _text(answer, "status")
    if status == "cancelled":
        status = ReservationStatus.CANCELED.value  # both spellings are about
    return RemoteReservation(
        reservation_id=_usable_id(answer.get("_id")),
        reference=reference,
        listing_id=_text(answer, "listingId"),
        check_in=_day(answer, "checkIn"),
        check_out=_day(answer, "checkOut"),
        guest_email=_text(answer, "guestEmail"),
        status=status,
        fingerprint=_fingerprint(answer, reference, status),
    )


def listing(answer: Any, listing_id: str) -> Listing:
    """The listing asked for as the PMS answered it; one that does not say so is active.

    Raises:
        DecodeError: It has no usable ``_id``, or another one.
    """
    if not isinstance(answer, Mapping) or _usable_id(answer.get("_id")) != listing_id:
        raise DecodeError("the answer is not the listing asked for")
    title = safe_text.cut(safe_text.line(_text(answer, "title")), _LONGEST_TITLE)
    return Listing(
        listing_id=listing_id,
        title=title,
        active=answer.get("active") is not False,
    )


def _is_whole(count: Any, results: list[Any]) -> bool:
    """Whether the answer says that nothing else was left out; true is no number."""
    return isinstance(count, int) and not isinstance(count, bool) and count == len(results)


def _usable_id(value: Any) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    usable = (
        isinstance(text, str)
        and 0 < len(text) <= _LONGEST_ID
        and text.isprintable()
        and not any(letter.isspace() for letter in text)
    )
    if not usable:
        raise DecodeError("the reservation or listing in the answer has no usable _id")
    return str(text)


def _text(answer: Mapping[str, Any], name: str) -> str | None:
    value = answer.get(name)
    return value if isinstance(value, str) else None


def _day(answer: Mapping[str, Any], name: str) -> date | None:
    """A date, or midnight UTC; any other time of day could mean the day before or after."""
    match = _DATE.fullmatch(_text(answer, name) or "")
    try:
        return date.fromisoformat(match[1]) if match else None
    except ValueError:
        return None


def _created_at(answer: Mapping[str, Any]) -> datetime | None:
    try:
        moment = datetime.fromisoformat(_text(answer, "createdAt") or "")
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _fingerprint(answer: Mapping[str, Any], reference: str, status: str | None) -> str | None:
    """`mapping.fingerprint` of the answer, or None where it leaves something out."""
    if status == ReservationStatus.CANCELED:
        return mapping.cancelled_fingerprint(reference)
    money = answer.get("money")
    fare = money.get("fareAccommodation") if isinstance(money, Mapping) else None
    currency = _text(money, "currency") if isinstance(money, Mapping) else None
    check_in, check_out = _day(answer, "checkIn"), _day(answer, "checkOut")
    guests = answer.get("numberOfGuests")
    texts = [_text(answer, name) for name in ("listingId", "guestName", "notes", "source")]
    amount = _amount(fare)
    if (
        status not in set(ReservationStatus)
        or None in texts
        or currency is None
        or amount is None
        or check_in is None
        or check_out is None
        or not isinstance(guests, int)
    ):
        return None
    listing_id, guest_name, notes, source = (text or "" for text in texts)
    return mapping.fingerprint(
        Reservation(
            listing_id=listing_id,
            check_in=check_in,
            check_out=check_out,
            guest_name=safe_text.line(guest_name),
            guest_email=_text(answer, "guestEmail") or None,
            guest_phone=_text(answer, "guestPhone") or None,
            number_of_guests=guests,
            status=ReservationStatus(status),
            fare=amount,
            currency=currency,
            notes=safe_text.block(notes),
            source=source,
            reference=reference,
        )
    )


def _amount(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    amount = Decimal(value)
    return amount if amount.is_finite() and abs(amount.adjusted()) < _FARE_LIMIT else None


def _refused(_constant: str) -> Any:
    raise ValueError("JSON has no NaN and no infinity")
