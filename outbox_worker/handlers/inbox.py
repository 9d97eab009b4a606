"""(inbox, <event id>): an event that could not be applied when it came should be applied."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import TypeAlias, assert_never

from outbox_worker.alerts.alert import NewAlert
from outbox_worker.database import Connection, bounded
from outbox_worker.errors import DatabaseError, DatabaseUnreachableError, NotFoundError
from outbox_worker.handlers.effect import AlertRaised, Effect, Result
from outbox_worker.handlers.protocol import Deadline
from outbox_worker.outbox.delivery import Claim, DeliveryId, Destination
from outbox_worker.outbox.outcome import Abandon, AttemptOutcome, Done, Park, Retry, Wait
from outbox_worker.outbox.retry import RetryPolicy
from outbox_worker.payments import inbox
from outbox_worker.payments.inbox import InboxRules, Receipt
from outbox_worker.payments.store import OverdueEvent, read_overdue
from outbox_worker.payments.verdict import EventOutcome, not_applied, without_booking

#: Opens a connection in autocommit mode for one transaction.
Connect: TypeAlias = Callable[[], AbstractAsyncContextManager[Connection]]

INBOX_POLICY = RetryPolicy(
    max_attempts=None,
    base=timedelta(seconds=1),
    cap=timedelta(seconds=60),
    redrive_every=None,
    redrive_for=timedelta(0),
)

#: A booking that appears later than this after its payment is no race any more: tell a person.
_PATIENCE = timedelta(minutes=10)
#: From then on a person has to replay the event.
_GIVE_UP = timedelta(hours=72)
_SHORTEST, _LONGEST = timedelta(seconds=1), timedelta(seconds=60)


class InboxHandler:
    """Re-drives events that are waiting for their booking or whose transition failed.

    Args:
        connect: Opens the connection of a re-drive; its transaction is not the settling one.
        rules: The same as the receiver's; mode and account are not asked again.
        timeout: Time of one re-drive, less than a lease: one that could outlive its lease is never
            begun. Bounds the waits of its statements.
    """

    def __init__(self, connect: Connect, *, rules: InboxRules, timeout: timedelta) -> None:
        self._connect = connect
        self._rules = rules
        self._timeout = timeout

    @property
    def destination(self) -> Destination:
        """Inbound events are owed to ourselves."""
        return Destination.INBOX

    @property
    def policy(self) -> RetryPolicy:
        """No limit: the event's age ends it, not the number of attempts."""
        return INBOX_POLICY

    async def load(
        self, conn: Connection, claims: Sequence[Claim]
    ) -> Mapping[DeliveryId, OverdueEvent | None]:
        """Read the events; None for one that is gone."""
        events = await read_overdue(conn, [claim.key for claim in claims])
        return {claim.id: events.get(claim.key) for claim in claims}

    def failed(self, claim: Claim, retry: Retry) -> Result:
        """An attempt that ended without an answer of `run`: the event is as it was."""
        del claim
        return Result(outcome=retry)

    async def run(self, claim: Claim, state: OverdueEvent | None, deadline: Deadline) -> Result:
        """Apply the event if that is possible by now."""
        if state is None or state.outcome not in inbox.REDRIVEN:
            return Result(outcome=Done(record=AttemptOutcome.NOTHING))
        if not deadline.allows(self._timeout):
            return Result(outcome=Abandon(code="lease_too_short"))
        try:
            # a network that is gone would hold the transaction's answer back for ever
            receipt = await bounded(self._redrive(claim.key), within=self._timeout)
        except NotFoundError as error:
            park = Park(code="event_gone", message=str(error))
            alert = not_applied(claim.key, state.intent_id, reason=str(error))
            return Result(outcome=park, effects=(_once(alert),))
        except (DatabaseUnreachableError, TimeoutError):
            retry = Retry(code="database_unreachable", message="Postgres could not be reached")
            return Result(outcome=retry)
        except DatabaseError:
            retry = Retry(code="database_refused", message="Postgres refused the transaction")
            return Result(outcome=retry)
        return _result(claim, state, receipt)

    async def _redrive(self, event_id: str) -> Receipt:
        async with self._connect() as conn:
            receipt = await inbox.redrive(conn, event_id, rules=self._rules, within=self._timeout)
            if receipt.wake and receipt.outcome not in inbox.REDRIVEN:
                await inbox.wake(conn)
        return receipt


def _result(claim: Claim, event: OverdueEvent, receipt: Receipt) -> Result:
    match receipt.outcome:
        case EventOutcome.WAITING:
            return _waiting(claim, event)
        case EventOutcome.FAILED:
            return _failing(claim, event, receipt)
        case None:
            raise AssertionError("only `receive` answers so")
        case (
            EventOutcome.APPLIED
            | EventOutcome.NO_CHANGE
            | EventOutcome.IGNORED
            | EventOutcome.FOREIGN
            | EventOutcome.MISMATCH
            | EventOutcome.MALFORMED
            | EventOutcome.DEFERRED
        ):
            return Result(outcome=Done())
        case _:
            assert_never(receipt.outcome)


def _waiting(claim: Claim, event: OverdueEvent) -> Result:
    alert = without_booking(claim.key, event.intent_id)
    message = "a payment of ours names a booking that does not exist"
    if event.age >= _GIVE_UP:
        park = Park(code="booking_missing", message=message)
        return Result(outcome=park, effects=(_once(alert),))
    wait = Wait(due_in=_pause(event.age), code="booking_missing", message=message)
    return Result(outcome=wait, effects=_after_patience(event, alert))


def _failing(claim: Claim, event: OverdueEvent, receipt: Receipt) -> Result:
    alert = not_applied(claim.key, event.intent_id, reason=receipt.detail)
    if event.age >= _GIVE_UP:
        park = Park(code="event_failed", message=receipt.detail)
        return Result(outcome=park, effects=(_once(alert),))
    retry = Retry(code="event_failed", message=receipt.detail)
    return Result(outcome=retry, effects=_after_patience(event, alert))


def _pause(age: timedelta) -> timedelta:
    """Look often while the booking is probably being written, and ever more seldom later."""
    return min(max(age / 10, _SHORTEST), _LONGEST)


def _after_patience(event: OverdueEvent, alert: NewAlert) -> tuple[Effect, ...]:
    # told for as long as it lasts: whoever is told once only may have missed that one
    return (_once(alert),) if event.age >= _PATIENCE else ()


def _once(alert: NewAlert) -> AlertRaised:
    """Name the delivery, so that its success solves the alert; it is named only once."""
    return AlertRaised(alert=alert, only_if_given_up=False, names_delivery=True)
