"""Workers are woken after the commit, together, and no event depends on it."""

from __future__ import annotations

import asyncio
import time

from outbox_worker.database import Connection
from tests.support_receiver import Receiver
from tests.support_stripe import event, every, insert_booking, intent, new_id
from webhook_receiver.pool import Pool
from webhook_receiver.wakeup import Wakeup


async def heard(conn: Connection, *, for_seconds: float) -> list[str]:
    return [note.channel async for note in conn.notifies(timeout=for_seconds)]


async def test_requests_within_a_moment_are_one_notification(
    database_url: str, session: Connection
) -> None:
    await session.execute("listen outbox")
    pool = Pool(database_url)
    await pool.open()
    wakeup = Wakeup(pool)
    running = asyncio.create_task(wakeup.run())
    began = time.monotonic()
    try:
        while (took := time.monotonic() - began) < 0.5:
            wakeup.request()
            await asyncio.sleep(0.001)
        # what was asked for last would be sent once more, a gap after the time that is counted here
        running.cancel()
        notes = await heard(session, for_seconds=0.5)
    finally:
        running.cancel()
        await pool.close()

    assert set(notes) == {"outbox"}
    assert 1 <= len(notes) <= 3 + took / 0.04


async def test_what_a_notification_announces_is_committed(
    receiver: Receiver, session: Connection
) -> None:
    intent_id = new_id("pi")
    await insert_booking(session, stripe_payment_intent_id=intent_id)
    await session.execute("listen outbox")
    body = event("payment_intent.succeeded", intent(intent_id, amount=50000))

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
