"""Everything that happened to one booking, event or alert, in order, without guest data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from outbox_worker.alerts.alert import AlertKind
from outbox_worker.bookings.booking import BookingId, BookingStatus, PaymentStatus
from outbox_worker.database import Connection, Row
from outbox_worker.errors import DecodeError
from outbox_worker.operations.event_list import read_body
from outbox_worker.operations.event_payment import EventPayment, payment_of
from outbox_worker.operations.fleet import Fleet
from outbox_worker.operations.refs import Subject, Target
from outbox_worker.operations.rows import snapshot_from
from outbox_worker.outbox.delivery import DeliveryId, Destination, State, state_of
from outbox_worker.outbox.outcome import AttemptOutcome
from outbox_worker.pms.port import Mode, PmsName
from outbox_worker.sql import query


class EntryKind(StrEnum):
    """What an entry of a timeline is about; entries of one moment stand in this order."""

    BOOKING = "booking"
    EVENT = "event"
    REQUEST = "request"
    ACTION = "action"
    ATTEMPT = "attempt"
    ALERT = "alert"


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingFacts:
    """A booking without anything about its guest.

    Args:
        guests: Adults and children.
        total: Major units of the site's currency.
    """

    id: BookingId
    reference: str
    status: BookingStatus
    payment_status: PaymentStatus
    total: Decimal | None
    check_in: date | None
    check_out: date | None
    guests: int
    property_slug: str | None
    property_name: str | None
    payment_intent_id: str | None
    created_at: datetime | None
    confirmed_at: datetime | None
    cancelled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationFacts:
    """What a PMS is known to hold.

    Args:
        state_known: Whether we know in which state.
        unverified: Whether only a person says so: it was linked without asking the PMS, and no
            call to it has succeeded since.
    """

    pms: PmsName
    reservation_id: str
    mode: Mode
    state_known: bool
    updated_at: datetime
    unverified: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFacts:
    """The outbox row, and the word for its state.

    Args:
        misconfigured: Whether the last attempt met a PMS that refuses our key or address.
    """

    id: DeliveryId
    destination: Destination
    key: str
    state: State
    requested: int
    delivered: int
    due_at: datetime | None
    failed_at: datetime | None
    discarded_at: datetime | None
    uncertain_at: datetime | None
    attempts: int
    round: int
    owner: str | None
    lease_until: datetime | None
    error_code: str | None
    error: str | None
    requested_at: datetime
    delivered_at: datetime | None
    misconfigured: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFacts:
    """An open alert about the subject.

    Args:
        message: The words of whoever reported it.
        code: What it is about, where its kind does not say.
    """

    id: int
    kind: AlertKind
    message: str | None
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFacts:
    """An inbound event that is the subject itself.

    Args:
        payment: What its body says of a payment; None: it reports none, or is no longer kept.
    """

    source: str
    id: str
    type: str
    outcome: str
    detail: str | None
    received_at: datetime
    decided_at: datetime
    payment: EventPayment | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that happened.

    Args:
        text: One sentence or two.
        took: How long it lasted, for an attempt.
    """

    at: datetime
    kind: EntryKind
    text: str
    took: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """One subject: what it is now, and how it got there.

    Args:
        booking: None for another subject, and for a booking that was deleted.
        event: Set when the subject is an event.
        reservations: Live ones first.
        delivery: None: never requested.
        entries: Oldest first.
        alerts: Those that are open.
    """

    target: Target
    booking: BookingFacts | None
    event: EventFacts | None
    reservations: tuple[ReservationFacts, ...]
    delivery: DeliveryFacts | None
    entries: tuple[Entry, ...]
    alerts: tuple[AlertFacts, ...] = ()


