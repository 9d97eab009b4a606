"""Stripe as the receiver sees it: events, signatures, and the site's bookings that they are for."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from typing import Any, TypeAlias
from uuid import UUID

from psycopg import sql

from outbox_worker.database import Connection, Row
from outbox_worker.payments import inbox, stripe_event
from outbox_worker.payments.inbox import InboxRules, Receipt

Json: TypeAlias = dict[str, Any]

SECRET = "whsec_rehearsal_0123456789abcdef"


def sign(body: bytes, *, secret: str = SECRET, at: float | None = None) -> str:
    """The ``Stripe-Signature`` header of a body, as Stripe makes it."""
    timestamp = int(time.time() if at is None else at)
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    return f"t={timestamp},v1={digest.hexdigest()}"


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"


def event(event_type: str, thing: Json, **fields: Any) -> Json:
    """An event around its object, as API versions of today send it."""
    return {
        "id": new_id("evt"),
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": int(time.time()),
        "data": {"object": thing},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": event_type,
        **fields,
    }


def intent(intent_id: str, *, amount: int, **fields: Any) -> Json:
    """A payment intent that has been paid in full."""
    return {
        "id": intent_id,
        "object": "payment_intent",
        "amount": amount,
        "amount_received": amount,
        "currency": "eur",
        "latest_charge": f"ch_{intent_id}",
        "metadata": {},
        "status": "succeeded",
        **fields,
    }


def session(intent_id: str | None, *, amount: int, **fields: Any) -> Json:
    """A checkout session that has been paid."""
    return {
        "id": new_id("cs"),
        "object": "checkout.session",
        "amount_total": amount,
        "currency": "eur",
        "customer_details": {"email": "guest@example.com", "name": "Guest"},
        "metadata": {},
        "mode": "payment",
        "payment_intent": intent_id,
        "payment_status": "paid",
        "status": "complete",
        **fields,
    }


def encoded(body: Json) -> bytes:
    return json.dumps(body).encode()


async def insert_booking(conn: Connection, **columns: Any) -> UUID:
    """A booking of 500.00 as the site inserts it before the payment; ``columns`` replace."""
    values = {
        "booking_reference": f"LA-{secrets.token_hex(5).upper()}",
        "guest_first_name": "Ada",
        "guest_last_name": "Guest",
        "guest_email": "guest@example.com",
        "check_in_date": "2027-03-01",
        "check_out_date": "2027-03-05",
        "adults": 2,
        "total": "500.00",
        "status": "pending",
        "payment_status": "pending",
        **columns,
    }
    statement = sql.SQL("insert into public.bookings ({}) values ({}) returning id").format(
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join(map(sql.Placeholder, values)),
    )
    row = await (await conn.execute(statement, values)).fetchone()
    assert row is not None
    return UUID(str(row["id"]))


async def payment(conn: Connection) -> tuple[Json, UUID]:
    """A payment and its booking, which waits for it."""
    intent_id = new_id("pi")
    booking_id = await insert_booking(conn, stripe_payment_intent_id=intent_id)
    return event("payment_intent.succeeded", intent(intent_id, amount=50000)), booking_id


async def received(conn: Connection, body: Json, *, may_notify: bool = False) -> Receipt:
    """What the receiver's transaction makes of an event, without HTTP."""
    content = encoded(body)
    return await inbox.receive(
        conn,
        stripe_event.read(content),
        content,
        rules=InboxRules(currency="EUR"),
        may_notify=lambda: may_notify,
    )


async def refuse_at_commit(conn: Connection) -> None:
    """Have the site's database refuse each change of a booking, but not before the commit."""
    await conn.execute(
        """create function refuse() returns trigger language plpgsql as
           $$ begin raise exception 'the ledger is closed'; end $$"""
    )
    await conn.execute(
        """create constraint trigger refused after update on public.bookings
           deferrable initially deferred for each row execute function refuse()"""
    )


async def one(conn: Connection, statement: str, **parameters: Any) -> Row:
    row = await (await conn.execute(statement.encode(), parameters)).fetchone()
    assert row is not None, statement
    return row


async def every(conn: Connection, statement: str, **parameters: Any) -> list[Row]:
    return await (await conn.execute(statement.encode(), parameters)).fetchall()


async def booking_row(conn: Connection, booking_id: UUID) -> Row:
    return await one(conn, "select * from public.bookings where id = %(id)s", id=booking_id)


async def event_row(conn: Connection, event_id: str) -> Row:
    return await one(conn, "select * from outbox.inbox_event where id = %(id)s", id=event_id)


async def deliveries(conn: Connection, destination: str) -> list[Row]:
    return await every(
        conn,
        "select * from outbox.delivery where destination = %(destination)s order by id",
        destination=destination,
    )


async def alerts(conn: Connection) -> list[Row]:
    return await every(conn, "select * from outbox.alert order by id")
