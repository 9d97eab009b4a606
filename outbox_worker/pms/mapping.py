"""A booking as the PMS should hold it: pure rules, and the hashes that tell two states apart.

Nothing here depends on one PMS but the words of a refusal, and what `mapping_detail` adds. How a
`Reservation` looks in JSON is the adapter's business.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import unicodedata
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import assert_never
from uuid import UUID, uuid5

from outbox_worker.bookings.booking import Booking, BookingStatus
from outbox_worker.errors import MappingError
from outbox_worker.pms import mapping_detail, safe_text
from outbox_worker.pms.port import Detail, PmsName, Reservation, ReservationStatus

SOURCE = "website"

#: Ours for ever: another namespace would make every key of a running create a new one.
_KEYS = UUID("6f1d3c52-7d0e-4c3b-9a57-1b0f5a6d2e94")
#: Goes into every fingerprint; raised when the fields or their canonical form change.
_FINGERPRINT_VERSION = 1

_LONGEST_REFERENCE = 100
_LONGEST_NAME_PART = 100
_LONGEST_EMAIL = 254  # RFC 5321: a path of 256 with its two angle brackets
_LONGEST_PHONE = 50
_LONGEST_REMARK = 200
_LONGEST_REQUESTS = 4000
_CENT = Decimal("0.01")
_TOTAL_LIMIT = Decimal(10) ** 8  # numeric(10,2)

_EMAIL = re.compile(r"[^\s@<>]+@[^\s@<>]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """A booking that can be sent.

    Args:
        reservation: What the PMS should hold.
        warnings: What was left out, cut or made up: sentences without guest data.
    """

    reservation: Reservation
    warnings: tuple[str, ...]


def to_reservation(
    booking: Booking, *, listing_id: str | None, pms: PmsName, currency: str
) -> Mapped:
    """Express a booking for the PMS.

    Args:
        booking: As the site holds it; nothing in it is trusted.
        listing_id: The property's id in the PMS; None: none is known.
        pms: Whose listing is missed, in the words of a refusal.
        currency: ISO 4217 code of ``booking.total``, upper case.

    Raises:
        MappingError: With one of the codes ``reference_missing``, ``reference_invalid``,
            ``listing_missing``, ``dates_missing``, ``dates_invalid``, ``guests_missing``,
            ``guests_invalid``, ``total_missing``, ``total_negative``, ``total_invalid``; the first
            fault in this order. Then those of `mapping_detail`, for a PMS that wants the detail.
    """
    warnings: list[str] = []
    reference = _reference(booking)
    listing = _listing(booking, listing_id, pms)
    check_in, check_out = _stay(booking)
    number_of_guests, fare = _number_of_guests(booking), _fare(booking)
    phone, detail = _guest_phone(booking, warnings), None
    if pms is PmsName.GUESTY:
        mapping_detail.check_reference(reference)
        phone = mapping_detail.international(phone, warnings)
        detail = mapping_detail.detail_of(
            booking, fare=fare, longest=_LONGEST_NAME_PART, warnings=warnings
        )
    return Mapped(
        reservation=Reservation(
            listing_id=listing,
            check_in=check_in,
            check_out=check_out,
            guest_name=_guest_name(booking, warnings),
            guest_email=_guest_email(booking, warnings),
            guest_phone=phone,
            number_of_guests=number_of_guests,
            status=status_of(booking.status),
            fare=fare,
            currency=currency,
            notes=_notes(booking, warnings),
            source=SOURCE,
            reference=reference,
            detail=detail,
        ),
        warnings=tuple(warnings),
    )


def status_of(status: BookingStatus) -> ReservationStatus:
    """The PMS's word for a booking's status; a stay that is over stays confirmed there."""
    match status:
        case BookingStatus.PENDING:
            return ReservationStatus.INQUIRY
        case BookingStatus.CONFIRMED | BookingStatus.COMPLETED:
            return ReservationStatus.CONFIRMED
        case BookingStatus.CANCELLED:
            return ReservationStatus.CANCELED
        case _:
            assert_never(status)


def fingerprint(reservation: Reservation) -> str:
    """Hash of everything about a reservation that the PMS can hold.

    Two states with the same fingerprint need no call between them. A cancelled reservation's is
    `cancelled_fingerprint`: nothing else about it matters any more.

    Returns:
        64 hexadecimal digits.
    """
    if reservation.status is ReservationStatus.CANCELED:
        return cancelled_fingerprint(reservation.reference)
    return _digest(
        {
            "listing_id": reservation.listing_id,
            "check_in": reservation.check_in.isoformat(),
            "check_out": reservation.check_out.isoformat(),
            "guest_name": reservation.guest_name,
            "guest_email": reservation.guest_email,
            "guest_phone": reservation.guest_phone,
            "number_of_guests": reservation.number_of_guests,
            "status": reservation.status.value,
            "fare": _canonical_amount(reservation.fare),
            "currency": reservation.currency,
            "notes": reservation.notes,
            "source": reservation.source,
            "reference": reservation.reference,
            **_detail(reservation.detail),
        }
    )


def cancelled_fingerprint(reference: str) -> str:
    """Fingerprint of a cancelled reservation: its reference and that it is cancelled."""
    return _digest({"reference": reference, "status": ReservationStatus.CANCELED.value})


def idempotency_key_create(booking_id: UUID, reservations: int) -> str:
    """Key of a create: the same for every attempt at this reservation, whatever its version.

    Args:
        booking_id: Whose reservation.
        reservations: How many live reservations this booking has had before.
    """
    return str(uuid5(_KEYS, f"create:{booking_id}:{reservations}"))


def idempotency_key_change(reservation_id: str, fingerprint: str, *, version: int) -> str:
    """Key of a change or a cancellation: the same for every attempt at this version.

    Args:
        reservation_id: What is changed.
        fingerprint: The state to write.
        version: The delivery's version that asks for it. Without it a booking that changes from A
            to B, back to A and to B again would send an old key, and a PMS that remembers keys
            would answer with the first B and change nothing.
    """
    return str(uuid5(_KEYS, f"change:{reservation_id}:{version}:{fingerprint}"))


def _reference(booking: Booking) -> str:
    # Never mended: a look-up compares it, so what is sent must be what is stored.
    reference, field = booking.reference, "booking_reference"
    if not reference.strip():
        raise MappingError(
            "reference_missing",
            field,
            "The booking has no reference, so its reservation could not be found again",
            hint=f"Set bookings.{field}.",
        )
    if len(reference) > _LONGEST_REFERENCE or not safe_text.is_safe(reference):
        raise MappingError(
            "reference_invalid",
            field,
            f"The booking reference is longer than {_LONGEST_REFERENCE} characters, begins or ends"
            " with a space, or holds control characters",
            hint=f"Correct bookings.{field}.",
        )
    return reference


def _listing(booking: Booking, listing_id: str | None, pms: PmsName) -> str:
    if listing_id is not None and listing_id.strip():
        return listing_id.strip()
    sentence = f"Could not map property to {pms.display_name} listing"
    slug = safe_text.cut(safe_text.line(booking.slug), _LONGEST_REMARK)
    if not slug:
        raise MappingError(
            "listing_missing",
            "property_id",
            f"{sentence}: the booking has no property, or its property is gone or has no slug",
            hint="Set bookings.property_id to a property with a slug.",
        )
    command = f"outbox listings set {shlex.quote(slug)} LISTING_ID"
    raise MappingError(
        "listing_missing",
        "property_id",
        f'{sentence}: property "{slug}" has none; add it with: {command}',
        hint=command,
    )


def _stay(booking: Booking) -> tuple[date, date]:
    if booking.check_in is None or booking.check_out is None:
        field = "check_in_date" if booking.check_in is None else "check_out_date"
        raise MappingError(
            "dates_missing",
            field,
            "The booking has no check-in date or no check-out date that can be read",
            hint=f"Set bookings.{field}.",
        )
    if booking.check_out <= booking.check_in:
        raise MappingError(
            "dates_invalid",
            "check_out_date",
            f"Check-out {booking.check_out} is not after check-in {booking.check_in}",
            hint="Correct bookings.check_in_date or bookings.check_out_date.",
        )
    return booking.check_in, booking.check_out


def _number_of_guests(booking: Booking) -> int:
    adults, children = booking.adults or 0, booking.children or 0
    if adults < 0 or children < 0:
        field = "adults" if adults < 0 else "children"
        raise MappingError(
            "guests_invalid",
            field,
            f"The booking has a negative number of {field}",
            hint=f"Correct bookings.{field}.",
        )
    if adults + children < 1:
        raise MappingError(
            "guests_missing",
            "adults",
            "The booking has no guests: adults and children are empty or zero",
            hint="Set bookings.adults.",
        )
    return adults + children


def _fare(booking: Booking) -> Decimal:
    total = booking.total
    if total is None:
        raise _total("missing", "The booking has no total")
    if not total.is_finite() or abs(total) >= _TOTAL_LIMIT:
        raise _total("invalid", "The booking's total is not an amount below 100,000,000")
    if total < 0:
        raise _total("negative", f"The booking's total is negative: {total}")
    fare = total.quantize(_CENT)
    if fare != total:
        # rounding money silently would hide that somebody computes with fractions of a cent
        raise _total("invalid", "The booking's total has more than two decimals")
    return abs(fare)  # a zero can have a sign, too


def _total(fault: str, message: str) -> MappingError:
    return MappingError(f"total_{fault}", "total", message, hint="Correct bookings.total.")


def _guest_name(booking: Booking, warnings: list[str]) -> str:
    parts = [
        _cut(safe_text.line(part), _LONGEST_NAME_PART, f"the guest's {which} name", warnings)
        for which, part in (("first", booking.first_name), ("last", booking.last_name))
    ]
    name = " ".join(part for part in parts if part)
    if not name:
        warnings.append("the booking has no guest name: its reference was sent in its place")
        return f"Guest {booking.reference}"
    return name


def _guest_email(booking: Booking, warnings: list[str]) -> str | None:
    email = safe_text.line(booking.email)
    if not email:
        warnings.append("the booking has no guest e-mail: it was left out")
        return None
    if len(email) > _LONGEST_EMAIL or not _EMAIL.fullmatch(email):
        # a PMS that checks addresses would refuse the whole reservation of a guest who has paid
        warnings.append("the guest's e-mail is not an address: it was left out")
        return None
    return email


def _guest_phone(booking: Booking, warnings: list[str]) -> str | None:
    phone = safe_text.line(booking.phone)
    return _cut(phone, _LONGEST_PHONE, "the guest's phone number", warnings) or None


def _notes(booking: Booking, warnings: list[str]) -> str:
    def labelled(label: str, text: str | None) -> str:
        value = _cut(safe_text.line(text), _LONGEST_REMARK, f"the remark {label!r}", warnings)
        return f"{label}: {value}" if value else ""

    def counted(label: str, count: int | None) -> str:
        return f"{label}: {count}" if count is not None and count > 0 else ""

    requests = _cut(
        safe_text.block(booking.special_requests),
        _LONGEST_REQUESTS,
        "the special requests",
        warnings,
    )
    lines = (
        requests,
        labelled("Purpose", booking.purpose_of_stay),
        labelled("Company", booking.company),
        counted("Children", booking.children),
        counted("Infants", booking.infants),
        labelled("Country", booking.country),
        f"Booking Reference: {booking.reference}",
        "Pet: yes" if booking.has_pet else "",
        "Early check-in: yes" if booking.early_check_in else "",
        "Late check-out: yes" if booking.late_check_out else "",
    )
    return "\n".join(line for line in lines if line)


def _detail(detail: Detail | None) -> dict[str, str | int | None]:
    if detail is None:  # nothing, so that the hashes of those who take the sums stay as they were
        return {}
    return {
        "first_name": detail.first_name,
        "last_name": detail.last_name,
        "adults": detail.adults,
        "children": detail.children,
        "infants": detail.infants,
        "cleaning_fee": _canonical_amount(detail.cleaning_fee),
    }


def _canonical_amount(amount: Decimal) -> str:
    """The same text for 1240.5 and 1240.50; total over every finite Decimal."""
    sign, digits, exponent = amount.normalize().as_tuple()
    return f"{sign}|{''.join(map(str, digits))}|{exponent}"


def _digest(fields: dict[str, str | int | None]) -> str:
    canonical = {
        name: unicodedata.normalize("NFC", value) if isinstance(value, str) else value
        for name, value in fields.items()
    }
    text = json.dumps({"v": _FINGERPRINT_VERSION, **canonical}, sort_keys=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _cut(text: str, limit: int, what: str, warnings: list[str]) -> str:
    if len(text) > limit:
        warnings.append(f"{what} was cut to {limit} characters")
    return safe_text.cut(text, limit)
