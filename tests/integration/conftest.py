from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from uuid import UUID

import httpx
import pytest

from outbox_worker.database import Connection
from outbox_worker.pms.guestly import Guestly
from tests.support_engine import (
    insert_booking,
)
from tests.support_receiver import Receiver, receiver_in_thread
from tests.support_simulator import API_KEY, LISTING, LISTINGS, Simulator, start_simulator


@pytest.fixture
def receiver(database_url: str) -> Iterator[Receiver]:
    """The webhook receiver on the test's own database."""
    with receiver_in_thread(database_url) as running:
        yield running


@pytest.fixture(scope="module")
def simulator_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with start_simulator(tmp_path_factory.mktemp("pms")) as simulator:
        yield simulator


@pytest.fixture
def pms(simulator_process: Simulator) -> Simulator:
    simulator_process.reset()
    simulator_process.clear_faults()
    simulator_process.list_anew(dict(LISTINGS))
    return simulator_process


@pytest.fixture
def client(pms: Simulator) -> Iterator[httpx.Client]:
    """Calls of the simulator itself, with its key."""
    with pms.client() as client:
        yield client


@pytest.fixture
async def adapter(pms: Simulator) -> AsyncIterator[Guestly]:
    guestly = Guestly(
        api_url=pms.url, api_key=API_KEY, timeout=timedelta(seconds=10), connections=2
    )
    yield guestly
    await guestly.aclose()


@pytest.fixture
async def hasty(pms: Simulator) -> AsyncIterator[Guestly]:
    """An adapter that gives a call up after a second, for a PMS that does not answer."""
    guestly = Guestly(api_url=pms.url, api_key=API_KEY, timeout=timedelta(seconds=1), connections=2)
    yield guestly
    await guestly.aclose()


@pytest.fixture
async def booking(conn: Connection) -> UUID:
    await conn.execute(
        "insert into outbox.listing (pms, slug, listing_id) values ('guestly', %s, %s)",
        ["sea-loft", LISTING],
    )
    return await insert_booking(conn, slug="sea-loft")
