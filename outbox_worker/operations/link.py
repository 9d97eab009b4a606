"""A person says which reservation in the PMS is a booking's.

From then on it is written to, so it is checked first: that the PMS holds it, that it is no other
booking's, and that its listing and its stay or guest agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from outbox_worker.alerts import store as alert_store
from outbox_worker.alerts.alert import ALERT_CHANNELS
from outbox_worker.bookings import store as booking_store
from outbox_worker.bookings.booking import Booking, BookingStatus
from outbox_worker.bookings.store import SyncView
from outbox_worker.database import Connection
from outbox_worker.errors import RefusedError
from outbox_worker.handlers import price
from outbox_worker.handlers.booking import TEST_RESERVATION_ID
from outbox_worker.operations import ask_pms
from outbox_worker.operations.actions import record_action
from outbox_worker.operations.ask_pms import PmsReader
from outbox_worker.operations.check import booking_of, hold, live_reservation
from outbox_worker.operations.plan import PmsView
from outbox_worker.operations.price import unknown_price
from outbox_worker.operations.refs import Target
from outbox_worker.operations.remote import compare, confirmed_parts, parts_of, wanted_of
from outbox_worker.operations.slices import ORIGIN, Request
from outbox_worker.outbox import store as outbox_store
from outbox_worker.outbox.delivery import DeliveryId, Destination, Reason
from outbox_worker.outbox.store import DeliveryRow
from outbox_worker.pms.port import Parts, RemoteReservation, ReservationStatus
from outbox_worker.sql import query

_LONGEST_ID = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """What was put on record.

    Args:
        previous: The live reservation that was on record before; nothing was done to it.
        verified: Whether the PMS was asked and holds it.
        others: Further reservations that the PMS shows under the booking's reference.
        uncertain: Whether an unknown write may still land: the state is written after that.
        vouched: Whether price and guest there count from now on as what the booking says.
        confirms: Whether it was on record already, and only the price there was not known, or told
            of.
        version: What was asked for; the worker writes the booking's state.
    """

    name: str
    delivery_id: DeliveryId
    reservation_id: str
    previous: str | None
    verified: bool
    others: tuple[str, ...]
    uncertain: bool
    version: int
    vouched: bool = False
    confirms: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verified:
    fingerprint: str | None = None
    reference: str | None = None
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What is to be put on record.

    Args:
        fingerprint: Of the state that the PMS was seen to hold.
        vouched: The parts that no call could change there, and that the person vouches for.
        confirms: See `Linked`; what else is on record of it stays.
        verified: Whether the PMS was asked and holds it.
    """

    booking: Booking
    reservation_id: str
    fingerprint: str | None
    vouched: Parts
    confirms: bool
    verified: bool
    view: PmsView
    quiet: timedelta
    request: Request


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    delivery_id: DeliveryId
    version: int
    uncertain: bool


def usable_id(text: str) -> bool:
    """Whether a text can be the id of a reservation."""
    return (
        0 < len(text) <= _LONGEST_ID
        and text.isprintable()
        and not any(letter.isspace() for letter in text)
        and text != TEST_RESERVATION_ID
    )


async def link(
    conn: Connection,
    target: Target,
    reservation_id: str,
    *,
    pms: PmsReader | None,
    view: PmsView,
    quiet: timedelta,
    request: Request,
) -> Linked:
    """Put a reservation on record as the booking's, and ask that the booking's state is written.

    A doubt ends with it; while an unknown write may still land, it is refused. A reservation that
    is on record already can be named once more where its price is not known to be ours: a person
    has compared it.

    Args:
        conn: In autocommit mode; no transaction is open while the PMS is asked.
        target: A booking.
        reservation_id: Its id in the PMS, `usable_id`.
        pms: None: the PMS is not asked.
        view: How the worker maps a booking.
        quiet: How long an unknown write may still take effect after it may have been sent.
        request: For the history.

    Raises:
        RefusedError: It is so already, or would do harm; nothing was changed.
        PmsUnansweredError: The PMS did not say whether it holds it; nothing was changed.
    """
    booking, known = await booking_of(conn, target, view)
    previous = live_reservation(known)
    found = await outbox_store.find(conn, destination=Destination.GUESTLY, key=str(booking.id))
    row = None if found is None else await outbox_store.read(conn, found)
    vouched = confirmed_parts(booking, known, view)
    unsure = bool(vouched) and unknown_price(known, view, name=target.name) is not None
    unsure = unsure or await alert_store.is_open(conn, price.alert(view.pms, booking.id))
    confirms = _refuse(booking, row, reservation_id, previous, view, quiet=quiet, unsure=unsure)
    await _refuse_anothers(conn, booking, reservation_id, view, reference=None)
    verified = _Verified()
    if pms is not None:
        doubtful = row is not None and row.snapshot.uncertain_at is not None
        verified = await _verify(pms, booking, known, reservation_id, view, doubtful=doubtful)
        await _refuse_anothers(conn, booking, reservation_id, view, reference=verified.reference)
    wish = _Wish(
        booking=booking,
        reservation_id=reservation_id,
        fingerprint=verified.fingerprint,
        vouched=vouched,
        confirms=confirms,
        verified=pms is not None,
        view=view,
        quiet=quiet,
        request=request,
    )
    asked = await _record(conn, wish)
    await outbox_store.notify(conn)
    seen = None if pms is None else verified
    return _linked(target, wish, asked, previous=previous, verified=seen)


