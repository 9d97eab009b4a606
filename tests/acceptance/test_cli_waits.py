"""What a person waits for, and what ends the wait when it cannot succeed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

import pytest

from outbox_worker.database import Connection
from outbox_worker.payments.inbox import InboxRules, receive
from outbox_worker.payments.stripe_event import read
from tests.support_cli import Ended, outbox, settings
from tests.support_engine import eventually, insert_booking
from tests.support_simulator import LISTING, start_simulator
from tests.support_stripe import encoded, event, intent, new_id
from tests.support_worker import environment, worker


async def waiting_event(conn: Connection, reference: str) -> str:
    """A payment that names a booking which does not exist yet."""
    thing = intent(new_id("pi"), amount=50000, metadata={"booking_reference": reference})
    body = encoded(event("payment_intent.succeeded", thing))
    await receive(conn, read(body), body, rules=InboxRules(currency="EUR"))
    return read(body).id


async def run(environ: dict[str, str], *words: str) -> Ended:
    return await asyncio.to_thread(outbox, *words, environ=environ)


@pytest.fixture
async def booking(conn: Connection) -> UUID:
    await conn.execute(
        "insert into outbox.listing (pms, slug, listing_id) values ('guestly', 'sea-loft', %s)",
        [LISTING],
    )
    return await insert_booking(conn, booking_reference="LA-1")


async def runs(conn: Connection) -> bool:
    cursor = await conn.execute("select from outbox.worker")
    return await cursor.fetchone() is not None


@pytest.mark.usefixtures("booking")
async def test_a_worker_whose_restart_was_forgotten_is_named_and_the_request_fails(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    with start_simulator(tmp_path / "pms") as pms:
        live = environment(database_url, pms)
        ours = {**settings(database_url), **live}
        with worker(tmp_path / "worker.log", {**live, "GUESTLY_TEST_MODE": "true"}):
            await eventually(lambda: runs(conn), "the worker's first cycle")
            asked = await run(ours, "requeue", "LA-1", "--wait")
            noted = await run(ours, "requeue", "LA-1", "--dry-run")
        held = pms.reservations()

    assert held == []
    assert asked.code == 1, asked
    words = " ".join(asked.out.split())
    assert "next: the running worker " in words
    assert "still has GUESTLY_TEST_MODE=true, your settings say false: restart it" in words
    assert "your settings say false: restart it" in " ".join(noted.out.split())


async def test_a_replay_is_not_waited_for_while_its_booking_does_not_exist(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    event_id = await waiting_event(conn, "LA-1")
    environ = environment(database_url, None, GUESTLY_SYNC_ENABLED="false")

    with worker(tmp_path / "worker.log", environ):
        await eventually(lambda: runs(conn), "the worker's first cycle")
        ended = await run(settings(database_url), "events", "replay", event_id, "--wait")

    assert ended.code == 1, ended
    assert "still waiting: its booking does not exist" in ended.out
    assert f"next: outbox events show {event_id}" in ended.out
