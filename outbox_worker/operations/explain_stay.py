"""What a booking's state means for its stay: where it is, what the guest sees, the risk. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import assert_never

from outbox_worker.alerts.words_refused import NIGHTS_TAKEN
from outbox_worker.bookings.booking import BookingStatus, PaymentStatus
from outbox_worker.operations.fleet import Fleet
from outbox_worker.operations.timeline import BookingFacts, ReservationFacts, Timeline
from outbox_worker.outbox.delivery import State
from outbox_worker.pms.port import Mode

#: Nobody tells us when a property lets its guests in.
_ARRIVAL = time(15)


def live_of(timeline: Timeline, fleet: Fleet) -> ReservationFacts | None:
    """What is on record for it; another PMS's only where this one has none."""
    live = [held for held in timeline.reservations if held.mode is Mode.LIVE]
    return min(live, key=lambda held: held.pms is not fleet.mode.pms, default=None)


def in_words(held: ReservationFacts) -> str:
    """Where it is, as the beginning of a headline."""
    if held.unverified:
        return f"Said to be in {held.pms.display_name} as {held.reservation_id}, not verified"
    return f"In {held.pms.display_name} as {held.reservation_id}"


def not_there(timeline: Timeline, fleet: Fleet) -> str:
    """The beginning of a headline for what is owed."""
    booking, live = timeline.booking, live_of(timeline, fleet)
    if live is not None:
        if _gone(timeline):
            return f"{live.pms.display_name} has no reservation {live.reservation_id}:"
        if live.unverified:
            return f"{in_words(live)}:"
        if booking is not None and booking.status is BookingStatus.CANCELLED:
            return f"Cancelled here, not yet in {live.pms.display_name}:"
        return f"{live.pms.display_name} holds an older state:"
    return f"Not in {fleet.pms}:"


def _gone(timeline: Timeline) -> bool:
    """Whether the last call found that what is on record is not there."""
    delivery = timeline.delivery
    parked = delivery is not None and delivery.failed_at is not None
    return parked and delivery is not None and delivery.error_code == "reservation_gone"


def guest_sees(booking: BookingFacts) -> str:
    """What the site shows the guest."""
    match booking.status:
        case BookingStatus.CONFIRMED | BookingStatus.COMPLETED:
            return "A confirmed booking on the site. Nothing looks wrong to them."
        case BookingStatus.CANCELLED:
            return "A cancelled booking on the site."
        case BookingStatus.PENDING:
            return "A booking on the site that is not confirmed."
        case _:
            assert_never(booking.status)


def risk(timeline: Timeline, fleet: Fleet) -> str:
    """What may come of it; empty: nothing."""
    booking, delivery = timeline.booking, timeline.delivery
    live = live_of(timeline, fleet)
    pms = live.pms.display_name if live is not None else fleet.pms
    owed = delivery is not None and delivery.state is not State.SYNCED
    if booking is None or booking.status is BookingStatus.PENDING:
        return ""
    if booking.status is BookingStatus.CANCELLED:
        return f"The nights may stay blocked in {pms}." if live is not None and owed else ""
    if live is None and delivery is not None and delivery.error_code in NIGHTS_TAKEN:
        return f"The guest counts on nights that {pms} does not give them." if owed else ""
    gone = live is None or _gone(timeline)
    if not gone and live is not None and live.unverified:
        return (
            f"If {pms} does not hold {live.reservation_id}, the nights are still on sale in other"
            " channels."
        )
    if gone and booking.payment_status is PaymentStatus.COMPLETED:
        return f"The nights are still on sale in other channels, and {pms} prepares no arrival."
    return f"What {pms} tells other channels and the guest is out of date." if owed else ""


def arrival_in(booking: BookingFacts, now: datetime) -> timedelta | None:
    """Until check-in at 15:00 UTC; negative when it is past; None: no date is known."""
    if booking.check_in is None:
        return None
    return datetime.combine(booking.check_in, _ARRIVAL, tzinfo=UTC) - now
