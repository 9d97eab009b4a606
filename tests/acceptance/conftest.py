from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from outbox_worker.database import Connection
from tests.support_simulator import LISTING, Simulator, start_simulator


@pytest.fixture
def pms(tmp_path: Path) -> Iterator[Simulator]:
    """A PMS of the test's own."""
    with start_simulator(tmp_path / "pms") as simulator:
        yield simulator


@pytest.fixture
async def listed(conn: Connection) -> None:
    """The property of the tests' bookings has a listing."""
    await conn.execute(
        "insert into outbox.listing (pms, slug, listing_id) values ('guestly', 'sea-loft', %s)",
        [LISTING],
    )
