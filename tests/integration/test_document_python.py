"""The Python of the guide, run as it stands."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from uuid import UUID

from outbox_worker.database import Connection
from tests.support_documents import GUIDE, blocks
from tests.support_engine import insert_booking
from tests.support_simulator import LISTING


async def test_the_example_says_what_became_of_the_booking_and_counts_all(
    conn: Connection, database_url: str
) -> None:
    [block] = blocks(GUIDE, "python")
    [shown] = re.findall(r'UUID\("(.*)"\)', block.text)
    await conn.execute(
        "insert into outbox.listing (pms, slug, listing_id) values ('guestly', 'sea-loft', %s)",
        [LISTING],
    )
    booking = await insert_booking(conn)
    environ = {
        "DATABASE_URL": database_url,
        "GUESTLY_SYNC_ENABLED": "true",
        "GUESTLY_TEST_MODE": "true",
    }

    async def run(booking_id: UUID | str) -> str:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", block.text.replace(shown, str(booking_id))],
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return str(done.stdout)

    # what it logs comes before
    assert (await run(booking)).endswith(
        "in Guestly as test-reservation-id\n{'pending': 0, 'synced': 1, 'failed': 0}\n"
    )
    assert (await run(shown)).startswith("not in Guestly: Booking not found\n")
