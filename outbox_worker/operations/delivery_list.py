"""Deliveries by state, a page at a time: what is unfinished first, then what is synced."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from outbox_worker.database import Connection, Row
from outbox_worker.operations.fleet import Fleet
from outbox_worker.operations.pages import COUNT_LIMIT, Page
from outbox_worker.outbox.delivery import DeliveryId, Destination, State
from outbox_worker.sql import query

#: What is listed where no state is asked for: all that is not done.
UNFINISHED = (
    State.WAITING,
    State.SENDING,
    State.RETRYING,
    State.CHECKING,
    State.HELD,
    State.FAILED,
    State.REJECTED,
)

#: ``2026-11-24.17``, ``none.17`` or, among what is synced, ``synced.17``.
_PLACE = re.compile(r"(synced|none|\d{4}-\d{2}-\d{2})\.(\d{1,18})")
_NOWHERE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which deliveries are wanted.

    Args:
        states: Any of them.
        destinations: Any of them.
        since: In their state since then or later: asked for, claimed, given up, discarded or
            synced, whichever their state is about; aware.
        code: With this last error.
        tested: Only bookings that nothing but test mode has handled.
    """

    states: tuple[State, ...] = UNFINISHED
    destinations: tuple[Destination, ...] = tuple(Destination)
    since: datetime | None = None
    code: str | None = None
    tested: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedDelivery:
    """One delivery of a list.

    Args:
        ref: What `outbox show` takes: the booking's reference, else the booking's or delivery's id.
        since: How long it has been in this state; None: unknown, as for what was taken over.
        due_at: When it is tried (again); None: never, or nothing is owed.
        tested: Whether nothing but test mode has handled its booking.
    """

    ref: str
    id: DeliveryId
    destination: Destination
    key: str
    state: State
    attempts: int
    round: int
    since: datetime | None
    due_at: datetime | None
    check_in: date | None
    error_code: str | None
    tested: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPage(Page[ListedDelivery]):
    """One page of deliveries, and the database's clock when it was read."""

    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A row that a page ended with.

    Args:
        synced: Whether it stood among what is synced, which comes last.
        day: Its check-in, where it stood among what is unfinished.
    """

    synced: bool
    day: date | None
    id: int


def place_of(text: str) -> Place:
    """Read what a page named as its end.

    Raises:
        ValueError: No page ends so.
    """
    found = _PLACE.fullmatch(text)
    if found is None:
        raise ValueError(f"no page ends at {text!r}")
    word, number = found.groups()
    day = None if word in {"synced", _NOWHERE} else date.fromisoformat(word)
    return Place(synced=word == "synced", day=day, id=int(number))


async def list_deliveries(
    conn: Connection, filters: Filters, fleet: Fleet, *, limit: int, after: Place | None = None
) -> DeliveryPage:
    """One page: what is unfinished, soonest check-in first, then what is synced, newest first.

    Args:
        conn: Any connection; only reads.
        filters: Which ones.
        fleet: Which destinations take nothing at present: what they owe is held.
        limit: Rows of the page, 1 or more.
        after: Where the page before ended.
    """
    rows: list[Row] = []
    total = 0
    if any(state is not State.SYNCED for state in filters.states) and not (after and after.synced):
        rows, total = await _unfinished(conn, filters, fleet, limit=limit, after=after)
    at_least = False
    if State.SYNCED in filters.states:
        place = after if after and after.synced else None
        synced, number = await _synced(conn, filters, limit=limit - len(rows), after=place)
        rows += synced
        total += number
        at_least = number >= COUNT_LIMIT
    listed = tuple(_listed(row) for row in rows)
    more = total - len(listed)
    return DeliveryPage(
        rows=listed,
        more=min(more, COUNT_LIMIT),
        more_at_least=at_least or more > COUNT_LIMIT,
        after=_end(listed[-1]) if listed and more else None,
        now=rows[0]["now"] if rows else fleet.now,
    )


async def _unfinished(
    conn: Connection, filters: Filters, fleet: Fleet, *, limit: int, after: Place | None
) -> tuple[list[Row], int]:
    values = {
        **_common(filters, after),
        "states": [str(state) for state in filters.states if state is not State.SYNCED],
        "closed": [str(destination) for destination in fleet.closed],
        "code": filters.code,
        "tested": filters.tested,
        "after_day": after.day if after else None,
    }
    rows = await _rows(conn, "list_unfinished", **values, limit=limit)
    if len(rows) < limit:
        return rows, len(rows)
    # one more than is told, for "or more"
    most = COUNT_LIMIT + limit + 1
    counted = await _rows(conn, "count_unfinished_rows", **values, limit=most)
    # between the two statements some may have been finished
    return rows, max(counted[0]["n"], len(rows))


async def _synced(
    conn: Connection, filters: Filters, *, limit: int, after: Place | None
) -> tuple[list[Row], int]:
    """Rows, and how many there are with those that follow; nothing synced has an error."""
    if filters.code is not None:
        return [], 0
    common = _common(filters, after)
    if filters.tested:
        rows = await _rows(conn, "list_tested", **common, limit=max(limit, 1))
        return rows[:limit], rows[0]["total"] if rows else 0
    rows = await _rows(conn, "list_synced", **common, limit=limit) if limit else []
    counted = await _rows(conn, "count_synced_rows", **common, limit=COUNT_LIMIT)
    return rows, counted[0]["n"]


def _common(filters: Filters, after: Place | None) -> dict[str, Any]:
    return {
        "destinations": [str(destination) for destination in filters.destinations],
        "since": filters.since,
        "after_id": after.id if after else None,
    }


def _end(row: ListedDelivery) -> str:
    if row.state is State.SYNCED:
        return f"synced.{row.id}"
    return f"{row.check_in or _NOWHERE}.{row.id}"


def _listed(row: Row) -> ListedDelivery:
    destination = Destination(row["destination"])
    own = row["key"] if destination is Destination.GUESTLY else str(row["id"])
    return ListedDelivery(
        ref=row["booking_reference"] or own,
        id=DeliveryId(row["id"]),
        destination=destination,
        key=row["key"],
        state=State(row["state"]),
        attempts=row["attempts"],
        round=row["round"],
        since=row["since"],
        due_at=None if row["state"] == State.SYNCED else row["due_at"],
        check_in=row["check_in_date"],
        error_code=row["last_error_code"],
        tested=row["tested"],
    )


async def _rows(conn: Connection, name: str, **parameters: Any) -> list[Row]:
    cursor = await conn.execute(query(name), parameters)
    return await cursor.fetchall()
