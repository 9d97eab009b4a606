"""What the real PgBouncer does to a session, and that nothing of ours minds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import errors as pg
from structlog.testing import capture_logs

from outbox_worker import migrate
from outbox_worker.database import Connection, PreparingConnection, connect, translated
from outbox_worker.errors import DatabaseUnreachableError, SchemaError
from outbox_worker.worker import wakeup as waking
from outbox_worker.worker.wakeup import Wakeup
from tests.pooler.pgbouncer import PoolerError, Pooling, pgbouncer, pooling_of, program
from tests.pooler.route import at
from tests.support_engine import Scripted, eventually, insert_booking, owe
from tests.support_loop import loop_of, running, said, settled
from tests.support_receiver import receiver_in_thread
from tests.support_stripe import event, intent
from tests.support_worker import environment, worker

needs_pgbouncer = pytest.mark.skipif(
    program() is None, reason="PgBouncer is not installed (Debian: apt-get install pgbouncer)"
)


@pytest.fixture(scope="module", params=list(Pooling))
def pooling(request: pytest.FixtureRequest, server_url: str) -> Iterator[tuple[Pooling, str]]:
    """PgBouncer in front of the run's server, in each of its two ways; with its address."""
    with pgbouncer(server_url, request.param) as address:
        yield request.param, address


@pytest.fixture
def pooled_url(pooling: tuple[Pooling, str], direct_url: str) -> str:
    return at(pooling[1], direct_url)


@needs_pgbouncer
async def test_a_session_is_shared_by_clients_or_forgotten(
    pooling: tuple[Pooling, str], pooled_url: str
) -> None:
    one = await connect(pooled_url, application_name="one")
    other = await connect(pooled_url, application_name="other")
    try:
        await one.execute("set statement_timeout = '7s'")
        cursor = await other.execute("select current_setting('statement_timeout') as length")
        seen = await cursor.fetchone()
    finally:
        await one.close()
        await other.close()

    leaked = pooling[0] is Pooling.LISTEN
    assert seen == {"length": "7s" if leaked else "0"}


@needs_pgbouncer
def test_statements_that_psycopg_prepares_by_itself_do_not_survive_it(pooled_url: str) -> None:
    def each_in_turn(*connections: psycopg.Connection[tuple[object, ...]]) -> None:
        for connection in connections:
            connection.execute("select 1")

    with (
        psycopg.connect(pooled_url, autocommit=True, prepare_threshold=0) as one,
        psycopg.connect(pooled_url, autocommit=True, prepare_threshold=0) as other,
        pytest.raises((pg.DuplicatePreparedStatement, pg.InvalidSqlStatementName)),
    ):
        each_in_turn(one, other, one)


@needs_pgbouncer
async def test_our_connections_prepare_nothing_behind_it(pooled_url: str) -> None:
    several = [await connect(pooled_url, application_name="test", prepares=True) for _ in range(3)]
    try:
        for _ in range(3):
            for conn in several:
                await conn.execute("select 1")
        assert [conn.prepare_threshold for conn in several] == [None] * 3
    finally:
        for conn in several:
            await conn.close()


@needs_pgbouncer
async def test_one_that_cannot_be_told_from_the_server_costs_one_connection(
    pooled_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PreparingConnection, "_distrusted", False)
    several = [await connect(pooled_url, application_name="test") for _ in range(2)]
    for conn in several:
        conn.prepare_threshold = 0
    with pytest.raises(DatabaseUnreachableError, match=r"26000|42P05"):
        await _each_in_turn(*several, *several)
    assert [conn.closed for conn in several].count(True) == 1
    for conn in several:
        await conn.close()

    monkeypatch.setattr(psycopg.ConnectionInfo, "backend_pid", 0)
    later = await connect(pooled_url, application_name="test", prepares=True)
    assert later.prepare_threshold is None
    await later.close()


async def _each_in_turn(*connections: Connection) -> None:
    with translated():
        for conn in connections:
            await conn.execute("select 1")


@needs_pgbouncer
def test_migrations_are_refused_and_told_where_to_go(pooled_url: str) -> None:
    with pytest.raises(SchemaError, match="transaction pooler") as caught:
        migrate.apply(pooled_url)

    assert "DATABASE_LISTEN_URL" in caught.value.hint


