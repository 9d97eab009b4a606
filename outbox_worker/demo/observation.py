"""Looking at the running stack: the database, the simulator's effect log, the worker's log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from outbox_worker.database import Connection, translated
from outbox_worker.demo.site import PROPERTIES, SampleBooking
from outbox_worker.demo.verdict import BookingState, LoggedEffect
from outbox_worker.errors import DecodeError
from outbox_worker.sql import query


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of a process's log: its level, its dotted event and its sentence."""

    level: str
    event: str
    message: str


async def insert_site(conn: Connection, bookings: Sequence[SampleBooking]) -> None:
    """Store the sample site as the site itself would have: by plain SQL, all unpaid.

    Raises:
        DatabaseError: See `translated`.
    """
    with translated():
        async with conn.transaction(), conn.cursor() as cursor:
            await cursor.executemany(
                query("demo_insert_property"),
                [{"id": one.id, "slug": one.slug, "name": one.name} for one in PROPERTIES],
            )
            await cursor.executemany(
                query("demo_insert_booking"), [_row(booking) for booking in bookings]
            )


async def bookings_of(conn: Connection) -> tuple[BookingState, ...]:
    """All bookings of the site with their outbox rows, by reference.

    Raises:
        DatabaseError: See `translated`.
    """
    with translated():
        rows = await (await conn.execute(query("demo_bookings"))).fetchall()
    return tuple(BookingState(**row) for row in rows)


async def events_kept(conn: Connection) -> int:
    """Rows of the inbox.

    Raises:
        DatabaseError: See `translated`.
    """
    with translated():
        row = await (await conn.execute(query("demo_events"))).fetchone()
    return int(row["rows"]) if row else 0


def effects_in(log: Path) -> tuple[LoggedEffect, ...]:
    """The simulator's effects so far, in order.

    Raises:
        DecodeError: A line is not an effect.
    """
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return tuple(_effect(line) for line in lines)


def log_lines(log: Path, *, since: int) -> tuple[list[LogLine], int]:
    """Whole lines of a JSON log after byte ``since``, and where they end."""
    with log.open("rb") as file:
        file.seek(since)
        chunk = file.read()
    end = chunk.rfind(b"\n") + 1
    return [_log_line(raw) for raw in chunk[:end].splitlines()], since + end


def _row(booking: SampleBooking) -> dict[str, object]:
    return {
        "id": booking.id,
        "reference": booking.reference,
        "property_id": booking.place.id,
        "first_name": booking.first_name,
        "last_name": booking.last_name,
        "email": booking.email,
        "phone": booking.phone,
        "country": booking.country,
        "check_in": booking.check_in,
        "check_out": booking.check_out,
        "nights": booking.nights,
        "adults": booking.adults,
        "children": booking.children,
        "base_price": booking.place.nightly,
        "cleaning_fee": booking.place.cleaning,
        "total": booking.total,
        "special_requests": booking.special_requests,
        "intent_id": booking.intent_id,
    }


def _effect(line: str) -> LoggedEffect:
    try:
        fields = json.loads(line)
        return LoggedEffect(
            at=datetime.fromisoformat(fields["at"]),
            kind=fields["op"],
            reservation_id=fields["reservation_id"],
            reference=fields["reference"],
            status=fields["status"],
            fare=Decimal(fields["fare"]),
        )
    except (ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise DecodeError("a line of the simulator's effect log is not an effect") from error


def _log_line(raw: bytes) -> LogLine:
    try:
        fields = json.loads(raw)
        return LogLine(
            level=str(fields["level"]), event=str(fields["event"]), message=str(fields["message"])
        )
    except (ValueError, KeyError, TypeError):
        # not ours: a library's warning, or a traceback
        text = raw.decode("utf-8", "replace")
        return LogLine(level="warning", event="output", message=text)
