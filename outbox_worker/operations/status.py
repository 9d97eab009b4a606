"""Taking stock: what is owed, what was given up, who works, and whether a person is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from outbox_worker.alerts.alert import ALERT_CHANNELS, AlertKind
from outbox_worker.bookings.visibility import blinded_tables
from outbox_worker.database import Connection, Row
from outbox_worker.operations.fleet import Fleet, SyncMode, read_fleet
from outbox_worker.operations.rows import snapshot_from
from outbox_worker.operations.trouble import Trouble, read_trouble
from outbox_worker.outbox.delivery import DeliveryId, Destination, State, state_of
from outbox_worker.sql import query

#: What is finished is counted up to here; beyond it a figure means "at least".
COUNT_LIMIT = 10_000
#: An event that has waited longer for its booking is a person's turn, as the alert about it says.
EVENT_PATIENCE = timedelta(minutes=10)
#: Work that nobody has taken for so long, with no worker running, is a person's turn.
WORK_PATIENCE = timedelta(seconds=60)
#: Alerts that nothing can resolve by itself are shown for so long after they were last reported.
ALERT_SHOWN = timedelta(days=7)
_SHOWN = 5
_PARKED = frozenset({State.FAILED, State.REJECTED, State.DISCARDED})
#: Kinds whose incidents are deliveries, events or channels, which are listed themselves.
_SHOWN_ELSEWHERE = (
    AlertKind.SYNC_FAILED,
    AlertKind.SYNC_REJECTED,
    AlertKind.PAID_WITHOUT_BOOKING,
    AlertKind.EVENT_FAILED,
    AlertKind.CHANNEL_FAILING,
    AlertKind.TEST,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationCounts:
    """Deliveries of one destination by state.

    Args:
        counts: Every state has an entry.
        synced_at_least: Whether there are more synced ones than were counted.
        oldest_owed_at: When the oldest of what is owed, and not given up, was asked for.
        overdue_since: Since when something could have been sent and was not; None: nothing is due.
        error_code: One of the errors of what is retried.
        closed: Why nothing is taken at present; None: it is open.
    """

    destination: Destination
    counts: Mapping[State, int]
    synced_at_least: bool
    oldest_owed_at: datetime | None
    overdue_since: datetime | None
    error_code: str | None
    closed: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """A delivery that was given up.

    Args:
        name: Booking reference, or the key where there is none.
        due_at: When it is tried again by itself; None: never.
    """

    name: str
    delivery_id: DeliveryId
    destination: Destination
    state: State
    check_in: date | None
    error_code: str | None
    failed_at: datetime
    due_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingBooking:
    """A confirmed and paid booking that nobody ever asked to sync."""

    booking_id: UUID
    name: str
    check_in: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingEvent:
    """An inbound event that could not be applied yet."""

    id: str
    type: str
    outcome: str
    payment_intent_id: str | None
    received_at: datetime
    waited: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAlert:
    """An incident that no delivery stands for, such as a wrong amount.

    Args:
        booking: Its reference.
        code: Error code that it is about; None: it is about something else.
        messages: How many the channels have taken about it.
    """

    id: int
    kind: AlertKind
    booking: str | None
    booking_id: UUID | None
    code: str | None
    first_seen_at: datetime
    messages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything that `outbox status` says.

    Args:
        parked, missing, waiting_events, open_alerts: The most urgent few of each.
        parked_total, missing_total, waiting_events_total, open_alerts_total: How many there are.
        tested: Bookings that only test mode has handled; at most `COUNT_LIMIT`.
        trouble: What has gone on for too long.
        warnings: What does not need a person now and yet is not as it should be.
        needs: Why a person is needed, one sentence each; empty: nobody is.
    """

    fleet: Fleet
    destinations: tuple[DestinationCounts, ...]
    parked: tuple[Parked, ...]
    parked_total: int
    missing: tuple[MissingBooking, ...]
    missing_total: int
    waiting_events: tuple[WaitingEvent, ...]
    waiting_events_total: int
    open_alerts: tuple[OpenAlert, ...]
    open_alerts_total: int
    tested: int
    trouble: Trouble
    warnings: tuple[str, ...]
    needs: tuple[str, ...]


async def read_status(conn: Connection, ours: SyncMode) -> Status:
    """Take stock.

    Args:
        conn: Any connection; only reads.
        ours: What our own environment says of the sync; used while no worker is running.
    """
    fleet = await read_fleet(conn, ours)
    destinations = await _destinations(conn, fleet)
    parked = await _rows(conn, "list_parked", limit=_SHOWN)
    missing = await _rows(conn, "list_missing", limit=_SHOWN)
    events = await _rows(conn, "list_waiting_events", limit=_SHOWN)
    alerts = await _rows(
        conn, "list_open_alerts", limit=_SHOWN, shown=list(_SHOWN_ELSEWHERE), recent=ALERT_SHOWN
    )
    tested = (await _rows(conn, "count_tested", limit=COUNT_LIMIT))[0]["n"]
    parked_total = sum(
        each.counts[State.FAILED] + each.counts[State.REJECTED] for each in destinations
    )
    waiting_events = tuple(_waiting_event(row) for row in events)
    trouble = await read_trouble(conn, fleet.held, limit=COUNT_LIMIT)
    return Status(
        fleet=fleet,
        destinations=destinations,
        parked=tuple(_parked(row) for row in parked),
        parked_total=parked_total,
        missing=tuple(
            MissingBooking(
                booking_id=row["id"],
                name=row["booking_reference"] or str(row["id"]),
                check_in=row["check_in_date"],
            )
            for row in missing
        ),
        missing_total=_total(missing),
        waiting_events=waiting_events,
        waiting_events_total=_total(events),
        open_alerts=tuple(_open_alert(row) for row in alerts),
        open_alerts_total=_total(alerts),
        tested=tested,
        trouble=trouble,
        warnings=await _warnings(conn, trouble.unconfigured),
        needs=tuple(
            _needs(
                fleet,
                destinations,
                parked=parked_total,
                missing=_total(missing),
                events=waiting_events,
                alerts=_total(alerts),
                trouble=trouble,
            )
        ),
    )


