"""A booking of the site, as we read it. Nothing that a guest can write is trusted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NewType
from uuid import UUID

if TYPE_CHECKING:
    from datetime import date, datetime
    from decimal import Decimal

BookingId = NewType("BookingId", UUID)


class BookingStatus(StrEnum):
    """The site's ``bookings.status``."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"
    COMPLETED = "completed"


class PaymentStatus(StrEnum):
    """The site's ``bookings.payment_status``."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    REFUNDED = "refunded"


class SyncStatus(StrEnum):
    """The site's view of the delivery, ``bookings.guestly_sync_status``."""

    PENDING = "pending"
    SYNCED = "synced"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """A booking's guest, to find their data in a text; the names are those of a reservation.

    Args:
        notes: Everything that the guest wrote, one remark a line.
        listing_id: Not read: always empty.
    """

    reference: str
    guest_name: str
    guest_email: str | None
    guest_phone: str | None
    notes: str
    listing_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """One booking with its property's slug and name.

    Args:
        total: Major units of the site's currency, two decimals; None where the site left it empty.
        adults, children, infants: None where the site left them empty.
        check_in, check_out: Local dates of the property; None where the site left them empty or
            wrote what is not within the years 1 to 9999, such as infinity.
        slug: The property's slug; None when the booking has no property or it is gone.
        cleaning_fee: The part of ``total`` that is for cleaning, major units; None: not known, or
            not read.
        confirmed_at, cancelled_at: Aware; None where they are empty or out of that range.
    """

    id: BookingId
    reference: str
    status: BookingStatus
    payment_status: PaymentStatus
    property_id: UUID | None
    slug: str | None
    property_name: str | None
    first_name: str | None
    last_name: str | None
    email: str | None
    phone: str | None
    country: str | None
    company: str | None
    check_in: date | None
    check_out: date | None
    adults: int | None
    children: int | None
    infants: int | None
    total: Decimal | None
    special_requests: str | None
    purpose_of_stay: str | None
    has_pet: bool
    early_check_in: bool
    late_check_out: bool
    payment_intent_id: str | None
    charge_id: str | None
    confirmed_at: datetime | None
    cancelled_at: datetime | None
    cleaning_fee: Decimal | None = None
