"""The order of row locks: bookings, deliveries, alerts, the alerts' own deliveries; each by id.

The statements of real transactions are recorded and compared with that order.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Sequence
from enum import IntEnum
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from outbox_worker.alerts.alert import AlertKind, NewAlert
from outbox_worker.database import Connection, Row
from outbox_worker.handlers.effect import AlertRaised, Result
from outbox_worker.operations import plan, requeue
from outbox_worker.outbox.delivery import Claim, Destination
from outbox_worker.outbox.outcome import Done, Outcome, Park
from outbox_worker.payments import inbox, stripe_event
from outbox_worker.payments.inbox import InboxRules
from outbox_worker.payments.verdict import EventOutcome
from outbox_worker.pms.port import PmsName
from outbox_worker.sql import catalogue
from outbox_worker.worker.execute import Finished
from outbox_worker.worker.settle import settle
from tests.support_engine import A, claim_all, insert_booking, policy

POLICIES = dict.fromkeys(Destination, policy())
REFUSED = Park(code="listing_missing", message="no listing for sea-loft")
VIEW = plan.PmsView(pms=PmsName.GUESTLY, currency="EUR")
REQUEST = requeue.Request(actor="ops", target="--failed", reason=None)


class Rank(IntEnum):
    BOOKINGS = 1
    DELIVERIES = 2
    ALERTS = 3
    ALERTS_OWN_DELIVERIES = 4


#: What takes locks on rows of which kind; functions of the schema by what they lock inside.
LOCKING = {
    Rank.BOOKINGS: r"""
        update \s+ public\.bookings | from \s+ public\.bookings \b [^;]* for \s+ no \s+ key \s+
        update
        | outbox\.request_sync \(""",
    Rank.DELIVERIES: r"""
        update \s+ outbox\.delivery | insert \s+ into \s+ outbox\.delivery
        | from \s+ outbox\.delivery \b [^;]* for \s+ no \s+ key \s+ update
        | outbox\.request (?: _sync )? \(""",
    Rank.ALERTS: r"""
        update \s+ outbox\.alert \b | insert \s+ into \s+ outbox\.alert \b
        | from \s+ outbox\.alert \b [^;]* for \s+ no \s+ key \s+ update""",
}
#: Asks for rows (channel, alert), which are the alerts' own deliveries.
OWN = "alert_request_channels"


class Recording(psycopg.AsyncConnection[Row]):
    """A connection that remembers what it executed within transactions."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.statements: list[str] = []

    async def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
        if self.info.transaction_status is TransactionStatus.INTRANS:
            self.statements.append(query)
        return await super().execute(query, *arguments, **options)


@pytest.fixture
async def recording(database_url: str) -> AsyncIterator[Recording]:
    async with await Recording.connect(
        database_url, autocommit=True, prepare_threshold=None, row_factory=dict_row
    ) as connection:
        yield connection


def without_comments(text: str) -> str:
    return re.sub(r"--[^\n]*", "", text)


def ranks_of(text: str, *, deliveries: Rank = Rank.DELIVERIES) -> list[Rank]:
    """Which kinds of rows a statement locks, in the order of ranks."""
    found = [
        rank
        for rank, pattern in LOCKING.items()
        if re.search(pattern, without_comments(text), re.IGNORECASE | re.VERBOSE)
    ]
    if text == catalogue()[OWN].text:
        return [Rank.ALERTS_OWN_DELIVERIES]
    return [deliveries if rank is Rank.DELIVERIES else rank for rank in found]


def order_of(statements: Sequence[str], *, deliveries: Rank = Rank.DELIVERIES) -> tuple[Rank, ...]:
    """The kinds of rows in the order in which a transaction first locks one of them."""
    ranks = (rank for text in statements for rank in ranks_of(text, deliveries=deliveries))
    return tuple(dict.fromkeys(ranks))


async def settle_all(conn: Connection, claims: Sequence[Claim], outcome: Outcome) -> None:
    raised = AlertRaised(
        alert=NewAlert(kind=AlertKind.SYNC_REJECTED, fingerprint="guestly:listing_missing"),
        only_if_given_up=True,
        names_delivery=True,
    )
    finished = [
        Finished(
            claim=claim,
            result=Result(
                outcome=outcome,
                booking_id=UUID(claim.key) if claim.destination is Destination.GUESTLY else None,
                effects=(raised,) if isinstance(outcome, Park) else (),
            ),
            seconds=0.1,
        )
        for claim in claims
    ]
    settled = await settle(conn, finished, owner=A, policies=POLICIES)
    assert len(settled.accepted) == len(claims)


async def fail_bookings(conn: Connection, *, count: int = 2) -> list[UUID]:
    """Bookings that were requested, claimed and parked with an alert."""
    bookings = [await insert_booking(conn) for _ in range(count)]
    for booking in bookings:
        await conn.execute("select outbox.request_sync(%s, 'operator')", [booking])
    claims = await claim_all(conn, destination=Destination.GUESTLY)
    await settle_all(conn, claims, REFUSED)
    return bookings


def paid(booking_id: UUID, *, cents: int) -> bytes:
    intent = {
        "id": f"pi_{str(booking_id)[:8]}",
        "object": "payment_intent",
        "amount": cents,
        "amount_received": cents,
        "currency": "eur",
        "status": "succeeded",
        "latest_charge": "ch_1",
        "metadata": {"booking_id": str(booking_id)},
    }
    event = {
        "id": f"evt_{cents}",
        "object": "event",
        "type": "payment_intent.succeeded",
        "livemode": False,
        "created": 1_760_000_000,
        "data": {"object": intent},
    }
    return json.dumps(event).encode()


async def test_settling_failures_locks_in_order(conn: Connection, recording: Recording) -> None:
    for _ in range(2):
        booking = await insert_booking(conn)
        await conn.execute("select outbox.request_sync(%s, 'operator')", [booking])
    claims = await claim_all(conn, destination=Destination.GUESTLY)

    await settle_all(recording, claims, REFUSED)

    assert order_of(recording.statements) == tuple(Rank)


async def test_settling_a_success_that_solves_an_alert_locks_in_order(
    conn: Connection, recording: Recording
) -> None:
    for booking in await fail_bookings(conn):
        await conn.execute("select outbox.request_sync(%s, 'operator')", [booking])
    claims = await claim_all(conn, destination=Destination.GUESTLY)

    await settle_all(recording, claims, Done())

    assert order_of(recording.statements) == tuple(Rank)


async def test_settling_a_mail_locks_its_alert_first(
    conn: Connection, recording: Recording
) -> None:
    await fail_bookings(conn)
    mails = await claim_all(conn, destination=Destination.EMAIL, max_attempts=None)
    assert mails

    await settle_all(recording, mails, Done())

    order = order_of(recording.statements, deliveries=Rank.ALERTS_OWN_DELIVERIES)
    assert order == (Rank.ALERTS, Rank.ALERTS_OWN_DELIVERIES)


@pytest.mark.parametrize(
    ("cents", "outcome", "order"),
    [
        (124_050, EventOutcome.APPLIED, (Rank.BOOKINGS, Rank.DELIVERIES)),
        (1, EventOutcome.MISMATCH, (Rank.BOOKINGS, Rank.ALERTS, Rank.ALERTS_OWN_DELIVERIES)),
    ],
)
async def test_receiving_a_payment_locks_in_order(
    conn: Connection,
    recording: Recording,
    cents: int,
    outcome: EventOutcome,
    order: tuple[Rank, ...],
) -> None:
    booking = await insert_booking(conn, status="pending", payment_status="pending")
    body = paid(booking, cents=cents)

    receipt = await inbox.receive(
        recording, stripe_event.read(body), body, rules=InboxRules(currency="EUR")
    )

    assert receipt.outcome is outcome
    assert order_of(recording.statements) == order


async def test_requeueing_failed_bookings_locks_in_order(
    conn: Connection, recording: Recording
) -> None:
    await fail_bookings(conn)
    items = await plan.plan(conn, plan.Failed(), view=VIEW)

    changed = await requeue.apply(recording, items, REQUEST)

    assert len(changed.requeued) == 2
    assert order_of(recording.statements) == tuple(Rank)


async def test_requeueing_bookings_never_requested_locks_in_order(
    conn: Connection, recording: Recording
) -> None:
    await insert_booking(conn)
    items = await plan.plan(conn, plan.Missing(), view=VIEW)

    changed = await requeue.apply(recording, items, REQUEST)

    assert len(changed.requeued) == 1
    assert order_of(recording.statements)[:2] == (Rank.BOOKINGS, Rank.DELIVERIES)
    assert sorted(order_of(recording.statements)) == list(order_of(recording.statements))


def test_every_statement_that_waits_for_rows_takes_them_by_id() -> None:
    """One row by its key needs no order; what skips locked rows does not wait."""
    ordered = re.compile(
        r"order\s+by\s+\w+\.id\s*$|\.(?:id\s*=\s*%\(id\)s|key\s*=\s*%\(key\)s)[^;]*$"
    )
    locking = re.compile(r"for\s+(?:no\s+key\s+)?update(?!\s+skip\s+locked)", re.IGNORECASE)
    unordered = [
        entry.name
        for entry in catalogue().values()
        for text in [without_comments(entry.text)]
        for lock in locking.finditer(text)
        if not ordered.search(text[: lock.start()])
    ]

    assert unordered == []


def test_no_statement_locks_stronger_than_it_must() -> None:
    """FOR UPDATE waits for key-share locks of foreign keys, which nothing here needs to."""
    strong = [
        entry.name
        for entry in catalogue().values()
        if re.search(r"\bfor\s+update\b", without_comments(entry.text), re.IGNORECASE)
    ]

    assert strong == []
