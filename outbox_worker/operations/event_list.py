"""Inbound events, a page at a time, and the facts of one of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from outbox_worker.database import Connection, Row
from outbox_worker.errors import AmbiguousRefError, NotFoundError
from outbox_worker.operations.event_payment import EventPayment, payment_of
from outbox_worker.operations.pages import COUNT_LIMIT, Page
from outbox_worker.operations.refs import not_utf8
from outbox_worker.operations.rows import snapshot_from
from outbox_worker.outbox.delivery import DeliveryId, State, state_of
from outbox_worker.payments.verdict import EventOutcome
from outbox_worker.sql import query

_CANDIDATES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilters:
    """Which events are wanted.

    Args:
        outcomes: Any of them; empty and not ``discarded``: all.
        discarded: Those that a person has set aside, whose outcome does not count any more.
        types: Any of them: whole (``charge.refunded``) or their beginning (``charge``); empty: all.
        since: Received then or later; aware.
    """

    outcomes: tuple[EventOutcome, ...] = ()
    discarded: bool = False
    types: tuple[str, ...] = ()
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedEvent:
    """One event of a list.

    Args:
        detail: Why it has this outcome; never guest data.
        livemode: None: it did not say.
        booking: Reference of the booking that it is about, or its id where it has none.
        received_at: Aware UTC.
        discarded: Whether a person has set it aside.
    """

    id: str
    source: str
    type: str
    outcome: EventOutcome
    discarded: bool
    detail: str | None
    livemode: bool | None
    payment_intent_id: str | None
    booking: str | None
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFacts:
    """Everything about one event but its body.

    Args:
        decided_at: When it got its outcome; aware UTC.
        body_bytes: Length of the signed body; None: no longer kept.
        payment: What the body says of a payment; None: it reports none, or is no longer kept.
        delivery_id: The row that applies it again; None: there never was a need.
        state: Of that row.
        due_at: When it is applied again by itself; None: never.
        now: The database's clock, aware UTC.
    """

    id: str
    source: str
    type: str
    outcome: EventOutcome
    detail: str | None
    livemode: bool | None
    account: str | None
    object_id: str | None
    payment_intent_id: str | None
    booking_id: UUID | None
    booking: str | None
    received_at: datetime
    decided_at: datetime
    body_bytes: int | None
    payment: EventPayment | None
    delivery_id: DeliveryId | None
    state: State | None
    due_at: datetime | None
    error_code: str | None
    now: datetime


async def list_events(
    conn: Connection, filters: EventFilters, *, limit: int, after: str | None = None
) -> Page[ListedEvent]:
    """One page of events, the newest first.

    Args:
        conn: Any connection; only reads.
        filters: Which ones.
        limit: Rows of the page, 1 or more.
        after: Id of the event that the page before ended with.

    Raises:
        NotFoundError: ``after`` is no event's id.
    """
    place = None if after is None else await _place(conn, after)
    some = bool(filters.outcomes) or filters.discarded
    values: dict[str, Any] = {
        "outcomes": [str(outcome) for outcome in filters.outcomes] if some else None,
        "discarded": filters.discarded,
        "types": [pattern for name in filters.types for pattern in _patterns(name)] or None,
        "since": filters.since,
        "after_at": place["received_at"] if place else None,
        "after_id": place["id"] if place else None,
    }
    cursor = await conn.execute(query("list_events"), {**values, "limit": limit})
    rows = tuple(_listed(row) for row in await cursor.fetchall())
    if len(rows) < limit:
        return Page(rows=rows, more=0, more_at_least=False, after=None)
    cursor = await conn.execute(query("count_events"), {**values, "limit": COUNT_LIMIT + limit})
    total = (await cursor.fetchall())[0]["n"]
    more = max(total - limit, 0)
    return Page(
        rows=rows,
        more=more,
        more_at_least=more >= COUNT_LIMIT,
        after=rows[-1].id if more else None,
    )


async def _place(conn: Connection, event_id: str) -> Row:
    row = None
    if "\0" not in event_id and not not_utf8(event_id):
        cursor = await conn.execute(query("event_place"), {"id": event_id})
        row = await cursor.fetchone()
    if row is None:
        raise NotFoundError(
            f"no page ends with event {event_id!r}",
            hint="Copy the whole command from the end of the page before.",
        )
    return row


async def find_event(conn: Connection, ref: str) -> str:
    """The id of the event that a reference means.

    Args:
        conn: Any connection; only reads.
        ref: The event's id, the payment that one single event is about, or the beginning of an id
            that fits only one.

    Raises:
        NotFoundError: Nothing fits.
        AmbiguousRefError: Several events fit; names up to ten of them.
    """
    word = ref.strip()
    unknown = NotFoundError(
        f"no event is known as {word!r}",
        hint="Give evt_... or its beginning; `outbox events list` shows what came in.",
    )
    if not word or "\0" in word or not_utf8(word):
        raise unknown
    limit = _CANDIDATES + 1
    found = await _ids(conn, "event_named", ref=word)
    found = found or await _ids(conn, "events_about_payment", ref=word, limit=limit)
    if not found:
        pattern = f"{_escaped(word.lower())}%"
        found = await _ids(conn, "events_beginning", pattern=pattern, limit=limit)
    if not found:
        raise unknown
    if len(found) > 1:
        more = ("...",) if len(found) > _CANDIDATES else ()
        raise AmbiguousRefError(
            f"{word!r} fits {'more than ' if more else ''}{min(len(found), _CANDIDATES)} events",
            candidates=(*found[:_CANDIDATES], *more),
            hint="Give the id of one of them.",
        )
    return found[0]


async def read_event(conn: Connection, event_id: str) -> EventFacts:
    """The facts of one event.

    Args:
        conn: Any connection; only reads.
        event_id: As `find_event` answers it.

    Raises:
        NotFoundError: It is gone.
    """
    cursor = await conn.execute(query("event_facts"), {"id": event_id})
    row = await cursor.fetchone()
    if row is None:
        raise NotFoundError(f"no event {event_id} was ever received")
    return _facts(row, payment_of(await read_body(conn, event_id)))


async def read_body(conn: Connection, event_id: str) -> bytes | None:
    """The signed bytes, guest data and all; None: no longer kept."""
    cursor = await conn.execute(query("event_body"), {"id": event_id})
    row = await cursor.fetchone()
    return None if row is None or row["body"] is None else bytes(row["body"])


async def _ids(conn: Connection, name: str, **parameters: Any) -> list[str]:
    cursor = await conn.execute(query(name), parameters)
    return [row["id"] for row in await cursor.fetchall()]


def _patterns(name: str) -> tuple[str, str]:
    """What a type itself, and one that begins with it, is like."""
    clean = _escaped(name.replace("\0", ""))
    return clean, f"{clean}.%"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _listed(row: Row) -> ListedEvent:
    return ListedEvent(
        id=row["id"],
        source=row["source"],
        type=row["type"],
        outcome=EventOutcome(row["outcome"]),
        detail=row["detail"],
        livemode=row["livemode"],
        payment_intent_id=row["payment_intent_id"],
        booking=_booking(row),
        received_at=row["received_at"],
        discarded=row["discarded"],
    )


def _facts(row: Row, payment: EventPayment | None) -> EventFacts:
    owed = row["delivery_id"] is not None
    return EventFacts(
        id=row["id"],
        source=row["source"],
        type=row["type"],
        outcome=EventOutcome(row["outcome"]),
        detail=row["detail"],
        livemode=row["livemode"],
        account=row["account"],
        object_id=row["object_id"],
        payment_intent_id=row["payment_intent_id"],
        booking_id=row["booking_id"],
        booking=_booking(row),
        received_at=row["received_at"],
        decided_at=row["decided_at"],
        body_bytes=row["body_bytes"],
        payment=payment,
        delivery_id=DeliveryId(row["delivery_id"]) if owed else None,
        state=state_of(snapshot_from(row), now=row["now"], held=False) if owed else None,
        due_at=row["due_at"],
        error_code=row["last_error_code"],
        now=row["now"],
    )


def _booking(row: Row) -> str | None:
    if row["booking_id"] is None:
        return None
    return row["booking_reference"] or str(row["booking_id"])
