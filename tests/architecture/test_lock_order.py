"""The order of row locks: bookings, deliveries, alerts, the alerts' own deliveries; each by id.

After each statement of real transactions another session looks which rows are locked by then.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from outbox_worker.alerts import store as alerts
from outbox_worker.alerts.alert import ALERT_CHANNELS, AlertId, AlertKind, NewAlert
from outbox_worker.database import Connection
from outbox_worker.handlers.effect import (
    AlertEnded,
    AlertRaised,
    AlertTold,
    Effect,
    Result,
)
from outbox_worker.operations import plan, requeue
from outbox_worker.outbox.delivery import Claim, Destination
from outbox_worker.outbox.outcome import Abandon, Done, Outcome, Park, Retry
from outbox_worker.payments import inbox, stripe_event
from outbox_worker.payments.inbox import InboxRules
from outbox_worker.payments.verdict import EventOutcome
from outbox_worker.pms.port import PmsName
from outbox_worker.sql import catalogue
from outbox_worker.worker.execute import Finished
from outbox_worker.worker.settle import settle
from tests.support_engine import A, claim_all, insert_booking, policy
from tests.support_locks import Rank, Recording, tell_of_second_payments

POLICIES = dict.fromkeys(Destination, policy())
REFUSED = Park(code="listing_missing", message="no listing for sea-loft")
VIEW = plan.PmsView(pms=PmsName.GUESTLY, currency="EUR")
REQUEST = requeue.Request(actor="ops", target="--failed", reason=None)


def without_comments(text: str) -> str:
    return re.sub(r"--[^\n]*", "", text)


def finished(
    claim: Claim,
    outcome: Outcome,
    *effects: Effect,
    fingerprint: str = "guestly:listing_missing",
) -> Finished:
    raised = AlertRaised(
        alert=NewAlert(kind=AlertKind.SYNC_REJECTED, fingerprint=fingerprint),
        only_if_given_up=True,
        names_delivery=True,
    )
    return Finished(
        claim=claim,
        result=Result(
            outcome=outcome,
            booking_id=UUID(claim.key) if claim.destination is Destination.GUESTLY else None,
            effects=(*effects, raised) if isinstance(outcome, Park) else effects,
        ),
        seconds=0.1,
    )


async def settle_all(conn: Connection, ended: Sequence[Finished]) -> None:
    settled = await settle(conn, ended, owner=A, policies=POLICIES)
    assert len(settled.accepted) == len(ended)


async def request_again(conn: Connection, bookings: Sequence[UUID]) -> Mapping[UUID, Claim]:
    """The claims of these bookings, in their order."""
    for booking in bookings:
        await conn.execute("select outbox.request_sync(%s, 'operator')", [booking])
    claims = {UUID(c.key): c for c in await claim_all(conn, destination=Destination.GUESTLY)}
    return {booking: claims[booking] for booking in bookings}


async def fail_bookings(conn: Connection, *, count: int = 2) -> list[UUID]:
    """Bookings that were requested, claimed and parked with an alert."""
    bookings = [await insert_booking(conn) for _ in range(count)]
    claims = await request_again(conn, bookings)
    await settle_all(conn, [finished(claim, REFUSED) for claim in claims.values()])
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
    claims = await request_again(conn, [await insert_booking(conn) for _ in range(2)])

    await settle_all(recording, [finished(claim, REFUSED) for claim in claims.values()])

    assert recording.order == tuple(Rank)
    assert recording.faults == []


async def test_settling_a_success_that_solves_an_alert_locks_in_order(
    conn: Connection, recording: Recording
) -> None:
    claims = await request_again(conn, await fail_bookings(conn))

    await settle_all(recording, [finished(claim, Done()) for claim in claims.values()])

    assert recording.order == tuple(Rank)
    assert recording.faults == []


async def test_settling_a_success_and_a_failure_locks_both_alerts_in_order(
    conn: Connection, recording: Recording
) -> None:
    """The alert to be raised is the older one, the delivery whose alert is solved as well."""
    first, second = [await insert_booking(conn) for _ in range(2)]
    claims = await request_again(conn, [first, second])
    for booking, fingerprint in ((second, "guestly:old"), (first, "guestly:young")):
        await settle_all(conn, [finished(claims[booking], REFUSED, fingerprint=fingerprint)])
    claims = await request_again(conn, [first, second])

    await settle_all(
        recording,
        [
            finished(claims[first], Done()),
            finished(claims[second], REFUSED, fingerprint="guestly:old"),
        ],
    )

    assert recording.order == tuple(Rank)
    assert recording.faults == []


async def test_settling_many_outcomes_locks_the_deliveries_by_id(
    conn: Connection, recording: Recording
) -> None:
    """Each kind of outcome is written by a statement of its own."""
    bookings = [await insert_booking(conn) for _ in range(3)]
    claims = await request_again(conn, bookings)
    outcomes: tuple[Outcome, ...] = (Abandon(code="lease_too_short"), REFUSED, Done())

    await settle_all(
        recording,
        [
            finished(claims[booking], outcome)
            for booking, outcome in zip(bookings, outcomes, strict=True)
        ],
    )

    assert recording.faults == []


async def test_settling_mails_locks_their_alerts_first(
    conn: Connection, recording: Recording
) -> None:
    await fail_bookings(conn)
    [claim] = (await request_again(conn, [await insert_booking(conn)])).values()
    await settle_all(conn, [finished(claim, REFUSED, fingerprint="guestly:another")])
    mails = await claim_all(conn, destination=Destination.EMAIL, max_attempts=None)
    assert len(mails) == 2

    # no delivery is named by the mails: another one is asked for
    await settle_all(
        recording,
        [
            finished(
                mail,
                Done(),
                AlertTold(
                    alert_id=AlertId(int(mail.key)),
                    channel=mail.destination,
                    told_to=0,
                    count=1,
                    resolved_told=False,
                ),
            )
            for mail in sorted(mails, key=lambda mail: -int(mail.key))
        ],
    )

    assert recording.order == (Rank.ALERTS, Rank.ALERTS_OWN_DELIVERIES)
    assert recording.faults == []


async def test_settling_a_channel_that_fails_and_one_that_works_again_locks_in_order(
    conn: Connection, recording: Recording
) -> None:
    """The older alert is about the channel, and the younger one's mail is what fails."""
    failing = NewAlert(kind=AlertKind.CHANNEL_FAILING, fingerprint="email")
    for alert in (failing, NewAlert(kind=AlertKind.REPORTED, fingerprint="b")):
        async with conn.transaction():
            await alerts.raise_alert(conn, alert, channels=ALERT_CHANNELS)
    raised = AlertRaised(alert=failing, only_if_given_up=False, names_delivery=True)
    for outcome in (Retry(code="email_api_401", message="refused"), Done()):
        [mail] = await claim_all(conn, destination=Destination.EMAIL, max_attempts=None)
        effects = (raised,) if isinstance(outcome, Retry) else ()

        await settle_all(recording, [finished(mail, outcome, *effects)])

        await conn.execute("update outbox.delivery set due_at = now() where owner is null")
        assert recording.order == (Rank.ALERTS, Rank.ALERTS_OWN_DELIVERIES)
        assert recording.faults == []
    cursor = await conn.execute("select resolved_at from outbox.alert where fingerprint = 'email'")
    assert [row["resolved_at"] is None for row in await cursor.fetchall()] == [False]


