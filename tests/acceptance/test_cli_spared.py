"""Commands that ask the PMS for a person keep to the limit that all workers share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from outbox_worker.database import Connection
from tests.support_cli import Ended, outbox, settings
from tests.support_engine import insert_booking
from tests.support_simulator import LISTING, Simulator, start_simulator
from tests.support_worker import environment


@pytest.fixture
def pms(tmp_path: Path) -> Iterator[Simulator]:
    with start_simulator(tmp_path / "pms") as simulator:
        yield simulator


@pytest.mark.parametrize("command", [("check",), ("link", "0123456789abcdef01234567")])
async def test_a_command_asks_nothing_once_the_calls_of_an_hour_are_used_up(
    conn: Connection, database_url: str, pms: Simulator, command: tuple[str, ...]
) -> None:
    await conn.execute(
        "insert into outbox.listing (pms, slug, listing_id) values ('guestly', 'sea-loft', %s)",
        [LISTING],
    )
    await insert_booking(conn, booking_reference="LA-1")

    async def run(*arguments: str) -> Ended:
        environ = {
            **settings(database_url),
            **environment(database_url, pms, PMS_RATE_PER_HOUR="2"),
        }
        return await asyncio.to_thread(outbox, *arguments, environ=environ)

    for _ in range(2):
        assert (await run("listings", "check")).code == 0
    name, *more = command
    asked = await run(name, "LA-1", *more)

    assert (asked.code, asked.out) == (1, "")
    assert asked.err.startswith(
        "error: all calls that PMS_RATE_PER_SECOND, _MINUTE and _HOUR allow"
    )
    assert "\nfix: Try again in 6" in asked.err
    listed = await run("listings", "check")
    assert (listed.code, "NOT CHECKED" in listed.out) == (1, True)
