"""What would be sent to the PMS for one booking. The one place that shows guest data. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from outbox_worker.bookings.booking import BookingStatus
from outbox_worker.bookings.store import SyncView
from outbox_worker.errors import MappingError
from outbox_worker.operations.plan import PmsView
from outbox_worker.pms import guestly_body, mapping
from outbox_worker.pms.port import ReservationStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """The body of the next call.

    Args:
        body: By the names of the PMS, guest data included; None: nothing can be sent.
        fault: Why not, without guest data.
        warnings: What was left out, cut or made up.
    """

    body: Mapping[str, Any] | None
    fault: str | None
    warnings: tuple[str, ...]


def payload_of(known: SyncView, view: PmsView) -> Payload:
    """Map one booking as the worker would.

    Args:
        known: Booking and listing, of one snapshot.
        view: With which words and currency.
    """
    booking = known.booking
    if booking is None:
        return Payload(body=None, fault=known.fault or "the booking was deleted", warnings=())
    if booking.status is BookingStatus.CANCELLED:
        return Payload(body={"status": ReservationStatus.CANCELED.value}, fault=None, warnings=())
    try:
        mapped = mapping.to_reservation(
            booking, listing_id=known.listing_id, pms=view.pms, currency=view.currency
        )
    except MappingError as error:
        return Payload(body=None, fault=f"{error} (field {error.field})", warnings=())
    return Payload(
        body=guestly_body.payload(mapped.reservation), fault=None, warnings=mapped.warnings
    )
