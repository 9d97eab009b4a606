"""Rows and values that the tests of alerts share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any
from uuid import UUID, uuid4

from outbox_worker.alerts import pending, store
from outbox_worker.alerts.alert import (
    PAGE,
    AlertId,
    AlertKind,
    Incident,
    NamedDelivery,
    NewAlert,
    RaisedAlert,
    Stay,
)
from outbox_worker.alerts.port import AlertMessage
from outbox_worker.database import Connection, connect
from outbox_worker.outbox.delivery import Destination, State


async def add_property(conn: Connection, *, slug: str = "sea-loft", name: str = "Sea Loft") -> UUID:
    property_id = uuid4()
    await conn.execute(
        "insert into public.properties (id, slug, name) values (%s, %s, %s)",
        (property_id, slug, name),
    )
    return property_id


async def add_booking(conn: Connection, **columns: Any) -> UUID:
    """One paid and confirmed booking; `columns` replace its defaults."""
    booking_id = uuid4()
    values: dict[str, Any] = {
        "booking_reference": f"LFT-{booking_id.hex[:8].upper()}",
        "check_in_date": date(2026, 11, 22),
        "check_out_date": date(2026, 11, 25),
        "adults": 2,
        "children": 1,
        "infants": None,
        "total": Decimal("1240.00"),
        "payment_status": "completed",
        "status": "confirmed",
        "property_id": None,
        "guest_first_name": None,
        "guest_last_name": None,
        "guest_email": None,
        "guest_phone": None,
        "special_requests": None,
        **columns,
    }
    await conn.execute(
        """insert into public.bookings
             (id, booking_reference, check_in_date, check_out_date, adults, children, infants,
              total, payment_status, status, property_id, guest_first_name, guest_last_name,
              guest_email, guest_phone, special_requests)
           values
             (%(id)s, %(booking_reference)s, %(check_in_date)s, %(check_out_date)s, %(adults)s,
              %(children)s, %(infants)s, %(total)s, %(payment_status)s, %(status)s,
              %(property_id)s, %(guest_first_name)s, %(guest_last_name)s, %(guest_email)s,
              %(guest_phone)s, %(special_requests)s)""",
        {"id": booking_id, **values},
    )
    return booking_id


async def add_failed_delivery(
    conn: Connection,
    key: object,
    *,
    destination: str = "guestly",
    code: str = "http_503",
    error: str = "Guestly answered 503",
) -> int:
    """A delivery that was given up, with a redrive planned."""
    cursor = await conn.execute(
        """insert into outbox.delivery
             (destination, key, due_at, failed_at, attempts, last_error_code, last_error)
           values (%s, %s, now() + interval '5 minutes', now(), 3, %s, %s) returning id""",
        (destination, str(key), code, error),
    )
    return int((await rows(cursor))[0]["id"])


async def rows(cursor: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await cursor.fetchall()
    return found


async def fetch(conn: Connection, statement: str, *values: object) -> list[dict[str, Any]]:
    return await rows(await conn.execute(statement.encode(), values))


NOW = datetime(2026, 11, 21, 10, 2, tzinfo=UTC)


def make_stay(**fields: Any) -> Stay:
    values: dict[str, Any] = {
        "id": UUID("0b1c2d3e-0000-4000-8000-000000000001"),
        "reference": "LFT-7K2P",
        "property_name": "Sea Loft 2",
        "slug": "sea-loft-2",
        "check_in": date(2026, 11, 22),
        "check_out": date(2026, 11, 25),
        "nights": 3,
        "adults": 2,
        "children": 1,
        "infants": 0,
        "total": Decimal("1240.00"),
        "payment_status": "completed",
        "status": "confirmed",
        "reservation_id": None,
        "test": False,
    }
    return Stay(**{**values, **fields})


def make_named(number: int = 1, **fields: Any) -> NamedDelivery:
    stay = make_stay(id=UUID(int=number), reference=f"LFT-{number:04}")
    values: dict[str, Any] = {
        "delivery_id": number,
        "destination": Destination.GUESTLY,
        "key": str(stay.id),
        "stay": stay,
        "state": State.FAILED,
        "attempts": 3,
        "error_code": "http_503",
        "error": "Guestly answered 503",
        "failed_at": NOW,
        "healed_at": None,
        "due_at": NOW + timedelta(minutes=5),
        "untold": True,
    }
    return NamedDelivery(**{**values, **fields})


def make_incident(*named: NamedDelivery, **fields: Any) -> Incident:
    """An open incident that nobody has been told of, with the deliveries that it names."""
    standing = sum(delivery.healed_at is None for delivery in named)
    values: dict[str, Any] = {
        "id": AlertId(7),
        "kind": AlertKind.SYNC_FAILED,
        "fingerprint": "guestly:http_503",
        "stay": None,
        "facts": {"code": "http_503", "pms": "guestly"},
        "count": max(len(named), 1),
        "messages": 0,
        "told_at": None,
        "solved_told_at": None,
        "first_seen_at": NOW,
        "last_seen_at": NOW,
        "resolved_at": None,
        "named": named,
        "named_to": len(named),
        "total": len(named),
        "standing": standing,
        "told_standing": 0,
        "untold": sum(delivery.untold for delivery in named),
        "now": NOW,
    }
    return Incident(**{**values, **fields})


def make_message(number: int = 1, **fields: Any) -> AlertMessage:
    values: dict[str, Any] = {
        "alert_id": AlertId(7),
        "subject": "[Action] Booking LFT-7K2P is paid but not in Guestly",
        "text": "Booking LFT-7K2P is paid but not in Guestly: Zürich.\n.a line with a dot\n",
        "html": "<p>Booking LFT-7K2P: Zürich</p>",
        "message_id": f"<alert-7.{number}@booking-outbox>",
        "references": (),
        "written_at": NOW,
    }
    return AlertMessage(**{**values, **fields})


def outage() -> NewAlert:
    return NewAlert(kind=AlertKind.SYNC_FAILED, fingerprint="guestly:http_503")


@asynccontextmanager
async def begun(conn: Connection) -> AsyncIterator[Connection]:
    """A transaction that fails rather than hangs."""
    async with conn.transaction():
        await conn.execute("set local lock_timeout = '20s'")
        yield conn


async def raised(
    conn: Connection,
    *deliveries: int,
    alert: NewAlert | None = None,
    channels: Sequence[Destination] = (Destination.EMAIL,),
) -> RaisedAlert:
    async with begun(conn):
        return await store.raise_alert(
            conn, alert or outage(), deliveries=deliveries, channels=channels
        )


async def next_message(
    conn: Connection,
    alert_id: AlertId,
    *,
    channel: Destination = Destination.EMAIL,
    certain: bool = True,
    page: int = PAGE,
) -> Incident:
    """What the channel's next message is made of."""
    async with begun(conn):
        await pending.plan(conn, {alert_id: certain}, channel=channel, page=page)
        return (await pending.read(conn, [alert_id], channel=channel, page=page))[alert_id]


