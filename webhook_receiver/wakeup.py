"""Waking the workers after a commit: outside its transaction, coalesced, and never in its way.

Whoever commits does it with the same message, as often as that is allowed; what else is due then is
announced by one notification for all.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import timedelta

from outbox_worker.errors import DatabaseError
from outbox_worker.payments.inbox import wake
from webhook_receiver.pool import Pool

#: Time between two notifications in the long run: everybody who commits one waits for everybody
#: else's. One that comes alone is not kept waiting by the one before: so many may come early.
_GAP_S = 0.04
_AT_ONCE = 2
_PATIENCE = timedelta(seconds=1)


class Wakeup:
    """Sends one notification for all requests since the last one. Workers poll when it fails.

    Args:
        pool: Where its connection comes from.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._wanted = asyncio.Event()
        # when the next one would be due at an even pace
        self._due = 0.0

    def take(self) -> bool:
        """Whether a notification may be sent now, which the caller then does."""
        now = time.monotonic()
        if now < self._due:
            return False
        self._due = max(self._due, now - _AT_ONCE * _GAP_S) + _GAP_S
        return True

    def request(self) -> None:
        """Something is due; returns at once."""
        self._wanted.set()

    async def run(self) -> None:
        """Send notifications until cancelled."""
        while True:
            await self._wanted.wait()
            if not self.take():
                await asyncio.sleep(self._due - time.monotonic())
                continue
            self._wanted.clear()
            with suppress(DatabaseError, OSError):  # workers poll
                async with self._pool.connection(within=_PATIENCE) as conn:
                    await wake(conn)
