"""What the Guesty adapter wants apart, and refuses before any call. Pure."""

from __future__ import annotations

import re
import unicodedata
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
_TEL = re.compile(r"^\s*tel[.:]*\s*", re.IGNORECASE)
_EXTENSION = re.compile(
    r"[\s,;(]*(?:\bext(?:ension|n)?\b|(?<=[0-9\s,;(])(?:ext|x))[\s.:=]*[0-9]{1,7}[\s)]*$",
    re.IGNORECASE,
)
#: Dashes of print and the minus sign among them.
_SEPARATORS = re.compile(r"[\s().\-/\u2010-\u2015\u2212]")
#: They have one digit, two, or else three (ITU-T E.164).
_TWO_DIGITS = r"(?:2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58])"
_COUNTRY = rf"(?:[17]|{_TWO_DIGITS}|(?!{_TWO_DIGITS})[2-9][0-9]{{2}})"
_ZERO_BEHIND = re.compile(rf"\+{_COUNTRY}0")
_COUNTRY_ALONE = re.compile(rf"\+{_COUNTRY}")
#: Dialled at home only; what is in front of it has to be the country code.
_TRUNK = re.compile(r"\(\s*0\s*\)")
#: Where a 0 is a part of the number: Italy and San Marino, Ivory Coast, Burkina Faso, Benin, Congo.
_ZERO_STAYS = ("+39", "+378", "+225", "+226", "+229", "+242")
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


def international(phone: str | None, warnings: list[str]) -> str | None:
    """A phone number as E.164 writes it: a plus and digits; None stays None.

    An extension is left out. A 0 of which nobody knows whether it is dialled from abroad stays: a
    paid booking does not wait for it.

    Args:
        phone: As the site holds it.
        warnings: Gets a sentence about such a 0.

    Raises:
        MappingError: ``phone_invalid``: without a country code nobody knows whom it calls.
    """
    if phone is None:
        return None
    plain = _EXTENSION.sub("", _TEL.sub("", _ordinary(phone)))
    number, *behind = (_SEPARATORS.sub("", part) for part in _TRUNK.split(plain))
    if number.startswith("00"):
        number = f"+{number[2:]}"
    misplaced = behind and (len(behind) > 1 or not _COUNTRY_ALONE.fullmatch(number))
    if behind:
        # in the wrong place it is not known what it says: it stays
        number = (
            "0".join((number, *behind))
            if misplaced or number in _ZERO_STAYS
            else number + behind[0]
        )
    if not _E164.fullmatch(number):
        raise MappingError(
            "phone_invalid",
            "guest_phone",
            "The guest's phone number does not begin with a country code such as +49, or is too"
            " short or too long behind it",
            hint="Correct bookings.guest_phone, or empty it.",
        )
    if misplaced or (_ZERO_BEHIND.match(number) and not number.startswith(_ZERO_STAYS)):
        warnings.append(
            "the guest's phone number has a 0 that may not be dialled from abroad: it was sent as"
            " it is"
        )
    return number


def _ordinary(phone: str) -> str:
    """Without direction marks and their like, full-width characters as ordinary ones."""
    # nothing but these: a footnote's raised 2 is no digit of the number
    return "".join(
        unicodedata.normalize("NFKC", each) if unicodedata.east_asian_width(each) == "F" else each
        for each in phone
        if unicodedata.category(each) != "Cf"
    )


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
