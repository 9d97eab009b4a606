"""What a person is told of a price in the PMS that is not known to be what was paid. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from outbox_worker.alerts import shown
from outbox_worker.bookings.booking import BookingStatus
from outbox_worker.bookings.store import SyncView
from outbox_worker.operations.plan import PmsView
from outbox_worker.pms import price
from outbox_worker.pms.price import Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownPrice:
    """A live reservation whose price in the PMS may not be ours.

    Args:
        sentence: That it is so, and why, as far as that is known.
        act: What to do.
        command: What to type once that is done.
    """

    reason: Unknown
    sentence: str
    act: str
    command: str


def unknown_price(known: SyncView, view: PmsView, *, name: str) -> UnknownPrice | None:
    """What to say of the price of a booking's stay; None: it is known, or does not matter.

    Args:
        known: Booking and reservation, of one snapshot.
        view: Which PMS, and in which currency the site charges.
        name: What people call the booking.
    """
    booking, held = known.booking, known.reservation
    if booking is None or held is None or held.test:
        return None
    if booking.status is BookingStatus.CANCELLED:
        return None
    reason = price.unknown(view.pms, held.parts)
    if reason is None:
        return None
    pms = view.pms.display_name
    return UnknownPrice(
        reason=reason,
        sentence=f"The price in {pms} is not known to be what the guest has paid:"
        f" {_why(reason, pms)}.",
        act=f"Compare the price in {pms} with the total here"
        f" ({shown.amount(booking.total, view.currency)}), correct it there by hand, then say so:",
        command=f"outbox link {shown.token(name) or booking.id}"
        f" {shown.token(held.reservation_id) or 'RESERVATION_ID'}",
    )


def _why(reason: Unknown, pms: str) -> str:
    match reason:
        case Unknown.RESET:
            return f"after a change of listing, dates or guests {pms} sets its own"
        case Unknown.FOUND:
            return (
                "the reservation was found there by a look-up; what its create wrote is not known"
            )
        case _:
            assert_never(reason)