def _linked(
    target: Target, wish: _Wish, asked: _Asked, *, previous: str | None, verified: _Verified | None
) -> Linked:
    return Linked(
        name=target.name,
        delivery_id=asked.delivery_id,
        reservation_id=wish.reservation_id,
        previous=None if previous == wish.reservation_id else previous,
        verified=verified is not None,
        others=() if verified is None else verified.others,
        uncertain=asked.uncertain,
        version=asked.version,
        vouched=bool(wish.vouched),
        confirms=wish.confirms,
    )


async def _record(conn: Connection, wish: _Wish) -> _Asked:
    booking, view, request = wish.booking, wish.view, wish.request
    async with conn.transaction():
        await booking_store.begin_ours(conn, ORIGIN)
        await conn.execute(
            query("lock_reservation_id"),
            {"pms": view.pms, "reservation_id": wish.reservation_id},
        )
        await booking_store.lock(conn, [booking.id])
        await _refuse_anothers(conn, booking, wish.reservation_id, view, reference=None)
        asked = await _ask(conn, await _row_of(conn, booking, request), wish)
        fingerprint, parts = await _state(conn, wish)
        await hold(
            conn,
            booking.id,
            wish.reservation_id,
            fingerprint=fingerprint,
            view=view,
            parts=parts,
        )
        await booking_store.mirror(conn, [booking.id])
        await record_action(
            conn,
            actor=request.actor,
            # what is on record already was made or seen by a call
            action="link" if wish.verified or wish.confirms else "link unverified",
            target=request.target,
            affected=1,
            deliveries=[asked.delivery_id],
            reason=request.reason,
        )
        # a person has looked at it, also where nothing is on record of a price
        told = price.alert(view.pms, booking.id)
        await alert_store.resolve(conn, told.kind, told.fingerprint, channels=ALERT_CHANNELS)
    return asked


async def _state(conn: Connection, wish: _Wish) -> tuple[str | None, Parts]:
    """Fingerprint and parts to put on record; the booking is locked."""
    if not wish.confirms:
        return wish.fingerprint, wish.vouched
    booking_id = wish.booking.id
    views = await booking_store.read_for_sync(conn, [booking_id], pms=wish.view.pms)
    now = views[booking_id].reservation
    if now is None or now.reservation_id != wish.reservation_id:
        raise _in_flight()
    return now.fingerprint, {**wish.vouched, **now.parts}


def _refuse(
    booking: Booking,
    row: DeliveryRow | None,
    reservation_id: str,
    previous: str | None,
    view: PmsView,
    *,
    quiet: timedelta,
    unsure: bool,
) -> bool:
    """Refuse what makes no sense before anybody is asked; whether it only confirms the record."""
    if row is None and booking.status is BookingStatus.PENDING:
        raise RefusedError(
            "the booking is not confirmed, so nothing may be sent for it",
            hint="Confirm it on the site first.",
        )
    at = None if row is None else row.snapshot
    if row is not None and at is not None and at.lease_until and at.lease_until > row.now:
        raise _in_flight()
    if row is not None and (rest := _unknown_for(row, quiet)) > timedelta(0):
        # a create that lands after this would be a second reservation that nobody looks for
        raise RefusedError(
            f"an earlier call may still take effect in {view.pms.display_name}:"
            " nothing was changed",
            hint=f"Try again in {ceil(rest.total_seconds())} s.",
        )
    clear = at is None or (
        at.uncertain_at is None and at.failed_at is None and at.discarded_at is None
    )
    if clear and previous == reservation_id and not unsure:
        raise RefusedError("that reservation is on record for it already: nothing was changed")
    return clear and previous == reservation_id