def is_lost(logs: Sequence[Mapping[str, Any]]) -> bool:
    return "listen.lost" in {entry["event"] for entry in logs}


@needs_pgbouncer
async def test_a_worker_that_hears_nothing_says_so_and_polls(
    conn: Connection, pooled_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waking, "PROBE_WITHIN", timedelta(seconds=0.3))
    loop, wakeup = loop_of(pooled_url, Scripted(), poll=0.1)
    with capture_logs() as logs:
        listener = asyncio.create_task(wakeup.listen())
        try:
            await eventually(lambda: said(is_lost(logs)), "a word about it")
            await owe(conn)
            async with running(loop, pooled_url):
                await eventually(lambda: settled(conn, 1), "delivery")
        finally:
            listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listener


@needs_pgbouncer
async def test_a_notification_that_is_sent_through_it_is_heard_on_a_direct_connection(
    direct_url: str, pooled_url: str
) -> None:
    wakeup = Wakeup(direct_url, name="test")
    listener = asyncio.create_task(wakeup.listen())
    try:
        await eventually(lambda: said(wakeup.listening), "LISTEN")
        wakeup.take_request()
        sender = await connect(pooled_url, application_name="sender")
        await sender.execute("select pg_notify('outbox', '')")
        await sender.close()
        await eventually(lambda: said(wakeup.take_request()), "the notification")
    finally:
        listener.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listener


@needs_pgbouncer
async def test_a_worker_and_a_receiver_leave_nothing_in_the_sessions_that_they_share(
    session: Connection, server_url: str, direct_url: str, tmp_path: Path
) -> None:
    intent_id = "pi_through_a_pooler"
    await insert_booking(
        session, stripe_payment_intent_id=intent_id, status="pending", payment_status="pending"
    )
    with pgbouncer(server_url, Pooling.LISTEN) as address:
        pooled = at(address, direct_url)
        with receiver_in_thread(pooled) as receiver:
            paid = event("payment_intent.succeeded", intent(intent_id, amount=124050))
            assert (await receiver.deliver(paid)).json() == {"outcome": "applied"}
        environ = environment(
            pooled, None, GUESTLY_TEST_MODE="true", DATABASE_LISTEN_URL=direct_url
        )
        with worker(tmp_path / "w.log", environ, "--drain") as process:
            assert await process.ended() == 0, process.text
        left = [await _left_behind(pooled) for _ in range(10)]

    # application_name, time zone and the like are PgBouncer's own doing for each client
    assert [each for each in left if each != {"changed": [], "channels": [], "locks": 0}] == []


async def _left_behind(url: str) -> dict[str, object]:
    """What somebody before us left in a session: settings, LISTEN, advisory locks."""
    connection = await connect(url, application_name="test")
    try:
        cursor = await connection.execute(
            "select array(select s.name from pg_settings s where s.source = 'session' and s.name"
            " <> all ('{application_name,client_encoding,datestyle,timezone,"
            "standard_conforming_strings,DateStyle,TimeZone}')) as changed,"
            " array(select pg_listening_channels()) as channels,"
            " (select count(*) from pg_locks where locktype = 'advisory'"
            "  and pid = pg_backend_pid()) as locks"
        )
        row = await cursor.fetchone()
    finally:
        await connection.close()
    assert row is not None
    return row


def test_an_unknown_wish_is_refused() -> None:
    assert pooling_of({}) is None
    assert pooling_of({"OUTBOX_TEST_POOLER": "deaf"}) is Pooling.DEAF
    with pytest.raises(PoolerError, match="OUTBOX_TEST_POOLER=session is unknown"):
        pooling_of({"OUTBOX_TEST_POOLER": "session"})


@needs_pgbouncer
def test_it_ends_with_its_block(server_url: str) -> None:
    with pgbouncer(server_url, Pooling.LISTEN) as address:
        url = at(address, server_url)
        with psycopg.connect(url) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        assert urlsplit(url).port != urlsplit(server_url).port

    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url, connect_timeout=2)
