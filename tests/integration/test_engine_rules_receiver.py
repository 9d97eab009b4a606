"""Rules of receiving an event that nothing else pins down: answers and notifications."""

from __future__ import annotations

import asyncio
import contextlib

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from outbox_worker.database import Connection, connect
from outbox_worker.errors import DatabaseError
from outbox_worker.outbox.store import notify
from outbox_worker.payments import inbox, store, stripe_event
from outbox_worker.payments.inbox import InboxRules
from outbox_worker.payments.verdict import EventOutcome
from tests.support_receiver import Receiver
from tests.support_stripe import (
    booking_row,
    deliveries,
    encoded,
    event,
    every,
    intent,
    new_id,
    payment,
    refuse_at_commit,
)


async def heard(conn: Connection, *, within: float) -> list[str]:
    return [note.payload async for note in conn.notifies(timeout=within, stop_after=1)]


async def test_an_event_is_acknowledged_only_after_its_commit(
    receiver: Receiver, conn: Connection, database_url: str
) -> None:
    body, booking_id = await payment(conn)
    holder = await connect(database_url, application_name="holder", autocommit=False)
    try:
        await holder.execute("select from public.bookings where id = %s for update", [booking_id])
        answer = await receiver.deliver(body)
    finally:
        await holder.close()
    assert answer.status_code == 503, "acknowledged, although nothing can have been committed"
    assert (await receiver.deliver(body)).json() == {"outcome": "applied"}


async def test_an_event_that_could_not_be_applied_now_is_not_kept(
    receiver: Receiver, conn: Connection, database_url: str
) -> None:
    body, booking_id = await payment(conn)
    holder = await connect(database_url, application_name="holder", autocommit=False)
    try:
        await holder.execute("select from public.bookings where id = %s for update", [booking_id])
        await receiver.deliver(body)
    finally:
        await holder.close()
    again = await receiver.deliver(body)
    assert again.json() == {"outcome": "applied"}, "it was taken for received, and is lost"


async def test_the_workers_are_woken_by_an_event_that_is_due(
    receiver: Receiver, conn: Connection, direct_url: str
) -> None:
    listener = await connect(direct_url, application_name="listener")
    try:
        await listener.execute("listen outbox")
        body, _ = await payment(conn)
        await receiver.deliver(body)
        assert await heard(listener, within=5) == [""]
    finally:
        await listener.close()


async def test_no_notification_is_part_of_the_transaction_of_an_event(
    session: Connection, direct_url: str
) -> None:
    listener = await connect(direct_url, application_name="listener")
    try:
        await listener.execute("listen outbox")
        await session.execute("listen outbox")
        body, _ = await payment(session)
        content = encoded(body)
        receipt = await inbox.receive(
            session, stripe_event.read(content), content, rules=InboxRules(currency="EUR")
        )
        assert receipt.wake
        await session.execute("select pg_notify('outbox', 'the test')")
        assert await heard(listener, within=5) == ["the test"], "it would serialise every commit"
        await notify(session)
        assert await heard(listener, within=5) == [""]
    finally:
        await listener.close()


async def test_a_payment_whose_sync_cannot_be_requested_confirms_nothing(
    receiver: Receiver, conn: Connection
) -> None:
    body, booking_id = await payment(conn)
    before = await booking_row(conn, booking_id)
    await conn.execute(
        "alter table outbox.delivery add constraint refused check (destination <> 'guestly')"
    )

    answer = await receiver.deliver(body)

    assert answer.json() == {"outcome": "failed"}
    assert await booking_row(conn, booking_id) == before, "confirmed, and its sync is owed nowhere"
    assert [row["key"] for row in await deliveries(conn, "inbox")] == [body["id"]]


async def test_a_payment_that_the_site_refuses_at_the_commit_is_kept_and_owed(
    receiver: Receiver, conn: Connection
) -> None:
    body, booking_id = await payment(conn)
    before = await booking_row(conn, booking_id)
    await refuse_at_commit(conn)

    answer = await receiver.deliver(body)

    assert answer.status_code == 200, "Stripe would bring it for three days, and nobody is told"
    assert answer.json() == {"outcome": "failed"}
    assert await booking_row(conn, booking_id) == before
    assert [row["key"] for row in await deliveries(conn, "inbox")] == [body["id"]]
    await conn.execute("drop trigger refused on public.bookings")
    again = await inbox.redrive(conn, body["id"], rules=InboxRules(currency="EUR"))
    assert again.outcome is EventOutcome.APPLIED