async def test_alerts_that_end_and_one_that_is_raised_are_locked_by_id_before_any_is_told(
    conn: Connection, recording: Recording
) -> None:
    about = [NewAlert(kind=AlertKind.REPORTED, fingerprint=name) for name in "cba"]
    for alert in about:
        async with conn.transaction():
            await alerts.raise_alert(conn, alert, channels=ALERT_CHANNELS)
    bookings = [await insert_booking(conn) for _ in about]
    claims = (await request_again(conn, bookings)).values()
    raised = AlertRaised(alert=about[1], only_if_given_up=False, names_delivery=False)
    effects: list[Effect] = [AlertEnded(alert=about[2]), raised, AlertEnded(alert=about[0])]

    await settle_all(
        recording,
        [finished(c, Done(), each) for c, each in zip(claims, effects, strict=True)],
    )

    assert recording.order == (
        Rank.BOOKINGS,
        Rank.DELIVERIES,
        Rank.ALERTS,
        Rank.ALERTS_OWN_DELIVERIES,
    )
    assert recording.faults == []
    cursor = await conn.execute("select resolved_at from outbox.alert order by id")
    assert [row["resolved_at"] is None for row in await cursor.fetchall()] == [False, True, False]


LOCK = {
    "booking": "select from public.bookings where id = %s for no key update",
    "delivery": "select from outbox.delivery where key = %s::text for no key update",
    "alert": "select from outbox.alert for no key update",
}


