"""Stripe's side: every event is delivered until it is answered with a 2xx."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from dataclasses import dataclass, field

from tests.chaos.history import Ack
from tests.chaos.scenario import Plot, Webhook
from tests.support_stripe import sign

_TIMEOUT_S = 8.0
_AGAIN_S, _LONGEST_WAIT_S = 0.25, 3.0
_AT_ONCE = 32
_OK, _REFUSED, _FAILED = 200, 400, 500


async def rest(seconds: float, calm: asyncio.Event) -> None:
    """Wait for so long, or until the faults are over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await calm.wait()


class RefusedError(Exception):
    """The receiver refused an event that it has to take: a 4xx to what is signed and whole."""


@dataclass(slots=True, kw_only=True)
class Stripe:
    """Sends events, and keeps the log of what was answered with a 2xx.

    Args:
        port: Of the receiver.
        calm: Set when the faults are over: from then on nobody waits for long.
        counts: Requests by what became of them.
    """

    port: int
    calm: asyncio.Event
    chance: random.Random
    acks: list[Ack] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    async def deliver(self, plot: Plot, webhook: Webhook) -> None:
        """All copies of one event, at the same moment.

        Raises:
            RefusedError: The receiver refused it.
        """
        async with asyncio.TaskGroup() as group:
            for _ in range(webhook.copies):
                group.create_task(self._until_taken(plot, webhook))

    async def _until_taken(self, plot: Plot, webhook: Webhook) -> None:
        wait = _AGAIN_S
        while True:
            try:
                async with self._turns, asyncio.timeout(_TIMEOUT_S):
                    status = await self._post(webhook.body)
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                self.counts[f"no answer ({type(error).__name__})"] += 1
            else:
                self.counts[str(status)] += 1
                if status == _OK:
                    ack = Ack(event_id=webhook.event_id, booking_id=plot.id, pays=webhook.pays)
                    self.acks.append(ack)
                    return
                if _REFUSED <= status < _FAILED:
                    raise RefusedError(f"{webhook.event_id} was answered with {status}")
            await rest(wait * self.chance.uniform(0.5, 1.5), self.calm)
            # so that the queue of a whole outage does not keep the receiver from starting
            await asyncio.sleep(_AGAIN_S)
            wait = min(2 * wait, _LONGEST_WAIT_S)

    async def _post(self, body: bytes) -> int:
        """One request on a connection of its own; the status of a whole answer.

        Hundreds of events wait while the receiver is away: a client with a pool of connections
        spends its time on its own queue then, and the proxies of this process stand still.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            head = (
                "POST /webhooks/stripe HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                f"Stripe-Signature: {sign(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = next(
                int(line.partition(":")[2])
                for line in answer.lower().split("\r\n")
                if line.startswith("content-length:")
            )
            await reader.readexactly(length)
            return int(answer.split(" ", 2)[1])
        finally:
            writer.transport.abort()
