"""The dead man's switch: an address outside is called while claim cycles complete.

Whoever watches it notices that the calls have stopped, whatever the reason: no worker, no machine,
no network, no Postgres. Nothing waits for a call.
"""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import httpx

from outbox_worker.events import Event
from outbox_worker.settings_types import Secret
from outbox_worker.telemetry import logger

EVERY = timedelta(seconds=30)
_TIMEOUT = timedelta(seconds=10)
#: How long a stop waits for a call that is under way: a short run would never finish one otherwise.
_AFTER_STOP = timedelta(seconds=2)


class DeadMan:
    """Calls ``HEARTBEAT_URL``.

    Args:
        url: The address; it may hold a token, so that no text of ours ever shows it. None: off.
        every: Least time between the beginnings of two calls.
        timeout: Longest time of one call.
    """

    def __init__(
        self, url: Secret | None, *, every: timedelta = EVERY, timeout: timedelta = _TIMEOUT
    ) -> None:
        self._url = url
        self._every = every.total_seconds()
        self._timeout = timeout.total_seconds()
        # made once, as that takes time; calls are far apart, so that no connection is kept
        self._client = httpx.AsyncClient(
            timeout=self._timeout,
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        self._called_at = float("-inf")
        self._call: asyncio.Task[None] | None = None
        self._failing = False

    def cycle_ended(self) -> None:
        """A claim cycle has completed; returns at once, a call goes on beside the loop."""
        due = time.monotonic() - self._called_at >= self._every
        if self._url is None or not due or (self._call is not None and not self._call.done()):
            return
        self._called_at = time.monotonic()
        self._call = asyncio.create_task(self._call_once(self._url))

    async def aclose(self) -> None:
        """Let a call that is under way end, for a moment; nothing is called after this."""
        self._url = None
        if self._call is not None:
            await asyncio.wait({self._call}, timeout=_AFTER_STOP.total_seconds())
            self._call.cancel()
            await asyncio.wait({self._call})
        await self._client.aclose()

    async def _call_once(self, url: Secret) -> None:
        fault = await self._fault(url)
        if fault and not self._failing:
            logger().warning(
                Event.HEARTBEAT_LOST,
                message=f"HEARTBEAT_URL {fault}; whoever watches it will take this worker for dead",
                hint="Check HEARTBEAT_URL, and that this machine may reach it.",
            )
        elif self._failing and not fault:
            logger().info(Event.HEARTBEAT_RESTORED, message="HEARTBEAT_URL takes calls again")
        self._failing = bool(fault)

    async def _fault(self, url: Secret) -> str:
        """What is wrong with one call; empty: nothing."""
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._client.stream("GET", url.reveal()) as response,
            ):
                return "" if response.is_success else f"answered {response.status_code}"
        except TimeoutError:
            return "did not answer in time"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # the text of the error may quote the address
            return f"cannot be called: {type(error).__name__}"