async def _destinations(conn: Connection, fleet: Fleet) -> tuple[DestinationCounts, ...]:
    owed = await _rows(conn, "count_owed", closed=[str(name) for name in fleet.closed])
    synced = {
        row["destination"]: row for row in await _rows(conn, "count_synced", limit=COUNT_LIMIT)
    }
    return tuple(
        _counts(
            destination,
            [row for row in owed if row["destination"] == destination],
            synced[destination],
            closed=fleet.closed.get(destination),
        )
        for destination in Destination
    )


def _counts(
    destination: Destination, owed: list[Row], synced: Row, *, closed: str | None
) -> DestinationCounts:
    counts = dict.fromkeys(State, 0)
    counts[State.SYNCED] = synced["synced"]
    for row in owed:
        counts[State(row["state"])] += row["n"]
    open_work = [row for row in owed if row["state"] not in _PARKED]
    due = [
        row["first_due"]
        for row in open_work
        if row["state"] not in {State.HELD, State.SENDING} and row["first_due"] <= row["now"]
    ]
    return DestinationCounts(
        destination=destination,
        counts=counts,
        synced_at_least=synced["at_least"],
        oldest_owed_at=min((row["oldest_requested"] for row in open_work), default=None),
        overdue_since=min(due, default=None),
        error_code=next(
            (row["error_code"] for row in owed if row["state"] == State.RETRYING), None
        ),
        closed=closed,
    )


def _needs(
    fleet: Fleet,
    destinations: tuple[DestinationCounts, ...],
    *,
    parked: int,
    missing: int,
    events: tuple[WaitingEvent, ...],
    alerts: int,
    trouble: Trouble,
) -> list[str]:
    reasons = []
    if parked:
        reasons.append(f"{parked} {'delivery was' if parked == 1 else 'deliveries were'} given up")
    if missing:
        noun = "booking was" if missing == 1 else "bookings were"
        reasons.append(f"{missing} confirmed {noun} never requested")
    if any(event.waited > EVENT_PATIENCE for event in events):
        reasons.append("a payment event has waited for more than 10 minutes")
    if alerts:
        reasons.append(f"{alerts} {'alert is' if alerts == 1 else 'alerts are'} open")
    reasons += trouble.needs
    if not fleet.workers:
        due = [each.overdue_since for each in destinations if each.overdue_since is not None]
        waits = due and fleet.now - min(due) > WORK_PATIENCE
        reasons.append("work is due and no worker is running" if waits else "no worker is running")
    return reasons


def _parked(row: Row) -> Parked:
    return Parked(
        name=row["booking_reference"] or row["key"],
        delivery_id=DeliveryId(row["id"]),
        destination=Destination(row["destination"]),
        state=state_of(snapshot_from(row), now=row["now"], held=False),
        check_in=row["check_in_date"],
        error_code=row["last_error_code"],
        failed_at=row["failed_at"],
        due_at=row["due_at"],
    )


def _open_alert(row: Row) -> OpenAlert:
    return OpenAlert(
        id=row["id"],
        kind=AlertKind(row["kind"]),
        booking=row["booking_reference"],
        booking_id=row["booking_id"],
        code=row["code"],
        first_seen_at=row["first_seen_at"],
        messages=row["messages"],
    )


def _waiting_event(row: Row) -> WaitingEvent:
    return WaitingEvent(
        id=row["id"],
        type=row["type"],
        outcome=row["outcome"],
        payment_intent_id=row["payment_intent_id"],
        received_at=row["received_at"],
        waited=row["waited"],
    )


async def _warnings(conn: Connection, unconfigured: tuple[Destination, ...]) -> tuple[str, ...]:
    found = []
    if set(unconfigured) == set(ALERT_CHANNELS):
        found.append(
            "nobody is told of alerts: set ADMIN_ALERT_EMAIL and what mail needs, or"
            " ALERT_CHAT_WEBHOOK_URL"
        )
    if blinded := await blinded_tables(conn):
        found.append(
            f"row level security hides rows of {', '.join(blinded)} from this role:"
            " figures are too low"
        )
    if not (await _rows(conn, "payment_intent_index"))[0]["present"]:
        found.append(
            "nothing keeps two bookings from sharing one payment: remove the duplicates,"
            " then run `outbox migrate`"
        )
    return tuple(found)


def _total(rows: list[Row]) -> int:
    return int(rows[0]["total"]) if rows else 0


async def _rows(conn: Connection, name: str, **parameters: Any) -> list[Row]:
    cursor = await conn.execute(query(name), parameters)
    return await cursor.fetchall()
