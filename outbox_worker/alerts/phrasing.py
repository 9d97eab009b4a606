"""The parts that every alert is made of, and what kinds and channels share. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from outbox_worker.alerts import shown
from outbox_worker.alerts.alert import ALERT_CHANNELS, Incident, NamedDelivery, Stay
from outbox_worker.outbox.delivery import Destination
from outbox_worker.pms.port import PmsName

_PMS = {name.value: name.display_name for name in PmsName}
_CHANNELS = {Destination.EMAIL: "e-mail", Destination.CHAT: "chat"}


class Tone(StrEnum):
    """How urgent an alert is; the values are its tag and the name of its colour."""

    ACTION = "Action"
    WARNING = "Warning"
    SOLVED = "Solved"
    TEST = "Test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do, with the commands for it."""

    text: str
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """An alert in sentences.

    Args:
        symptom: What is wrong, for the subject; safe text without a full stop.
        extras: The first of them that fits is appended to the subject.
        happened: Sentences.
        guest_sees: Empty where no guest is concerned.
        risk: Empty where there is none.
        steps: In order.
    """

    tone: Tone
    symptom: str
    extras: tuple[str, ...] = ()
    happened: tuple[str, ...]
    guest_sees: str = ""
    risk: str = ""
    steps: tuple[Step, ...]


def pms(incident: Incident) -> str:
    """The PMS by its name."""
    return _PMS.get(incident.facts.get("pms", ""), "the PMS")


def told_with(incident: Incident, pms: PmsName) -> Incident:
    """The same, with the PMS that bookings go to where it does not say which one it is about."""
    if incident.facts.get("pms") in _PMS:
        return incident
    return replace(incident, facts={**incident.facts, "pms": pms})


def booking(stay: Stay | None) -> str:
    """The booking as the beginning of a sentence."""
    return "A booking" if stay is None else f"Booking {shown.short_name(stay)}"


def title_of(delivery: NamedDelivery) -> str:
    """A delivery by what it carries: a booking, an event, or an alert through a channel."""
    if delivery.stay is not None:
        return f"Booking {shown.reference(delivery.stay)}"
    key = shown.clean(delivery.key, 80) or str(delivery.delivery_id)
    match delivery.destination:
        case Destination.EMAIL | Destination.CHAT as channel:
            return f"Alert {key} by {_CHANNELS[channel]}"
        case Destination.INBOX:
            return f"Event {key}"
        case Destination.GUESTLY | None:
            return f"Booking {key}"
        case _:
            assert_never(delivery.destination)


def handle_of(delivery: NamedDelivery) -> str:
    """What names a delivery in a command."""
    if delivery.stay is not None:
        return shown.handle(delivery.stay)
    # an alert's number would be taken for a delivery's
    known = None if delivery.destination in ALERT_CHANNELS else shown.token(delivery.key)
    return known or str(delivery.delivery_id)


def subject_of(incident: Incident) -> str | None:
    """What names the alert's booking, payment or event in a command; None: nothing does."""
    if incident.stay is not None:
        return shown.handle(incident.stay)
    for name in ("payment_intent", "event_id", "object_id"):
        known = shown.token(incident.facts.get(name, ""))
        if known is not None:
            return known
    if len(incident.named) != 1:
        return None
    only = incident.named[0]
    if only.stay is None and only.destination not in ALERT_CHANNELS:
        return shown.token(only.key)
    return handle_of(only)


def look(incident: Incident) -> Step:
    """Where to see what is known."""
    known = subject_of(incident)
    return Step(
        text="See what is known:", commands=(f"outbox show {known}" if known else "outbox status",)
    )
