"""The bodies of the Guestly contract, out and in: one function for each thing. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from outbox_worker.errors import DecodeError
from outbox_worker.pms import mapping, safe_text
from outbox_worker.pms.answer_fields import day, moment, text, usable_id
from outbox_worker.pms.port import Listing, RemoteReservation, Reservation, ReservationStatus

_LONGEST_TITLE = 200
#: A fare outside of this is no fare, and writing it out could fill the memory.
_FARE_LIMIT = 30


class UnfilteredError(DecodeError):
    """The PMS ignored the reference looked for, and did not show all that it holds."""


def payload(reservation: Reservation) -> dict[str, Any]:
    """The body of a create; what the booking does not have (e-mail, phone) is left out.

    ``fareAccommodation`` is the Decimal itself, for `exact_json.encode`, which knows no float.
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
            "Guestly ignored the reference looked for and does not say that this is its whole list"
        )
    if ours and all(moment(hit, "createdAt") is not None for hit in ours):
        ours.sort(key=lambda hit: moment(hit, "createdAt") or datetime.min.replace(tzinfo=UTC))
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
    status = text(answer, "status")
    if status == "cancelled":
        status = ReservationStatus.CANCELED.value  # both spellings are about
    return RemoteReservation(
        reservation_id=usable_id(answer.get("_id")),
        reference=reference,
        listing_id=text(answer, "listingId"),
        check_in=day(answer, "checkIn"),
        check_out=day(answer, "checkOut"),
        guest_email=text(answer, "guestEmail"),
        status=status,
        fingerprint=_fingerprint(answer, reference, status),
    )


def listing(answer: Any, listing_id: str) -> Listing:
    """The listing asked for as the PMS answered it; one that does not say so is active.

    Raises:
        DecodeError: It has no usable ``_id``, or another one.
    """
    if not isinstance(answer, Mapping) or usable_id(answer.get("_id")) != listing_id:
        raise DecodeError("the answer is not the listing asked for")
    title = safe_text.cut(safe_text.line(text(answer, "title")), _LONGEST_TITLE)
    return Listing(
        listing_id=listing_id,
        title=title,
        active=answer.get("active") is not False,
    )


def _is_whole(count: Any, results: list[Any]) -> bool:
    """Whether the answer says that nothing else was left out; true is no number."""
    return isinstance(count, int) and not isinstance(count, bool) and count == len(results)


def _fingerprint(answer: Mapping[str, Any], reference: str, status: str | None) -> str | None:
    """`mapping.fingerprint` of the answer, or None where it leaves something out."""
    if status == ReservationStatus.CANCELED:
        return mapping.cancelled_fingerprint(reference)
    money = answer.get("money")
    fare = money.get("fareAccommodation") if isinstance(money, Mapping) else None
    currency = text(money, "currency") if isinstance(money, Mapping) else None
    check_in, check_out = day(answer, "checkIn"), day(answer, "checkOut")
    guests = answer.get("numberOfGuests")
    texts = [text(answer, name) for name in ("listingId", "guestName", "notes", "source")]
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
            guest_email=text(answer, "guestEmail") or None,
            guest_phone=text(answer, "guestPhone") or None,
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
