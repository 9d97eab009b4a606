"""Asking the PMS what it holds for one booking, and ending a doubt by the answer.

The rules are those of the worker: an unknown write may still land until the quiet period is over,
so "there is none" proves nothing before that, nor does a look at a reservation that we know.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from outbox_worker.alerts import store as alert_store
from outbox_worker.alerts.alert import ALERT_CHANNELS
from outbox_worker.bookings import store as booking_store
from outbox_worker.bookings.booking import Booking, BookingStatus
from outbox_worker.bookings.store import SyncView
from outbox_worker.database import Connection
from outbox_worker.errors import RefusedError
from outbox_worker.handlers import price as price_alert
from outbox_worker.handlers.decide import Doubt, Wanted
from outbox_worker.operations import ask_pms
from outbox_worker.operations.actions import record_action
from outbox_worker.operations.ask_pms import PmsReader
from outbox_worker.operations.explain_step import Step
from outbox_worker.operations.plan import PmsView
from outbox_worker.operations.price import UnknownPrice, unknown_price
from outbox_worker.operations.refs import Subject, Target
from outbox_worker.operations.remote import (
    Remote,
    compare,
    parts_of,
    undoubted_parts,
    wanted_of,
)
from outbox_worker.operations.rows import snapshot_from
from outbox_worker.operations.slices import ORIGIN
from outbox_worker.outbox import store as outbox_store
from outbox_worker.outbox.delivery import DeliveryId, State, state_of
from outbox_worker.pms.guesty_parts import Part
from outbox_worker.pms.port import Mode, Parts
from outbox_worker.sql import query


class Finding(StrEnum):
    """What the PMS holds for a booking; ``AGREES``: as wanted in all that it shows, not in all."""

    AS_WANTED = "as_wanted"
    AGREES = "agrees"
    DIFFERS = "differs"
    ABSENT = "absent"
    FOREIGN = "foreign"
    SEVERAL = "several"
    ANOTHER = "another"


class Settlement(StrEnum):
    """What the answer changed."""

    NO_DOUBT = "no_doubt"
    ADOPTED = "adopted"
    ENDED = "ended"
    TOO_EARLY = "too_early"
    IN_FLIGHT = "in_flight"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was found, and what came of it.

    Args:
        state: Of the delivery when it was read; None: never requested.
        on_record: The live reservation that is known for the booking.
        found: All that the PMS showed under the booking's reference, or under that id.
        quiet_until: With ``TOO_EARLY``: the answer proves something from then on.
        needs_person: Whether nothing goes on without one.
        error_code: Of the last attempt; None: it had none, or there was none.
        price: That the price there is not known to be ours; None: it is, or none of ours is there.
        fixed: Of what no call can change, what is on record otherwise than it is here.
        steps: What to do, where the answer itself does not say it; see `explain`.
    """

    name: str
    booking_id: UUID
    booking_status: BookingStatus
    delivery_id: DeliveryId | None
    state: State | None
    on_record: str | None
    finding: Finding
    found: tuple[Remote, ...]
    settlement: Settlement
    quiet_until: datetime | None
    needs_person: bool
    error_code: str | None = None
    price: UnknownPrice | None = None
    fixed: tuple[Part, ...] = ()
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """The delivery as it was before the PMS was asked.

    Args:
        doubt_until: Until then a write of unknown outcome may have been under way; None: none was.
    """

    id: DeliveryId
    delivered: int
    state: State
    doubt_until: datetime | None
    now: datetime
    error_code: str | None


