"""What would be sent to the PMS for one booking. The one place that shows guest data. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from outbox_worker.bookings.booking import BookingStatus
from outbox_worker.bookings.store import SyncView
from outbox_worker.errors import MappingError
from outbox_worker.operations.plan import PmsView
from outbox_worker.pms import guestly_body, guesty_body, mapping
from outbox_worker.pms.guesty_parts import Part
from outbox_worker.pms.port import PmsName, Reservation, ReservationStatus


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
        return Payload(body=_cancellation(view.pms), fault=None, warnings=())
    try:
        mapped = mapping.to_reservation(
            booking, listing_id=known.listing_id, pms=view.pms, currency=view.currency
        )
    except MappingError as error:
        return Payload(body=None, fault=f"{error} (field {error.field})", warnings=())
    return Payload(body=_body(mapped.reservation, view.pms), fault=None, warnings=mapped.warnings)


def _body(reservation: Reservation, pms: PmsName) -> Mapping[str, Any]:
    match pms:
        case PmsName.GUESTLY:
            return guestly_body.payload(reservation)
        case PmsName.GUESTY:
            # the two calls of a new booking
            _, notes = guesty_body.change(Part.NOTES, reservation)
            return {**guesty_body.creation(reservation), **notes}
        case _:
            assert_never(pms)


def _cancellation(pms: PmsName) -> Mapping[str, Any]:
    if pms is PmsName.GUESTY:
        return guesty_body.cancellation()
    return {"status": ReservationStatus.CANCELED.value}
