"""Syncing one booking in a test with the real handler and settle."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from outbox_worker.database import Connection
from outbox_worker.handlers.booking import BookingHandler
from outbox_worker.handlers.results import SyncRules
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Destination, Reason, WorkerId
from outbox_worker.outbox.store import DeliveryRow
from outbox_worker.pms.port import Pms, PmsName
from outbox_worker.worker.single import deliver_one
from tests.support_engine import (
    policy,
    ungated,
)


def handler(
    adapter: Pms | None, *, test_mode: bool = False, quiet: float = 0.3, **rules: Any
) -> BookingHandler:
    return BookingHandler(
        adapter,
        pms_name=PmsName.GUESTLY,
        policy=policy(**rules),
        rules=SyncRules(
            test_mode=test_mode,
            timeout=timedelta(seconds=1),
            quiet=timedelta(seconds=quiet),
            look_before_create=True,
            currency="EUR",
        ),
    )


async def sync(
    conn: Connection, booking: UUID, handling: BookingHandler, *, patience: float = 20
) -> DeliveryRow:
    await store.request_sync(conn, booking, reason=Reason.STRIPE, reference="evt_1")
    delivery = await store.find(conn, destination=Destination.GUESTLY, key=str(booking))
    assert delivery is not None
    return await deliver_one(
        conn,
        delivery,
        handler=handling,
        gatekeeper=ungated(WorkerId("test")),
        lease=timedelta(seconds=30),
        patience=timedelta(seconds=patience),
    )
