"""From an incident to the chat message about it, in Slack's markup. Pure.

Mattermost, Rocket.Chat and Discord (under ``/slack``) read the same. Nothing in it mentions anybody
or links anywhere, and only we format it.
"""

from __future__ import annotations

from outbox_worker.alerts import phrasing, shown, words
from outbox_worker.alerts.alert import (
    ALERT_CHANNELS,
    CHANGE,
    AlertKind,
    Incident,
    NamedDelivery,
)
from outbox_worker.alerts.phrasing import Tone, Words
from outbox_worker.alerts.port import ChatMessage
from outbox_worker.outbox.delivery import State
from outbox_worker.pms.port import PmsName

#: Longest text: Discord takes 2,000 characters.
LIMIT = 1900
#: How many deliveries one message names at most; those beyond it go into the next message.
PAGE = 25

#: Deliveries with a line of their own; the others of a message follow by name alone.
_LINES = 5
_COMMANDS = 2
_FACTS = 4
#: Longest parts; together those that have to be told stay below the limit.
_COMMAND = 100
_NAME = 36
_CODE = 40
_SENTENCES = 320
_RISK = 160
_FACT = 160
#: Facts that the sentences have told.
_TOLD_FACTS = frozenset({CHANGE, "channel", "code", "pms"})
_MARKS = {
    Tone.ACTION: "\N{LARGE RED CIRCLE}",
    Tone.WARNING: "\N{LARGE ORANGE CIRCLE}",
    Tone.SOLVED: "\N{LARGE GREEN CIRCLE}",
    Tone.TEST: "\N{LARGE BLUE CIRCLE}",
}
#: ``<`` begins Slack's mentions and links, ``@`` those of the others; the rest is formatting.
_ESCAPED = str.maketrans(
    {
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        "@": "\N{FULLWIDTH COMMERCIAL AT}",
        "`": "'",
        "*": "\N{ASTERISK OPERATOR}",
        "~": "\N{TILDE OPERATOR}",
    }
)


def message(incident: Incident, *, pms: PmsName) -> ChatMessage:
    """The next chat message about an incident.

    Args:
        incident: As it is now to the chat.
        pms: Whom bookings go to; an incident may be about another one.

    Returns:
        A message that names every delivery of ``incident.named``, or all untold ones of a solved
        incident.
    """
    incident = phrasing.told_with(incident, pms)
    said = words.of(incident)
    must = [_headline(said), *_names(incident), *_commands(said), _footer(incident)]
    room = LIMIT - sum(len(line) + 1 for line in must)
    told: list[str] = []
    for line in _explanation(incident, said):
        # what an operator finds with the commands gives way to what only this message names
        if len(line) + 1 <= room:
            told.append(line)
            room -= len(line) + 1
    text = "\n".join([must[0], *told, *must[1:]])
    return ChatMessage(alert_id=incident.id, text=text)


def escape(text: str) -> str:
    """A text that a chat shows as it is: no mention, no link, no formatting."""
    return text.translate(_ESCAPED)


def _headline(said: Words) -> str:
    extra = f" - {said.extras[0]}" if said.extras else ""
    return f"{_MARKS[said.tone]} *[{said.tone}] {escape(said.symptom + extra)}*"


def _explanation(incident: Incident, said: Words) -> list[str]:
    lines = [escape(_cut(" ".join(said.happened), _SENTENCES))]
    if incident.resolved_at is None:
        facts = [each for each in incident.facts.items() if each[0] not in _TOLD_FACTS]
        lines += [
            f"{escape(shown.clean(name, 40)).replace('_', ' ').capitalize()}:"
            f" `{_code(value, _FACT)}`"
            for name, value in facts[:_FACTS]
        ]
    if said.risk:
        lines.append(f"Risk: {escape(_cut(said.risk, _RISK))}")
    return lines


def _names(incident: Incident) -> list[str]:
    """Every delivery that is to be told: the first in a line each, then the others by name."""
    named = incident.fresh or incident.named
    if incident.stay is not None and all(
        d.stay is None or d.stay.id != incident.stay.id for d in named
    ):
        stay = incident.stay
        first = [f"\N{BULLET} `{shown.short_name(stay)}` {shown.stay_of(stay)}"]
    else:
        first = []
    # of a solved incident the states are all alike
    full = _LINES if incident.resolved_at is None or len(named) == 1 else 0
    lines = [_line(delivery) for delivery in named[:full]]
    rest = ", ".join(f"`{_name(delivery)}`" for delivery in named[full:])
    also = "Also " if lines else ""
    return [*first, *lines, *([f"{also}{rest}"] if rest else []), *_others(incident)]


def _others(incident: Incident) -> list[str]:
    later = incident.untold - len(incident.fresh)
    if later > 0:
        return [f"{later} more follow in the next message, five minutes after this."]
    if incident.told_standing and incident.resolved_at is None:
        are = "is" if incident.told_standing == 1 else "are"
        return [f"{incident.told_standing} named earlier {are} still not solved."]
    return []


def _line(delivery: NamedDelivery) -> str:
    parts = [
        f"`{_name(delivery)}`" + (f" {shown.stay_of(delivery.stay)}" if delivery.stay else ""),
        _state(delivery.state),
        _cut(shown.error_code(delivery.error_code) or "", _CODE),
    ]
    return "\N{BULLET} " + " \N{MIDDLE DOT} ".join(part for part in parts if part)


def _name(delivery: NamedDelivery) -> str:
    if delivery.stay is not None:
        return shown.short_name(delivery.stay)
    if delivery.destination in ALERT_CHANNELS:
        return phrasing.title_of(delivery)
    return _cut(phrasing.handle_of(delivery), _NAME)


def _state(state: State | None) -> str:
    return "no longer on record" if state is None else state.value


def _commands(said: Words) -> list[str]:
    commands = [command for step in said.steps for command in step.commands]
    return [f"`{_code(command, _COMMAND)}`" for command in commands[:_COMMANDS]]


def _footer(incident: Incident) -> str:
    trial = incident.kind is AlertKind.TEST
    more = "" if trial else f" \N{MIDDLE DOT} message {incident.messages + 1}"
    return f"Alert {incident.id}{more}"


def _code(text: str, limit: int) -> str:
    """What may stand between backticks."""
    return escape(shown.clean(text, limit))


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3].rstrip()}..."
