"""Asking again for what a plan lists, as far as it is still so.

Lock order: bookings, deliveries, alerts, the alerts' own deliveries; each by id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from psycopg import errors as pg

from outbox_worker.alerts import store as alert_store
from outbox_worker.alerts.alert import AlertId
from outbox_worker.bookings import store as booking_store
from outbox_worker.database import Connection
from outbox_worker.operations.actions import record_action
from outbox_worker.operations.explain_alert import MEANINGS
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
        closes_alerts: Whether the open payment alerts about the bookings are closed, too: each
            booking was named by a person, who has looked at it.
    """

    actor: str
    target: str
    reason: str | None
    closes_alerts: bool = False


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
class Closed:
    """An alert that was closed, and the subject that it was about."""

    name: str
    alert_id: AlertId


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
    changed = Changed(skipped=tuple(_left_alone(item) for item in left))
    for alerts_own in (False, True):
        group = [item for item in touched if (item.destination in _ALERTS_OWN) is alerts_own]
        if group:
            changed += await _apply_or_split(conn, group, request, alerts_own=alerts_own)
    if changed.requeued or changed.closed:
        await outbox_store.notify(conn)
    return changed


async def _apply_or_split(
    conn: Connection, items: Sequence[Item], request: Request, *, alerts_own: bool
) -> Changed:
    """Change all items in one transaction; where somebody holds a lock, each in its own."""
    try:
        async with conn.transaction():
            done, closed = await _apply(conn, items, request, alerts_own=alerts_own)
    except pg.LockNotAvailable:
        if len(items) == 1:
            return Changed(skipped=(Skipped(name=items[0].name, reason=_LOCKED),))
        changed = Changed()
        for item in items:
            changed += await _apply_or_split(conn, [item], request, alerts_own=alerts_own)
        return changed
    by_name = {each.name: each for each in done.values()}
    return Changed(
        requeued=tuple(by_name[item.name] for item in items if item.name in by_name),
        skipped=tuple(_left_alone(item) for item in items if item.name not in by_name),
        closed=closed,
    )


def _left_alone(item: Item) -> Skipped:
    return Skipped(name=item.name, reason=item.skip or _CHANGED_MEANWHILE)


async def _apply(
    conn: Connection, items: Sequence[Item], request: Request, *, alerts_own: bool
) -> tuple[dict[DeliveryId, Requeued], tuple[Closed, ...]]:
    bookings = sorted(item.booking_id for item in items if item.booking_id is not None)
    await booking_store.begin_ours(conn, _ORIGIN)
    if alerts_own:
        await alert_store.lock(conn, ids=[AlertId(int(item.key)) for item in items])
    else:
        await booking_store.lock(conn, bookings)
    wanted = [item for item in items if item.skip is None]
    again = [item for item in wanted if item.delivery_id is not None]
    first = [item for item in wanted if item.delivery_id is None]
    done = await _ask_again(conn, again, request) | await _ask_first(conn, first, request)
    closed: tuple[Closed, ...] = ()
    if not alerts_own:
        closed = await _close_alerts(conn, items, done, request)
        if done:
            await booking_store.mirror(conn, bookings)
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
    return done, closed


async def _close_alerts(
    conn: Connection, items: Sequence[Item], done: Iterable[DeliveryId], request: Request
) -> tuple[Closed, ...]:
    """Heal what is asked for again; close what only a person can call dealt with."""
    by_booking = {item.booking_id: item for item in items if item.booking_id is not None}
    about = (
        await alert_store.open_about(conn, sorted(by_booking), MEANINGS)
        if request.closes_alerts
        else {}
    )
    held = await alert_store.lock(conn, ids=about, deliveries=done)
    await alert_store.heal(conn, done, channels=_CHANNELS)
    # told only of those that this transaction closes; `heal` may have closed one of them already
    closed = [alert_id for alert_id in sorted(about) if alert_id in held]
    await alert_store.close(conn, closed, channels=_CHANNELS)
    if closed:
        concerned = {by_booking[about[alert_id]].delivery_id for alert_id in closed}
        await record_action(
            conn,
            actor=request.actor,
            action="close alert",
            target=request.target,
            affected=len(closed),
            deliveries=sorted(each for each in concerned if each is not None),
            reason=request.reason,
        )
    return tuple(
        Closed(name=by_booking[about[alert_id]].name, alert_id=alert_id) for alert_id in closed
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
