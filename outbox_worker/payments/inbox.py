"""The inbox: one transaction per event that keeps it once, applies it and asks for what it causes.

Where applying it fails nothing of that has happened, and another transaction keeps the event alone.
Whatever a function here returns is committed. Whatever it raises is not, unless the connection was
lost over the commit, and then the sender has to come back: the event is neither lost nor half
applied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import psycopg
from psycopg import errors as pg

from outbox_worker.alerts.alert import ALERT_CHANNELS
from outbox_worker.alerts.store import raise_alert
from outbox_worker.bookings.transition import Payment
from outbox_worker.database import Connection, translated
from outbox_worker.errors import (
    DatabaseUnreachableError,
    DecodeError,
    NotFoundError,
    OutboxError,
)
from outbox_worker.events import Event
from outbox_worker.outbox.delivery import Destination, Reason
from outbox_worker.outbox.store import notify, request
from outbox_worker.payments import store, stripe_event
from outbox_worker.payments.match import match
from outbox_worker.payments.stripe_event import Deferred, Ignored, Malformed, StripeEvent
from outbox_worker.payments.verdict import EventOutcome, Verdict, at_sight, on_payment
from outbox_worker.telemetry import logger

#: Outcomes that a re-drive may still change.
REDRIVEN = frozenset({EventOutcome.WAITING, EventOutcome.FAILED})

#: Errors that are not the event's fault: the sender is told to come back.
_NOT_NOW = (
    DatabaseUnreachableError,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    pg.ReadOnlySqlTransaction,
    # these end the session, and psycopg calls them neither
    pg.IdleInTransactionSessionTimeout,
    pg.TransactionTimeout,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxRules:
    """Settings that decide what an event means.

    Args:
        currency: Currency of every booking's total, ISO 4217, upper case.
        livemode: Only events of this mode; None: both.
        account: Only events of this connected account, and one's own; None: every account.
        channels: Where alerts are told.
    """

    currency: str
    livemode: bool | None = None
    account: str | None = None
    channels: tuple[Destination, ...] = ALERT_CHANNELS


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of one event; it is committed.

    Args:
        outcome: None: the event had been received before, and nothing was done.
        detail: Why, one clause for operators, without guest data.
        wake: Whether something is due of which no worker has been told yet.
    """

    outcome: EventOutcome | None
    detail: str
    booking_id: UUID | None
    wake: bool


_RECEIVED_BEFORE = Receipt(outcome=None, detail="received before", booking_id=None, wake=False)


def _no() -> bool:
    return False


async def receive(
    conn: Connection,
    event: StripeEvent,
    body: bytes,
    *,
    rules: InboxRules,
    may_notify: Callable[[], bool] = _no,
) -> Receipt:
    """Keep a verified event, once, and apply it to its booking.

    Args:
        conn: In autocommit mode and idle; the transaction begins and ends here.
        event: What `stripe_event.read` made of ``body``.
        body: The bytes that were signed.
        rules: See `InboxRules`.
        may_notify: Asked right before the commit of an event that makes something due: whether the
            workers are woken in the same message, which saves them a round trip's wait.

    Raises:
        DatabaseUnreachableError: Postgres is down, read-only, full, or too slow because somebody
            holds a lock; or the connection was lost, perhaps after the commit took effect.
        DatabaseError: Postgres refused even to keep the event.
    """
    verdict = at_sight(event, livemode=rules.livemode, account=rules.account)
    failure = None
    with translated():
        if verdict is None:
            try:
                return await _keep(conn, event, body, None, rules=rules, may_notify=may_notify)
            except _NOT_NOW:
                raise
            except Exception as error:  # noqa: BLE001 - one event is executed here; its bug must not cost it
                verdict, failure = _failed(error), error
        receipt = await _keep(conn, event, body, verdict, rules=rules, may_notify=may_notify)
    if failure is not None and receipt.outcome is not None:
        _say(event, verdict, failure)
    return receipt


async def redrive(
    conn: Connection, event_id: str, *, rules: InboxRules, within: timedelta = store.LONGEST
) -> Receipt:
    """Apply a kept event that could not be applied before, through the same function.

    Args:
        conn: In autocommit mode and idle; the transaction begins and ends here.
        event_id: Of an event that `receive` has kept.
        rules: Mode and account are not asked again: the event passed when it was received.
        within: Time of the transaction; bounds its waits.

    Returns:
        The receipt of this attempt; an event that is settled already is left alone.

    Raises:
        NotFoundError: No such event, or its body is no longer kept.
        DatabaseUnreachableError: See `receive`.
        DatabaseError: See `receive`.
    """
    event = None
    with translated():
        try:
            async with store.transaction(conn, origin="inbox", within=within):
                body = await _lock_unsettled(conn, event_id)
                if isinstance(body, Receipt):
                    return body
                event = stripe_event.read(body)
                applied = await _apply(conn, event, rules)
                await _follow(conn, event_id, applied, rules, owed=False)
                return _receipt(applied)
        except _NOT_NOW:
            raise
        except Exception as error:
            if event is None:
                raise
            verdict, failure = _failed(error), error
        async with store.transaction(conn, origin="inbox", within=within):
            body = await _lock_unsettled(conn, event_id)
            if isinstance(body, Receipt):
                return body
            await store.decide(conn, event_id, verdict, sync=False)
            await _follow(conn, event_id, verdict, rules, owed=False)
    _say(event, verdict, failure)
    return _receipt(verdict)


