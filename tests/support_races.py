"""Two or three sessions, one step at a time: what has to wait is seen waiting, not slept for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar
from uuid import UUID

from outbox_worker.database import Connection, connect
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Claim, DeliveryId, Destination, Reason, WorkerId
from tests.support_engine import A, claim_all, insert_booking

T = TypeVar("T")
_PATIENCE_S = 10.0


@contextlib.asynccontextmanager
async def session(database_url: str, name: str = "other") -> AsyncIterator[Connection]:
    """A session of its own, in autocommit mode."""
    conn = await connect(database_url, application_name=name)
    try:
        yield conn
    finally:
        await conn.close()


async def waits(watcher: Connection, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Begin something that has to wait for somebody's lock, and see it wait.

    Args:
        watcher: A session of the same database that nobody blocks.
        work: The only thing there that waits; that it ends without having waited is a failure.

    Returns:
        What was begun, to be awaited once the lock is let go of.
    """
    task = asyncio.create_task(work)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while not await _somebody_waits(watcher):
                assert not task.done(), f"it did not wait: {task}"
                await asyncio.sleep(0.005)
    except BaseException:
        task.cancel()
        raise
    return task


async def owed_booking(conn: Connection, **values: Any) -> tuple[UUID, DeliveryId]:
    """A confirmed booking and its delivery, due now; ``values`` override its columns."""
    booking = await insert_booking(conn, **values)
    await store.request_sync(conn, booking, reason=Reason.STRIPE)
    delivery = await store.find(conn, destination=Destination.GUESTLY, key=str(booking))
    assert delivery is not None
    return booking, delivery


async def claim_only(
    conn: Connection, owner: WorkerId = A, *, destination: Destination = Destination.INBOX
) -> Claim:
    """Claim the one row that is due."""
    (claim,) = await claim_all(conn, owner, destination=destination)
    return claim


def state(row: dict[str, Any]) -> dict[str, Any]:
    """What a row holds, without the moment at which it was read."""
    return {name: value for name, value in row.items() if name != "now"}


async def _somebody_waits(watcher: Connection) -> bool:
    # a pooler tells its clients nothing of the server's process ids
    cursor = await watcher.execute(
        "select from pg_stat_activity where datname = current_database()"
        " and cardinality(pg_blocking_pids(pid)) > 0"
    )
    return await cursor.fetchone() is not None
