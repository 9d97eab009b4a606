"""Inbound events and the payment columns of bookings, in the one transaction of an event."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import psycopg
from psycopg import AsyncClientCursor
from psycopg import errors as pg
from psycopg.pq import TransactionStatus

from outbox_worker.bookings.booking import BookingId, BookingStatus, PaymentStatus
from outbox_worker.bookings.transition import Change, PayableBooking, Sync
from outbox_worker.database import Connection, Row
from outbox_worker.errors import (
    DatabaseError,
    DatabaseUnreachableError,
    DecodeError,
    SchemaError,
)
from outbox_worker.outbox.store import commit_and_notify
from outbox_worker.payments.stripe_event import StripeEvent
from outbox_worker.payments.verdict import EventOutcome, Verdict
from outbox_worker.sql import query

#: Time of one transaction, of which an event may take two, and the shares of its waits:
#: 2 s for a lock, 5 s for a statement, 10 s for us between two of them.
LONGEST = timedelta(seconds=8)
_SHARES = {"lock_timeout": 0.25, "statement_timeout": 0.625, "idle_timeout": 1.25}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEvent:
    """An event that was received before.

    Args:
        body: The signed bytes; None: no longer kept.
    """

    outcome: EventOutcome
    body: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OverdueEvent:
    """What a re-drive needs to know of its event.

    Args:
        intent_id: The payment that it is about, where that is known.
        detail: Why it has this outcome.
        age: Since it was received, by the database's clock.
    """

    outcome: EventOutcome
    intent_id: str | None
    detail: str
    age: timedelta


@dataclass(slots=True)
class Ending:
    """How a transaction is to end, said within its block.

    Args:
        notifies: Whether the workers are woken by the message that commits it.
    """

    notifies: bool = False


@asynccontextmanager
async def transaction(
    conn: Connection, *, origin: str, within: timedelta = LONGEST, ending: Ending | None = None
) -> AsyncIterator[None]:
    """All of a block or nothing, with bounded waits; its origin silences the optional trigger.

    psycopg's own context begins with a message of its own, and each one wakes two processes.

    Args:
        conn: In autocommit mode and idle.
        origin: Our process.
        within: Time of the transaction; each of its waits is a share of it.
        ending: Asked at the end of the block.

    Raises:
        DatabaseUnreachableError: Postgres is read-only.
        DatabaseError: A statement has failed and the block went on; nothing is committed.
        psycopg.Error: As it came; nothing is committed, or the connection was lost over the commit,
            or the notification was refused after it, and then the connection is open and idle.
    """
    bounds = {name: _milliseconds(within * share) for name, share in _SHARES.items()}
    # one message; parameters that the server binds would belong to one statement alone
    message = ";\n".join((query("inbox_begin"), query("inbox_bounds")))
    try:
        await AsyncClientCursor(conn).execute(message, {**bounds, "origin": origin})
        yield
        if conn.info.transaction_status is TransactionStatus.INERROR:
            # Postgres answers the COMMIT of a transaction that has failed by rolling it back
            raise DatabaseError("a statement of the transaction has failed")  # noqa: TRY301 - rolled back below
        notifies = ending is not None and ending.notifies
        await (commit_and_notify(conn) if notifies else conn.commit())
    except BaseException as error:
        try:
            await conn.rollback()
        except psycopg.Error:
            await conn.close()
        if isinstance(error, pg.ReadOnlySqlTransaction):
            raise DatabaseUnreachableError(
                "Postgres is read-only", hint="Point DATABASE_URL at the primary server."
            ) from error
        raise


async def insert(
    conn: Connection, event: StripeEvent, body: bytes, verdict: Verdict | None
) -> bool:
    """Keep an event.

    Args:
        conn: Inside the transaction.
        event: As it was read.
        body: The signed bytes.
        verdict: What became of it; None: `decide` says that in the same transaction.

    Returns:
        False when it is kept already, after waiting for whoever is keeping it.
    """
    outcome = EventOutcome.FAILED if verdict is None else verdict.outcome
    row = await _row(
        conn,
        "inbox_insert",
        {
            "id": event.id,
            "type": event.type,
            "body": body,
            "livemode": event.livemode,
            "account": event.account,
            "object_id": event.object_id,
            "payment_intent_id": event.payment_intent_id,
            "outcome": outcome,
            "detail": None if verdict is None else verdict.detail,
        },
    )
    return row is not None


async def decide(conn: Connection, event_id: str, verdict: Verdict, *, sync: bool) -> None:
    """Write down what became of an event, and ask for the sync of its booking.

    Args:
        conn: Inside the transaction that has kept or locked the event, and changed the booking.
        event_id: Of that event.
        verdict: Its outcome and booking.
        sync: Whether the PMS is to hold the booking as it is now. False leaves the site's own
            tables alone, whatever is wrong with them.
    """
    await _one(
        conn,
        "inbox_decide",
        {
            "id": event_id,
            "outcome": verdict.outcome,
            "detail": verdict.detail,
            "booking_id": verdict.booking_id,
            "sync": sync,
        },
    )


async def lock_event(conn: Connection, event_id: str) -> KeptEvent | None:
    """Lock a kept event; None when none has that id."""
    row = await _row(conn, "inbox_lock_event", {"id": event_id})
    if row is None:
        return None
    body = row["body"]
    return KeptEvent(
        outcome=EventOutcome(row["outcome"]), body=None if body is None else bytes(body)
    )


async def read_overdue(conn: Connection, event_ids: list[str]) -> dict[str, OverdueEvent]:
    """The events that exist, by id."""
    cursor = await conn.execute(query("inbox_overdue"), {"ids": event_ids})
    return {
        row["id"]: OverdueEvent(
            outcome=EventOutcome(row["outcome"]),
            intent_id=row["payment_intent_id"],
            detail=row["detail"] or "",
            age=row["age"],
        )
        for row in await cursor.fetchall()
    }


async def lock_bookings(conn: Connection, event: StripeEvent) -> list[PayableBooking]:
    """Lock every booking that holds the event's intent or that its metadata name, oldest first.

    Raises:
        DecodeError: A row holds a status that this version does not know.
    """
    cursor = await conn.execute(
        query("inbox_lock_bookings"),
        {
            "intent_id": event.payment_intent_id,
            "booking_id": event.claimed.booking_id,
            "reference": event.claimed.reference,
        },
    )
    return [_booking(row) for row in await cursor.fetchall()]


async def knows_property(conn: Connection, property_id: UUID) -> bool:
    """Whether the site has this property."""
    return bool((await _one(conn, "inbox_knows_property", {"property_id": property_id}))["known"])


async def change_booking(conn: Connection, booking_id: UUID, change: Change) -> None:
    """Write a change into a locked booking.

    Raises:
        SchemaError: The booking is locked and yet not changed: a policy or a trigger of the site
            swallowed the update.
    """
    row = await _row(
        conn,
        "inbox_change_booking",
        {
            "booking_id": booking_id,
            "status": change.status,
            "payment_status": change.payment_status,
            "intent_id": change.intent_id,
            "charge_id": change.charge_id,
        },
    )
    if row is None:
        raise SchemaError(f"booking {booking_id} cannot be changed by this role")


async def is_wanted(conn: Connection, booking_id: UUID, sync: Sync) -> bool:
    """Whether the PMS has to be asked now; the booking is locked."""
    if sync in {Sync.YES, Sync.NO}:
        return sync is Sync.YES
    row = await _one(conn, "inbox_known_to_pms", {"booking_id": booking_id})
    return not row["asked"] if sync is Sync.IF_NEVER_ASKED else row["asked"] or row["held"]


def _milliseconds(wait: timedelta) -> str:
    """In Postgres's notation, where 0 would mean: for ever."""
    return f"{max(wait // timedelta(milliseconds=1), 1)}ms"


async def _row(conn: Connection, name: str, parameters: dict[str, object]) -> Row | None:
    return await (await conn.execute(query(name), parameters)).fetchone()


async def _one(conn: Connection, name: str, parameters: dict[str, object]) -> Row:
    row = await _row(conn, name, parameters)
    if row is None:
        raise DecodeError(f"query {name} answered no row")
    return row


def _booking(row: Row) -> PayableBooking:
    try:
        status = BookingStatus(row["status"] or BookingStatus.PENDING)
        payment_status = PaymentStatus(row["payment_status"] or PaymentStatus.PENDING)
    except ValueError as error:
        raise DecodeError("the booking holds a status that is not known here") from error
    return PayableBooking(
        id=BookingId(row["id"]),
        reference=row["booking_reference"] or "",
        status=status,
        payment_status=payment_status,
        total=row["total"],
        intent_id=row["stripe_payment_intent_id"] or None,
        charge_id=row["stripe_charge_id"] or None,
    )
