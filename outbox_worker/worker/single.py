"""Deliver one row now and wait for what becomes of it: for callers who are waiting themselves."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime, timedelta
from typing import Any

from outbox_worker.database import Connection, translated
from outbox_worker.errors import DatabaseError, NotFoundError
from outbox_worker.gate.circuit import Evidence
from outbox_worker.handlers.protocol import Handler
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import DeliveryId
from outbox_worker.outbox.store import DeliveryRow
from outbox_worker.worker import report
from outbox_worker.worker.execute import Finished, execute, given_back
from outbox_worker.worker.gatekeeper import Gatekeeper, observed
from outbox_worker.worker.lease import Lease, boot_time
from outbox_worker.worker.settle import settle

#: Longest pause between two looks at a row that another worker holds.
_LOOK_EVERY = timedelta(milliseconds=250)


async def deliver_one(
    conn: Connection,
    delivery_id: DeliveryId,
    *,
    handler: Handler[Any],
    gatekeeper: Gatekeeper,
    lease: timedelta,
    patience: timedelta,
) -> DeliveryRow:
    """Make attempts until the row is delivered or parked, or patience ends.

    A worker may take the row meanwhile: then this waits for that worker's result.

    Args:
        conn: In autocommit mode.
        delivery_id: The row; something is owed.
        handler: Its destination's handler.
        gatekeeper: Its owner is unique to this call. Pause and circuit are passed by, as a person
            asked; the common limit of calls is kept.
        lease: Length of a claim.
        patience: Longest time to wait in all; what has begun is finished all the same.

    Returns:
        The row as it is then; still owed when patience ended first.

    Raises:
        NotFoundError: There is no such row.
        DatabaseError: See `database.translated`.
    """
    loop = asyncio.get_running_loop()
    ends = loop.time() + patience.total_seconds()
    while True:
        with translated():
            row = await store.read(conn, delivery_id)
        if row is None:
            raise NotFoundError(f"delivery {delivery_id} is gone")
        if at_rest(row) or loop.time() >= ends:
            return row
        if not await gatekeeper.allow(conn, row.destination):
            await asyncio.sleep(_LOOK_EVERY.total_seconds())
            continue
        finished = await _attempt(conn, row, handler=handler, gatekeeper=gatekeeper, lease=lease)
        if finished is None:
            await asyncio.sleep(_pause(row).total_seconds())
        elif _in_vain(finished):
            ends = loop.time()


def at_rest(row: DeliveryRow) -> bool:
    """Whether a row is delivered, given up or discarded, with no lease on it."""
    at = row.snapshot
    if at.lease_until is not None and at.lease_until > row.now:
        return False
    return at.delivered == at.requested or at.failed_at is not None or at.discarded_at is not None


async def _attempt(
    conn: Connection,
    row: DeliveryRow,
    *,
    handler: Handler[Any],
    gatekeeper: Gatekeeper,
    lease: timedelta,
) -> Finished | None:
    owner = gatekeeper.owner
    taken_at = boot_time()
    with translated():
        claim = await store.claim_one(
            conn, row.id, owner=owner, lease=lease, max_attempts=handler.policy.max_attempts
        )
    if claim is None:
        return None
    gatekeeper.reserve(claim.destination, 1)
    try:
        with translated():
            states = await handler.load(conn, [claim])
    except DatabaseError:
        # claimed but not begun: given back uncharged, if Postgres can be reached at all
        with contextlib.suppress(DatabaseError):
            unread = given_back(claim, code="not_read")
            await settle(conn, [unread], owner=owner, policies={claim.destination: handler.policy})
        raise
    finished = await execute(
        claim, states[claim.id], handler, Lease(taken_at=taken_at, length=lease)
    )
    gatekeeper.saw(finished, conclusive=True)
    pending: tuple[Finished, ...] = (finished,)
    while pending:
        settled = await settle(
            conn, pending, owner=owner, policies={claim.destination: handler.policy}
        )
        report.settled(settled)
        pending = settled.deferred
        if pending:
            await asyncio.sleep(_LOOK_EVERY.total_seconds())
    await gatekeeper.tell(conn)
    return finished


def _in_vain(finished: Finished) -> bool:
    """Whether no number of tries helps now: the settings are wrong, or there is no token."""
    seen = observed(finished, probe=False)
    return seen.sure or seen.evidence is Evidence.MISCONFIGURED


def _pause(row: DeliveryRow) -> timedelta:
    due: datetime | None = row.snapshot.due_at
    if due is None or due <= row.now:
        return _LOOK_EVERY
    return min(due - row.now, _LOOK_EVERY)
