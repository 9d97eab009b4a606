"""The bodies of the calls of Guesty's API, version 3. Pure.

Source: open-api-docs.guesty.com, "Reservations Open Api".
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, assert_never

from outbox_worker.pms import guesty_parts
from outbox_worker.pms.guesty_parts import Part
from outbox_worker.pms.port import Rejected, Reservation, ReservationStatus

#: One of the fixed list that Guesty takes. The site knows that a booking was cancelled, not why or
#: by whom, so ``canceledBy`` is left out: the guest is not charged with it.
_CANCELLATION_REASON = "No Reason Provided"
_CANCELLATION_NOTE = "Cancelled on the website"

#: Of ``confirmationCode`` and ``originId``.
_LONGEST_REFERENCE = 50
_CENT = Decimal("0.01")


def unusable(reference: str) -> Rejected | None:
    """Why nothing can be kept, or found again, under a reference; None: it can."""
    if not reference:
        # an empty filter would list everybody's reservations
        return Rejected(code="reference_missing", message="The booking has no reference")
    if len(reference) > _LONGEST_REFERENCE or "," in reference:
        return Rejected(
            code="reference_invalid",
            message=f"The booking reference is longer than {_LONGEST_REFERENCE} characters or"
            " holds a comma: Guesty cannot keep it or find it again",
        )
    return None


def creation(reservation: Reservation) -> dict[str, Any]:
    """The body of a create: everything but the notes, which it has no place for.

    The checks of calendar, terms and blocks stay on: on a property with one unit, the calendar
    itself refuses a second copy of a reservation. Promotions are off: the price is what was paid.
    """
    people = guesty_parts.detail(reservation)
    guest: dict[str, Any] = {"firstName": people.first_name, "lastName": people.last_name}
    if reservation.guest_email is not None:
        guest["email"] = reservation.guest_email
    guest["phones"] = [] if reservation.guest_phone is None else [reservation.guest_phone]
    return {
        "listingId": reservation.listing_id,
        **_dates(reservation),
        "source": reservation.source,
        "origin": reservation.source,
        "originId": reservation.reference,
        "confirmationCode": reservation.reference,
        "status": reservation.status.value,
        "guest": guest,
        **_guests(reservation),
        "accommodationFare": (reservation.fare - people.cleaning_fee).quantize(_CENT),
        "cleaningFee": people.cleaning_fee.quantize(_CENT),
        "applyPromotions": False,
        "ignoreCalendar": False,
        "ignoreTerms": False,
        "ignoreBlocks": False,
    }


def change(part: Part, reservation: Reservation) -> tuple[str, dict[str, Any]]:
    """The last segment of the path, and the body, of the call that writes one part.

    Raises:
        AssertionError: A part that no call writes.
    """
    match part:
        case Part.LISTING:
            return "relocate", {"listingId": reservation.listing_id}
        case Part.DATES:
            return "dates", _dates(reservation)
        case Part.GUESTS:
            return "guests", _guests(reservation)
        case Part.STATUS if reservation.status is ReservationStatus.CANCELED:
            return "status", cancellation()
        case Part.STATUS:
            return "status", {"status": reservation.status.value}
        case Part.NOTES:
            return "notes", {"notes": {"other": reservation.notes}}
        case Part.FARE | Part.CONTACT:
            raise AssertionError(f"no call of Guesty changes the {part.value} of a reservation")
        case _:
            assert_never(part)


def cancellation() -> dict[str, Any]:
    """The body of a change of status that cancels."""
    return {
        "status": ReservationStatus.CANCELED.value,
        "cancellationReason": _CANCELLATION_REASON,
        "cancellationNote": _CANCELLATION_NOTE,
    }


def _dates(reservation: Reservation) -> dict[str, Any]:
    return {
        "checkInDateLocalized": reservation.check_in.isoformat(),
        "checkOutDateLocalized": reservation.check_out.isoformat(),
    }


def _guests(reservation: Reservation) -> dict[str, Any]:
    people = guesty_parts.detail(reservation)
    return {
        "guestsCount": reservation.number_of_guests,
        "numberOfGuests": {
            "numberOfAdults": people.adults,
            "numberOfChildren": people.children,
            "numberOfInfants": people.infants,
        },
    }
