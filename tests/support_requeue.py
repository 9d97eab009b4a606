"""Bookings in the states in which operators ask for them again."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from outbox_worker.alerts import store as alerts
from outbox_worker.alerts.alert import AlertKind, NewAlert
from outbox_worker.bookings import store as bookings
from outbox_worker.database import Connection
from outbox_worker.operations.plan import (
    Item,
    Named,
    PmsView,
    Selection,
    plan,
)
from outbox_worker.operations.refs import Subject, Target
from outbox_worker.operations.requeue import Changed, Request, apply
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import DeliveryId, Destination
from outbox_worker.pms import mapping
from outbox_worker.pms.port import PmsName
from tests.support_engine import (
    insert_booking,
)

VIEW = PmsView(pms=PmsName.GUESTLY, currency="EUR")
REQUEST = Request(actor="anna", target="--failed", reason="the PMS is back")


def named(*ids: UUID) -> Named:
    return Named(
        targets=tuple(Target(subject=Subject.BOOKING, key=str(i), name=str(i)) for i in ids)
    )


async def requested(conn: Connection, **columns: Any) -> tuple[UUID, DeliveryId]:
    """A confirmed booking that is owed to the PMS."""
    booking = await insert_booking(conn, **columns)
    await conn.execute("select outbox.request_sync(%s, 'stripe')", [booking])
    delivery = await store.find(conn, destination=Destination.GUESTLY, key=str(booking))
    assert delivery is not None
    return booking, delivery


async def given_up(
    conn: Connection, *, code: str = "http_503", redrive: bool = False, **columns: Any
) -> tuple[UUID, DeliveryId]:
    """A booking whose attempts are used up, its columns mirrored, an alert open about it."""
    booking, delivery = await requested(conn, **columns)
    await conn.execute(
        "update outbox.delivery set attempts = 3, failed_at = now(), last_error_code = %s,"
        " last_error = 'the PMS is down', due_at = case when %s then now() + interval '1 hour' end"
        " where id = %s",
        [code, redrive, delivery],
    )
    async with conn.transaction():
        await alerts.raise_alert(
            conn,
            NewAlert(kind=AlertKind.SYNC_FAILED, fingerprint=f"guestly:{code}"),
            deliveries=[delivery],
            channels=[Destination.EMAIL],
        )
        await bookings.mirror(conn, [booking])
    return booking, delivery


async def synced(conn: Connection, *, mode: str = "live", **columns: Any) -> UUID:
    """A booking that the PMS holds as it is now."""
    booking, delivery = await requested(conn, **columns)
    await conn.execute(
        "insert into outbox.listing (pms, slug, listing_id) values ('guestly', 'sea-loft', '64f1')"
        " on conflict do nothing"
    )
    view = (await bookings.read_for_sync(conn, [booking], pms="guestly"))[booking]
    assert view.booking is not None
    mapped = mapping.to_reservation(
        view.booking, listing_id=view.listing_id, pms=PmsName.GUESTLY, currency="EUR"
    )
    await conn.execute(
        "insert into outbox.reservation (booking_id, pms, reservation_id, mode, fingerprint)"
        " values (%s, 'guestly', 'res-1', %s, %s)",
        [booking, mode, mapping.fingerprint(mapped.reservation)],
    )
    await conn.execute(
        "update outbox.delivery set delivered = requested, due_at = null, delivered_at = now()"
        " where id = %s",
        [delivery],
    )
    return booking


async def run(conn: Connection, selection: Selection) -> Changed:
    return await apply(conn, await plan(conn, selection, view=VIEW), REQUEST)


async def only(conn: Connection, selection: Selection) -> Item:
    [item] = await plan(conn, selection, view=VIEW)
    return item
