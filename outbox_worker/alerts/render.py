"""From an incident to the mail about it: subject, plain text and HTML. Pure but for its templates.

The same incident always gives the same mail: no clock is asked, so that a repeated mail is itself.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from outbox_worker.alerts import phrasing, shown, words
from outbox_worker.alerts.alert import CHANGE, AlertKind, Incident, NamedDelivery, Stay
from outbox_worker.alerts.phrasing import Words
from outbox_worker.alerts.port import AlertMessage
from outbox_worker.outbox.delivery import State
from outbox_worker.pms.port import PmsName

#: Bookings shown in full; the others of a mail follow in a table.
FULL_BLOCKS = 20

_SUBJECT_LIMIT = 80
#: Facts that the sentences have already told.
_TOLD_FACTS = frozenset({CHANGE, "pms"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One booking or event in full: a title and labelled values."""

    title: str
    rows: tuple[tuple[str, str], ...]
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One booking or event in three lines."""

    title: str
    when: str
    about: str
    trouble: str


def message(incident: Incident, *, currency: str, pms: PmsName) -> AlertMessage:
    """The next mail about an incident.

    Args:
        incident: As it is now.
        currency: Of every booking's total, ISO 4217.
        pms: Whom bookings go to; an incident may be about another one.

    Returns:
        A mail that names every delivery of ``incident.named``. Its Message-ID follows from the
        alert and the number of mails accepted so far.
    """
    incident = phrasing.told_with(incident, pms)
    said = words.of(incident)
    subject = _subject(said)
    blocks, table = _named(incident, currency)
    view = {
        "subject": subject,
        "tone": said.tone,
        "headline": f"{said.symptom}.",
        "said": said,
        "facts": _facts(incident),
        "blocks": blocks,
        "table": table,
        "others": _others(incident),
        "footer": _footer(incident),
    }
    return AlertMessage(
        alert_id=incident.id,
        subject=subject,
        text=_environment().get_template("alert.txt").render(view),
        html=_environment().get_template("alert.html").render(view),
        message_id=_message_id(incident),
        references=(f"<alert-{incident.id}.1@booking-outbox>",) if incident.messages else (),
        written_at=incident.now,
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("outbox_worker.alerts"),
        autoescape=select_autoescape(enabled_extensions=("html",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["wrap"] = _wrap
    return environment


def _wrap(text: str, indent: int, hang: int | None = None) -> str:
    """Lines of at most 76 characters; ``hang``: indent of the second and later lines."""
    return textwrap.fill(
        text,
        width=76,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent if hang is None else hang),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _message_id(incident: Incident) -> str:
    # "solved" sets it apart from a mail of the same number whose fate was unknown when the
    # incident ended: a mailbox that knows that one would drop this one
    solved = ".solved" if incident.resolved_at is not None else ""
    return f"<alert-{incident.id}.{incident.messages + 1}{solved}@booking-outbox>"


def _subject(said: Words) -> str:
    subject = f"[{said.tone}] {said.symptom}"
    longer = (f"{subject} - {extra}" for extra in said.extras)
    subject = next((text for text in longer if len(text) <= _SUBJECT_LIMIT), subject)
    # symptoms are made of our own words and of tokens; this is the last line of defence
    plain = "".join(letter for letter in subject if " " <= letter <= "~")
    return plain if len(plain) <= _SUBJECT_LIMIT else f"{plain[: _SUBJECT_LIMIT - 3].rstrip()}..."


def _named(incident: Incident, currency: str) -> tuple[list[Block], list[TableRow]]:
    own = incident.stay
    if own is not None and all(d.stay is None or d.stay.id != own.id for d in incident.named):
        first = [_stay_block(own, (), currency)]
    else:
        first = []
    full = FULL_BLOCKS if incident.resolved_at is None else 0
    if len(incident.named) == 1:
        full = 1
    blocks = [_block(incident, delivery, currency) for delivery in incident.named[:full]]
    table = [_table_row(delivery, currency) for delivery in incident.named[full:]]
    return [*first, *blocks], table


def _block(incident: Incident, delivery: NamedDelivery, currency: str) -> Block:
    error = _error(delivery)
    trouble = [
        ("State", _state(delivery)),
        ("Attempts", f"{delivery.attempts} in this round"),
        *([("Error", error)] if error else []),
        ("Failed", shown.moment(delivery.failed_at)),
        *([("Solved", shown.moment(delivery.healed_at))] if delivery.healed_at else []),
    ]
    if delivery.due_at is not None and delivery.state is State.FAILED:
        trouble.append(("Next attempt", shown.moment(delivery.due_at)))
    if delivery.stay is not None:
        return _stay_block(delivery.stay, trouble, currency, pms=phrasing.pms(incident))
    return Block(
        title=phrasing.title_of(delivery),
        rows=tuple(trouble),
        command=f"outbox show {phrasing.handle_of(delivery)}",
    )


def _stay_block(
    stay: Stay, trouble: Sequence[tuple[str, str]], currency: str, *, pms: str = ""
) -> Block:
    holds = stay.reservation_id and not stay.test
    return Block(
        title=f"Booking {shown.reference(stay)}",
        rows=(
            ("Booking id", str(stay.id)),
            ("Property", shown.property_of(stay)),
            ("Stay", shown.stay_of(stay)),
            ("Guests", shown.guests_of(stay)),
            ("Total", shown.total_of(stay, currency)),
            ("Payment", shown.clean(stay.payment_status, 40)),
            ("Booking", shown.clean(stay.status, 40)),
            *(
                [
                    (
                        f"In {pms}",
                        shown.clean(stay.reservation_id, 80) if holds else "nothing on record",
                    )
                ]
                if pms
                else []
            ),
            *trouble,
        ),
        command=f"outbox show {shown.handle(stay)}",
    )


def _table_row(delivery: NamedDelivery, currency: str) -> TableRow:
    trouble = (
        _state(delivery),
        shown.counted(delivery.attempts, "attempt"),
        _error(delivery, limit=90),
        shown.moment(delivery.failed_at),
    )
    stay = delivery.stay
    if stay is None:
        return TableRow(
            title=phrasing.title_of(delivery), when="", about="", trouble=_dotted(trouble)
        )
    about = (
        shown.property_of(stay),
        shown.guests_of(stay, noun="guest"),
        shown.total_of(stay, currency),
        f"payment {shown.clean(stay.payment_status, 40)}",
        f"booking {shown.clean(stay.status, 40)}",
        str(stay.id),
    )
    return TableRow(
        title=shown.reference(stay),
        when=shown.stay_of(stay),
        about=_dotted(about),
        trouble=_dotted(trouble),
    )


def _dotted(parts: Sequence[str]) -> str:
    return " \N{MIDDLE DOT} ".join(part for part in parts if part)


def _state(delivery: NamedDelivery) -> str:
    match delivery.state:
        case None:
            return "no longer on record"
        case State.FAILED:
            return "failed, tried again without you"
        case State.REJECTED:
            return "rejected, waits for a person"
        case state:
            return state.value


def _error(delivery: NamedDelivery, *, limit: int = 300) -> str:
    code = shown.error_code(delivery.error_code)
    text = shown.clean(delivery.error, limit)
    return f"{code}: {text}" if code and text else code or text


def _facts(incident: Incident) -> list[tuple[str, str]]:
    if incident.kind in {AlertKind.SYNC_FAILED, AlertKind.SYNC_REJECTED} and incident.named:
        return []  # each delivery shows its own error
    return [
        (shown.clean(name, 40).replace("_", " ").capitalize(), shown.clean(value, 300))
        for name, value in incident.facts.items()
        if name not in _TOLD_FACTS
    ]


def _others(incident: Incident) -> str:
    """What this mail does not name: the rest that follows, and what earlier mails have named."""
    later = incident.untold - len(incident.fresh)
    sentences = []
    if later > 0:
        sentences.append(f"{later} more will be named in the next mail, five minutes after this.")
    if incident.told_standing and incident.resolved_at is None:
        are = "is" if incident.told_standing == 1 else "are"
        sentences.append(f"{incident.told_standing} named in earlier mails {are} still not solved.")
    return " ".join(sentences)


def _footer(incident: Incident) -> str:
    return (
        f"Alert {incident.id} ({incident.kind.value}, {shown.clean(incident.fingerprint, 80)}), "
        f"mail {incident.messages + 1}. Reported {shown.counted(incident.count, 'time')}, first on "
        f"{shown.moment(incident.first_seen_at)}, last on {shown.moment(incident.last_seen_at)}. "
        "Mails about one incident are at least five minutes apart; the next one comes when "
        "something joins it or when it is solved."
    )
