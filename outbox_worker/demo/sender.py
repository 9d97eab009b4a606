"""Stripe's side over HTTP: delivers the events, again where it is not answered with a 2xx."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx

from outbox_worker.demo.payment import Webhook, signature
from outbox_worker.errors import OutboxError

_APART_SECONDS = 0.06
_TRIES = 5
_WAIT_SECONDS = 1.0


class DeliveryError(OutboxError):
    """The receiver did not take an event, however often it was delivered."""


@dataclass(slots=True, kw_only=True)
class Sender:
    """Delivers events, a few every second.

    Args:
        url: The receiver's.
        secret: What events are signed with.
        events: In the order in which they are sent.
        sent_at: Reference to the moment when its event was first sent; aware UTC.
        delivered: Requests that were answered with a 2xx so far.
    """

    url: str
    secret: str
    events: Sequence[Webhook]
    sent_at: dict[str, datetime] = field(default_factory=dict)
    delivered: int = 0

    @property
    def total(self) -> int:
        """Requests that have to be answered with a 2xx."""
        return sum(event.deliveries for event in self.events)

    async def send(self) -> None:
        """Deliver all events; the repetitions of one go out at the same time.

        Raises:
            DeliveryError: One was not taken.
        """
        try:
            async with (
                httpx.AsyncClient(timeout=30.0, trust_env=False) as client,
                asyncio.TaskGroup() as group,
            ):
                for event in self.events:
                    self.sent_at[event.reference] = datetime.now(tz=UTC)
                    for _ in range(event.deliveries):
                        group.create_task(self._deliver(client, event))
                    await asyncio.sleep(_APART_SECONDS)
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed

    async def _deliver(self, client: httpx.AsyncClient, event: Webhook) -> None:
        answer = "nothing"
        for _ in range(_TRIES):
            header = signature(event.body, secret=self.secret, at=int(time.time()))
            headers = {"content-type": "application/json", "stripe-signature": header}
            try:
                response = await client.post(self.url, content=event.body, headers=headers)
            except httpx.TransportError as error:
                answer = type(error).__name__
            else:
                if response.is_success:
                    self.delivered += 1
                    return
                answer = str(response.status_code)
            await asyncio.sleep(_WAIT_SECONDS)
        raise DeliveryError(f"the receiver's answer to the payment of {event.reference}: {answer}")