@pytest.mark.parametrize(
    ("order", "faults"),
    [
        (["booking 0", "booking 1", "delivery 0", "delivery 1", "alert"], 0),
        (["booking 0", "delivery 0", "alert", "booking 0", "delivery 0"], 0),
        (["booking 0", "delivery 0", "alert", "delivery 1"], 1),
        (["booking 0", "delivery 0", "alert", "booking 1"], 1),
        (["booking 1", "booking 0"], 1),
        (["booking 0", "delivery 1", "delivery 0"], 1),
    ],
)
async def test_a_lock_that_comes_too_late_is_seen_and_one_that_is_held_may_be_taken_again(
    conn: Connection, recording: Recording, order: list[str], faults: int
) -> None:
    bookings = sorted(await fail_bookings(conn))
    # deliveries in the order of their bookings
    await conn.execute("delete from outbox.delivery where destination = 'guestly'")
    for booking in bookings:
        await conn.execute("select outbox.request_sync(%s, 'operator')", [booking])

    async with recording.transaction():
        for step in order:
            what, _, number = step.partition(" ")
            await recording.execute(LOCK[what], [bookings[int(number)]] if number else [])

    assert len(recording.faults) == faults


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
    assert recording.order == order
    assert recording.faults == []


async def test_requeueing_failed_bookings_locks_in_order(
    conn: Connection, recording: Recording
) -> None:
    await fail_bookings(conn)
    items = await plan.plan(conn, plan.Failed(), view=VIEW)

    changed = await requeue.apply(recording, items, REQUEST)

    assert len(changed.requeued) == 2
    assert recording.order == tuple(Rank)
    assert recording.faults == []


async def test_requeueing_a_named_booking_closes_its_alerts_in_order(
    conn: Connection, recording: Recording
) -> None:
    bookings = await fail_bookings(conn)
    items = await plan.plan(conn, plan.Failed(), view=VIEW)
    await tell_of_second_payments(conn, bookings)
    named = replace(REQUEST, closes_alerts=True)

    changed = await requeue.apply(recording, items, named)

    assert len(changed.closed) == 2
    assert recording.order == tuple(Rank)
    assert recording.faults == []


async def test_requeueing_bookings_never_requested_locks_in_order(
    conn: Connection, recording: Recording
) -> None:
    await insert_booking(conn)
    items = await plan.plan(conn, plan.Missing(), view=VIEW)

    changed = await requeue.apply(recording, items, REQUEST)

    assert len(changed.requeued) == 1
    assert recording.order == (Rank.BOOKINGS, Rank.DELIVERIES)
    assert recording.faults == []


def test_every_statement_that_waits_for_rows_takes_them_by_id() -> None:
    """One row by its key needs no order; what skips locked rows does not wait."""
    ordered = re.compile(
        r"order\s+by\s+\w+\.id\s*$|\.(?:id\s*=\s*%\(id\)s|key\s*=\s*%\(key\)s)[^;]*$"
        r"|\.destination\s*=\s*%\(destination\)s\s*$"
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
