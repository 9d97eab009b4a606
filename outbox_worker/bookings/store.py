"""Reading, locking and mirroring the site's bookings. The caller owns the transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from outbox_worker.bookings.booking import Booking, BookingId, BookingStatus, Guest, PaymentStatus
from outbox_worker.database import Connection, Row, for_rows
from outbox_worker.errors import DecodeError
from outbox_worker.pms import safe_text
from outbox_worker.sql import query

#: The one PMS that takes them apart from the rest of the price.
_WANTS_CLEANING_FEES = "guesty"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownReservation:
    """What a PMS is known to hold for a booking.

    Args:
        test: Whether it stands for a call that test mode did not make.
        fingerprint: Hash of the state last confirmed there; None: unknown, or not whole yet.
        parts: What is known of it part by part; see `pms.port.Parts`.
    """

    reservation_id: str
    test: bool
    fingerprint: str | None
    parts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldElsewhere:
    """A live reservation on record that is another PMS's."""

    pms: str
    reservation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncView:
    """All that a sync needs to know of one booking, of one snapshot.

    Args:
        booking: None when the site has deleted it.
        fault: Why the row could not be read, without guest data; then ``booking`` is None too.
        listing_id: The property's listing in the PMS; None: none known.
        reservation: None: the PMS is not known to hold anything.
        reservations: How many live reservations the booking has had.
        elsewhere: With no live reservation in this PMS: the one in another, if there is any.
    """

    booking: Booking | None
    fault: str | None
    listing_id: str | None
    reservation: KnownReservation | None
    reservations: int
    elsewhere: HeldElsewhere | None = None


async def read(conn: Connection, ids: Sequence[UUID]) -> dict[BookingId, Booking]:
    """The bookings that exist, by id.

    Raises:
        DecodeError: A row holds a status that this version does not know.
    """
    cursor = await conn.execute(query("read_bookings"), {"ids": list(ids)})
    found = [booking_from(row) for row in await cursor.fetchall()]
    return {booking.id: booking for booking in found}


async def read_for_sync(conn: Connection, ids: Sequence[UUID], *, pms: str) -> dict[UUID, SyncView]:
    """Booking, listing and reservation of each id; every id has an entry, also a deleted one's."""
    cursor = await conn.execute(
        query("read_bookings_for_sync"),
        {"ids": list(ids), "pms": pms},
        prepare=for_rows(len(ids)),
    )
    views = {row["key_id"]: _view(row) for row in await cursor.fetchall()}
    if pms != _WANTS_CLEANING_FEES:
        return views
    cursor = await conn.execute(
        query("read_cleaning_fees"), {"ids": list(ids)}, prepare=for_rows(len(ids))
    )
    for row in await cursor.fetchall():
        view = views[row["booking_id"]]
        if view.booking is not None:
            booking = replace(view.booking, cleaning_fee=row["fee"])
            views[row["booking_id"]] = replace(view, booking=booking)
    return views


async def read_guest(conn: Connection, booking_id: UUID) -> Guest | None:
    """The guest of a booking, whatever else is in its row; None when there is no such booking."""
    cursor = await conn.execute(query("read_guest"), {"id": booking_id})
    row = await cursor.fetchone()
    if row is None:
        return None
    remarks = ("special_requests", "purpose_of_stay", "guest_company", "guest_country")
    names = (safe_text.line(row[name]) for name in ("guest_first_name", "guest_last_name"))
    return Guest(
        reference=row["booking_reference"] or "",
        guest_name=" ".join(name for name in names if name),
        guest_email=safe_text.line(row["guest_email"]) or None,
        guest_phone=safe_text.line(row["guest_phone"]) or None,
        notes="\n".join(safe_text.block(row[remark]) for remark in remarks if row[remark]),
    )


async def lock(conn: Connection, ids: Sequence[UUID]) -> set[UUID]:
    """Lock bookings by id, waiting for others.

    Returns:
        Those that exist.
    """
    cursor = await conn.execute(query("lock_bookings"), {"ids": list(ids)})
    return {row["id"] for row in await cursor.fetchall()}


async def lock_free(conn: Connection, ids: Sequence[UUID]) -> set[UUID]:
    """Lock the bookings that nobody else holds.

    Returns:
        Those that exist and are held by somebody else: they have to wait. A booking that does not
        exist is not among them.
    """
    cursor = await conn.execute(
        query("lock_bookings_skip"), {"ids": list(ids)}, prepare=for_rows(len(ids))
    )
    return {row["id"] for row in await cursor.fetchall() if not row["locked"]}


async def mirror(conn: Connection, ids: Sequence[UUID]) -> None:
    """Refresh the site's ``guestly_*`` columns from delivery and reservation.

    The caller has locked these bookings. Writes nothing where nothing differs.
    """
    await conn.execute(query("mirror_bookings"), {"ids": list(ids)}, prepare=for_rows(len(ids)))


async def begin_ours(conn: Connection, origin: str) -> None:
    """Name our process for this transaction, which silences the optional trigger; bound waits."""
    await conn.execute(query("begin_ours"), {"origin": origin})


def booking_from(row: Row) -> Booking:
    """One row of ``bookings`` joined with its property.

    Raises:
        DecodeError: A column holds what this version does not know; names the column only.
    """
    try:
        status = BookingStatus(row["status"])
    except ValueError as error:
        raise DecodeError("bookings.status holds a word that is not known here") from error
    try:
        payment_status = PaymentStatus(row["payment_status"] or PaymentStatus.PENDING)
    except ValueError as error:
        raise DecodeError("bookings.payment_status holds a word that is not known here") from error
    return Booking(
        id=BookingId(row["id"]),
        reference=row["booking_reference"] or "",
        status=status,
        payment_status=payment_status,
        property_id=row["property_id"],
        slug=row["slug"],
        property_name=row["property_name"],
        first_name=row["guest_first_name"],
        last_name=row["guest_last_name"],
        email=row["guest_email"],
        phone=row["guest_phone"],
        country=row["guest_country"],
        company=row["guest_company"],
        check_in=row["check_in_date"],
        check_out=row["check_out_date"],
        adults=row["adults"],
        children=row["children"],
        infants=row["infants"],
        total=row["total"],
        special_requests=row["special_requests"],
        purpose_of_stay=row["purpose_of_stay"],
        has_pet=bool(row["has_pet"]),
        early_check_in=bool(row["early_checkin"]),
        late_check_out=bool(row["late_checkout"]),
        payment_intent_id=row["stripe_payment_intent_id"],
        charge_id=row["stripe_charge_id"],
        confirmed_at=row["confirmed_at"],
        cancelled_at=row["cancelled_at"],
    )


def _view(row: Row) -> SyncView:
    booking: Booking | None = None
    fault: str | None = None
    if row["present"]:
        try:
            booking = booking_from(row)
        except DecodeError as error:
            fault = str(error)
    known = row["reservation_id"]
    return SyncView(
        booking=booking,
        fault=fault,
        listing_id=row["listing_id"],
        reservation=None
        if known is None
        else KnownReservation(
            reservation_id=known,
            test=row["mode"] == "test",
            fingerprint=row["fingerprint"],
            parts=row["parts"],
        ),
        reservations=row["reservations"],
        elsewhere=None
        if row["other_pms"] is None
        else HeldElsewhere(pms=row["other_pms"], reservation_id=row["other_reservation_id"]),
    )
