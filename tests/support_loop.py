"""A loop of the tests' own beside the test, with handlers that the test scripts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

from outbox_worker.database import Connection, connect
from outbox_worker.handlers.effect import Result
from outbox_worker.handlers.protocol import Deadline
from outbox_worker.metrics import Metrics
from outbox_worker.outbox.delivery import Claim, Destination
from outbox_worker.outbox.outcome import Done
from outbox_worker.worker.loop import Loop
from outbox_worker.worker.report import Reporter
from outbox_worker.worker.wakeup import Wakeup
from tests.support_engine import (
    A,
    Scripted,
    ungated,
)

DONE = Result(outcome=Done())


def loop_of(
    url: str,
    *handlers: Scripted,
    slots: int = 3,
    lease: float = 30,
    poll: float = 0.2,
    metrics: Metrics | None = None,
) -> tuple[Loop, Wakeup]:
    wakeup = Wakeup(url, name="test")
    return (
        Loop(
            handlers={handler.destination: handler for handler in handlers},
            slots=dict.fromkeys(Destination, slots),
            owner=A,
            lease=timedelta(seconds=lease),
            poll=timedelta(seconds=poll),
            wakeup=wakeup,
            gatekeeper=ungated(A, timedelta(seconds=lease)),
            reporter=Reporter(metrics or Metrics()),
        ),
        wakeup,
    )


async def cycles(loop: Loop, conn: Connection) -> None:
    while True:
        await loop.cycle(conn)
        await loop.pause()


@contextlib.asynccontextmanager
async def running(loop: Loop, url: str) -> AsyncIterator[None]:
    """Run the loop's cycles beside the test, on a connection of their own."""
    conn = await connect(url, application_name="test loop", prepares=True)
    task = asyncio.create_task(cycles(loop, conn))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        loop.cancel()
        await asyncio.sleep(0)
        await conn.close()


def until(event: asyncio.Event) -> Callable[[Claim, Deadline], Awaitable[Result]]:
    async def run(claim: Claim, deadline: Deadline) -> Result:
        del claim, deadline
        await event.wait()
        return DONE

    return run


async def said(what: object) -> bool:
    return bool(what)


async def settled(conn: Connection, count: int) -> bool:
    cursor = await conn.execute("select count(*) as n from outbox.delivery where delivered > 0")
    return bool(((await cursor.fetchone()) or {})["n"] == count)
