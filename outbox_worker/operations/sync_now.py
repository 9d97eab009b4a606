"""Sending one booking now, whatever holds the others: disabled, paused, circuit open."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeAlias

from outbox_worker.bookings import store as booking_store
from outbox_worker.database import Connection
from outbox_worker.errors import RefusedError
from outbox_worker.operations.check import booking_of
from outbox_worker.operations.fleet import Fleet
from outbox_worker.operations.plan import Item, Named, PmsView, plan
from outbox_worker.operations.price import UnknownPrice, unknown_price
from outbox_worker.operations.refs import Target
from outbox_worker.operations.requeue import Requeued, apply
from outbox_worker.operations.settling import Settled, look, only_tested
from outbox_worker.operations.slices import Request
from outbox_worker.outbox import store as outbox_store
from outbox_worker.outbox.delivery import DeliveryId, State
from outbox_worker.outbox.outcome import AttemptOutcome
from outbox_worker.outbox.store import DeliveryRow
from outbox_worker.sql import query

#: Makes attempts at one row until it is settled.
Deliver: TypeAlias = Callable[[Connection, DeliveryId], Awaitable[DeliveryRow]]

_LOOK_EVERY = timedelta(seconds=0.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One attempt, told when it has ended.

    Args:
        worker: Who made it; a running worker may be quicker than we are.
    """

    round: int
    number: int
    outcome: AttemptOutcome
    error_code: str | None
    error: str | None
    http_status: int | None
    took: timedelta
    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncedNow:
    """What became of it.

    Args:
        skip: Why there was nothing to do; None: it was sent.
        settled: None with ``skip`` alone.
        attempts: Those that ended meanwhile.
        stale: Why a worker that was quicker has only tested it, and what to do.
        price: That the price in the PMS is not known to be ours; None: it is, or does not matter.
    """

    name: str
    delivery_id: DeliveryId | None
    skip: str | None
    settled: Settled | None
    attempts: tuple[Tried, ...]
    stale: str | None = None
    price: UnknownPrice | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Looks on while a booking is sent.

    Args:
        conn: A connection of its own.
        tell: Called with each attempt as it ends.
    """

    conn: Connection
    tell: Callable[[Tried], None]


async def sync_now(
    conn: Connection,
    target: Target,
    *,
    deliver: Deliver,
    test_mode: bool,
    view: PmsView,
    fleet: Fleet,
    request: Request,
    watch: Watch,
) -> SyncedNow:
    """Bring one booking to the PMS now, and wait for what becomes of it.

    Whether others are held is not asked: so one booking is tried before all of them are sent. What
    a worker is sending already is waited for.

    Args:
        conn: In autocommit mode; the booking is sent over it.
        target: A booking.
        deliver: Sends it.
        test_mode: Whether ``deliver`` sends nothing.
        view: How the worker maps a booking.
        fleet: The running workers.
        request: For the history.
        watch: Tells how it goes.

    Raises:
        RefusedError: Sending it from here would do harm; nothing was changed.
    """
    booking, known = await booking_of(conn, target, view)
    [item] = await plan(conn, Named(targets=(target,)), view=view)
    row = None if item.delivery_id is None else await outbox_store.read(conn, item.delivery_id)
    skip = item.skip if item.state is not State.SENDING else None
    if test_mode and skip is None:
        reservation = known.reservation
        _refuse_test(row, fleet, live=reservation is not None and not reservation.test)
        if reservation is not None and item.state is State.SYNCED:
            skip = "tested already (GUESTLY_TEST_MODE=true)"
    if skip is not None:
        return _nothing(item, skip, price=unknown_price(known, view, name=item.name))
    before = [each.fence for each in await _attempts(watch.conn, item.delivery_id, after=0)]
    asked = await _asked(conn, item, row, request)
    if asked is None:
        return _nothing(item, "it was changed at this moment; try again")
    attempts = await _deliver(conn, asked.delivery_id, deliver, watch, after=max(before, default=0))
    [settled] = await look(conn, [asked], closed={})
    known = (await booking_store.read_for_sync(conn, [booking.id], pms=view.pms))[booking.id]
    return SyncedNow(
        name=item.name,
        delivery_id=asked.delivery_id,
        skip=None,
        settled=settled,
        attempts=tuple(attempts),
        stale=await only_tested(conn, [settled], ours=replace(fleet.mode, test_mode=test_mode)),
        price=unknown_price(known, view, name=item.name),
    )


def _nothing(item: Item, why: str, *, price: UnknownPrice | None = None) -> SyncedNow:
    return SyncedNow(
        name=item.name,
        delivery_id=item.delivery_id,
        skip=why,
        settled=None,
        attempts=(),
        price=price,
    )


def _refuse_test(row: DeliveryRow | None, fleet: Fleet, *, live: bool) -> None:
    """Refuse to call a booking tested that others send, or have sent, in earnest."""
    if any(worker.sync_enabled and not worker.test_mode for worker in fleet.workers):
        raise RefusedError(
            "test mode is on here (GUESTLY_TEST_MODE=true), but the running workers send in"
            " earnest: the booking would count as done without being sent",
            hint="Use the workers' settings: --env-file FILE",
        )
    if live or (row is not None and row.snapshot.uncertain_at is not None):
        raise RefusedError(
            f"{fleet.pms} holds, or may hold, a reservation of it, which test mode leaves alone",
            hint="Set GUESTLY_TEST_MODE=false.",
        )


async def _asked(
    conn: Connection, item: Item, row: DeliveryRow | None, request: Request
) -> Requeued | None:
    """The row and the version to wait for; asked for anew unless it is due just so."""
    if row is not None:
        at = row.snapshot
        fresh = item.state is State.WAITING and at.due_at is not None and at.due_at <= row.now
        if fresh or item.state is State.SENDING:
            return Requeued(name=item.name, delivery_id=row.id, version=at.requested)
    changed = await apply(conn, [item], request)
    return changed.requeued[0] if changed.requeued else None


async def _deliver(
    conn: Connection, delivery_id: DeliveryId, deliver: Deliver, watch: Watch, *, after: int
) -> list[Tried]:
    told: list[Tried] = []

    async def news() -> None:
        nonlocal after
        for each in await _attempts(watch.conn, delivery_id, after=after):
            after = each.fence
            told.append(each.tried)
            watch.tell(each.tried)

    work = asyncio.ensure_future(deliver(conn, delivery_id))
    try:
        while not work.done():
            await asyncio.wait({work}, timeout=_LOOK_EVERY.total_seconds())
            await news()
        await work
    except asyncio.CancelledError:
        # what a call came to is worth more than a quick end: it would have to be found out
        await _until_free(watch.conn, delivery_id)
        raise
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
    return told


async def _until_free(conn: Connection, delivery_id: DeliveryId) -> None:
    while True:
        row = await outbox_store.read(conn, delivery_id)
        lease = None if row is None else row.snapshot.lease_until
        if row is None or lease is None or lease <= row.now:
            return
        await asyncio.sleep(_LOOK_EVERY.total_seconds())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recorded:
    fence: int
    tried: Tried


async def _attempts(
    conn: Connection, delivery_id: DeliveryId | None, *, after: int
) -> list[_Recorded]:
    cursor = await conn.execute(query("attempts_since"), {"id": delivery_id, "after": after})
    return [
        _Recorded(
            fence=row["fence"],
            tried=Tried(
                round=row["round"],
                number=row["number"],
                outcome=AttemptOutcome(row["outcome"]),
                error_code=row["error_code"],
                error=row["error"],
                http_status=row["http_status"],
                took=row["took"],
                worker=row["worker"],
            ),
        )
        for row in await cursor.fetchall()
    ]
