"""The worker's line in `systemctl status`, read from a real database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from outbox_worker.database import Connection
from outbox_worker.gate.circuit import Cause, Circuit
from outbox_worker.gate.circuit import State as CircuitState
from outbox_worker.gate.hold import Hold
from outbox_worker.gate.store import write_circuit
from outbox_worker.outbox.delivery import Destination
from outbox_worker.systemd import ServiceManager
from outbox_worker.worker.heartbeat import Mode
from outbox_worker.worker.liveness import Liveness
from outbox_worker.worker.systemd import Notifier, read_outlook, words
from tests.support_engine import claim_all, owe
from tests.support_notify import notifications

LIVE = Mode(pms="guestly", sync_enabled=True, test_mode=False)


async def line(conn: Connection, mode: Mode = LIVE) -> str:
    return words(await read_outlook(conn), mode=mode)


async def changed(conn: Connection) -> None:
    """Let rows be in every state."""
    for change, key in (
        ("due_at = null, delivered = requested, delivered_at = now() - interval '12 s'", "synced"),
        ("attempts = 1, due_at = now() + interval '1 h'", "retrying"),
        ("attempts = 3, failed_at = now(), due_at = now() + interval '1 h'", "failed"),
        ("attempts = 1, failed_at = now(), due_at = null", "rejected"),
        ("due_at = now() + interval '1 h'", "a"),
        ("due_at = now() + interval '1 h'", "b"),
    ):
        await conn.execute(f"update outbox.delivery set {change} where key = %s", [key])


async def test_an_empty_outbox_is_said_to_be_empty(conn: Connection) -> None:
    assert await line(conn) == "nothing owed; guestly ok; no sync yet"


async def test_what_is_owed_is_counted_by_what_becomes_of_it(conn: Connection) -> None:
    for key in ("a", "b", "sending", "retrying", "failed", "rejected", "synced"):
        await owe(conn, key, Destination.GUESTLY)
    await owe(conn, "mail", Destination.EMAIL)
    # in one transaction, so that no time passes between what is written and what is read
    async with conn.transaction():
        await changed(conn)
        await claim_all(conn, destination=Destination.GUESTLY)
        seen = await read_outlook(conn)

    assert words(seen, mode=LIVE) == (
        "3 waiting, 1 sending, 1 retrying, 2 failed; guestly ok; last sync 12 s ago"
    )
    later = words(seen, mode=LIVE, later=timedelta(minutes=3))
    assert later.endswith("last sync 3 min ago")


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        (Mode(pms="guestly", sync_enabled=False, test_mode=True), "guestly disabled"),
        (Mode(pms="guestly", sync_enabled=True, test_mode=True), "guestly ok (TEST MODE)"),
    ],
)
async def test_how_bookings_are_sent_is_said(conn: Connection, mode: Mode, said: str) -> None:
    assert f"; {said}; " in await line(conn, mode)


async def test_a_gate_that_is_shut_is_said_with_its_cause(conn: Connection) -> None:
    await conn.execute(
        "update outbox.destination set paused_at = now() where destination in ('guestly', 'email')"
    )
    assert "; guestly paused; email paused; " in await line(conn)
    await conn.execute("update outbox.destination set paused_at = null")

    for cause, code, said in (
        (Cause.OUTAGE, "http_503", "guestly does not answer"),
        (Cause.OUTAGE, "token_unavailable", "guestly gives no access token"),
        (Cause.MISCONFIGURED, "unauthorized", "guestly refuses our key or address"),
        (Cause.MISCONFIGURED, "token_quota", "guestly grants no more access tokens for now"),
        (Cause.MISCONFIGURED, "credentials_refused", "guestly refuses our client id or secret"),
        (Cause.MISCONFIGURED, "token_address", "guestly has no token endpoint at our address"),
        (Cause.MISCONFIGURED, "permission_refused", "guestly refuses our API client a permission"),
    ):
        now = datetime.now(UTC)
        opened = Circuit(
            state=CircuitState.OPEN, opens=1, until=now, cause=cause, code=code, opened_at=now
        )
        await write_circuit(conn, Destination.GUESTLY, opened, Hold())
        assert f"; {said}; " in await line(conn)
    now = datetime.now(UTC)
    hold = Hold(since=now, until=now + timedelta(minutes=1))
    await write_circuit(conn, Destination.GUESTLY, Circuit(), hold)
    assert "; guestly wants us to wait; " in await line(conn)


async def test_the_line_says_since_when_postgres_is_waited_for(
    conn: Connection, tmp_path: Path
) -> None:
    with notifications(tmp_path) as told:
        liveness = Liveness(timedelta(seconds=50))
        notifier = Notifier(
            ServiceManager(told.address),
            liveness=liveness,
            mode=LIVE,
            shutdown=timedelta(seconds=20),
        )
        running = asyncio.create_task(notifier.run())
        first = await told.first("STATUS")
        assert first.startswith("waiting for Postgres since ")
        await notifier.look(conn)
        liveness.cycle_ended()

        assert await told.first("STATUS") == "nothing owed; guestly ok; no sync yet"
        running.cancel()


async def test_nothing_is_asked_of_postgres_where_nobody_listens(conn: Connection) -> None:
    notifier = Notifier(
        ServiceManager(""),
        liveness=Liveness(timedelta(seconds=50)),
        mode=LIVE,
        shutdown=timedelta(seconds=20),
    )
    await conn.close()

    await notifier.look(conn)
    await notifier.run()