async def check(
    conn: Connection, target: Target, *, pms: PmsReader, view: PmsView, quiet: timedelta, actor: str
) -> Checked:
    """Ask the PMS about one booking; where the row is in doubt, end the doubt if that is proved.

    Args:
        conn: In autocommit mode; no transaction is open while the PMS is asked.
        target: A booking.
        pms: Who is asked: by reference, and by the id on record if that is not among the answers.
        view: How the worker maps a booking.
        quiet: How long an unknown write may still take effect after it may have been sent.
        actor: For the history, if anything changes.

    Raises:
        RefusedError: Not a booking, or one that the site has deleted or that cannot be read.
        PmsUnansweredError: The PMS did not say; nothing was changed.
    """
    booking, known = await booking_of(conn, target, view)
    row = await _row(conn, booking.id)
    wanted = wanted_of(booking, known, view)
    on_record = live_reservation(known)
    found = await _ask(pms, booking, wanted, parts_of(booking, known, view), on_record)
    finding = judge(found, on_record)
    quiet_until = None if row is None or row.doubt_until is None else row.doubt_until + quiet
    settlement = _settlement(row, finding, on_record, quiet)
    if settlement in {Settlement.ADOPTED, Settlement.ENDED} and row is not None:
        held = _held(found, finding, on_record, wanted)
        parts = undoubted_parts(booking, known, view)
        seen = None if held is None or finding is Finding.ABSENT else held[0]
        if not await _end_doubt(
            conn, booking, row, held, view, parts=parts, actor=actor, seen=seen
        ):
            settlement = Settlement.IN_FLIGHT
        await outbox_store.notify(conn)
    state = None if row is None else row.state
    price: UnknownPrice | None = None
    if finding in {Finding.AS_WANTED, Finding.AGREES, Finding.DIFFERS}:
        # no PMS is asked for its price: what is on record now, after a doubt has ended
        known = (await booking_store.read_for_sync(conn, [booking.id], pms=view.pms))[booking.id]
        price = unknown_price(known, view, name=target.name)
    return Checked(
        name=target.name,
        booking_id=booking.id,
        booking_status=booking.status,
        delivery_id=None if row is None else row.id,
        state=state,
        on_record=on_record,
        finding=finding,
        found=found,
        settlement=settlement,
        quiet_until=quiet_until if settlement is Settlement.TOO_EARLY else None,
        needs_person=_needs_person(finding, settlement, state, booking.status, on_record),
        error_code=None if row is None else row.error_code,
        price=price,
    )


async def booking_of(conn: Connection, target: Target, view: PmsView) -> tuple[Booking, SyncView]:
    """The booking that a person means, and all that is known of it.

    Raises:
        RefusedError: Not a booking, or one that the site has deleted or that cannot be read.
    """
    if target.subject is not Subject.BOOKING:
        raise RefusedError(f"{target.name} is no booking", hint="Name a booking; see: outbox list")
    known = (await booking_store.read_for_sync(conn, [UUID(target.key)], pms=view.pms))[
        UUID(target.key)
    ]
    if known.booking is None:
        raise RefusedError(
            known.fault or "the booking was deleted from the site; nothing was changed",
            hint=f"Its history: outbox show {target.key}",
        )
    return known.booking, known


def live_reservation(known: SyncView) -> str | None:
    """The reservation that the PMS is on record as holding; one of test mode counts as none."""
    held = known.reservation
    return None if held is None or held.test else held.reservation_id


def judge(found: Sequence[Remote], on_record: str | None) -> Finding:
    """What all that the PMS showed amounts to."""
    ours = [each for each in found if each.ours or each.reservation_id == on_record]
    if not found:
        return Finding.ABSENT
    if not ours:
        return Finding.FOREIGN
    if len(ours) > 1:
        return Finding.SEVERAL
    if on_record not in {None, ours[0].reservation_id}:
        return Finding.ANOTHER
    match ours[0].same:
        case True:
            return Finding.AS_WANTED
        case False:
            return Finding.DIFFERS
        case None:
            return Finding.AGREES


async def _ask(
    pms: PmsReader, booking: Booking, wanted: Wanted, parts: Parts, on_record: str | None
) -> tuple[Remote, ...]:
    hits = list(await ask_pms.under_reference(pms, booking.reference))
    if on_record is not None and on_record not in {hit.reservation_id for hit in hits}:
        known = await ask_pms.by_id(pms, on_record)
        hits += [] if known is None else [known]
    return tuple(compare(hit, booking, wanted, parts=parts) for hit in hits)


async def _row(conn: Connection, booking_id: UUID) -> _Row | None:
    cursor = await conn.execute(query("doubtful_delivery"), {"booking_id": booking_id})
    row = await cursor.fetchone()
    if row is None:
        return None
    return _Row(
        id=DeliveryId(row["id"]),
        delivered=row["delivered"],
        state=state_of(snapshot_from(row), now=row["now"], held=False),
        doubt_until=row["doubt_until"],
        now=row["now"],
        error_code=row["last_error_code"],
    )


