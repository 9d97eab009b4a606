"""(inbox, <event id>): waiting and failed events, as the worker's handler re-drives them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import pytest

from outbox_worker.alerts.alert import AlertKind
from outbox_worker.database import Connection, connect
from outbox_worker.handlers.effect import AlertRaised, Result
from outbox_worker.handlers.inbox import InboxHandler
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Claim, Destination, WorkerId
from outbox_worker.outbox.outcome import Abandon, AttemptOutcome, Done, Park, Retry, Wait
from outbox_worker.outbox.store import Wanted
from outbox_worker.payments.inbox import InboxRules, Receipt, receive
from outbox_worker.payments.stripe_event import read
from outbox_worker.payments.verdict import EventOutcome
from tests.support_stripe import (
    Json,
    booking_row,
    deliveries,
    encoded,
    event,
    event_row,
    insert_booking,
    intent,
    new_id,
)

RULES = InboxRules(currency="EUR")
OWNER = WorkerId("test")


class Forever:
    """A lease that never ends, or has ended."""

    def __init__(self, *, allowed: bool = True) -> None:
        self._allowed = allowed
        self.asked: list[timedelta] = []

    def allows(self, call: timedelta) -> bool:
        self.asked.append(call)
        return self._allowed

    def reads(self) -> None:
        """Nothing is counted here."""


@pytest.fixture
def handler(database_url: str) -> InboxHandler:
    @asynccontextmanager
    async def connection() -> AsyncIterator[Connection]:
        opened = await connect(database_url, application_name="handler")
        try:
            yield opened
        finally:
            await opened.close()

    return InboxHandler(connection, rules=RULES, timeout=timedelta(seconds=2))


async def received(conn: Connection, body: Json) -> Receipt:
    return await receive(conn, read(encoded(body)), encoded(body), rules=RULES)


def payment_for(reference: str) -> Json:
    metadata = {"booking_reference": reference}
    return event("payment_intent.succeeded", intent(new_id("pi"), amount=50000, metadata=metadata))


async def claimed(conn: Connection) -> Claim:
    wanted = Wanted(destination=Destination.INBOX, limit=1, max_attempts=None)
    await conn.execute("update outbox.delivery set due_at = now() where destination = 'inbox'")
    claimed = await store.claim(conn, [wanted], owner=OWNER, lease=timedelta(seconds=30))
    return claimed.claims[0]


async def redriven(handler: InboxHandler, conn: Connection) -> Result:
    claim = await claimed(conn)
    state = (await handler.load(conn, [claim]))[claim.id]
    result = await handler.run(claim, state, Forever())
    # at rest again, as settling would leave it
    await conn.execute(
        "update outbox.delivery set owner = null, fence = 0, lease_until = null where id = %s",
        [claim.id],
    )
    return result


async def grow_older(conn: Connection, by: timedelta) -> None:
    await conn.execute(
        "update outbox.inbox_event set received_at = received_at - %s::interval", [by]
    )


async def break_bookings(conn: Connection) -> None:
    await conn.execute(
        "create function refuse() returns trigger language plpgsql as"
        " $$ begin raise exception 'no' using errcode = 'check_violation'; end $$"
    )
    await conn.execute(
        "create trigger refuse before update on public.bookings for each row"
        " execute function refuse()"
    )


async def test_a_waiting_payment_is_matched_when_its_booking_appears(
    handler: InboxHandler, conn: Connection
) -> None:
    body = payment_for("LA-LATE")
    assert (await received(conn, body)).outcome is EventOutcome.WAITING

    before = await redriven(handler, conn)
    booking_id = await insert_booking(conn, booking_reference="LA-LATE")
    after = await redriven(handler, conn)
    again = await redriven(handler, conn)

    assert isinstance(before.outcome, Wait)
    assert (after.outcome, after.effects) == (Done(), ())
    assert again.outcome == Done(record=AttemptOutcome.NOTHING)
    row = await booking_row(conn, booking_id)
    assert (row["status"], row["payment_status"]) == ("confirmed", "completed")
    kept = await event_row(conn, body["id"])
    assert (kept["outcome"], kept["booking_id"]) == ("applied", booking_id)
    (delivery,) = await deliveries(conn, "guestly")
    assert (delivery["key"], delivery["requested"]) == (str(booking_id), 1)


async def test_a_payment_waits_longer_the_older_it_is_and_never_costs_an_attempt(
    handler: InboxHandler, conn: Connection
) -> None:
    await received(conn, payment_for("LA-NEVER"))
    waits = []
    for more in (0, 100, 500, 3600, 200_000):
        await grow_older(conn, timedelta(seconds=more))
        outcome = (await redriven(handler, conn)).outcome
        assert isinstance(outcome, Wait)
        assert (outcome.code, outcome.record) == ("booking_missing", None)
        assert outcome.due_in is not None
        waits.append(round(outcome.due_in.total_seconds()))

    assert waits == [1, 10, 60, 60, 60]


async def test_after_ten_minutes_a_person_is_told_and_after_three_days_it_rests(
    handler: InboxHandler, conn: Connection
) -> None:
    body = payment_for("LA-NEVER")
    await received(conn, body)

    await grow_older(conn, timedelta(minutes=9))
    early = await redriven(handler, conn)
    await grow_older(conn, timedelta(minutes=2))
    late = await redriven(handler, conn)
    await grow_older(conn, timedelta(hours=72))
    given_up = await redriven(handler, conn)

    assert early.effects == ()
    for result in (late, given_up):
        (effect,) = result.effects
        assert isinstance(effect, AlertRaised)
        assert effect.alert.kind is AlertKind.PAID_WITHOUT_BOOKING
        assert effect.alert.facts["event_id"] == body["id"]
        assert effect.alert.fingerprint == body["data"]["object"]["id"]
        assert (effect.only_if_given_up, effect.names_delivery) == (False, True)
    assert isinstance(late.outcome, Wait)
    assert isinstance(given_up.outcome, Park)


async def test_a_failed_event_is_tried_again_until_it_can_be_applied(
    handler: InboxHandler, conn: Connection
) -> None:
    intent_id = new_id("pi")
    booking_id = await insert_booking(conn, stripe_payment_intent_id=intent_id)
    await break_bookings(conn)
    body = event("payment_intent.succeeded", intent(intent_id, amount=50000))
    assert (await received(conn, body)).outcome is EventOutcome.FAILED

    still_broken = await redriven(handler, conn)
    await grow_older(conn, timedelta(minutes=11))
    told = await redriven(handler, conn)
    await conn.execute("drop trigger refuse on public.bookings")
    mended = await redriven(handler, conn)

    assert isinstance(still_broken.outcome, Retry)
    assert still_broken.effects == ()
    assert "23514" in still_broken.outcome.message
    (effect,) = told.effects
    assert isinstance(effect, AlertRaised)
    assert effect.alert.kind is AlertKind.EVENT_FAILED
    assert mended == Result(outcome=Done())
    assert (await booking_row(conn, booking_id))["status"] == "confirmed"
    assert (await event_row(conn, body["id"]))["outcome"] == "applied"


async def test_an_event_that_is_gone_or_has_lost_its_body_needs_a_person(
    handler: InboxHandler, conn: Connection
) -> None:
    await received(conn, payment_for("LA-NEVER"))
    await conn.execute("update outbox.inbox_event set body = null")
    bodyless = await redriven(handler, conn)
    await conn.execute("delete from outbox.inbox_event")
    gone = await redriven(handler, conn)

    assert isinstance(bodyless.outcome, Park)
    assert gone.outcome == Done(record=AttemptOutcome.NOTHING)


async def test_a_lease_that_is_used_up_gives_the_event_back_untouched(
    handler: InboxHandler, conn: Connection
) -> None:
    await received(conn, payment_for("LA-LATE"))
    booking_id = await insert_booking(conn, booking_reference="LA-LATE")
    claim = await claimed(conn)
    state = (await handler.load(conn, [claim]))[claim.id]

    result = await handler.run(claim, state, Forever(allowed=False))

    assert isinstance(result.outcome, Abandon)
    assert (await booking_row(conn, booking_id))["status"] == "pending"


async def test_the_lease_is_asked_for_the_time_of_one_redrive(
    handler: InboxHandler, conn: Connection
) -> None:
    await received(conn, payment_for("LA-LATE"))
    await insert_booking(conn, booking_reference="LA-LATE")
    claim = await claimed(conn)
    state = (await handler.load(conn, [claim]))[claim.id]
    asked = Forever()

    assert (await handler.run(claim, state, asked)).outcome == Done()
    assert asked.asked == [timedelta(seconds=2)]


async def test_a_redrive_waits_for_a_locked_booking_no_longer_than_its_share_of_the_time(
    database_url: str, handler: InboxHandler, conn: Connection
) -> None:
    await received(conn, payment_for("LA-LATE"))
    booking_id = await insert_booking(conn, booking_reference="LA-LATE")
    claim = await claimed(conn)
    state = (await handler.load(conn, [claim]))[claim.id]
    site = await connect(database_url, application_name="site")

    async with site.transaction():
        await site.execute("select from bookings where id = %s for update", [booking_id])
        clock, took = asyncio.get_running_loop(), []
        for _ in range(3):  # whatever else this machine does holds up one of them, not all
            began = clock.time()
            result = await handler.run(claim, state, Forever())
            took.append(clock.time() - began)
            assert isinstance(result.outcome, Retry)
    await site.close()

    assert min(took) < 1.8, "a quarter of two seconds, not the receiver's two"
    assert (await event_row(conn, claim.key))["outcome"] == "waiting"


async def test_a_database_that_is_gone_is_a_failed_attempt(conn: Connection) -> None:
    @asynccontextmanager
    async def nowhere() -> AsyncIterator[Connection]:
        yield await connect("postgresql://nobody@127.0.0.1:1/none", application_name="handler")

    await received(conn, payment_for("LA-LATE"))
    claim = await claimed(conn)
    handler = InboxHandler(nowhere, rules=RULES, timeout=timedelta(seconds=2))
    state = (await handler.load(conn, [claim]))[claim.id]

    result = await handler.run(claim, state, Forever())

    assert isinstance(result.outcome, Retry)
    assert result.outcome.code == "database_unreachable"


async def test_a_redriven_event_is_judged_like_a_new_one(
    handler: InboxHandler, conn: Connection
) -> None:
    body = payment_for("LA-DEAR")
    await received(conn, body)
    booking_id = await insert_booking(conn, booking_reference="LA-DEAR", total="999.00")

    result = await redriven(handler, conn)

    assert result.outcome == Done()
    assert (await event_row(conn, body["id"]))["outcome"] == "mismatch"
    assert (await booking_row(conn, booking_id))["status"] == "pending"


async def test_every_outcome_can_be_written(conn: Connection) -> None:
    for outcome in EventOutcome:
        await conn.execute(
            "insert into outbox.inbox_event (source, id, type, outcome)"
            " values ('stripe', %s, 'x', %s)",
            [str(uuid4()), outcome],
        )