async def read_timeline(conn: Connection, target: Target, fleet: Fleet) -> Timeline:
    """Read all that is known about one subject.

    Args:
        conn: Any connection; only reads.
        target: From `refs.resolve`.
        fleet: Which destinations are closed, for the word ``held``.
    """
    booking_id = UUID(target.key) if target.subject is Subject.BOOKING else None
    event_id = target.key if target.subject is Subject.EVENT else None
    booking = await _booking(conn, booking_id)
    delivery = await _delivery(conn, target, fleet)
    about: dict[str, Any] = {
        "id": None if delivery is None else delivery.id,
        "booking_id": booking_id,
        "event_id": event_id,
        "payment_intent_id": None if booking is None else booking.payment_intent_id or None,
    }
    events = await _rows(conn, "timeline_events", about)
    attempts = await _rows(conn, "timeline_attempts", about)
    if delivery is not None and attempts:
        refused = attempts[-1]["outcome"] == AttemptOutcome.MISCONFIGURED
        delivery = replace(delivery, misconfigured=refused)
    alerts = await _rows(conn, "timeline_alerts", about)
    entries = [
        *_booking_entries(booking),
        *_event_entries(events),
        *_request_entries(await _rows(conn, "timeline_requests", about)),
        *_attempt_entries(attempts),
        *_alert_entries(alerts),
        *_action_entries(await _rows(conn, "timeline_actions", about)),
    ]
    order = list(EntryKind)
    reservations = await _rows(conn, "subject_reservations", about)
    return Timeline(
        target=target,
        booking=booking,
        event=None if event_id is None else await _event(conn, events, event_id),
        reservations=tuple(
            ReservationFacts(
                pms=PmsName(row["pms"]),
                reservation_id=row["reservation_id"],
                mode=Mode(row["mode"]),
                state_known=row["state_known"],
                updated_at=row["updated_at"],
                unverified=row["unverified"],
            )
            for row in reservations
        ),
        delivery=delivery,
        entries=tuple(sorted(entries, key=lambda entry: (entry.at, order.index(entry.kind)))),
        alerts=tuple(_open_alert(row) for row in alerts if row["resolved_at"] is None),
    )


async def _booking(conn: Connection, booking_id: UUID | None) -> BookingFacts | None:
    if booking_id is None:
        return None
    rows = await _rows(conn, "subject_booking", {"booking_id": booking_id})
    if not rows:
        return None
    row = rows[0]
    try:
        status = BookingStatus(row["status"])
        payment_status = PaymentStatus(row["payment_status"] or PaymentStatus.PENDING)
    except ValueError as error:
        raise DecodeError("the booking has a status that is not known here") from error
    return BookingFacts(
        id=BookingId(row["id"]),
        reference=row["booking_reference"] or "",
        status=status,
        payment_status=payment_status,
        total=row["total"],
        check_in=row["check_in_date"],
        check_out=row["check_out_date"],
        guests=(row["adults"] or 0) + (row["children"] or 0),
        property_slug=row["slug"],
        property_name=row["property_name"],
        payment_intent_id=row["stripe_payment_intent_id"],
        created_at=row["created_at"],
        confirmed_at=row["confirmed_at"],
        cancelled_at=row["cancelled_at"],
    )


async def _delivery(conn: Connection, target: Target, fleet: Fleet) -> DeliveryFacts | None:
    # a delivery id means that very row; otherwise the subject's first destination
    by_key = target.delivery_id is None
    rows = await _rows(
        conn,
        "subject_delivery",
        {
            "destination": target.destination if by_key else None,
            "key": target.key if by_key else None,
            "id": target.delivery_id,
        },
    )
    if not rows:
        return None
    row = rows[0]
    destination = Destination(row["destination"])
    return DeliveryFacts(
        id=DeliveryId(row["id"]),
        destination=destination,
        key=row["key"],
        state=state_of(snapshot_from(row), now=row["now"], held=destination in fleet.closed),
        requested=row["requested"],
        delivered=row["delivered"],
        due_at=row["due_at"],
        failed_at=row["failed_at"],
        discarded_at=row["discarded_at"],
        uncertain_at=row["uncertain_at"],
        attempts=row["attempts"],
        round=row["round"],
        owner=row["owner"],
        lease_until=row["lease_until"],
        error_code=row["last_error_code"],
        error=row["last_error"],
        requested_at=row["requested_at"],
        delivered_at=row["delivered_at"],
    )


