"""`outbox events`: what came in, found and shown; and why one may not be applied again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from outbox_worker.database import Connection
from outbox_worker.errors import AmbiguousRefError, NotFoundError
from outbox_worker.operations import replay
from outbox_worker.operations.event_list import (
    EventFilters,
    find_event,
    list_events,
    read_body,
    read_event,
)
from outbox_worker.operations.requeue import Request
from outbox_worker.outbox.delivery import State
from outbox_worker.payments.inbox import InboxRules, receive, redrive
from outbox_worker.payments.stripe_event import read
from outbox_worker.payments.verdict import EventOutcome
from outbox_worker.sql import query
from tests.support_engine import owe
from tests.support_requeue import VIEW
from tests.support_stripe import Json, encoded, event, insert_booking, intent, new_id

RULES = InboxRules(currency="EUR")
REQUEST = Request(actor="anna", target="events replay", reason=None)


async def kept(
    conn: Connection, event_id: str, outcome: EventOutcome = EventOutcome.APPLIED, **columns: object
) -> None:
    """An event as it was received, without what it did."""
    values = {
        "source": "stripe", "id": event_id, "type": "payment_intent.succeeded",
        "outcome": str(outcome), "body": b"{}", **columns,
    }  # fmt: skip
    names = ", ".join(values)
    marks = ", ".join(f"%({name})s" for name in values)
    await conn.execute(f"insert into outbox.inbox_event ({names}) values ({marks})", values)


async def ids(conn: Connection, filters: EventFilters) -> list[str]:
    return [each.id for each in (await list_events(conn, filters, limit=100)).rows]


async def received(conn: Connection, reference: str) -> str:
    """A payment whose booking does not exist yet."""
    thing: Json = intent(new_id("pi"), amount=50000, metadata={"booking_reference": reference})
    body = encoded(event("payment_intent.succeeded", thing))
    await receive(conn, read(body), body, rules=RULES)
    return read(body).id


async def test_events_are_listed_newest_first_a_page_at_a_time(conn: Connection) -> None:
    for number in range(5):
        at = datetime(2026, 11, 20, tzinfo=UTC) + timedelta(hours=number // 2)
        await kept(conn, f"evt_{number}", received_at=at)
    seen: list[str] = []
    after = None
    while True:
        page = await list_events(conn, EventFilters(), limit=2, after=after)
        seen += [each.id for each in page.rows]
        assert page.more == 5 - len(seen)
        if page.after is None:
            break
        after = page.after

    assert seen == ["evt_4", "evt_3", "evt_2", "evt_1", "evt_0"]


@pytest.mark.parametrize("text", ["", "evt_1", "evt_\0", "\udc80"])
async def test_a_place_that_no_page_ended_at_is_refused(conn: Connection, text: str) -> None:
    with pytest.raises(NotFoundError, match="no page ends with event"):
        await list_events(conn, EventFilters(), limit=2, after=text)


async def test_what_a_person_has_set_aside_is_not_listed_as_waiting_any_more(
    conn: Connection,
) -> None:
    for name in ("LA-1", "LA-2"):
        await received(conn, name)
    [aside, waits] = sorted(await ids(conn, EventFilters()))
    await conn.execute(
        "update outbox.delivery set discarded_at = now(), due_at = null where key = %s", [aside]
    )

    waiting = EventFilters(outcomes=(EventOutcome.WAITING,))
    assert await ids(conn, waiting) == [waits]
    assert await ids(conn, EventFilters(discarded=True)) == [aside]
    both = EventFilters(outcomes=(EventOutcome.WAITING,), discarded=True)
    assert sorted(await ids(conn, both)) == [aside, waits]
    listed = (await list_events(conn, EventFilters(), limit=9)).rows
    assert {each.id: each.discarded for each in listed} == {aside: True, waits: False}
    first = await list_events(conn, waiting, limit=1)
    assert (first.more, first.after) == (0, None)


async def test_events_are_chosen_by_outcome_type_and_age(conn: Connection) -> None:
    await kept(conn, "evt_1", type="payment_intent.succeeded")
    await kept(conn, "evt_2", EventOutcome.WAITING, type="payment_intentional")
    await kept(conn, "evt_3", EventOutcome.FAILED, type="charge.refunded", received_at="2026-01-01")

    both = EventFilters(outcomes=(EventOutcome.WAITING, EventOutcome.FAILED))
    assert await ids(conn, both) == ["evt_2", "evt_3"]
    assert await ids(conn, EventFilters(types=("payment_intent",))) == ["evt_1"]
    # an underscore is itself, not any character
    assert await ids(conn, EventFilters(types=("payment-intent", "c%"))) == []
    assert await ids(conn, EventFilters(types=("charge.refunded",))) == ["evt_3"]
    hour_ago = datetime.now(tz=UTC) - timedelta(hours=1)
    assert await ids(conn, EventFilters(since=hour_ago)) == ["evt_2", "evt_1"]


async def test_a_payment_without_a_booking_tells_its_amount_and_what_it_names(
    conn: Connection,
) -> None:
    event_id = await received(conn, "LA-NONE")

    payment = (await read_event(conn, event_id)).payment

    assert payment is not None
    assert (payment.amount, payment.currency) == (Decimal("500.00"), "EUR")
    assert (payment.reference, payment.booking_id) == ("LA-NONE", None)
    await conn.execute("update outbox.inbox_event set body = null")
    assert (await read_event(conn, event_id)).payment is None


async def test_an_event_is_found_by_id_payment_and_beginning(conn: Connection) -> None:
    await kept(conn, "evt_1Qx", payment_intent_id="pi_1")
    await kept(conn, "evt_1Qx2", payment_intent_id="pi_2")
    await kept(conn, "evt_9", payment_intent_id="pi_2")

    assert await find_event(conn, "evt_1Qx") == "evt_1Qx"
    assert await find_event(conn, "pi_1") == "evt_1Qx"
    assert await find_event(conn, " EVT_1qx2 ") == "evt_1Qx2"
    for several in ("evt_1", "pi_2"):
        with pytest.raises(AmbiguousRefError) as ambiguous:
            await find_event(conn, several)
        assert len(ambiguous.value.candidates) == 2
    for unknown in ("evt_x", "", "%", "\0"):
        with pytest.raises(NotFoundError):
            await find_event(conn, unknown)


async def test_the_facts_say_when_it_is_applied_again_and_the_body_is_apart(
    conn: Connection,
) -> None:
    event_id = await received(conn, "LA-1")

    facts = await read_event(conn, event_id)

    assert facts.outcome is EventOutcome.WAITING
    assert facts.state is State.WAITING
    assert facts.due_at is not None
    body = await read_body(conn, event_id)
    assert body is not None
    assert facts.body_bytes == len(body)
    await conn.execute("update outbox.inbox_event set body = null")
    assert await read_body(conn, event_id) is None
    assert (await read_event(conn, event_id)).body_bytes is None
    with pytest.raises(NotFoundError):
        await read_event(conn, "evt_unknown")


async def test_a_waiting_event_is_due_again_and_then_applied_by_the_same_function(
    conn: Connection,
) -> None:
    event_id = await received(conn, "LA-1")
    await conn.execute(
        "update outbox.delivery set due_at = null, failed_at = now() where destination = 'inbox'"
    )
    await insert_booking(conn, booking_reference="LA-1")

    chosen = await replay.choose(conn, (event_id, event_id[:12]), view=VIEW)
    changed = await replay.replay(conn, chosen, REQUEST)

    assert [each.name for each in changed.requeued] == [event_id]
    facts = await read_event(conn, event_id)
    assert facts.due_at is not None
    assert facts.due_at <= facts.now
    assert (await redrive(conn, event_id, rules=RULES)).outcome is EventOutcome.APPLIED
    again = await replay.choose(conn, (event_id,), view=VIEW)
    assert again[0].item.skip is not None
    assert again[0].item.skip.startswith("applied already; to send its booking again: outbox")
    assert (await replay.replay(conn, again, REQUEST)).requeued == ()


@pytest.mark.parametrize("outcome", list(EventOutcome))
async def test_only_what_may_change_something_is_applied_again(
    conn: Connection, outcome: EventOutcome
) -> None:
    await kept(conn, "evt_1", outcome)
    await owe(conn, "evt_1")

    [chosen] = await replay.choose(conn, ("evt_1",), view=VIEW)
    changed = await replay.replay(conn, (chosen,), REQUEST)

    open_ones = {EventOutcome.WAITING, EventOutcome.FAILED}
    assert bool(changed.requeued) == (outcome in open_ones)
    assert (chosen.item.skip is None) == (outcome in open_ones)


async def test_an_event_without_its_body_cannot_be_applied_again(conn: Connection) -> None:
    await kept(conn, "evt_1", EventOutcome.WAITING, body=None)
    await owe(conn, "evt_1")

    [chosen] = await replay.choose(conn, ("evt_1",), view=VIEW)

    assert chosen.item.skip == "its body is no longer kept; confirm the booking on the site instead"


async def test_a_page_of_many_events_comes_from_the_index(conn: Connection) -> None:
    await conn.execute(
        "insert into outbox.inbox_event (source, id, type, outcome, received_at)"
        " select 'stripe', 'evt_' || i, 'charge.refunded', 'applied', now() - i * interval '1 s'"
        " from generate_series(1, 20000) i"
    )
    await conn.execute("analyze outbox.inbox_event")
    parameters = {
        "outcomes": None, "types": None, "since": None, "limit": 20,
        "after_at": datetime.now(tz=UTC), "after_id": "evt_7", "discarded": False,
    }  # fmt: skip

    cursor = await conn.execute("explain " + query("list_events"), parameters)
    plan = "\n".join(row["QUERY PLAN"] for row in await cursor.fetchall())

    assert "inbox_event_received" in plan
    assert "Seq Scan on inbox_event" not in plan
