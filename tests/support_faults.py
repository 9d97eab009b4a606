"""Payments sent to a receiver whose world is falling apart, and the proof that none was harmed."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Self

import httpx

from outbox_worker.database import Connection, connect
from tests.support_receiver import Receiver
from tests.support_stripe import Json, event, every, insert_booking, intent, new_id

_PATIENCE_S = 40.0
_AT_ONCE = 8


class Payments:
    """Bookings, the events that say they are paid, and what the receiver answered.

    Args:
        events: By their ids.
    """

    def __init__(self, events: dict[str, Json]) -> None:
        self._events = events
        self._answers = asyncio.Condition()
        self.taken: set[str] = set()
        self.refused: list[str] = []

    @classmethod
    async def booked(cls, url: str, count: int, *, padding: int = 0) -> Self:
        """Bookings that wait for their payments.

        Args:
            url: A migrated database.
            count: How many.
            padding: Bytes that each event carries besides, so that keeping it takes room.
        """
        conn = await connect(url, application_name="site")
        try:
            events = {}
            for _ in range(count):
                intent_id = new_id("pi")
                await insert_booking(conn, stripe_payment_intent_id=intent_id)
                more = {"metadata": {"note": new_id("x") * (padding // 26)}} if padding else {}
                body = event("payment_intent.succeeded", intent(intent_id, amount=50000, **more))
                events[str(body["id"])] = body
            return cls(events)
        finally:
            await conn.close()

    @classmethod
    def of_no_interest(cls, count: int, *, padding: int) -> Self:
        """Events that are kept and change nothing, each a row of one table."""
        note = new_id("x") * (padding // 26)
        made = [event("payout.paid", {"id": new_id("po"), "note": note}) for _ in range(count)]
        return cls({str(body["id"]): body for body in made})

    async def deliver(self, receiver: Receiver, count: int | None = None) -> None:
        """Send those that are not taken yet, each once and several at once.

        Args:
            receiver: Where to.
            count: Only until so many are taken or refused; None: all.
        """
        left = [name for name in self._events if name not in self.taken]
        if count is not None:
            left = left[: count - len(self.taken)]
        turns = asyncio.Semaphore(_AT_ONCE)
        async with receiver.client() as client:

            async def send(name: str) -> None:
                async with turns:
                    try:
                        answer = await receiver.deliver_with(client, self._events[name])
                        status = answer.status_code
                    except httpx.TransportError:
                        status = 0
                async with self._answers:
                    if 200 <= status < 300:
                        self.taken.add(name)
                    else:
                        self.refused.append(name)
                    self._answers.notify_all()

            await asyncio.gather(*map(send, left))

    async def answered(self, count: int) -> None:
        """Wait until so many have been answered, whatever the answer."""
        async with asyncio.timeout(_PATIENCE_S), self._answers:
            await self._answers.wait_for(lambda: len(self.taken) + len(self.refused) >= count)

    async def deliver_until_taken(self, receiver: Receiver) -> None:
        """Come back with whatever was refused, as Stripe does, until nothing is."""
        async with asyncio.timeout(_PATIENCE_S):
            while len(self.taken) < len(self._events):
                await self.deliver(receiver)

    async def kept(self, conn: Connection) -> list[str]:
        """Ids of the events that the database holds."""
        rows = await every(conn, "select id from outbox.inbox_event order by received_at")
        return [row["id"] for row in rows]

    async def prove(self, url: str) -> None:
        """What was taken is kept and applied, once; and nothing else has happened."""
        conn = await connect(url, application_name="proof")
        try:
            kept = await self.kept(conn)
            assert self.taken <= set(kept), "acknowledged and lost"
            assert max(Counter(kept).values(), default=1) == 1
            bookings = await every(
                conn,
                "select b.stripe_payment_intent_id as intent, b.status, d.requested, d.due_at,"
                " (select count(*) from outbox.request r where r.delivery_id = d.id) as asked"
                " from bookings b"
                " left join outbox.delivery d on d.destination = 'guestly' and d.key = b.id::text",
            )
        finally:
            await conn.close()
        paid = {body["data"]["object"]["id"] for name, body in self._events.items() if name in kept}
        for row in bookings:
            told = json.dumps(row, default=str)
            if row["intent"] in paid:
                assert (row["status"], row["requested"], row["asked"]) == ("confirmed", 1, 1), told
                assert row["due_at"] is not None, told
            else:
                assert (row["status"], row["requested"]) == ("pending", None), told
