"""Applying inbound events again, through the function that applies them when they come in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from outbox_worker.database import Connection
from outbox_worker.operations import requeue
from outbox_worker.operations.event_list import EventFacts, find_event, read_event
from outbox_worker.operations.plan import Item, Named, PmsView, plan
from outbox_worker.operations.refs import Subject, Target
from outbox_worker.operations.requeue import Changed, Request
from outbox_worker.payments.verdict import EventOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayable:
    """One event that somebody wants to have applied again.

    Args:
        item: What is asked for; its ``skip`` says why it is left alone, if it is.
    """

    event: EventFacts
    item: Item


async def choose(
    conn: Connection, refs: tuple[str, ...], *, view: PmsView
) -> tuple[Replayable, ...]:
    """Find the events and say which of them can be applied again; changes nothing.

    Args:
        conn: Any connection; only reads.
        refs: See `find_event`; an event that is named twice comes once.
        view: As for every plan.

    Raises:
        NotFoundError: One of them is unknown.
        AmbiguousRefError: One of them fits several events.
    """
    ids = list(dict.fromkeys([await find_event(conn, ref) for ref in refs]))
    targets = tuple(Target(subject=Subject.EVENT, key=each, name=each) for each in ids)
    items = {item.key: item for item in await plan(conn, Named(targets=targets), view=view)}
    found = []
    for event_id in ids:
        event = await read_event(conn, event_id)
        found.append(Replayable(event=event, item=_guarded(event, items[event_id])))
    return tuple(found)


async def replay(conn: Connection, chosen: tuple[Replayable, ...], request: Request) -> Changed:
    """Ask that the events are applied again, as far as they are still as they were chosen.

    Args:
        conn: In autocommit mode.
        chosen: Those that cannot be applied are reported as skipped.
        request: For the history.
    """
    return await requeue.apply(conn, [each.item for each in chosen], request)


def refusal(event: EventFacts) -> str | None:
    """Why applying an event again would change nothing, and what would; None: it may."""
    match event.outcome:
        case EventOutcome.WAITING | EventOutcome.FAILED:
            if event.body_bytes is None:
                return "its body is no longer kept; confirm the booking on the site instead"
            return None
        case EventOutcome.APPLIED:
            send = f"; to send its booking again: outbox requeue {event.booking}"
            return f"applied already{send if event.booking else ''}"
        case EventOutcome.NO_CHANGE:
            return "applied already: its booking was as it should be"
        case EventOutcome.IGNORED:
            return "it is about nothing that a booking depends on"
        case EventOutcome.FOREIGN:
            return "its payment names no booking of ours"
        case EventOutcome.MISMATCH:
            return (
                "its payment does not fit the booking, so a person decides: confirm the booking on"
                " the site, or refund the payment in Stripe"
            )
        case EventOutcome.MALFORMED:
            return "it cannot be read: look it up in Stripe"
        case EventOutcome.DEFERRED:
            return "it is kept for a later version, which this one cannot apply"
        case _:
            assert_never(event.outcome)


def _guarded(event: EventFacts, item: Item) -> Item:
    why = refusal(event)
    return item if why is None else replace(item, skip=why)