def _open_alert(row: Row) -> AlertFacts:
    return AlertFacts(
        id=row["id"], kind=AlertKind(row["kind"]), message=row["message"], code=row["code"]
    )


async def _event(conn: Connection, rows: list[Row], event_id: str) -> EventFacts | None:
    row = next((row for row in rows if row["id"] == event_id), None)
    if row is None:
        return None
    return EventFacts(
        source=row["source"],
        id=row["id"],
        type=row["type"],
        outcome=row["outcome"],
        detail=row["detail"],
        received_at=row["received_at"],
        decided_at=row["decided_at"],
        payment=payment_of(await read_body(conn, event_id)),
    )


def _booking_entries(booking: BookingFacts | None) -> Iterator[Entry]:
    if booking is None:
        return
    for at, text in (
        (booking.created_at, "created on the site"),
        (booking.confirmed_at, "confirmed"),
        (booking.cancelled_at, "cancelled"),
    ):
        if at is not None:
            yield Entry(at=at, kind=EntryKind.BOOKING, text=text)


def _event_entries(rows: list[Row]) -> Iterator[Entry]:
    for row in rows:
        detail = f": {row['detail']}" if row["detail"] else ""
        text = f"{row['type']} {row['id']} received, {row['outcome'].replace('_', ' ')}{detail}"
        yield Entry(at=row["received_at"], kind=EntryKind.EVENT, text=text)


def _request_entries(rows: list[Row]) -> Iterator[Entry]:
    for row in rows:
        by = f" ({row['reference']})" if row["reference"] else ""
        text = f"version {row['version']} requested by {row['reason']}{by}"
        yield Entry(at=row["requested_at"], kind=EntryKind.REQUEST, text=text)


def _attempt_entries(rows: list[Row]) -> Iterator[Entry]:
    for row in rows:
        code = f" {row['error_code']}" if row["error_code"] else ""
        error = f": {row['error']}" if row["error"] else ""
        # "held" is also a state of deliveries, which means the opposite
        outcome = "done" if row["outcome"] == AttemptOutcome.HELD else row["outcome"]
        text = f"attempt {row['number']} of round {row['round']} {outcome}{code}{error}"
        took = row["finished_at"] - row["started_at"]
        yield Entry(at=row["started_at"], kind=EntryKind.ATTEMPT, text=text, took=took)


def _alert_entries(rows: list[Row]) -> Iterator[Entry]:
    for row in rows:
        name = f"alert {row['id']} ({row['kind']})"
        yield Entry(at=row["first_seen_at"], kind=EntryKind.ALERT, text=f"{name} raised")
        if row["mailed_at"] is not None:
            times = f", mail {row['mails']}" if row["mails"] > 1 else ""
            yield Entry(at=row["mailed_at"], kind=EntryKind.ALERT, text=f"{name} mailed{times}")
        if row["chatted_at"] is not None:
            times = f", message {row['chats']}" if row["chats"] > 1 else ""
            text = f"{name} told in the chat{times}"
            yield Entry(at=row["chatted_at"], kind=EntryKind.ALERT, text=text)
        if row["resolved_at"] is not None:
            yield Entry(at=row["resolved_at"], kind=EntryKind.ALERT, text=f"{name} resolved")


def _action_entries(rows: list[Row]) -> Iterator[Entry]:
    for row in rows:
        others = f", one of {row['affected']}" if row["affected"] > 1 else ""
        why = f": {row['reason']}" if row["reason"] else ""
        action, unasked = row["action"], ""
        if action.startswith("link"):
            # its target is REF and RESERVATION_ID
            unasked = ", without asking the PMS" if action == "link unverified" else ""
            action = f"link to {row['target'].rpartition(' ')[2]}"
        text = f"{action} by {row['actor']}{unasked}{others}{why}"
        yield Entry(at=row["at"], kind=EntryKind.ACTION, text=text)


async def _rows(conn: Connection, name: str, parameters: dict[str, Any]) -> list[Row]:
    cursor = await conn.execute(query(name), parameters)
    return await cursor.fetchall()
