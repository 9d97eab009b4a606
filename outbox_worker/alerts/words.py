"""What an alert says in sentences: one set of words for each kind of incident. Pure."""

from __future__ import annotations

from typing import assert_never

from outbox_worker.alerts import (
    phrasing,
    shown,
    words_channel,
    words_gate,
    words_payment,
    words_price,
    words_sync,
)
from outbox_worker.alerts.alert import PRICE_UNKNOWN, AlertKind, Incident
from outbox_worker.alerts.phrasing import Step, Tone, Words
from outbox_worker.outbox.delivery import State


def of(incident: Incident) -> Words:
    """The words for the alert as it is now, solved or not."""
    if incident.resolved_at is not None and incident.kind is not AlertKind.TEST:
        return _solved(incident)
    return _open(incident)


def _open(incident: Incident) -> Words:
    kind = incident.kind
    match kind:
        case AlertKind.SYNC_FAILED | AlertKind.SYNC_REJECTED:
            return words_sync.trouble(incident)
        case AlertKind.MISCONFIGURED:
            return words_sync.misconfigured(incident)
        case AlertKind.CIRCUIT_OPEN | AlertKind.SYNC_UNCERTAIN:
            return words_gate.of(incident)
        case (
            AlertKind.AMOUNT_MISMATCH
            | AlertKind.PAID_AFTER_CANCELLATION
            | AlertKind.PAID_TWICE
            | AlertKind.CANCELED_AFTER_CONFIRMATION
            | AlertKind.PAID_WITHOUT_BOOKING
        ):
            return words_payment.of(kind, incident)
        case AlertKind.EVENT_FAILED:
            return words_payment.event_failed(incident)
        case AlertKind.EVENT_MALFORMED:
            return words_payment.event_malformed(incident)
        case AlertKind.REPORTED:
            of_price = incident.facts.get("code") == PRICE_UNKNOWN
            return words_price.of(incident) if of_price else _reported(incident)
        case AlertKind.CHANNEL_FAILING:
            return words_channel.failing(incident)
        case AlertKind.TEST:
            return _test()
        case _:
            assert_never(kind)


def _reported(incident: Incident) -> Words:
    return Words(
        tone=Tone.ACTION,
        symptom=f"{phrasing.booking(incident.stay)} needs a look",
        happened=(
            "A program of the site reported this booking; the details below are its words.",
            "Nothing was changed by the report.",
        ),
        steps=(phrasing.look(incident),),
    )


def _test() -> Words:
    return Words(
        tone=Tone.TEST,
        symptom="Alerts of booking-outbox arrive here",
        happened=("Somebody asked for a trial alert. Nothing is wrong.",),
        steps=(
            Step(text="Nothing. To see how the bookings are doing:", commands=("outbox status",)),
        ),
    )


def _solved(incident: Incident) -> Words:
    ended = incident.resolved_at or incident.last_seen_at
    lasted = shown.lasted(ended - incident.first_seen_at)
    happened = [f"Solved on {shown.moment(ended)}, after {lasted}."]
    if incident.messages == 0:
        happened.append(
            "This is the first message about it: none could be sent before it was over."
        )
    known = phrasing.subject_of(incident)
    return Words(
        tone=Tone.SOLVED,
        symptom=_solved_symptom(incident),
        happened=tuple(happened),
        steps=(
            Step(
                text="Nothing more to do. To see how it went:",
                commands=(f"outbox show {known}" if known else "outbox status",),
            ),
        ),
    )


def _solved_symptom(incident: Incident) -> str:
    pms = phrasing.pms(incident)
    match incident.kind:
        case AlertKind.SYNC_FAILED | AlertKind.SYNC_REJECTED | AlertKind.SYNC_UNCERTAIN:
            return _solved_sync(incident, pms)
        case AlertKind.CIRCUIT_OPEN:
            return f"{pms} answers again"
        case AlertKind.MISCONFIGURED:
            return _solved_refusal(incident, pms)
        case AlertKind.PAID_WITHOUT_BOOKING:
            return "The payment without a booking is settled"
        case AlertKind.EVENT_FAILED | AlertKind.EVENT_MALFORMED:
            return "The trouble with a Stripe event is over"
        case (
            AlertKind.AMOUNT_MISMATCH
            | AlertKind.PAID_AFTER_CANCELLATION
            | AlertKind.PAID_TWICE
            | AlertKind.CANCELED_AFTER_CONFIRMATION
        ):
            return f"{phrasing.booking(incident.stay)}: the question about its payment is closed"
        case AlertKind.CHANNEL_FAILING:
            return words_channel.solved(incident)
        case AlertKind.REPORTED if incident.facts.get("code") == PRICE_UNKNOWN:
            return words_price.solved(incident)
        case AlertKind.REPORTED | AlertKind.TEST:
            return f"{phrasing.booking(incident.stay)} needs no further look"
        case _:
            assert_never(incident.kind)


def _solved_refusal(incident: Incident, pms: str) -> str:
    if {delivery.state for delivery in incident.named} <= {State.SYNCED}:
        return f"{pms} takes our calls again"
    return _solved_sync(incident, pms)


def _solved_sync(incident: Incident, pms: str) -> str:
    one = incident.named[0] if incident.total == 1 and incident.named else None
    name = phrasing.booking(one.stay) if one else shown.counted(incident.total, "booking")
    single = incident.total == 1
    verb = "is" if single else "are"
    states = {delivery.state for delivery in incident.named}
    if states == {State.DISCARDED}:
        return f"{name} {'was' if single else 'were'} discarded by a person"
    if states != {State.SYNCED}:
        return f"{name} {'needs' if single else 'need'} you no longer"
    statuses = {delivery.stay.status for delivery in incident.named if delivery.stay is not None}
    if statuses == {"cancelled"}:
        return f"{name} {verb} cancelled in {pms} too"
    return f"{name} {verb} in {pms}" if "cancelled" not in statuses else f"{name} {verb} up to date"
