"""Asking again for what a plan lists, as far as it is still so.

Lock order: bookings, deliveries, alerts, the alerts' own deliveries; each by id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import errors as pg

from outbox_worker.alerts import store as alert_store
from outbox_worker.alerts.alert import AlertId
from outbox_worker.bookings import store as booking_store
from outbox_worker.database import Connection
from outbox_worker.operations.actions import record_action
from outbox_worker.operations.plan import Item
from outbox_worker.outbox import store as outbox_store
from outbox_worker.outbox.delivery import DeliveryId, Destination
from outbox_worker.sql import query

#: Marks our writes, so that the optional trigger on bookings stays silent.
_ORIGIN = "operator"
#: Who is told that an alert is solved.
_CHANNELS = (Destination.EMAIL,)
#: Deliveries that come after their alerts in the lock order.
_ALERTS_OWN = frozenset({Destination.EMAIL, Destination.CHAT})
_CHANGED_MEANWHILE = "changed since the list was made"
_LOCKED = "somebody else holds it locked; try again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Who asks for what, and why; for the history.

    Args:
        target: As it was typed.
        reason: In the operator's words.
    """

    actor: str
    target: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Requeued:
    """One subject that is asked for again, and the version to wait for."""

    name: str
    delivery_id: DeliveryId
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """One subject that was left alone, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What one slice did."""

    requeued: tuple[Requeued, ...]
    skipped: tuple[Skipped, ...]

    def __add__(self, other: Changed) -> Changed:
        return Changed(
            requeued=self.requeued + other.requeued, skipped=self.skipped + other.skipped
        )


async def apply(conn: Connection, items: Sequence[Item], request: Request) -> Changed:
    """Ask again for a slice of a plan, then wake the workers.

    Rows that changed since the plan was made, or that a worker holds now, are left alone: the
    condition is part of the statement that writes.

    Args:
        conn: In autocommit mode; one transaction for all items, and one more for alerts' own
            deliveries, which come after their alerts in the lock order.
        items: A slice of a plan; those with a reason to be skipped are reported, not touched.
        request: For the history.
    """
    wanted = [item for item in items if item.skip is None]
    changed = Changed(
        requeued=(),
        skipped=tuple(Skipped(name=i.name, reason=i.skip) for i in items if i.skip is not None),
    )
    for alerts_own in (False, True):
        group = [item for item in wanted if (item.destination in _ALERTS_OWN) is alerts_own]
        if group:
            changed += await _apply_or_split(conn, group, request, alerts_own=alerts_own)
    if changed.requeued:
        await outbox_store.notify(conn)
    return changed


async def _apply_or_split(
    conn: Connection, items: Sequence[Item], request: Request, *, alerts_own: bool
) -> Changed:
    """Change all items in one transaction; where somebody holds a lock, each in its own."""
    try:
        async with conn.transaction():
            done = await _apply(conn, items, request, alerts_own=alerts_own)
    except pg.LockNotAvailable:
        if len(items) == 1:
            return Changed(requeued=(), skipped=(Skipped(name=items[0].name, reason=_LOCKED),))
        changed = Changed(requeued=(), skipped=())
        for item in items:
            changed += await _apply_or_split(conn, [item], request, alerts_own=alerts_own)
        return changed
    by_name = {each.name: each for each in done.values()}
    names = [item.name for item in items]
    return Changed(
        requeued=tuple(by_name[name] for name in names if name in by_name),
        skipped=tuple(
            Skipped(name=name, reason=_CHANGED_MEANWHILE) for name in names if name not in by_name
        ),
    )


async def _apply(
    conn: Connection, items: Sequence[Item], request: Request, *, alerts_own: bool
) -> dict[DeliveryId, Requeued]:
    bookings = sorted(item.booking_id for item in items if item.booking_id is not None)
    await booking_store.begin_ours(conn, _ORIGIN)
    if alerts_own:
        await alert_store.lock(conn, ids=[AlertId(int(item.key)) for item in items])
    else:
        await booking_store.lock(conn, bookings)
    again = [item for item in items if item.delivery_id is not None]
    first = [item for item in items if item.delivery_id is None]
    done = await _ask_again(conn, again, request) | await _ask_first(conn, first, request)
    if done:
        if not alerts_own:
            await alert_store.heal(conn, done, channels=_CHANNELS)
            await booking_store.mirror(conn, bookings)
        await record_action(
            conn,
            actor=request.actor,
            action="requeue",
            target=request.target,
            affected=len(done),
            deliveries=sorted(done),
            reason=request.reason,
        )
    return done


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


async def _ask_first(
    conn: Connection, items: Sequence[Item], request: Request
) -> dict[DeliveryId, Requeued]:
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
