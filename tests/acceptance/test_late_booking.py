"""A payment that comes before its booking, and a real worker with a short lease."""

from __future__ import annotations

from pathlib import Path

from outbox_worker.database import Connection
from outbox_worker.payments.inbox import InboxRules, receive
from outbox_worker.payments.stripe_event import read
from outbox_worker.payments.verdict import EventOutcome
from tests.support_engine import eventually
from tests.support_stripe import (
    booking_row,
    encoded,
    event,
    event_row,
    insert_booking,
    intent,
    new_id,
)
from tests.support_worker import environment, worker


async def test_with_a_lease_of_five_seconds_a_waiting_payment_is_applied_when_its_booking_appears(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    metadata = {"booking_reference": "LA-LATE"}
    body = event("payment_intent.succeeded", intent(new_id("pi"), amount=50000, metadata=metadata))
    receipt = await receive(
        conn, read(encoded(body)), encoded(body), rules=InboxRules(currency="EUR")
    )
    assert receipt.outcome is EventOutcome.WAITING
    decided = (await event_row(conn, body["id"]))["decided_at"]
    environ = environment(database_url, None, WORKER_LEASE_SECONDS="5")

    async def looked() -> bool:
        kept = await event_row(conn, body["id"])
        return bool(kept["decided_at"] > decided)

    async def applied() -> bool:
        return str((await event_row(conn, body["id"]))["outcome"]) == "applied"

    with worker(tmp_path / "worker.log", environ):
        await eventually(looked, "a look for the booking", within=20)
        booking_id = await insert_booking(conn, booking_reference="LA-LATE")
        await eventually(applied, "the payment on its booking", within=20)

    row = await booking_row(conn, booking_id)
    assert (row["status"], row["payment_status"]) == ("confirmed", "completed")