async def test_a_redrive_that_fails_leaves_the_event_owed_once(
    receiver: Receiver, conn: Connection
) -> None:
    body, booking_id = await payment(conn)
    await conn.execute(
        "alter table outbox.delivery add constraint refused check (destination <> 'guestly')"
    )
    await receiver.deliver(body)

    receipt = await inbox.redrive(conn, body["id"], rules=InboxRules(currency="EUR"))

    assert receipt.outcome is EventOutcome.FAILED
    assert "refused" in receipt.detail
    assert (await booking_row(conn, booking_id))["status"] == "pending"
    owed = await deliveries(conn, "inbox")
    assert [(row["key"], row["requested"]) for row in owed] == [(body["id"], 1)]


async def swallow(conn: Connection) -> None:
    """A transaction that goes on as if nothing had failed."""
    async with store.transaction(conn, origin="test"):
        with contextlib.suppress(psycopg.Error):
            await conn.execute("select 1 / 0")


async def test_a_transaction_whose_failure_somebody_swallowed_is_not_committed(
    session: Connection,
) -> None:
    with pytest.raises(DatabaseError):
        await swallow(session)

    assert session.info.transaction_status is TransactionStatus.IDLE


async def test_a_payment_that_cannot_be_applied_is_kept_once_however_many_bring_it(
    receiver: Receiver, conn: Connection
) -> None:
    body, _ = await payment(conn)
    await conn.execute(
        "alter table outbox.delivery add constraint refused check (destination <> 'guestly')"
    )

    async with receiver.client(connections=6) as client:
        answers = await asyncio.gather(*(receiver.deliver_with(client, body) for _ in range(6)))

    outcomes = sorted(answer.json()["outcome"] for answer in answers)
    assert outcomes == ["duplicate"] * 5 + ["failed"]
    owed = await deliveries(conn, "inbox")
    assert [(row["key"], row["requested"]) for row in owed] == [(body["id"], 1)]


REFUSING = (
    """create function refuse() returns trigger language plpgsql as
       $$ begin raise exception 'bookings are frozen'; end $$""",
    """create trigger refused before update on public.bookings
       for each statement execute function refuse()""",
)


async def test_an_event_that_cannot_be_applied_says_so_though_bookings_refuse_updates(
    receiver: Receiver, conn: Connection
) -> None:
    body, _ = await payment(conn)
    for statement in REFUSING:
        await conn.execute(statement)

    assert (await receiver.deliver(body)).json() == {"outcome": "failed"}
    receipt = await inbox.redrive(conn, body["id"], rules=InboxRules(currency="EUR"))

    assert receipt.outcome is EventOutcome.FAILED, "it would be tried for ever, and nobody told"


async def test_an_event_that_changes_no_booking_meets_none_of_their_triggers(
    receiver: Receiver, conn: Connection
) -> None:
    for statement in REFUSING:
        await conn.execute(statement)

    foreign = event("payment_intent.succeeded", intent(new_id("pi"), amount=100))

    assert (await receiver.deliver(foreign)).json() == {"outcome": "foreign"}


async def test_a_site_may_have_a_rule_on_its_bookings(receiver: Receiver, conn: Connection) -> None:
    body, booking_id = await payment(conn)
    await conn.execute("create table ledger (status text)")
    await conn.execute(
        """create rule mirrored as on update to public.bookings
           where new.status is distinct from old.status
           do also insert into ledger values (new.status)"""
    )

    assert (await receiver.deliver(body)).json() == {"outcome": "applied"}
    assert (await booking_row(conn, booking_id))["status"] == "confirmed"
    assert [row["status"] for row in await every(conn, "select status from ledger")]


async def test_the_last_thing_a_trigger_of_the_site_sees_is_the_booking_as_it_is(
    receiver: Receiver, conn: Connection
) -> None:
    body, booking_id = await payment(conn)
    await conn.execute(
        "update public.bookings set guestly_sync_status = 'failed' where id = %s", [booking_id]
    )
    await conn.execute("create table public.seen (n serial, status text, sync text)")
    await conn.execute(
        """create function note() returns trigger language plpgsql as $$ begin
           insert into public.seen (status, sync) values (new.status, new.guestly_sync_status);
           return null; end $$"""
    )
    await conn.execute(
        """create trigger noted after update on public.bookings
           for each row execute function note()"""
    )

    await receiver.deliver(body)

    seen = await every(conn, "select status, sync from seen order by n")
    assert [tuple(row.values()) for row in seen] == [
        ("confirmed", "failed"),
        ("confirmed", "pending"),
    ]
