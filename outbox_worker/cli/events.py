"""``outbox events``: what came in from Stripe, and what became of it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import click

from outbox_worker.cli.event_payment import named_words, payment_words
from outbox_worker.cli.event_replay import replay
from outbox_worker.cli.examples import examples
from outbox_worker.cli.group import Group
from outbox_worker.cli.invocation import Invocation, standard_options
from outbox_worker.cli.layout import (
    columns,
    counted,
    labelled,
    table,
    until,
    wrapped,
)
from outbox_worker.cli.paging import limit_option, next_page
from outbox_worker.cli.reply import Reply
from outbox_worker.cli.since import Since, typed
from outbox_worker.operations.moments import moment, stamp

if TYPE_CHECKING:
    from outbox_worker.database import Connection
    from outbox_worker.operations.event_list import EventFacts, ListedEvent
    from outbox_worker.operations.pages import Page

_OUTCOMES = (
    "applied",
    "no_change",
    "ignored",
    "foreign",
    "waiting",
    "mismatch",
    "malformed",
    "deferred",
    "failed",
    "discarded",
)
_DISCARDED = "discarded"
#: Outcomes that a replay may change.
_OPEN = frozenset({"waiting", "failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownEvent:
    """What `events show` answers.

    Args:
        body: Only when it was asked for, and is still kept.
        body_encoding: ``utf-8``, or ``base64`` where the bytes are no text; None without a body.
    """

    event: EventFacts
    body: str | None
    body_encoding: str | None


@click.group("events", cls=Group, short_help="What came in from Stripe, and what became of it.")
def command() -> None:
    """Look at the events that came in from Stripe, and apply one again."""


command.add_command(replay)


@command.command(
    "list",
    epilog=examples(
        "outbox events list",
        "outbox events list --outcome waiting --outcome failed",
        "outbox events list --type payment_intent --since 24h",
    ),
)
@click.option(
    "--outcome",
    "outcomes",
    multiple=True,
    type=click.Choice(_OUTCOMES),
    metavar="OUTCOME",
    help=f"Only with this outcome, repeatable: {', '.join(_OUTCOMES)}.",
)
@click.option(
    "--type",
    "types",
    multiple=True,
    metavar="TYPE",
    help="Only of this type, or of types that begin with it, repeatable.",
)
@click.option("--since", type=Since(), help="Only received since then (2h, 3d, 2026-11-20).")
@limit_option(20)
@click.option("--after", metavar="EVENT", help="Go on after this event; a page says how.")
@standard_options
@click.pass_obj
def list_(
    invocation: Invocation,
    *,
    outcomes: tuple[str, ...],
    types: tuple[str, ...],
    since: datetime | None,
    limit: int,
    after: str | None,
) -> Reply:
    """List events, the newest first.

    waiting: its booking does not exist yet. failed: it could not be applied, and is
    tried again. mismatch: the payment does not fit the booking; a person decides.
    discarded: a person has set it aside.
    """
    from outbox_worker.operations.event_list import EventFilters, list_events
    from outbox_worker.payments.verdict import EventOutcome

    filters = EventFilters(
        outcomes=tuple(EventOutcome(word) for word in outcomes if word != _DISCARDED),
        discarded=_DISCARDED in outcomes,
        types=types,
        since=since,
    )
    page = invocation.on_database(
        invocation.database(),
        "events list",
        lambda conn: list_events(conn, filters, limit=limit, after=after),
    )
    words = [word for outcome in outcomes for word in ("--outcome", outcome)]
    words += [word for name in types for word in ("--type", name)]
    words += ["--since", typed(since)] if since else []
    return Reply(data=page, lines=tuple(_table(page, words, chosen=bool(words or after))))


@command.command(
    "show", epilog=examples("outbox events show evt_1Qx48213", "outbox events show evt_1Qx4 --body")
)
@click.argument("event")
@click.option("--body", is_flag=True, help="Print the stored body, guest data included.")
@standard_options
@click.pass_obj
def show(invocation: Invocation, *, event: str, body: bool) -> Reply:
    """Show the facts of one EVENT: its id or the beginning of it, or its payment (pi_...).

    Guest data is shown with --body only.
    """
    shown = invocation.on_database(
        invocation.database(), "events show", lambda conn: _read(conn, event, with_body=body)
    )
    return Reply(data=shown, lines=tuple(_facts(shown, asked=body)))


async def _read(conn: Connection, ref: str, *, with_body: bool) -> ShownEvent:
    from outbox_worker.operations.event_list import find_event, read_body, read_event

    event = await read_event(conn, await find_event(conn, ref))
    kept = await read_body(conn, event.id) if with_body else None
    if kept is None:
        return ShownEvent(event=event, body=None, body_encoding=None)
    try:
        return ShownEvent(event=event, body=kept.decode("utf-8"), body_encoding="utf-8")
    except UnicodeDecodeError:
        text = base64.b64encode(kept).decode("ascii")
        return ShownEvent(event=event, body=text, body_encoding="base64")


def _table(page: Page[ListedEvent], words: list[str], *, chosen: bool) -> Iterator[str]:
    if not page.rows:
        yield "No event fits." if chosen else "No event has come in yet."
        yield "next: outbox events list" if chosen else "next: send one from Stripe's webhook page"
        return
    rows: list[tuple[str, ...]] = [("RECEIVED (UTC)", "OUTCOME", "BOOKING")]
    rows += [(stamp(each.received_at), _outcome(each), each.booking or "-") for each in page.rows]
    heading, *rest = table(rows)
    yield from heading
    for each, lines in zip(page.rows, rest, strict=True):
        yield from lines
        yield from columns([(each.id, each.type)], indent="  ")
        if each.outcome not in {"applied", "ignored"} and each.detail:
            yield from wrapped(each.detail, first="  ")
    yield from next_page(page, ["outbox", "events", "list", *words])
    first = next((each for each in page.rows if _is_open(each)), page.rows[0])
    yield f"next: outbox events show {first.id}"


def _outcome(event: ListedEvent) -> str:
    return _DISCARDED if event.discarded else str(event.outcome)


def _is_open(event: ListedEvent) -> bool:
    return event.outcome in _OPEN and not event.discarded


def _facts(shown: ShownEvent, *, asked: bool) -> Iterator[str]:
    event = shown.event
    discarded = event.state == _DISCARDED
    yield f"{event.id}  {_DISCARDED if discarded else event.outcome}"
    yield ""
    yield from labelled(
        [
            ("type", event.type),
            ("why", event.detail or ""),
            ("booking", event.booking or "none"),
            ("payment", payment_words(event.payment, event.payment_intent_id)),
            ("names", named_words(event.payment)),
            ("object", event.object_id or ""),
            ("mode", _mode(event)),
            ("account", event.account or ""),
            ("received", f"{moment(event.received_at)} from {event.source}"),
            ("decided", moment(event.decided_at)),
            ("again", _again(event)),
            ("body", _body(event)),
        ]
    )
    if shown.body is not None:
        yield ""
        note = " as base64, since it is no text" if shown.body_encoding == "base64" else ""
        yield f"BODY (as it was signed{note}; it may hold guest data)"
        yield from shown.body.splitlines()
    elif asked:
        yield ""
        yield "The body is no longer kept."
    yield ""
    if discarded:
        yield f"next: outbox show {event.id}"
    elif event.outcome in _OPEN:
        yield f"next: outbox events replay {event.id}"
    elif event.booking:
        yield f"next: outbox show {_word(event)}"
    else:
        yield "next: outbox events list"


def _mode(event: EventFacts) -> str:
    if event.livemode is None:
        return ""
    return "live" if event.livemode else "TEST (no real money)"


def _again(event: EventFacts) -> str:
    """Whether and when it is applied again by itself."""
    if event.state is None:
        return ""
    code = f" ({event.error_code})" if event.error_code else ""
    if event.state == "synced":
        return "no, that is done"
    if event.due_at is None:
        return f"not by itself: {event.state}{code}"
    when = until(event.due_at - event.now) if event.due_at > event.now else "now"
    return f"{when}, {event.state}{code}"


def _body(event: EventFacts) -> str:
    if event.body_bytes is None:
        return "no longer kept"
    return f"{counted(event.body_bytes, 'byte')}, shown with --body"


def _word(event: EventFacts) -> str:
    from outbox_worker.alerts.shown import token

    return token(event.booking or "") or str(event.booking_id)
