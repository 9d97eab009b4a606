"""What a payment changes on a booking: pure, one ``case`` for each row of the table of rules.

A payment never confirms twice, never downgrades what is paid and never revives what is cancelled,
whatever the order in which its events arrive.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias, assert_never

from outbox_worker.bookings.booking import BookingId, BookingStatus, PaymentStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentSucceeded:
    """The money has arrived.

    Args:
        intent_id: The payment intent; None where a checkout needed none.
        charge_id: The charge that carried it; None where the event does not name it.
        amount: What was received, in the currency's minor units; None where it is not said.
        currency: ISO 4217, upper case; None where it is not said.
    """

    intent_id: str | None
    charge_id: str | None
    amount: int | None
    currency: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentProcessing:
    """The money is under way, perhaps for days."""

    intent_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentFailed:
    """An attempt to pay failed; the guest may try again on the same intent."""

    intent_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCanceled:
    """Nobody will pay any more through this intent."""

    intent_id: str | None


Payment: TypeAlias = PaymentSucceeded | PaymentProcessing | PaymentFailed | PaymentCanceled


@dataclass(frozen=True, slots=True, kw_only=True)
class PayableBooking:
    """The columns of a booking that payments read; nothing in it identifies the guest.

    Args:
        total: Major units of the site's currency; None where the site left it empty.
        intent_id: Intent that paid it or, while it is unpaid, the one that is to pay it.
    """

    id: BookingId
    reference: str
    status: BookingStatus
    payment_status: PaymentStatus
    total: Decimal | None
    intent_id: str | None
    charge_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """New values of a booking's columns; None leaves a column as it is.

    A booking that becomes confirmed or cancelled gets the time of it, unless it has one already.
    """

    status: BookingStatus | None = None
    payment_status: PaymentStatus | None = None
    intent_id: str | None = None
    charge_id: str | None = None


class Sync(StrEnum):
    """Whether the PMS has to be asked to hold the booking as it is now."""

    NO = "no"
    YES = "yes"
    IF_NEVER_ASKED = "if_never_asked"
    IF_HELD = "if_held"


class Concern(StrEnum):
    """What a person has to look at; the values are those of ``outbox.alert.kind``."""

    PAID_AFTER_CANCELLATION = "paid_after_cancellation"
    PAID_TWICE = "paid_twice"
    CANCELED_AFTER_CONFIRMATION = "canceled_after_confirmation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """What becomes of a booking.

    Args:
        change: None: not one of its own columns changes.
        sync: ``IF_NEVER_ASKED``: only when no delivery of it exists. ``IF_HELD``: only when the PMS
            holds it or was asked to.
        concern: None: nobody needs to be told.
        reason: One clause for operators, without guest data.
    """

    change: Change | None = None
    sync: Sync = Sync.NO
    concern: Concern | None = None
    reason: str


def after(booking: PayableBooking, payment: Payment) -> Transition:
    """What ``payment`` makes of ``booking``.

    Args:
        booking: As it is now, locked by the caller.
        payment: About this booking; a success has been compared with its total before.
    """
    match payment:
        case PaymentSucceeded():
            return _succeeded(booking, payment)
        case PaymentProcessing():
            return _processing(booking, payment)
        case PaymentFailed():
            return _failed(booking, payment)
        case PaymentCanceled():
            return _canceled(booking, payment)
        case _:
            assert_never(payment)


def _succeeded(booking: PayableBooking, payment: PaymentSucceeded) -> Transition:
    paying = Change(
        payment_status=PaymentStatus.COMPLETED,
        intent_id=payment.intent_id,
        charge_id=payment.charge_id,
    )
    match booking.status, booking.payment_status:
        case BookingStatus.CANCELLED, _:
            return _paid_though_cancelled(booking, payment, paying)
        case _, (PaymentStatus.COMPLETED | PaymentStatus.REFUNDED) if not _is_its_own(
            booking, payment
        ):
            return Transition(
                sync=_known_to_pms(booking),
                concern=Concern.PAID_TWICE,
                reason="another payment has paid it before",
            )
        case BookingStatus.PENDING, PaymentStatus.REFUNDED:
            return Transition(reason="the payment has been refunded")
        case BookingStatus.PENDING, PaymentStatus.COMPLETED:
            # what paid it stands in it already and is not written over
            return Transition(
                change=replace(_gaps(booking, payment) or Change(), status=BookingStatus.CONFIRMED),
                sync=Sync.YES,
                reason="it was paid before, and is confirmed now",
            )
        case BookingStatus.PENDING, _:
            return Transition(
                change=replace(paying, status=BookingStatus.CONFIRMED),
                sync=Sync.YES,
                reason="paid and confirmed",
            )
        case (
            (BookingStatus.CONFIRMED | BookingStatus.COMPLETED),
            (PaymentStatus.PENDING | PaymentStatus.PROCESSING | PaymentStatus.FAILED),
        ):
            return Transition(
                change=paying, sync=Sync.IF_NEVER_ASKED, reason="paid; it was confirmed before"
            )
        case ((BookingStatus.CONFIRMED | BookingStatus.COMPLETED), _):
            return Transition(
                change=_gaps(booking, payment),
                sync=Sync.IF_NEVER_ASKED,
                reason="it was paid and confirmed before",
            )
        case _:
            raise AssertionError("every status has a row")


def _paid_though_cancelled(
    booking: PayableBooking, payment: PaymentSucceeded, paying: Change
) -> Transition:
    match booking.payment_status:
        case PaymentStatus.PENDING | PaymentStatus.PROCESSING | PaymentStatus.FAILED:
            return Transition(
                change=paying,
                concern=Concern.PAID_AFTER_CANCELLATION,
                reason="paid after it was cancelled; it stays cancelled",
            )
        case PaymentStatus.REFUNDED if not _is_its_own(booking, payment):
            return Transition(
                concern=Concern.PAID_AFTER_CANCELLATION,
                reason="paid again after it was cancelled and refunded; it stays cancelled",
            )
        case PaymentStatus.COMPLETED if not _is_its_own(booking, payment):
            return Transition(
                concern=Concern.PAID_TWICE, reason="another payment has paid it before"
            )
        case _:
            return Transition(
                change=_gaps(booking, payment), reason="it was paid before, and is cancelled"
            )


def _processing(booking: PayableBooking, payment: PaymentProcessing) -> Transition:
    match booking.status, booking.payment_status:
        case _ if not _is_its_own(booking, payment):
            return Transition(reason="another payment is its current one")
        case BookingStatus.CANCELLED, _:
            return Transition(reason="it is cancelled")
        case _, (PaymentStatus.PENDING | PaymentStatus.FAILED):
            return Transition(
                change=Change(payment_status=PaymentStatus.PROCESSING),
                reason="the payment is under way",
            )
        case _, PaymentStatus.PROCESSING:
            return Transition(reason="the payment was under way already")
        case _:
            return Transition(reason="it was paid before")


def _failed(booking: PayableBooking, payment: PaymentFailed) -> Transition:
    match booking.status, booking.payment_status:
        case _ if not _is_its_own(booking, payment):
            return Transition(reason="another payment is its current one")
        case BookingStatus.CANCELLED, _:
            return Transition(reason="it is cancelled")
        case _, (PaymentStatus.PENDING | PaymentStatus.PROCESSING):
            return Transition(
                change=Change(payment_status=PaymentStatus.FAILED), reason="the payment failed"
            )
        case _, PaymentStatus.FAILED:
            return Transition(reason="the payment had failed already")
        case _:
            return Transition(reason="it was paid before")


def _canceled(booking: PayableBooking, payment: PaymentCanceled) -> Transition:
    match booking.status, booking.payment_status:
        case _ if not _is_its_own(booking, payment):
            return Transition(reason="another payment is its current one")
        case ((BookingStatus.CONFIRMED | BookingStatus.COMPLETED), _):
            return Transition(
                concern=Concern.CANCELED_AFTER_CONFIRMATION,
                reason="its payment was cancelled although it is confirmed; it stays confirmed",
            )
        case BookingStatus.CANCELLED, _:
            return Transition(reason="it was cancelled before")
        case BookingStatus.PENDING, (
            PaymentStatus.PENDING | PaymentStatus.PROCESSING | PaymentStatus.FAILED
        ):
            return Transition(
                change=Change(status=BookingStatus.CANCELLED),
                # some sites show unpaid requests in the PMS, and those dates are free again
                sync=Sync.IF_HELD,
                reason="its payment was cancelled before anything was paid",
            )
        case _:
            return Transition(reason="it was paid before")


def _is_its_own(booking: PayableBooking, payment: Payment) -> bool:
    # a booking without an intent was found by its name alone, so no other payment contradicts
    return booking.intent_id is None or payment.intent_id in {None, booking.intent_id}


def _known_to_pms(booking: PayableBooking) -> Sync:
    arrived = booking.status in {BookingStatus.CONFIRMED, BookingStatus.COMPLETED}
    return Sync.IF_NEVER_ASKED if arrived else Sync.NO


def _gaps(booking: PayableBooking, payment: PaymentSucceeded) -> Change | None:
    """What a second event of the same payment knows and the booking does not.

    A completed checkout names no charge and the intent does, so the booking ends up the same
    whichever of the two comes first.
    """
    intent_id = payment.intent_id if booking.intent_id is None else None
    charge_id = payment.charge_id if booking.charge_id is None else None
    if intent_id is None and charge_id is None:
        return None
    return Change(intent_id=intent_id, charge_id=charge_id)
