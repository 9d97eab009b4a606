"""Incidents, a page at a time: what each names, and who was told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from outbox_worker.alerts.alert import AlertId, AlertKind
from outbox_worker.database import Connection, Row
from outbox_worker.operations.pages import COUNT_LIMIT, Page
from outbox_worker.outbox.delivery import Destination
from outbox_worker.outbox.outcome import AttemptOutcome
from outbox_worker.sql import query

#: So many of the subjects of an alert are named.
_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What one channel has told of an alert.

    Args:
        messages: Those that it accepted.
        told_at: When it accepted the last one; aware UTC.
        owed: Whether there is something left to tell.
        configured: Whether the worker that tried last had such a channel; None: none has tried.
        code: Why the last message was not accepted; None where nothing is owed.
    """

    channel: Destination
    messages: int
    told_at: datetime | None
    owed: bool
    configured: bool | None
    code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedAlert:
    """One incident.

    Args:
        fingerprint: What makes reports one incident; an id or a code.
        booking: Reference of the booking that it is about, or its id where it has none.
        code: Error code that it is about.
        count: How often it was reported.
        names: Some of the bookings and events that it names, those not healed first.
        total, standing: How many it names, and how many of them are not healed.
        resolved_at: None: it is open.
    """

    id: AlertId
    kind: AlertKind
    fingerprint: str
    booking: str | None
    code: str | None
    count: int
    names: tuple[str, ...]
    total: int
    standing: int
    first_seen_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None
    channels: tuple[Telling, ...]


async def list_alerts(
    conn: Connection, *, resolved: bool, limit: int, after: int | None = None
) -> Page[ListedAlert]:
    """One page of alerts, the newest first.

    Args:
        conn: Any connection; only reads.
        resolved: Whether those that are solved are listed, too.
        limit: Rows of the page, 1 or more.
        after: Id of the alert that the page before ended with.
    """
    values: dict[str, Any] = {"all": resolved, "after_id": after}
    cursor = await conn.execute(query("list_alerts"), {**values, "names": _NAMED, "limit": limit})
    rows = tuple(_listed(row) for row in await cursor.fetchall())
    cursor = await conn.execute(query("count_alerts"), {**values, "limit": COUNT_LIMIT + limit})
    more = (await cursor.fetchall())[0]["n"] - len(rows)
    return Page(
        rows=rows,
        more=more,
        more_at_least=more >= COUNT_LIMIT,
        after=str(rows[-1].id) if rows and more else None,
    )


def _listed(row: Row) -> ListedAlert:
    booking = row["booking_id"]
    return ListedAlert(
        id=AlertId(row["id"]),
        kind=AlertKind(row["kind"]),
        fingerprint=row["fingerprint"],
        booking=None if booking is None else row["booking_reference"] or str(booking),
        code=row["code"],
        count=row["count"],
        names=tuple(row["names"]),
        total=row["total"],
        standing=row["standing"],
        first_seen_at=row["first_seen_at"],
        last_seen_at=row["last_seen_at"],
        resolved_at=row["resolved_at"],
        channels=tuple(_telling(each) for each in row["channels"]),
    )


def _telling(told: Mapping[str, Any]) -> Telling:
    at, outcome = told["told_at"], told["outcome"]
    return Telling(
        channel=Destination(told["channel"]),
        messages=told["messages"],
        told_at=None if at is None else datetime.fromisoformat(at),
        owed=told["owed"],
        configured=None if outcome is None else outcome != AttemptOutcome.NOT_CONFIGURED,
        code=told["code"] if told["owed"] else None,
    )
