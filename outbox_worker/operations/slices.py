"""A slice of a bulk action as transactions: in the lock order, apart where somebody is in the way.

Lock order: bookings, deliveries, alerts, the alerts' own deliveries; each by id.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from psycopg import errors as pg

from outbox_worker.alerts import store as alert_store
from outbox_worker.alerts.alert import ALERT_CHANNELS, AlertId
from outbox_worker.bookings import store as booking_store
from outbox_worker.database import Connection
from outbox_worker.operations.actions import record_action
from outbox_worker.operations.explain_alert import MEANINGS
from outbox_worker.operations.plan import Item
from outbox_worker.outbox.delivery import DeliveryId, Destination

T = TypeVar("T")

#: Marks our writes, so that the optional trigger on bookings stays silent.
ORIGIN = "operator"
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
class Skipped:
    """One subject that was left alone, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """An alert that was closed, and the subject that it was about."""

    name: str
    alert_id: AlertId


def left_alone(item: Item) -> Skipped:
    """Why an item of a plan was not acted on."""
    return Skipped(name=item.name, reason=item.skip or _CHANGED_MEANWHILE)


def locked(item: Item) -> Skipped:
    """An item whose row or booking somebody else held for too long."""
    return Skipped(name=item.name, reason=_LOCKED)


def by_lock_order(items: Sequence[Item]) -> Iterator[tuple[bool, list[Item]]]:
    """Items that may share a transaction, and whether they are the alerts' own deliveries."""
    for alerts_own in (False, True):
        group = [item for item in items if (item.destination in _ALERTS_OWN) is alerts_own]
        if group:
            yield alerts_own, group


async def together_or_apart(
    conn: Connection,
    items: Sequence[Item],
    work: Callable[[Sequence[Item]], Awaitable[T]],
    *,
    otherwise: Callable[[Item], T],
) -> list[T]:
    """Act on all items in one transaction; where somebody holds a lock, on each in its own.

    Args:
        conn: In autocommit mode.
        items: One group of `by_lock_order`.
        work: Acts on some of them within the transaction.
        otherwise: The result for an item whose lock was not free in time.
    """
    try:
        async with conn.transaction():
            return [await work(items)]
    except pg.LockNotAvailable:
        if len(items) == 1:
            return [otherwise(items[0])]
        return [
            result
            for item in items
            for result in await together_or_apart(conn, [item], work, otherwise=otherwise)
        ]


async def lock(conn: Connection, items: Sequence[Item], *, alerts_own: bool) -> None:
    """Lock what comes before the deliveries: their bookings, or the alerts that own them."""
    await booking_store.begin_ours(conn, ORIGIN)
    if alerts_own:
        await alert_store.lock(conn, ids=[AlertId(int(item.key)) for item in items])
    else:
        await booking_store.lock(conn, bookings_of(items))


def bookings_of(items: Sequence[Item]) -> list[UUID]:
    """Ids of the bookings that the items are about, in order."""
    return sorted(item.booking_id for item in items if item.booking_id is not None)


async def close_alerts(
    conn: Connection, items: Sequence[Item], done: Iterable[DeliveryId], request: Request
) -> tuple[Closed, ...]:
    """Heal what was acted on; close what only a person can call dealt with.

    Args:
        conn: Inside the transaction that has locked bookings and deliveries.
        items: All that the person named, acted on or not.
        done: The rows that were acted on.
        request: Says whether the open payment alerts about the bookings are closed, too.
    """
    by_booking = {item.booking_id: item for item in items if item.booking_id is not None}
    about = (
        await alert_store.open_about(conn, sorted(by_booking), MEANINGS)
        if request.closes_alerts
        else {}
    )
    held = await alert_store.lock(conn, ids=about, deliveries=done)
    await alert_store.heal(conn, done, channels=ALERT_CHANNELS)
    # told only of those that this transaction closes; `heal` may have closed one of them already
    closed = [alert_id for alert_id in sorted(about) if alert_id in held]
    await alert_store.close(conn, closed, channels=ALERT_CHANNELS)
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