def _settlement(
    row: _Row | None, finding: Finding, on_record: str | None, quiet: timedelta
) -> Settlement:
    """What the answer proves; ``row`` was read before the PMS was asked."""
    if row is None or row.state is State.SYNCED:
        return Settlement.NO_DOUBT
    if row.state is State.SENDING:
        return Settlement.IN_FLIGHT
    if row.doubt_until is None:
        return Settlement.NO_DOUBT
    if finding in {Finding.FOREIGN, Finding.SEVERAL, Finding.ANOTHER}:
        return Settlement.UNDECIDED
    one = finding is not Finding.ABSENT
    if one and on_record is None:
        # the unknown write was its creation, and that has landed
        return Settlement.ADOPTED
    over = Doubt(until=row.doubt_until, quiet=quiet, now=row.now).rest == timedelta(0)
    return Settlement.ENDED if over else Settlement.TOO_EARLY


def _held(
    found: Sequence[Remote], finding: Finding, on_record: str | None, wanted: Wanted
) -> tuple[str, str | None] | None:
    """Reservation and fingerprint to put on record; one that differs has none: it is written."""
    if finding is Finding.ABSENT:
        return None if on_record is None else (on_record, None)
    [ours] = [each for each in found if each.ours or each.reservation_id == on_record]
    return ours.reservation_id, wanted.fingerprint if finding is Finding.AS_WANTED else None


async def _end_doubt(
    conn: Connection,
    booking: Booking,
    row: _Row,
    held: tuple[str, str | None] | None,
    view: PmsView,
    *,
    parts: Parts,
    actor: str,
    seen: str | None,
) -> bool:
    """Whether it still was to be ended; ``held`` is put on record, ``seen`` the PMS has shown."""
    async with conn.transaction():
        await booking_store.begin_ours(conn, ORIGIN)
        await booking_store.lock(conn, [booking.id])
        cursor = await conn.execute(
            query("end_doubt"),
            {"id": row.id, "delivered": row.delivered, "doubt_until": row.doubt_until},
        )
        if await cursor.fetchone() is None:
            return False
        if held is not None:
            await hold(conn, booking.id, held[0], fingerprint=held[1], view=view, parts=parts)
        await booking_store.mirror(conn, [booking.id])
        await record_action(
            conn,
            actor=actor,
            action="check",
            target=booking.reference or str(booking.id),
            affected=1,
            deliveries=[row.id],
            reason="the PMS holds none" if seen is None else f"the PMS holds {seen}",
        )
        if booking.status is BookingStatus.CANCELLED and (held is None or held[1] is not None):
            told = price_alert.alert(view.pms, booking.id)  # nobody pays for a cancelled stay
            await alert_store.resolve(conn, told.kind, told.fingerprint, channels=ALERT_CHANNELS)
    return True


async def hold(
    conn: Connection,
    booking_id: UUID,
    reservation_id: str,
    *,
    fingerprint: str | None,
    view: PmsView,
    parts: Parts | None = None,
) -> None:
    """Put a live reservation on record; the caller's transaction has locked the booking.

    Args:
        conn: Inside that transaction.
        booking_id: Whose.
        reservation_id: Which.
        fingerprint: Of its state there; None: not known.
        view: The PMS.
        parts: What is known of it part by part; whoever changes it looks at the rest first.
    """
    await outbox_store.hold_reservations(
        conn,
        {
            "booking_ids": [booking_id],
            "pms": [view.pms],
            "reservation_ids": [reservation_id],
            "modes": [Mode.LIVE],
            "fingerprints": [fingerprint],
            "parts": [json.dumps(dict(parts or {}))],
        },
    )


def _needs_person(
    finding: Finding,
    settlement: Settlement,
    state: State | None,
    status: BookingStatus,
    on_record: str | None,
) -> bool:
    if finding in {Finding.FOREIGN, Finding.SEVERAL, Finding.ANOTHER}:
        return True
    if state not in {State.SYNCED, State.REJECTED, State.DISCARDED, None}:
        return False  # it goes on by itself
    if settlement in {Settlement.ADOPTED, Settlement.ENDED} and state is not State.DISCARDED:
        return False
    if finding is Finding.ABSENT:
        sent = status in {BookingStatus.CONFIRMED, BookingStatus.COMPLETED}
        return on_record is not None or (sent and state is not State.DISCARDED)
    return not (
        finding in {Finding.AS_WANTED, Finding.AGREES}
        and on_record is not None
        and state in {State.SYNCED, None}
    )
