"""A paid booking as the site would hold it, for tests of what becomes of one."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from outbox_worker.bookings.booking import Booking, BookingId, BookingStatus, PaymentStatus
from outbox_worker.pms import mapping
from outbox_worker.pms.port import PmsName, Reservation

LISTING_ID = "652f0000000000000000a001"


def a_booking(**changes: Any) -> Booking:
    """A confirmed booking with every field filled."""
    booking = Booking(
        id=BookingId(UUID("0b7e4d1e-52c4-4f6a-9a51-8f6f2f0f7a11")),
        reference="LA2026-48213",
        status=BookingStatus.CONFIRMED,
        payment_status=PaymentStatus.COMPLETED,
        property_id=UUID("5a0f2a52-1111-4a4a-8b8b-2f2f2f2f2f2f"),
        slug="harbour-loft",
        property_name="Harbour Loft",
        first_name="Zoë",
        last_name="Müller-Łęcki",
        email="zoe.lecki@example.com",
        phone="+49 30 5550 1234",
        country="Germany",
        company="Norddeutsche Testwerke",
        check_in=date(2026, 12, 1),
        check_out=date(2026, 12, 5),
        adults=2,
        children=1,
        infants=1,
        total=Decimal("1240.50"),
        special_requests="We arrive late in the evening.\nA cot, please.",
        purpose_of_stay="Trade fair",
        has_pet=True,
        early_check_in=True,
        late_check_out=True,
        payment_intent_id="pi_1",
        charge_id="ch_1",
        confirmed_at=datetime(2026, 11, 20, 9, 0, tzinfo=UTC),
        cancelled_at=None,
    )
    return dataclasses.replace(booking, **changes)


def a_reservation(**changes: Any) -> Reservation:
    """That booking, mapped; ``changes`` are to the reservation."""
    mapped = mapping.to_reservation(
        a_booking(), listing_id=LISTING_ID, pms=PmsName.GUESTLY, currency="EUR"
    )
    return dataclasses.replace(mapped.reservation, **changes)
