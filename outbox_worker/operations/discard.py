"""A person says "not owed": nothing more is sent for it, and everything stays on record.

Lock order: bookings, deliveries, alerts, the alerts' own deliveries; each by id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from outbox_worker.bookings import store as booking_store
from outbox_worker.bookings.booking import BookingStatus
from outbox_worker.database import Connection
from outbox_worker.operations.actions import record_action
from outbox_worker.operations.plan import Item, read_named
from outbox_worker.operations.refs import Target
from outbox_worker.operations.requeue import ask_first
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
from outbox_worker.outbox.delivery import DeliveryId, Destination, State
from outbox_worker.sql import query

_CONFIRMED = frozenset({BookingStatus.CONFIRMED, BookingStatus.COMPLETED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Discarded:
    """One subject that is not owed any more.

    Args:
        uncertain: Whether a call of unknown outcome was made for it, so that the PMS may hold it.
        reserved: Whether the PMS is on record as holding it, as it was before.
    """

    name: str
    delivery_id: DeliveryId
    uncertain: bool
    reserved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Discards:
    """What one slice did; a subject that was left alone may have had alerts to close."""

    discarded: tuple[Discarded, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    closed: tuple[Closed, ...] = ()

    def __add__(self, other: Discards) -> Discards:
        return Discards(
            discarded=self.discarded + other.discarded,
            skipped=self.skipped + other.skipped,
            closed=self.closed + other.closed,
        )


async def plan_discard(conn: Connection, targets: Sequence[Target]) -> tuple[Item, ...]:
    """What would be discarded, as it was named, and what would be left alone; only reads."""
    return tuple(replace(item, skip=_skip(item)) for item in await read_named(conn, targets))


async def discard(conn: Connection, items: Sequence[Item], request: Request) -> Discards:
    """Discard a slice of a plan.

    Rows that changed since the plan was made, or that a worker holds now, are left alone: the
    condition is part of the statement that writes. What the PMS holds stays there, and on record.

    Args:
        conn: In autocommit mode; one transaction for all items, and one more for alerts' own
            deliveries, which come after their alerts in the lock order.
        items: A slice of a plan; of those with a reason to be skipped only the alerts are closed.
        request: For the history; its reason is a person's.
    """
    done = Discards()
    for alerts_own, group in by_lock_order(items):
        for part in await together_or_apart(
            conn,
            group,
            partial(_discard, conn, request=request, alerts_own=alerts_own),
            otherwise=lambda item: Discards(skipped=(locked(item),)),
        ):
            done += part
    if done.discarded or done.closed:
        # the mail that an alert is solved
        await outbox_store.notify(conn)
    return done


def _skip(item: Item) -> str | None:
    match item.state:
        case State.SENDING:
            return "a worker is sending it now: it may be creating the reservation"
        case State.DISCARDED:
            return "discarded already"
        case State.SYNCED:
            return "nothing is owed for it"
        case None:
            missing = (
                item.destination is Destination.GUESTLY
                and item.booking_status in _CONFIRMED
                and not item.reserved
            )
            return None if missing else "nothing is owed for it"
        case _:
            return None


async def _discard(
    conn: Connection, items: Sequence[Item], *, request: Request, alerts_own: bool
) -> Discards:
    await lock(conn, items, alerts_own=alerts_own)
    wanted = [item for item in items if item.skip is None]
    # nobody has asked for it yet: the row is what remembers that a person said no
    made = await ask_first(conn, [item for item in wanted if item.delivery_id is None], request)
    versions = {each.name: (each.delivery_id, each.version) for each in made.values()}
    rows = []
    for item in wanted:
        if item.delivery_id is not None:
            rows.append((item, item.delivery_id, item.requested))
        elif item.name in versions:
            rows.append((item, *versions[item.name]))
    by_id = {delivery_id: item for item, delivery_id, _ in rows}
    cursor = await conn.execute(
        query("discard"),
        {
            "ids": [delivery_id for _, delivery_id, _ in rows],
            "requested": [version for _, _, version in rows],
            "delivered": [item.delivered for item, _, _ in rows],
            "failed_at": [item.failed_at for item, _, _ in rows],
        },
    )
    done = {
        DeliveryId(row["id"]): Discarded(
            name=by_id[row["id"]].name,
            delivery_id=DeliveryId(row["id"]),
            uncertain=row["uncertain"],
            reserved=by_id[row["id"]].reserved,
        )
        for row in await cursor.fetchall()
    }
    closed: tuple[Closed, ...] = ()
    if not alerts_own:
        closed = await close_alerts(conn, items, done, request)
        if done:
            await booking_store.mirror(conn, bookings_of(items))
    if done:
        await record_action(
            conn,
            actor=request.actor,
            action="discard",
            target=request.target,
            affected=len(done),
            deliveries=sorted(done),
            reason=request.reason,
        )
    acted = {each.name for each in done.values()}
    return Discards(
        discarded=tuple(done[row_id] for row_id in by_id if row_id in done),
        skipped=tuple(left_alone(item) for item in items if item.name not in acted),
        closed=closed,
    )
