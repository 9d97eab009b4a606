"""What the PMS holds, compared with the booking, without guest data in the result. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

from outbox_worker.bookings.booking import Booking, BookingStatus
from outbox_worker.bookings.store import SyncView
from outbox_worker.errors import MappingError
from outbox_worker.handlers import decide
from outbox_worker.handlers.decide import Wanted
from outbox_worker.operations.plan import PmsView
from outbox_worker.pms import guesty_parts, mapping
from outbox_worker.pms.port import Parts, PmsName, RemoteReservation, ReservationStatus

#: No hash is ever this.
_CANNOT_BE_SENT = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that the PMS shows otherwise.

    Args:
        here, there: On the booking and in the PMS; None where it is the guest's, or not one value.
    """

    what: str
    here: str | None = None
    there: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A reservation that the PMS showed.

    Args:
        ours: Whether it is the booking's own: listing and stay, or listing and guest, agree.
        status: The PMS's word.
        same: Whether it is as the booking wants it; None: the answer does not show everything.
    """

    reservation_id: str
    ours: bool
    status: str | None
    same: bool | None
    differences: tuple[Difference, ...]


def wanted_of(booking: Booking, known: SyncView, view: PmsView) -> Wanted:
    """The state that the PMS should hold, as the worker sees it.

    A booking that cannot be sent has a fingerprint that nothing equals.
    """
    wanted = Wanted(
        cancelled=booking.status is BookingStatus.CANCELLED,
        fingerprint=_CANNOT_BE_SENT,
        listing_id=known.listing_id,
        check_in=booking.check_in,
        check_out=booking.check_out,
        guest_email=booking.email,
    )
    if wanted.cancelled:
        return replace(wanted, fingerprint=mapping.cancelled_fingerprint(booking.reference))
    try:
        mapped = mapping.to_reservation(
            booking, listing_id=known.listing_id, pms=view.pms, currency=view.currency
        )
    except MappingError:
        return wanted
    return replace(wanted, fingerprint=mapping.fingerprint(mapped.reservation))


def parts_of(booking: Booking, known: SyncView, view: PmsView) -> Parts:
    """The wanted parts, for a PMS that shows a reservation part by part; else empty."""
    if view.pms is not PmsName.GUESTY or booking.status is BookingStatus.CANCELLED:
        return {}
    try:
        mapped = mapping.to_reservation(
            booking, listing_id=known.listing_id, pms=view.pms, currency=view.currency
        )
    except MappingError:
        return {}
    return guesty_parts.wanted(mapped.reservation)


def confirmed_parts(booking: Booking, known: SyncView, view: PmsView) -> Parts:
    """What a person vouches for who names a reservation: what no call could change there."""
    wanted = parts_of(booking, known, view)
    return guesty_parts.confirmed(wanted) if wanted else {}


def undoubted_parts(booking: Booking, known: SyncView, view: PmsView) -> Parts:
    """What stays on record of a reservation that is known, when a person ends a doubt."""
    held = known.reservation
    if held is None or held.test or view.pms is not PmsName.GUESTY:
        return {}
    return guesty_parts.after_doubt(held.parts, parts_of(booking, known, view))


def compare(hit: RemoteReservation, booking: Booking, wanted: Wanted, *, parts: Parts) -> Remote:
    """Hold one reservation of the PMS against the booking.

    Args:
        hit: As the PMS answered it.
        booking: As the site holds it.
        wanted: `wanted_of` that booking.
        parts: `parts_of` it.
    """
    if hit.reference != booking.reference:
        # read by id: a create of ours made it, and perhaps for another booking
        hit = replace(hit, marked=False)
    differences = (*_differences(hit, booking, wanted), *_parts_that_differ(hit.parts, parts))
    if wanted.cancelled:
        same: bool | None = hit.status == ReservationStatus.CANCELED
    elif hit.fingerprint is not None:
        same = hit.fingerprint == wanted.fingerprint
        if not same and not differences:
            differences = (Difference(what="guest, price, number of guests or notes"),)
    else:
        same = False if differences else None
    return Remote(
        reservation_id=hit.reservation_id,
        ours=decide.is_ours(hit, wanted),
        status=hit.status,
        same=same,
        differences=differences,
    )


def _differences(hit: RemoteReservation, booking: Booking, wanted: Wanted) -> Iterator[Difference]:
    status = mapping.status_of(booking.status)
    if hit.status is not None and hit.status != status:
        yield Difference(what="status", here=status, there=hit.status)
    if wanted.cancelled:
        return  # nothing else about it matters any more
    if hit.listing_id is not None and hit.listing_id != wanted.listing_id:
        yield Difference(what="listing", here=wanted.listing_id or "none", there=hit.listing_id)
    days = (
        ("check-in", booking.check_in, hit.check_in),
        ("check-out", booking.check_out, hit.check_out),
    )
    for what, ours, theirs in days:
        if theirs is not None and theirs != ours:
            yield Difference(what=what, here=_day(ours), there=_day(theirs))
    there, here = hit.guest_email, (booking.email or "").strip()
    if there is not None and there.casefold() != here.casefold():
        yield Difference(what="guest e-mail")


def _parts_that_differ(there: Parts, here: Parts) -> Iterator[Difference]:
    """The others are told by their values."""
    guests = guesty_parts.Part.GUESTS.value
    if guests in there and guests in here and there[guests] != here[guests]:
        yield Difference(what="number of guests")


def _day(value: date | None) -> str:
    return "none" if value is None else value.isoformat()