async def wake(conn: Connection) -> None:
    """Tell the workers that something is due; they poll where this is not heard.

    Args:
        conn: In autocommit mode: within the transaction of an event it would hold up all others.

    Raises:
        DatabaseError: It was not sent, which does no harm.
    """
    with translated():
        await notify(conn)


async def _lock_unsettled(conn: Connection, event_id: str) -> bytes | Receipt:
    """The body of an event that is still to be applied, or the receipt of one that is not."""
    kept = await store.lock_event(conn, event_id)
    if kept is None:
        raise NotFoundError(f"no event {event_id} was ever received")
    if kept.outcome not in REDRIVEN:
        return Receipt(outcome=kept.outcome, detail="settled before", booking_id=None, wake=False)
    if kept.body is None:
        raise NotFoundError(f"the body of event {event_id} is no longer kept")
    return kept.body


async def _keep(
    conn: Connection,
    event: StripeEvent,
    body: bytes,
    verdict: Verdict | None,
    *,
    rules: InboxRules,
    may_notify: Callable[[], bool],
) -> Receipt:
    """One transaction that keeps an event; ``verdict`` None: and applies it."""
    ending = store.Ending()
    try:
        async with store.transaction(conn, origin="receiver", ending=ending):
            if not await store.insert(conn, event, body, verdict):
                return _RECEIVED_BEFORE
            if verdict is None:
                verdict = await _apply(conn, event, rules)
            await _follow(conn, event.id, verdict, rules, owed=True)
            ending.notifies = _is_due(verdict) and may_notify()
    except psycopg.Error:
        # Of the commit, or of the notification after it, which must cost the event nothing. That
        # somebody else has kept it meanwhile, with the same outcome, is as good.
        if verdict is None or not ending.notifies or conn.closed:
            raise
        kept = await store.read_overdue(conn, [event.id])
        if event.id not in kept or kept[event.id].outcome is not verdict.outcome:
            raise
        return _receipt(verdict)
    return _receipt(verdict, told=ending.notifies)


def _failed(error: Exception) -> Verdict:
    """What applying it did is undone: the event itself is kept."""
    return Verdict(outcome=EventOutcome.FAILED, detail=_fault(error))


def _say(event: StripeEvent, verdict: Verdict, error: Exception) -> None:
    logger().error(
        Event.EVENT_FAILED,
        message=f"event {event.id} is kept, but it could not be applied: {verdict.detail}",
        event_id=event.id,
        event_type=event.type,
        reason=verdict.detail,
        # where Postgres refused, the statement says enough, and its message quotes values
        exc_info=None if isinstance(error, psycopg.Error) else error,
    )


async def _apply(conn: Connection, event: StripeEvent, rules: InboxRules) -> Verdict:
    if isinstance(event.meaning, Deferred | Ignored | Malformed):
        raise DecodeError("only events about a payment are applied")
    verdict = await _judge(conn, event, event.meaning, rules)
    booking_id = verdict.booking_id
    sync = booking_id is not None and await store.is_wanted(conn, booking_id, verdict.sync)
    if sync and verdict.outcome is EventOutcome.NO_CHANGE:
        detail = f"{verdict.detail}; its sync was requested"
        verdict = replace(verdict, outcome=EventOutcome.APPLIED, detail=detail)
    if booking_id is not None and verdict.change is not None:
        await store.change_booking(conn, booking_id, verdict.change)
    await store.decide(conn, event.id, verdict, sync=sync)
    return verdict


async def _follow(
    conn: Connection, event_id: str, verdict: Verdict, rules: InboxRules, *, owed: bool
) -> None:
    """Ask for what a verdict causes beside its booking; ``owed``: perhaps the event once more."""
    if owed and verdict.outcome in REDRIVEN:
        await request(
            conn,
            destination=Destination.INBOX,
            key=event_id,
            reason=Reason.STRIPE,
            reference=event_id,
        )
    if verdict.alert is not None:
        await raise_alert(conn, verdict.alert, channels=rules.channels)


async def _judge(
    conn: Connection, event: StripeEvent, payment: Payment, rules: InboxRules
) -> Verdict:
    bookings = await store.lock_bookings(conn, event)
    property_id = event.claimed.property_id
    known_property = (
        not bookings and property_id is not None and await store.knows_property(conn, property_id)
    )
    found = match(event, bookings, known_property=known_property)
    return on_payment(event, payment, found, currency=rules.currency)


def _is_due(verdict: Verdict) -> bool:
    """Whether it leaves something for a worker."""
    owed = verdict.outcome is EventOutcome.APPLIED or verdict.outcome in REDRIVEN
    return owed or verdict.alert is not None


def _receipt(verdict: Verdict, *, told: bool = False) -> Receipt:
    return Receipt(
        outcome=verdict.outcome,
        detail=verdict.detail,
        booking_id=verdict.booking_id,
        wake=_is_due(verdict) and not told,
    )


def _fault(error: Exception) -> str:
    """Where an event failed. Postgres quotes values of rows in its messages: they stay out."""
    cause = error.__cause__ if isinstance(error.__cause__, psycopg.Error) else error
    match cause:
        case psycopg.Error():
            where = cause.diag.constraint_name or cause.diag.table_name
            return f"Postgres refused it with SQLSTATE {cause.sqlstate}" + (
                f" ({where})" if where else ""
            )
        case OutboxError():
            return f"{type(cause).__name__}: {cause}"
        case _:
            return f"unexpected {type(cause).__name__}"
