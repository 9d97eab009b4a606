"""Rules of the sync of one booking that nothing else pins down, against the real simulator."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from outbox_worker.database import Connection
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import DeliveryId, Destination, Reason, WorkerId
from outbox_worker.pms.guestly import Guestly
from outbox_worker.worker.single import deliver_one
from tests.support_engine import booking_row, row_of, ungated
from tests.support_simulator import Simulator
from tests.support_sync import handler, sync


async def delivery_of(conn: Connection, booking: UUID) -> DeliveryId:
    found = await store.find(conn, destination=Destination.GUESTLY, key=str(booking))
    assert found is not None
    return found


@pytest.mark.parametrize("write", ["create", "change", "cancel"])
async def test_no_write_leaves_that_could_outlast_its_lease(
    conn: Connection, adapter: Guestly, pms: Simulator, booking: UUID, write: str
) -> None:
    if write != "create":
        await sync(conn, booking, handler(adapter))
        change = {"change": "adults = 1", "cancel": "status = 'cancelled'"}[write]
        await conn.execute(f"update bookings set {change} where id = %s", [booking])
    await store.request_sync(conn, booking, reason=Reason.STRIPE)
    before = pms.effects()

    await deliver_one(
        conn,
        await delivery_of(conn, booking),
        handler=handler(adapter),
        gatekeeper=ungated(WorkerId("test")),
        lease=timedelta(seconds=0.9),  # a call may take a second
        patience=timedelta(seconds=0.3),
    )

    assert pms.effects() == before, "a write was sent that could have ended after the lease"
    row = await row_of(conn, await delivery_of(conn, booking))
    assert (row["owner"], row["attempts"]) == (None, 0), "not begun, so not charged"


async def test_the_answer_to_an_older_create_is_not_taken_for_the_booking_of_now(
    conn: Connection, adapter: Guestly, hasty: Guestly, pms: Simulator, booking: UUID
) -> None:
    # the create takes effect without an answer, and no look-up sees it for a while
    pms.once("timeout", when="after", operation="create", seconds=30)
    pms.faults({"fault": "stale", "operation": "lookup", "seconds": 60})
    # patient enough to begin one attempt, and not another one after its second
    await sync(conn, booking, handler(hasty), patience=0.9)
    await conn.execute("update bookings set adults = 1, children = 0 where id = %s", [booking])

    await sync(conn, booking, handler(adapter, quiet=0.1))

    (held,) = pms.reservations()
    assert held["numberOfGuests"] == 1, "the repeated answer to the older create was believed"
    assert (await booking_row(conn, booking))["guestly_sync_status"] == "synced"
    assert [effect["op"] for effect in pms.effects()] == ["create", "change"]


async def test_a_restored_backup_that_forgot_a_reservation_doubles_nothing(
    conn: Connection, adapter: Guestly, pms: Simulator, booking: UUID
) -> None:
    pms.switch(idempotency="ignore", availability=False)  # the PMS would make a second one
    await sync(conn, booking, handler(adapter))
    await conn.execute("delete from outbox.reservation")

    await sync(conn, booking, handler(adapter))

    assert [effect["op"] for effect in pms.effects()] == ["create"]
