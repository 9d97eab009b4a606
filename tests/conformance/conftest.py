from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from outbox_worker.database import Connection
from outbox_worker.pms.port import Listing, Pms, PmsName
from tests.support_engine import eventually
from tests.support_pms import FIRST, SHORT, Rig, started
from tests.support_pms_stage import Stage, staged


@pytest.fixture(scope="session", params=list(PmsName))
def process(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """Each PMS in turn, its stand-in running."""
    with started(request.param, tmp_path_factory.mktemp("pms")) as running:
        yield running


@pytest.fixture
def rig(process: Rig) -> Rig:
    """Empty, without faults."""
    process.reset()
    return process


@pytest.fixture
async def pms(rig: Rig) -> AsyncIterator[Pms]:
    """The adapter."""
    adapter = rig.adapter()
    yield adapter
    await adapter.aclose()


@pytest.fixture
async def hasty(rig: Rig) -> AsyncIterator[Pms]:
    """The adapter with a short time-out, none of which is spent on connecting."""
    adapter = rig.adapter(within=SHORT)

    async def connected() -> bool:
        return isinstance(await adapter.listing(FIRST), Listing)

    await eventually(connected, "a connection")
    yield adapter
    await adapter.aclose()


@pytest.fixture
async def stage(rig: Rig, conn: Connection, database_url: str) -> Stage:
    """A confirmed booking of which nothing has been sent."""
    return await staged(rig, conn, database_url)
