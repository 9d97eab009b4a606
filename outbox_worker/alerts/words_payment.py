"""Words for payments and events of Stripe that need a person. Pure."""

from __future__ import annotations

from typing import Literal, TypeAlias, assert_never

from outbox_worker.alerts import phrasing
from outbox_worker.alerts.alert import AlertKind, Incident
from outbox_worker.alerts.phrasing import Step, Tone, Words

PaymentKind: TypeAlias = Literal[
    AlertKind.AMOUNT_MISMATCH,
    AlertKind.PAID_AFTER_CANCELLATION,
    AlertKind.PAID_TWICE,
    AlertKind.CANCELED_AFTER_CONFIRMATION,
    AlertKind.PAID_WITHOUT_BOOKING,
]


def of(kind: PaymentKind, incident: Incident) -> Words:
    """Words for a payment that does not go with its booking."""
    match kind:
        case AlertKind.AMOUNT_MISMATCH:
            return _amount_mismatch(incident)
        case AlertKind.PAID_AFTER_CANCELLATION:
            return _paid_after_cancellation(incident)
        case AlertKind.PAID_TWICE:
            return _paid_twice(incident)
        case AlertKind.CANCELED_AFTER_CONFIRMATION:
            return _canceled_after_confirmation(incident)
        case AlertKind.PAID_WITHOUT_BOOKING:
            return _paid_without_booking(incident)
        case _:
            assert_never(kind)


def _amount_mismatch(incident: Incident) -> Words:
    """A payment that does not fit its booking."""
    name = phrasing.booking(incident.stay)
    return Words(
        tone=Tone.ACTION,
        symptom=f"{name} is not confirmed: its payment does not fit",
        happened=(
            "Stripe reports a payment that does not fit the booking in amount, currency or owner.",
            "The booking was left as it is.",
            f"Nothing was sent to {phrasing.pms(incident)}.",
        ),
        guest_sees="Their card was charged, but their booking is not confirmed.",
        risk="The guest has paid and may arrive, while the nights are still on sale.",
        steps=(
            phrasing.look(incident),
            Step(text="Compare with the payment in Stripe, then refund it there or confirm the "
                      "booking on the site."),
            *_again(incident, f"Once it is confirmed, send it to {phrasing.pms(incident)}:"),
        ),
    )  # fmt: skip


def _paid_after_cancellation(incident: Incident) -> Words:
    """A payment for a booking that had been cancelled before."""
    return Words(
        tone=Tone.ACTION,
        symptom=f"{phrasing.booking(incident.stay)} was paid after it was cancelled",
        happened=("A payment arrived for a cancelled booking. The booking stays cancelled.",),
        guest_sees="A cancelled booking, and a charge on their card.",
        risk="The guest has paid for nights that are not theirs.",
        steps=(
            phrasing.look(incident),
            Step(text="Refund the payment in Stripe, or confirm the booking on the site if its "
                      "nights are free."),
            *_again(incident, f"If you confirmed it, send it to {phrasing.pms(incident)}:"),
        ),
    )  # fmt: skip


def _paid_twice(incident: Incident) -> Words:
    """A second payment for a booking that is paid."""
    return Words(
        tone=Tone.ACTION,
        symptom=f"{phrasing.booking(incident.stay)} was paid twice",
        happened=(
            "A second payment arrived for a booking that another payment has paid already.",
            "The booking itself is in order and was left as it is.",
        ),
        guest_sees="A confirmed booking, and two charges on their card.",
        risk="The guest has paid too much and may dispute the charge.",
        steps=(
            phrasing.look(incident),
            Step(
                text="Refund one of the two payments in Stripe; the details below name the later."
            ),
        ),
    )


def _canceled_after_confirmation(incident: Incident) -> Words:
    """A payment that was called off although its booking is confirmed."""
    return Words(
        tone=Tone.ACTION,
        symptom=f"{phrasing.booking(incident.stay)} is confirmed, its payment was called off",
        happened=(
            "In Stripe, the payment of a confirmed booking was cancelled or ran out of time.",
            "The booking was left as it is.",
        ),
        guest_sees="A confirmed booking.",
        risk="The stay may never be paid.",
        steps=(
            phrasing.look(incident),
            Step(text="Check in Stripe whether another payment paid for it. If none did, ask the "
                      "guest to pay or cancel the booking on the site."),
        ),
    )  # fmt: skip


def _paid_without_booking(incident: Incident) -> Words:
    """A payment of ours whose booking does not exist."""
    known = phrasing.subject_of(incident)
    return Words(
        tone=Tone.ACTION,
        symptom="A payment arrived, its booking does not exist",
        extras=(known,) if known else (),
        happened=(
            "Stripe reports a payment that names a booking which the site does not have.",
            "The payment is kept and applied without you as soon as the booking appears.",
        ),
        guest_sees="Their card was charged, and there is no booking.",
        risk="The guest has paid and may arrive, while the nights are still on sale.",
        steps=(
            phrasing.look(incident),
            Step(text="Find the payment in Stripe. Create its booking on the site, with the id or "
                      "reference that the payment names, or refund it."),
            *_again(incident, "To have it looked at now:"),
        ),
    )  # fmt: skip


def event_failed(incident: Incident) -> Words:
    """An event that was kept and could not be applied."""
    known = phrasing.subject_of(incident)
    return Words(
        tone=Tone.ACTION,
        symptom="A Stripe event could not be applied",
        extras=(known,) if known else (),
        happened=(
            "Applying the event to its booking failed.",
            "The event is kept, and it is tried again without you.",
        ),
        guest_sees="The booking as it was before the event: a paid one may look unpaid.",
        risk="Until it is applied, the booking does not show what Stripe knows.",
        steps=(
            phrasing.look(incident),
            *_again(incident, "Once the cause is mended, apply it at once:"),
        ),
    )


def event_malformed(incident: Incident) -> Words:
    """An event with a good signature that does not make sense."""
    known = phrasing.subject_of(incident)
    return Words(
        tone=Tone.ACTION,
        symptom="A signed Stripe event could not be read",
        extras=(known,) if known else (),
        happened=(
            "An event came with a valid signature but lacks what its type needs.",
            "It is kept and was not applied to any booking.",
        ),
        guest_sees="The booking as it was before the event: a paid one may look unpaid.",
        risk="If it was about a payment, a paid booking may be unconfirmed.",
        steps=(
            phrasing.look(incident),
            Step(text="Find the event in Stripe, and bring the booking that it is about up to date "
                      "on the site by hand."),
        ),
    )  # fmt: skip


def _again(incident: Incident, text: str) -> tuple[Step, ...]:
    known = phrasing.subject_of(incident)
    return (Step(text=text, commands=(f"outbox requeue {known}",)),) if known else ()
