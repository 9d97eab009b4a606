"""What the Guesty adapter wants apart, and refuses before any call. Pure."""

from __future__ import annotations

import re
from decimal import Decimal

from outbox_worker.bookings.booking import Booking
from outbox_worker.errors import MappingError
from outbox_worker.pms import safe_text
from outbox_worker.pms.port import Detail

#: Guesty takes no longer ``confirmationCode``.
_LONGEST_REFERENCE = 50
#: Its filters take a comma for the end of a value: such a reference would never be found again.
_SEPARATOR = ","
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_CENT = Decimal("0.01")


def check_reference(reference: str) -> None:
    """Refuse a reference that Guesty cannot hold, or not find again.

    Raises:
        MappingError: ``reference_invalid``.
    """
    if len(reference) > _LONGEST_REFERENCE or _SEPARATOR in reference:
        raise MappingError(
            "reference_invalid",
            "booking_reference",
            f"The booking reference is longer than {_LONGEST_REFERENCE} characters or holds a"
            " comma: Guesty cannot keep it or find it again",
            hint="Correct bookings.booking_reference.",
        )


def international(phone: str | None) -> str | None:
    """A phone number as E.164 writes it: a plus and digits; None stays None.

    Raises:
        MappingError: ``phone_invalid``: without a country code nobody knows whom it calls.
    """
    if phone is None:
        return None
    # "(0)" between country code and number is dialled at home only
    digits = re.sub(r"[\s().\-/]", "", phone.replace("(0)", ""))
    number = f"+{digits[2:]}" if digits.startswith("00") else digits
    if not _E164.fullmatch(number):
        raise MappingError(
            "phone_invalid",
            "guest_phone",
            "The guest's phone number does not begin with a country code such as +49,"
            " which Guesty demands",
            hint="Correct bookings.guest_phone, or empty it.",
        )
    return number


def detail_of(booking: Booking, *, fare: Decimal, longest: int, warnings: list[str]) -> Detail:
    """The parts of names, guests and price.

    Args:
        booking: As the site holds it.
        fare: Its total, two decimals.
        longest: Longest part of a name, in characters.
        warnings: Gets sentences without guest data about what was made up or left out.

    Raises:
        MappingError: ``guests_missing`` without an adult, ``guests_invalid`` with a number below 0.
    """
    adults, children, infants = booking.adults or 0, booking.children or 0, booking.infants or 0
    if infants < 0:
        raise MappingError(
            "guests_invalid",
            "infants",
            "The booking has a negative number of infants",
            hint="Correct bookings.infants.",
        )
    if adults < 1:
        raise MappingError(
            "guests_missing",
            "adults",
            "The booking has no adult, and Guesty demands one",
            hint="Set bookings.adults.",
        )
    first, last = (
        safe_text.cut(safe_text.line(part), longest)
        for part in (booking.first_name, booking.last_name)
    )
    if bool(first) is not bool(last):
        warnings.append(
            "the guest's first or last name is missing: a stand-in was sent in its place"
        )
    return Detail(
        first_name=first or "Guest",
        last_name=last or booking.reference,
        adults=adults,
        children=children,
        infants=infants,
        cleaning_fee=_cleaning_fee(booking.cleaning_fee, fare, warnings),
    )


def _cleaning_fee(fee: Decimal | None, fare: Decimal, warnings: list[str]) -> Decimal:
    """Zero for one that cannot be a part of the fare: then all of it is accommodation."""
    if fee is None:
        return Decimal("0.00")
    if not fee.is_finite() or not 0 <= fee <= fare or fee != fee.quantize(_CENT):
        warnings.append("the cleaning fee is no part of the total: it was not sent apart")
        return Decimal("0.00")
    return abs(fee.quantize(_CENT))
