"""A re-drive whose connection falls silent gives its slot back, or inbound events would stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from outbox_worker.database import Connection, cancel, connection
from outbox_worker.handlers.inbox import InboxHandler
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Destination, WorkerId
from outbox_worker.outbox.outcome import Retry
from outbox_worker.outbox.store import Wanted
from outbox_worker.payments.inbox import InboxRules, receive
from outbox_worker.payments.stripe_event import read
from outbox_worker.worker.lease import Lease, boot_time
from tests.support_stripe import encoded, event, intent, new_id
from tests.support_wire import Wire

RULES = InboxRules(currency="EUR")
LEASE = timedelta(seconds=30)


async def test_a_redrive_over_a_silent_network_is_a_failed_attempt(
    conn: Connection, database_url: str
) -> None:
    metadata = {"booking_reference": "LA-LATE"}
    payment = intent(new_id("pi"), amount=50000, metadata=metadata)
    body = encoded(event("payment_intent.succeeded", payment))
    await receive(conn, read(body), body, rules=RULES)
    await conn.execute("update outbox.delivery set due_at = now()")
    wanted = Wanted(destination=Destination.INBOX, limit=1, max_attempts=None)
    taken = await store.claim(conn, [wanted], owner=WorkerId("test"), lease=LEASE)
    (claim,) = taken.claims
    async with Wire(database_url) as wire:

        @asynccontextmanager
        async def falling_silent() -> AsyncIterator[Connection]:
            async with connection(wire.url, application_name="handler") as opened:
                wire.freeze()
                yield opened

        handler = InboxHandler(falling_silent, rules=RULES, timeout=timedelta(seconds=0.5))
        state = (await handler.load(conn, [claim]))[claim.id]
        lease = Lease(taken_at=boot_time(), length=LEASE)
        attempt = asyncio.create_task(handler.run(claim, state, lease))
        await asyncio.wait({attempt}, timeout=20)
        ended = attempt.done()
        await cancel(attempt)

    assert ended, "the slot is held for good"
    outcome = attempt.result().outcome
    assert isinstance(outcome, Retry)
    assert outcome.code == "database_unreachable"
