"""What would be asked for again: a frozen list, with what is left alone and why. Only reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TypeAlias, assert_never
from uuid import UUID

from outbox_worker.bookings import store as booking_store
from outbox_worker.bookings.booking import BookingStatus
from outbox_worker.bookings.store import SyncView
from outbox_worker.database import Connection, Row
from outbox_worker.errors import MappingError
from outbox_worker.operations.refs import Subject, Target
from outbox_worker.operations.rows import snapshot_from
from outbox_worker.outbox import store as outbox_store
from outbox_worker.outbox.delivery import DeliveryId, Destination, State, state_of
from outbox_worker.pms import mapping
from outbox_worker.pms.port import PmsName
from outbox_worker.sql import query


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Everything that was given up.

    Args:
        code: Only with this last error.
        since: Only given up at or after this; aware.
    """

    code: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Every confirmed and paid booking that is neither requested nor held by a PMS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InTestMode:
    """Every booking whose reservation exists in test mode only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """The given subjects and no others."""

    targets: tuple[Target, ...]


Selection: TypeAlias = Failed | Missing | InTestMode | Named


@dataclass(frozen=True, slots=True, kw_only=True)
class PmsView:
    """What the comparison with the PMS depends on; the same settings as the worker's."""

    pms: PmsName
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One subject of a plan, frozen as it was shown.

    Args:
        name: Booking reference, event id, or what else people call it.
        delivery_id: None: never requested.
        state: None: never requested.
        skip: Why it is left alone; None: it is acted on.
        reserved: Whether a PMS is on record as holding a reservation for it.
    """

    name: str
    destination: Destination
    key: str
    delivery_id: DeliveryId | None
    booking_id: UUID | None
    booking_status: BookingStatus | None
    check_in: date | None
    state: State | None
    error_code: str | None
    requested: int
    delivered: int
    failed_at: datetime | None
    discarded_at: datetime | None
    skip: str | None
    reserved: bool = False


async def plan(conn: Connection, selection: Selection, *, view: PmsView) -> tuple[Item, ...]:
    """Choose what will be asked for again, without changing anything.

    Args:
        conn: Any connection; only reads.
        selection: What the operator asked for.
        view: To tell a booking that the PMS holds as it is from one that differs.

    Returns:
        Every selected subject once, those that will be left alone included: as they were named,
        else the soonest check-in first.
    """
    names = {t.key: t.name for t in selection.targets} if isinstance(selection, Named) else {}
    items = [
        replace(item, skip=_skip(item))
        for item in await _read(conn, await _keys(conn, selection, view), names)
    ]
    # at rest, and with something on record: does the PMS hold what it should?
    settled = [
        item.booking_id
        for item in items
        if item.booking_id is not None
        and item.skip is None
        and (item.state is State.SYNCED or (item.state is None and item.reserved))
    ]
    views = await booking_store.read_for_sync(conn, settled, pms=view.pms) if settled else {}
    compared = (
        replace(item, skip="already as wanted")
        if item.booking_id in views and is_as_wanted(views[item.booking_id], view)
        else item
        for item in items
    )
    return tuple(compared if isinstance(selection, Named) else sorted(compared, key=_urgency))


async def read_named(conn: Connection, targets: Sequence[Target]) -> tuple[Item, ...]:
    """The rows of some subjects, each once and in their order; none has a reason to be skipped."""
    keys = [await _named(conn, target) for target in targets]
    return tuple(await _read(conn, keys, {target.key: target.name for target in targets}))


async def _read(
    conn: Connection, keys: Sequence[tuple[Destination, str]], names: Mapping[str, str]
) -> list[Item]:
    each_once = list(dict.fromkeys(keys))
    cursor = await conn.execute(
        query("requeue_plan"),
        {"destinations": [d for d, _ in each_once], "keys": [key for _, key in each_once]},
    )
    return [_item(row, names) for row in await cursor.fetchall()]


async def _keys(
    conn: Connection, selection: Selection, view: PmsView
) -> list[tuple[Destination, str]]:
    match selection:
        case Named(targets=targets):
            return [await _named(conn, target) for target in targets]
        case Failed(code=code, since=since):
            cursor = await conn.execute(query("requeue_failed"), {"code": code, "since": since})
        case Missing():
            cursor = await conn.execute(query("requeue_missing"))
        case InTestMode():
            cursor = await conn.execute(query("requeue_test_mode"), {"pms": view.pms})
        case _:
            assert_never(selection)
    return [(Destination(row["destination"]), row["key"]) for row in await cursor.fetchall()]


async def _named(conn: Connection, target: Target) -> tuple[Destination, str]:
    if target.subject is not Subject.ALERT or target.delivery_id is None:
        return target.destination, target.key
    row = await outbox_store.read(conn, target.delivery_id)
    return (target.destination if row is None else row.destination), target.key


def _urgency(item: Item) -> tuple[bool, date, str]:
    return item.check_in is None, item.check_in or date.max, item.name


def _item(row: Row, names: Mapping[str, str]) -> Item:
    state = None if row["id"] is None else state_of(snapshot_from(row), now=row["now"], held=False)
    status = None if row["status"] is None else _status(row["status"])
    return Item(
        name=row["booking_reference"] or names.get(row["key"]) or row["key"],
        destination=Destination(row["destination"]),
        key=row["key"],
        delivery_id=None if row["id"] is None else DeliveryId(row["id"]),
        booking_id=row["booking_id"] if row["present"] else None,
        booking_status=status,
        check_in=row["check_in_date"],
        state=state,
        error_code=row["last_error_code"],
        requested=row["requested"] or 0,
        delivered=row["delivered"] or 0,
        failed_at=row["failed_at"],
        discarded_at=row["discarded_at"],
        skip=None,
        reserved=row["reserved"],
    )


def _skip(item: Item) -> str | None:
    """Why a row is left alone whatever the PMS holds."""
    if item.state is State.SENDING:
        return "a worker is sending it now"
    if item.destination is not Destination.GUESTLY:
        if item.state is None:
            return "nothing is owed for it"
        return "done already" if item.state is State.SYNCED else None
    if item.booking_id is None:
        return "the booking was deleted from the site"
    if item.state is None and not item.reserved:
        if item.booking_status is BookingStatus.PENDING:
            return "not confirmed yet: there is nothing to send"
        if item.booking_status is BookingStatus.CANCELLED:
            return "cancelled before the PMS held it: there is nothing to send"
    return None


def is_as_wanted(known: SyncView, view: PmsView) -> bool:
    """Whether the PMS holds the booking as it is now, as far as we know.

    Args:
        known: Booking, listing and reservation, of one snapshot.
        view: With which words and currency the worker maps it.
    """
    booking, reservation = known.booking, known.reservation
    live = reservation is not None and not reservation.test
    if booking is None or known.elsewhere is not None:
        return False
    if booking.status is BookingStatus.CANCELLED:
        wanted = mapping.cancelled_fingerprint(booking.reference)
        return not live or (reservation is not None and reservation.fingerprint == wanted)
    if reservation is None or not live:
        return False
    try:
        mapped = mapping.to_reservation(
            booking, listing_id=known.listing_id, pms=view.pms, currency=view.currency
        )
    except MappingError:
        # it will be refused, with an alert that says why: more use than our silence
        return False
    return reservation.fingerprint == mapping.fingerprint(mapped.reservation)


def _status(word: str) -> BookingStatus | None:
    try:
        return BookingStatus(word)
    except ValueError:
        return None
