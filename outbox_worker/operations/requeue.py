"""Asking again for what a plan lists, as far as it is still so.

Lock order: bookings, deliveries, alerts, the alerts' own deliveries; each by id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from outbox_worker.bookings import store as booking_store
from outbox_worker.database import Connection
from outbox_worker.gate import store as gate_store
from outbox_worker.operations.actions import record_action
from outbox_worker.operations.plan import Item
from outbox_worker.operations.slices import (
    Closed,
    Request,
    Skipped,
    bookings_of,
    by_lock_order,
    close_alerts,
    left_alone,
    lock,
    locked,
    together_or_apart,
)
from outbox_worker.outbox import store as outbox_store
from outbox_worker.outbox.delivery import DeliveryId
from outbox_worker.sql import query

__all__ = ["Changed", "Closed", "Request", "Requeued", "Skipped", "apply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requeued:
    """One subject that is asked for again, and the version to wait for."""

    name: str
    delivery_id: DeliveryId
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What one slice did; a subject that was left alone may have had alerts to close."""

    requeued: tuple[Requeued, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    closed: tuple[Closed, ...] = ()

    def __add__(self, other: Changed) -> Changed:
        return Changed(
            requeued=self.requeued + other.requeued,
            skipped=self.skipped + other.skipped,
            closed=self.closed + other.closed,
        )


async def apply(conn: Connection, items: Sequence[Item], request: Request) -> Changed:
    """Ask again for a slice of a plan, then wake the workers.

    Rows that changed since the plan was made, or that a worker holds now, are left alone: the
    condition is part of the statement that writes.

    Args:
        conn: In autocommit mode; one transaction for all items, and one more for alerts' own
            deliveries, which come after their alerts in the lock order.
        items: A slice of a plan; those with a reason to be skipped are reported, not asked for.
        request: For the history.
    """
    touched: list[Item] = []
    left: list[Item] = []
    for item in items:
        closes = request.closes_alerts and item.booking_id is not None
        (touched if item.skip is None or closes else left).append(item)
    changed = Changed(skipped=tuple(left_alone(item) for item in left))
    for alerts_own, group in by_lock_order(touched):
        for done in await together_or_apart(
            conn,
            group,
            partial(_apply, conn, request=request, alerts_own=alerts_own),
            otherwise=lambda item: Changed(skipped=(locked(item),)),
        ):
            changed += done
    asked = {each.name for each in changed.requeued}
    for destination in sorted({item.destination for item in touched if item.name in asked}):
        # whoever asks again has mended something, or wants to know at once
        await gate_store.allow_probe(conn, destination)
    if changed.requeued or changed.closed:
        await outbox_store.notify(conn)
    return changed


async def _apply(
    conn: Connection, items: Sequence[Item], *, request: Request, alerts_own: bool
) -> Changed:
    await lock(conn, items, alerts_own=alerts_own)
    wanted = [item for item in items if item.skip is None]
    again = [item for item in wanted if item.delivery_id is not None]
    first = [item for item in wanted if item.delivery_id is None]
    done = await _ask_again(conn, again, request) | await ask_first(conn, first, request)
    closed: tuple[Closed, ...] = ()
    if not alerts_own:
        closed = await close_alerts(conn, items, done, request)
        if done:
            await booking_store.mirror(conn, bookings_of(items))
    if done:
        await record_action(
            conn,
            actor=request.actor,
            action="requeue",
            target=request.target,
            affected=len(done),
            deliveries=sorted(done),
            reason=request.reason,
        )
    by_name = {each.name: each for each in done.values()}
    return Changed(
        requeued=tuple(by_name[item.name] for item in items if item.name in by_name),
        skipped=tuple(left_alone(item) for item in items if item.name not in by_name),
        closed=closed,
    )


async def _ask_again(
    conn: Connection, items: Sequence[Item], request: Request
) -> dict[DeliveryId, Requeued]:
    if not items:
        return {}
    names = {item.delivery_id: item.name for item in items}
    cursor = await conn.execute(
        query("requeue"),
        {
            "ids": [item.delivery_id for item in items],
            "requested": [item.requested for item in items],
            "delivered": [item.delivered for item in items],
            "failed_at": [item.failed_at for item in items],
            "discarded_at": [item.discarded_at for item in items],
            "actor": request.actor,
        },
    )
    done = [
        Requeued(
            name=names[row["delivery_id"]],
            delivery_id=DeliveryId(row["delivery_id"]),
            version=row["version"],
        )
        for row in await cursor.fetchall()
    ]
    return {each.delivery_id: each for each in done}


async def ask_first(
    conn: Connection, items: Sequence[Item], request: Request
) -> dict[DeliveryId, Requeued]:
    """Make the rows of bookings that nobody has asked for yet; the caller has locked them."""
    if not items:
        return {}
    ordered = sorted(items, key=lambda item: item.key)
    cursor = await conn.execute(
        query("request_never_requested"),
        {
            "ids": [item.booking_id for item in ordered],
            "statuses": [item.booking_status for item in ordered],
            "actor": request.actor,
        },
    )
    keys = [str(row["booking_id"]) for row in await cursor.fetchall()]
    names = {item.key: item.name for item in ordered}
    # a statement of its own: the rows that the first one made are not in its own snapshot
    cursor = await conn.execute(query("booking_deliveries"), {"keys": keys})
    done = [
        Requeued(
            name=names[row["key"]], delivery_id=DeliveryId(row["id"]), version=row["requested"]
        )
        for row in await cursor.fetchall()
    ]
    return {each.delivery_id: each for each in done}