async def told(
    conn: Connection, incident: Incident, *, channel: Destination = Destination.EMAIL
) -> None:
    """As if the channel had taken a message about the incident as it was read."""
    async with begun(conn):
        await store.lock(conn, ids=[incident.id])
        await store.mark_told(
            conn,
            incident.id,
            channel=channel,
            told_to=incident.named_to,
            count=incident.count,
            resolved_told=incident.resolved_at is not None,
        )


async def failed(conn: Connection, count: int) -> list[int]:
    return [await add_failed_delivery(conn, uuid4()) for _ in range(count)]


async def versions(conn: Connection, destination: str = "email") -> dict[str, int]:
    """Version asked for, by alert id."""
    found = await fetch(
        conn, "select key, requested from outbox.delivery where destination = %s", destination
    )
    return {row["key"]: row["requested"] for row in found}


async def waiting_for_lock(conn: Connection, application_name: str) -> None:
    async with asyncio.timeout(10):
        while True:
            found = await fetch(
                conn,
                """select 1 from pg_stat_activity
                   where application_name = %s and wait_event_type = 'Lock'
                     and datname = current_database()""",
                application_name,
            )
            if found:
                return


@asynccontextmanager
async def more_connections(database_url: str, count: int) -> AsyncIterator[list[Connection]]:
    """Connections named other-0, other-1, …"""
    async with AsyncExitStack() as stack:
        opened = []
        for number in range(count):
            conn = await connect(database_url, application_name=f"other-{number}")
            stack.push_async_callback(conn.close)
            opened.append(conn)
        yield opened


class Page(HTMLParser):
    """Tags with their attributes' names, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data
