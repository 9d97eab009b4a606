"""Whether a person is told that the price of a stay in the PMS may not be what the guest has paid.

Our price is on record since the create. A change may put the PMS's own in its place, which no call
sets back: a person compares, once per change, whatever else became of it.
"""

from __future__ import annotations

from outbox_worker.alerts.alert import PRICE_UNKNOWN, AlertKind, NewAlert
from outbox_worker.bookings.booking import BookingId
from outbox_worker.bookings.store import KnownReservation
from outbox_worker.handlers.effect import AlertEnded, AlertRaised, Effect
from outbox_worker.handlers.results import Job
from outbox_worker.pms import mapping, price
from outbox_worker.pms.port import Held, PmsName


def tells(pms: PmsName, before: KnownReservation | None, held: Held, *, cancelled: str) -> bool:
    """Whether one write of a change has to be told.

    Args:
        pms: Who answered.
        before: What was on record of the reservation.
        held: The answer.
        cancelled: Fingerprint of the booking cancelled: a stay that is confirmed again is looked at
            again, since its cancellation has ended the alert.
    """
    revived = before is not None and before.fingerprint == cancelled
    return price.unknown(pms, held.parts) is not None and (held.repriced or revived)


def alert(pms: PmsName, booking_id: BookingId, *, version: int | None = None) -> NewAlert:
    """The alert about a booking's price: one incident, told once per version of the booking.

    Args:
        pms: Who holds the reservation.
        booking_id: Whose.
        version: What was asked for when the price was set; None: to end the alert.
    """
    return NewAlert(
        kind=AlertKind.REPORTED,
        fingerprint=f"{booking_id}:{PRICE_UNKNOWN}",
        booking_id=booking_id,
        facts={"code": PRICE_UNKNOWN, "pms": pms},
        change=None if version is None else str(version),
    )


def after_write(job: Job, answer: Held) -> tuple[Effect, ...]:
    """Raise the alert if this write is to be told."""
    cancelled = mapping.cancelled_fingerprint(job.booking.reference)
    if not tells(job.pms, job.view.reservation, answer, cancelled=cancelled):
        return ()
    raised = alert(job.pms, job.booking.id, version=job.claim.version)
    return (AlertRaised(alert=raised, only_if_given_up=False, names_delivery=False),)


def after_cancel(job: Job) -> tuple[Effect, ...]:
    """End the alert, if there can be one: nobody pays for a cancelled stay."""
    known = job.view.reservation
    if known is None or price.unknown(job.pms, known.parts) is None:
        return ()
    return (AlertEnded(alert=alert(job.pms, job.booking.id)),)
