"""The parts that every alert is made of, and what the kinds share. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from outbox_worker.alerts import shown
from outbox_worker.alerts.alert import Incident, Stay

_PMS = {"guestly": "Guestly", "guesty": "Guesty"}


class Tone(StrEnum):
    """How urgent a mail is; the values are its subject's tag and the name of its colour."""

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
    return _PMS.get(incident.facts.get("pms", ""), "Guestly")


def booking(stay: Stay | None) -> str:
    """The booking as the beginning of a sentence."""
    return "A booking" if stay is None else f"Booking {shown.short_name(stay)}"


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
    return shown.token(only.key) if only.stay is None else shown.handle(only.stay)


def look(incident: Incident) -> Step:
    """Where to see what is known."""
    known = subject_of(incident)
    return Step(
        text="See what is known:", commands=(f"outbox show {known}" if known else "outbox status",)
    )
