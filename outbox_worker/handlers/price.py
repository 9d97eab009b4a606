"""Whether a person is told that the price of a stay in the PMS may not be what the guest has paid.

Our price is on record since the create. A change may put the PMS's own in its place, which no call
sets back: a person compares, once per change.
"""

from __future__ import annotations

from enum import Enum, auto

from outbox_worker.alerts.alert import PRICE_UNKNOWN, AlertKind, NewAlert
from outbox_worker.bookings.booking import BookingId
from outbox_worker.bookings.store import KnownReservation
from outbox_worker.handlers.effect import AlertEnded, AlertRaised, Effect
from outbox_worker.handlers.results import Job
from outbox_worker.pms import mapping, price
from outbox_worker.pms.port import Held, PmsName


class Tell(Enum):
    """What a write makes of the alert about a booking's price.

    ``OPEN``: it is to be open, and what was told stays told. ``AGAIN``: this is another change.
    """

    NOTHING = auto()
    OPEN = auto()
    AGAIN = auto()


def tell(pms: PmsName, before: KnownReservation | None, held: Held, *, cancelled: str) -> Tell:
    """Whether one write of a change has to be told.

    Args:
        pms: Who answered.
        before: What was on record of the reservation.
        held: The answer.
        cancelled: Fingerprint of the booking cancelled: a stay that is confirmed again is looked at
            again, since its cancellation has ended the alert.
    """
    revived = before is not None and before.fingerprint == cancelled
    if price.unknown(pms, held.parts) is None or not (held.repriced or revived):
        return Tell.NOTHING
    # one more call of a change that has been told with an earlier one
    going_on = (
        before is not None
        and before.fingerprint is None
        and price.unknown(pms, before.parts) is not None
    )
    return Tell.OPEN if going_on else Tell.AGAIN


def alert(pms: PmsName, booking_id: BookingId, *, again: bool = False) -> NewAlert:
    """The alert about a booking's price: one incident, however often it changes."""
    return NewAlert(
        kind=AlertKind.REPORTED,
        fingerprint=f"{booking_id}:{PRICE_UNKNOWN}",
        booking_id=booking_id,
        facts={"code": PRICE_UNKNOWN, "pms": pms},
        again=again,
    )


def after_write(job: Job, answer: Held) -> tuple[Effect, ...]:
    """Raise the alert if this write is to be told."""
    told = tell(
        job.pms,
        job.view.reservation,
        answer,
        cancelled=mapping.cancelled_fingerprint(job.booking.reference),
    )
    if told is Tell.NOTHING:
        return ()
    raised = alert(job.pms, job.booking.id, again=told is Tell.AGAIN)
    return (AlertRaised(alert=raised, only_if_given_up=False, names_delivery=False),)


def after_cancel(job: Job) -> tuple[Effect, ...]:
    """End the alert, if there can be one: nobody pays for a cancelled stay."""
    known = job.view.reservation
    if known is None or price.unknown(job.pms, known.parts) is None:
        return ()
    return (AlertEnded(alert=alert(job.pms, job.booking.id)),)
