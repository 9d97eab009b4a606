"""Words for a channel that does not take alerts; the other one tells them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, assert_never

from outbox_worker.alerts import phrasing, shown
from outbox_worker.alerts.alert import Incident
from outbox_worker.alerts.phrasing import Step, Tone, Words
from outbox_worker.outbox.delivery import Destination

_Channel: TypeAlias = Literal[Destination.EMAIL, Destination.CHAT]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Channels:
    """A channel's names in sentences.

    Args:
        settings: What to check.
    """

    symptom: str
    solved: str
    settings: str


def failing(incident: Incident) -> Words:
    """Alerts that one channel does not take."""
    named = _names(incident)
    fresh = incident.fresh or incident.named
    waiting = shown.counted(len(fresh), "alert waits", "alerts wait") if fresh else "Alerts wait"
    code = shown.error_code(incident.facts.get("code"))
    why = f" ({code})" if code else ""
    return Words(
        tone=Tone.ACTION,
        symptom=named.symptom,
        happened=(
            f"{waiting} there, and every attempt has failed{why}; the details say why.",
            "It is tried again for ever, at least every five minutes, and nothing is lost.",
        ),
        guest_sees="Nothing of this.",
        risk="Whoever only looks there does not hear of bookings that need a person.",
        steps=(
            Step(text=f"Check {named.settings}, then restart the worker."),
            Step(text="See what waits:", commands=("outbox status",)),
            *_look(incident),
        ),
    )


def solved(incident: Incident) -> str:
    """The symptom once nothing waits for the channel any more."""
    return _names(incident).solved


def _names(incident: Incident) -> _Channels:
    channel: _Channel = (
        Destination.CHAT if incident.facts.get("channel") == Destination.CHAT else Destination.EMAIL
    )
    match channel:
        case Destination.EMAIL:
            return _Channels(
                symptom="Alerts cannot be mailed",
                solved="No alert waits to be mailed any more",
                settings="ADMIN_ALERT_EMAIL, EMAIL_FROM and EMAIL_API_KEY or SMTP_URL",
            )
        case Destination.CHAT:
            return _Channels(
                symptom="Alerts do not reach the chat",
                solved="No alert waits for the chat any more",
                settings="ALERT_CHAT_WEBHOOK_URL, and whether the chat still has that webhook",
            )
        case _:
            assert_never(channel)


def _look(incident: Incident) -> tuple[Step, ...]:
    known = phrasing.subject_of(incident)
    if known is None:
        return ()
    return (Step(text="See every attempt and its error:", commands=(f"outbox show {known}",)),)
