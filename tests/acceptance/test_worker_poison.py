"""Bookings that end every worker that touches them, in front of all others."""

from __future__ import annotations

from pathlib import Path

import pytest

from outbox_worker.database import Connection
from outbox_worker.outbox.delivery import Destination
from tests.support_engine import claim_all, eventually
from tests.support_races import owed_booking
from tests.support_simulator import Simulator
from tests.support_worker import environment, worker

POISON, GOOD = 30, 5


@pytest.mark.usefixtures("listed")
async def test_pages_of_rows_that_lost_every_worker_are_given_up_unsent_and_hold_up_no_other(
    conn: Connection, database_url: str, pms: Simulator, tmp_path: Path
) -> None:
    pms.switch(availability=False)
    for number in range(POISON + GOOD):
        await owed_booking(conn, booking_reference=f"LA2026-{number:05}")
        if number == POISON - 1:
            for _ in range(3):
                await claim_all(conn, destination=Destination.GUESTLY)
                await conn.execute(
                    "update outbox.delivery set claimed_at = now() - interval '1 minute',"
                    " lease_until = now() - interval '1 second', due_at = now() - interval '1 hour'"
                )
    environ = environment(database_url, pms, WORKER_CONCURRENCY="3")

    async def over() -> bool:
        cursor = await conn.execute(
            "select count(*) filter (where guestly_sync_status = 'synced') as synced,"
            " count(*) filter (where guestly_sync_status = 'failed') as failed from bookings"
        )
        return await cursor.fetchone() == {"synced": GOOD, "failed": POISON}

    with worker(tmp_path / "w.log", environ):
        await eventually(over, "the end of all of them", within=30)

    sent = sorted(effect["reference"] for effect in pms.effects())
    assert sent == [f"LA2026-{number:05}" for number in range(POISON, POISON + GOOD)]
    cursor = await conn.execute(
        "select last_error_code, count(*) as n from outbox.delivery"
        " where failed_at is not null group by 1"
    )
    assert await cursor.fetchall() == [{"last_error_code": "worker_lost", "n": POISON}]
    cursor = await conn.execute(
        "select circuit from outbox.destination where destination = 'guestly'"
    )
    assert await cursor.fetchone() == {"circuit": "closed"}
    cursor = await conn.execute("select count(*) as n from outbox.alert where resolved_at is null")
    assert await cursor.fetchone() == {"n": 1}
