"""Waking the workers after a commit: outside its transaction, coalesced, and never in its way."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

from outbox_worker.errors import DatabaseError
from outbox_worker.payments.inbox import wake
from webhook_receiver.pool import Pool

#: Shortest time between two notifications: everybody who commits one waits for everybody else's.
_GAP_S = 0.05
_PATIENCE = timedelta(seconds=1)


class Wakeup:
    """Sends one notification for all requests since the last one. Workers poll when it fails.

    Args:
        pool: Where its connection comes from.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._wanted = asyncio.Event()

    def request(self) -> None:
        """Something is due; returns at once."""
        self._wanted.set()

    async def run(self) -> None:
        """Send notifications until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            with suppress(DatabaseError, OSError):  # workers poll
                async with self._pool.connection(within=_PATIENCE) as conn:
                    await wake(conn)
            await asyncio.sleep(_GAP_S)
