"""Workers are woken after the commit, together, and no event depends on it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time

import pytest

from outbox_worker.database import Connection, connect
from outbox_worker.payments.verdict import EventOutcome
from tests.support_receiver import Receiver
from tests.support_stripe import (
    event,
    every,
    payment,
    received,
    refuse_at_commit,
)
from webhook_receiver import wakeup as pacing
from webhook_receiver.pool import Pool
from webhook_receiver.wakeup import Wakeup


async def heard(conn: Connection, *, for_seconds: float) -> list[str]:
    return [note.channel async for note in conn.notifies(timeout=for_seconds)]


async def announced(listener: Connection, conn: Connection) -> int:
    """How many notifications there were until now: they come in the order of their commits."""
    await conn.execute("select pg_notify('outbox', 'now')")
    count = 0
    async for note in listener.notifies(timeout=20):
        if note.payload == "now":
            return count
        count += 1
    raise AssertionError("nothing was heard at all")


@pytest.mark.parametrize("commits_notify", [False, True])
async def test_all_who_notify_share_one_pace(
    database_url: str, session: Connection, commits_notify: bool
) -> None:
    await session.execute("listen outbox")
    pool = Pool(database_url)
    await pool.open()
    wakeup = Wakeup(pool)
    running = asyncio.create_task(wakeup.run())
    taken = 0
    began = time.monotonic()
    try:
        wakeup.request()
        first = [note async for note in session.notifies(timeout=20, stop_after=1)]
        asked_until = time.monotonic() + 0.5
        while time.monotonic() < asked_until:
            if commits_notify:
                taken += wakeup.take()
            wakeup.request()
            await asyncio.sleep(0.001)
        # what was asked for last would be sent once more, a gap after the time that is counted here
        took = time.monotonic() - began
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        sent = len(first) + await announced(session, session)
    finally:
        running.cancel()
        await pool.close()

    assert len(first) == 1
    assert taken >= 1 or not commits_notify
    assert sent + taken <= 3 + took / 0.04


async def test_a_commit_that_may_notify_announces_itself(
    conn: Connection, session: Connection, direct_url: str
) -> None:
    listener = await connect(direct_url, application_name="listener")
    try:
        await listener.execute("listen outbox")
        body, booking_id = await payment(conn)

        receipt = await received(session, body, may_notify=True)

        assert (receipt.outcome, receipt.booking_id) == (EventOutcome.APPLIED, booking_id)
        assert not receipt.wake, "it would be announced twice"
        assert await announced(listener, conn) == 1
        assert len(await every(conn, "select from outbox.delivery")) == 1
        again = await received(session, body, may_notify=True)
        assert (again.outcome, again.wake) == (None, False)
        assert await announced(listener, conn) == 0
    finally:
        await listener.close()


async def test_the_notification_of_a_commit_is_not_part_of_its_transaction(
    conn: Connection, session: Connection, direct_url: str
) -> None:
    """Postgres sends what one transaction notifies twice only once."""
    await conn.execute(
        """create function notify_too() returns trigger language plpgsql as
           $$ begin perform pg_notify('outbox', ''); return new; end $$"""
    )
    await conn.execute(
        """create trigger notify_too after update on public.bookings
           for each row execute function notify_too()"""
    )
    listener = await connect(direct_url, application_name="listener")
    try:
        await listener.execute("listen outbox")
        body, _ = await payment(conn)

        await received(session, body, may_notify=True)

        assert await announced(listener, conn) == 2, "inside it would serialise every commit"
    finally:
        await listener.close()


async def test_a_commit_that_fails_announces_nothing_and_the_event_is_kept(
    conn: Connection, session: Connection, direct_url: str
) -> None:
    body, _ = await payment(conn)
    await refuse_at_commit(conn)
    listener = await connect(direct_url, application_name="listener")
    try:
        await listener.execute("listen outbox")

        receipt = await received(session, body, may_notify=True)

        assert receipt.outcome is EventOutcome.FAILED
        assert receipt.booking_id is None
        # the second transaction's, which owes the event
        assert await announced(listener, conn) == 1
    finally:
        await listener.close()
    (booking,) = await every(conn, "select status from public.bookings")
    assert booking["status"] == "pending"
    assert [row["key"] for row in await every(conn, "select key from outbox.delivery")] == [
        body["id"]
    ]


async def test_what_no_commit_may_announce_is_announced_a_little_later(
    receiver: Receiver,
    conn: Connection,
    direct_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pacing, "_GAP_S", 2.0)
    listener = await connect(direct_url, application_name="listener")
    try:
        await listener.execute("listen outbox")
        for _ in itertools.repeat(None, 5):
            body, _ = await payment(conn)
            await receiver.deliver(body)

        notes = [note async for note in listener.notifies(timeout=20, stop_after=4)]
    finally:
        await listener.close()
    # three come early, and the rest together as soon as the pace allows it
    assert len(notes) == 4


async def test_what_a_notification_announces_is_committed(
    receiver: Receiver, session: Connection
) -> None:
    body, _ = await payment(session)
    await session.execute("listen outbox")

    delivery = asyncio.create_task(receiver.deliver(body))
    notes = [note async for note in session.notifies(timeout=10, stop_after=1)]
    committed = await every(session, "select from outbox.delivery")

    assert (len(notes), len(committed)) == (1, 1)
    assert (await delivery).status_code == 200


async def test_an_event_that_causes_nothing_wakes_nobody(
    receiver: Receiver, session: Connection
) -> None:
    await session.execute("listen outbox")

    await receiver.deliver(event("payout.paid", {"id": "po_1"}))

    assert await heard(session, for_seconds=0.3) == []


async def test_a_notification_that_cannot_be_sent_does_no_harm() -> None:
    pool = Pool("postgresql://nobody@127.0.0.1:1/none")
    await pool.open()
    wakeup = Wakeup(pool)
    running = asyncio.create_task(wakeup.run())
    try:
        wakeup.request()

        done, _ = await asyncio.wait([running], timeout=1.3)

        assert done == set()
    finally:
        running.cancel()
        await pool.close()