def _unknown_for(row: DeliveryRow, quiet: timedelta) -> timedelta:
    """How long a write of unknown outcome may still land; a lost owner's until its lease ended."""
    times = [at for at in (row.snapshot.uncertain_at, row.snapshot.lease_until) if at is not None]
    return max(times) + quiet - row.now if times else timedelta(0)


def _in_flight() -> RefusedError:
    return RefusedError(
        "a worker is sending it now, and may be creating the reservation: nothing was changed",
        hint="Wait for the worker's result, then look again with: outbox show",
    )


async def _refuse_anothers(
    conn: Connection,
    booking: Booking,
    reservation_id: str,
    view: PmsView,
    *,
    reference: str | None,
) -> None:
    cursor = await conn.execute(
        query("reservation_of_another"),
        {
            "booking_id": booking.id,
            "reservation_id": reservation_id,
            "pms": view.pms,
            "reference": reference,
        },
    )
    row = await cursor.fetchone()
    if row is not None:
        other = row["booking_reference"] or row["booking_id"]
        raise RefusedError(
            f"{reservation_id} is the reservation of booking {other}: nothing was changed",
            hint=f"Look up the right id in {view.pms.display_name}.",
        )


async def _verify(
    pms: PmsReader,
    booking: Booking,
    known: SyncView,
    reservation_id: str,
    view: PmsView,
    *,
    doubtful: bool,
) -> _Verified:
    held, name = await ask_pms.by_id(pms, reservation_id), pms.name.display_name
    if held is None:
        raise RefusedError(
            f"{name} has no reservation {reservation_id}: nothing was changed",
            hint=f"Copy the id from {name}.",
        )
    wanted = wanted_of(booking, known, view)
    remote = compare(held, booking, wanted, parts=parts_of(booking, known, view))
    if not remote.ours:
        what = ", ".join(each.what for each in remote.differences) or "listing or stay"
        raise RefusedError(
            f"{reservation_id} is another stay in {name} (it differs in: {what}):"
            " nothing was changed",
            hint="Correct listing and dates there first, or add --unverified if you are sure.",
        )
    hits = await ask_pms.under_reference(pms, booking.reference)
    if doubtful and (found := _others(hits, reservation_id)):
        raise RefusedError(
            f"{name} also holds {', '.join(found)} under this booking's reference, which may be"
            " what an earlier call created: nothing was changed",
            hint=f"Link that one, or cancel it in {name} first.",
        )
    # what is cancelled here and there needs no call
    done = wanted.cancelled and held.status == ReservationStatus.CANCELED
    return _Verified(
        fingerprint=wanted.fingerprint if done else None,
        reference=held.reference,
        others=_others(hits, reservation_id),
    )


def _others(hits: tuple[RemoteReservation, ...], reservation_id: str) -> tuple[str, ...]:
    return tuple(
        hit.reservation_id
        for hit in hits
        if hit.reservation_id != reservation_id and hit.status != ReservationStatus.CANCELED
    )


async def _row_of(conn: Connection, booking: Booking, request: Request) -> DeliveryId:
    """The booking's delivery, made where there is none; the booking is locked."""
    found = await outbox_store.find(conn, destination=Destination.GUESTLY, key=str(booking.id))
    if found is None:
        await outbox_store.request_sync(
            conn, booking.id, reason=Reason.OPERATOR, reference=request.actor
        )
        found = await outbox_store.find(conn, destination=Destination.GUESTLY, key=str(booking.id))
    if found is None:
        raise AssertionError("a request makes the row")
    return found


async def _ask(conn: Connection, delivery_id: DeliveryId, wish: _Wish) -> _Asked:
    cursor = await conn.execute(
        query("link"), {"id": delivery_id, "quiet": wish.quiet, "actor": wish.request.actor}
    )
    row = await cursor.fetchone()
    if row is None:
        raise _in_flight()
    return _Asked(delivery_id=delivery_id, version=row["version"], uncertain=row["uncertain"])
