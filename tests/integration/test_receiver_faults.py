"""The receiver as a process while its Postgres crashes, cuts it off, is crowded or only reads.

Whatever happens: what was answered with 2xx is kept, and nothing has happened twice once every
event has been taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from outbox_worker.database import Connection
from outbox_worker.demo.postgres_binaries import PostgresStartError
from tests.support_engine import eventually
from tests.support_faults import Payments
from tests.support_own_server import OwnServer, crowd, execute, migrated, own_server
from tests.support_races import session
from tests.support_receiver import ReceiverProcess, environment, receiver_process
from tests.support_stripe import one
from tests.support_wire import Wire

pytestmark = pytest.mark.timeout(180)

OURS = "application_name = 'webhook-receiver' and datname = current_database()"


@pytest.fixture(scope="module")
def own() -> Iterator[OwnServer]:
    """A server that these tests crash, crowd and keep from writing."""
    try:
        with own_server({"max_connections": "330", "wal_writer_delay": "10s"}) as server:
            yield server
    except PostgresStartError as error:
        pytest.skip(f"no server of the tests' own: {error}")


@pytest.fixture
def url(own: OwnServer) -> str:
    return migrated(own.url)


@contextlib.asynccontextmanager
async def ready(database_url: str) -> AsyncIterator[ReceiverProcess]:
    with receiver_process(environment(database_url)) as receiver:
        # the line to Postgres may run in this event loop
        await asyncio.to_thread(receiver.wait_until_ready)
        yield receiver


async def test_a_server_that_crashes_in_the_middle_of_payments_costs_none_and_doubles_none(
    own: OwnServer, url: str
) -> None:
    payments = await Payments.booked(url, 60)
    async with ready(url) as receiver:
        stream = asyncio.create_task(payments.deliver(receiver))
        for answered in (10, 35):
            await payments.answered(answered)
            await own.crash()
            await own.start()
        await stream
        await payments.deliver_until_taken(receiver)
    assert payments.refused, "no payment was under way when the server crashed"
    await payments.prove(url)


async def test_sessions_that_are_ended_again_and_again_cost_no_payment_and_double_none(
    url: str,
) -> None:
    payments = await Payments.booked(url, 60)
    async with ready(url) as receiver:
        async with session(url, "administrator") as administrator:
            stream = asyncio.create_task(payments.deliver(receiver))
            while not stream.done():
                await administrator.execute(
                    f"select pg_terminate_backend(pid) from pg_stat_activity where {OURS}".encode()
                )
                # the pool connects anew, and some payments get through
                await asyncio.sleep(0.03)
            await stream
        await payments.deliver_until_taken(receiver)
    await payments.prove(url)


async def test_what_was_acknowledged_outlives_a_crash_although_the_site_commits_lazily(
    own: OwnServer, url: str
) -> None:
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    execute(own.url, "alter database {} set synchronous_commit = off", str(name))
    payments = await Payments.booked(url, 5)
    async with ready(url) as receiver:
        await payments.deliver(receiver)
        await own.crash()
        await own.start()
    assert len(payments.taken) == 5
    await payments.prove(url)


async def test_a_line_that_is_cut_while_an_event_waits_for_its_commit_keeps_nothing(
    url: str,
) -> None:
    payments = await Payments.booked(url, 1)
    async with (
        session(url, "site") as site,
        session(url, "watch") as watch,
        Wire(url) as wire,
        ready(wire.url) as receiver,
    ):
        async with site.transaction():
            await site.execute("select from bookings for update")
            delivery = asyncio.create_task(payments.deliver(receiver))
            await eventually(lambda: waiting(watch), "an event that waits for its booking")
            await wire.cut()
            await delivery
        assert payments.taken == set()
        # the server goes on to the end of the statement, and finds nobody to commit it
        await eventually(lambda: gone(watch), "the end of the abandoned session")
        assert await payments.kept(watch) == []
        await wire.mend()
        await payments.deliver_until_taken(receiver)
    await payments.prove(url)


async def test_connections_that_died_in_silence_are_replaced_and_cost_no_event(url: str) -> None:
    payments = await Payments.booked(url, 30)
    async with Wire(url) as wire, ready(wire.url) as receiver:
        await payments.deliver(receiver, 20)
        assert len(payments.taken) == 20
        # as after a night, or after a router that forgets: the old ones lead nowhere
        wire.strand()
        await payments.deliver_until_taken(receiver)
    await payments.prove(url)


@pytest.mark.parametrize("table", ["outbox.inbox_event", "outbox.delivery", "public.bookings"])
async def test_a_table_that_somebody_locks_whole_delays_events_and_loses_none(
    url: str, table: str
) -> None:
    payments = await Payments.booked(url, 3)
    async with ready(url) as receiver:
        async with session(url, "maintenance") as maintenance:
            async with maintenance.transaction():
                await maintenance.execute(f"lock table {table} in access exclusive mode".encode())
                await payments.deliver(receiver)
                assert payments.taken == set(), "acknowledged, although nothing can be written"
            assert await payments.kept(maintenance) == []
        await payments.deliver_until_taken(receiver)
    await payments.prove(url)


async def test_a_session_that_freezes_in_the_middle_of_an_event_is_not_waited_for(
    url: str,
) -> None:
    payments = await Payments.booked(url, 1)
    async with (
        session(url, "site") as site,
        session(url, "watch") as watch,
        ready(url) as receiver,
    ):
        async with site.transaction():
            await site.execute("select from bookings for update")
            delivery = asyncio.create_task(payments.deliver(receiver))
            await eventually(lambda: waiting(watch), "an event that waits for its booking")
            frozen = await one(
                watch,
                f"select pid from pg_stat_activity where {OURS} and wait_event_type = 'Lock'",
            )
            os.kill(frozen["pid"], signal.SIGSTOP)
            try:
                await delivery
            finally:
                os.kill(frozen["pid"], signal.SIGCONT)
        assert payments.taken == set()
        await payments.deliver_until_taken(receiver)
    await payments.prove(url)


async def test_a_server_that_stops_taking_writes_is_noticed_on_open_connections(
    own: OwnServer, url: str
) -> None:
    payments = await Payments.booked(url, 20)
    async with ready(url) as receiver:
        await payments.deliver(receiver, 10)
        execute(own.url, "alter system set default_transaction_read_only = on")
        try:
            execute(own.url, "select pg_reload_conf()")
            async with session(url) as conn:
                await eventually(lambda: reads_only(conn), "the server's new settings")
            await payments.deliver(receiver)
            asked = await receiver.get("/readyz")
        finally:
            execute(own.url, "alter system reset default_transaction_read_only")
            execute(own.url, "select pg_reload_conf()")
        assert len(payments.taken) == 10
        assert (asked.status_code, asked.json()["reason"]) == (503, "database_read_only")
        await payments.deliver_until_taken(receiver)
    await payments.prove(url)


async def test_a_standby_takes_no_event_until_it_is_promoted_and_keeps_those_of_before(
    own: OwnServer, url: str
) -> None:
    payments = await Payments.booked(url, 20)
    async with ready(url) as receiver:
        await payments.deliver(receiver, 10)
        await own.crash()
        (own.data / "standby.signal").touch()
        await own.start()
        await payments.deliver(receiver)
        assert len(payments.taken) == 10, "a standby has acknowledged an event"
        execute(own.url, "select pg_promote()")
        await payments.deliver_until_taken(receiver)
    await payments.prove(url)


async def test_three_hundred_idle_connections_leave_events_their_own_and_a_full_server_costs_none(
    url: str,
) -> None:
    payments = await Payments.booked(url, 60)
    async with ready(url) as early, crowd(url, 300):
        await payments.deliver(early, 20)
        assert len(payments.taken) == 20, "there were connections left for the receiver"
        async with crowd(url, 60, full=True):
            # it has kept those that it had
            await payments.deliver(early, 40)
            with receiver_process(environment(url)) as late:
                await payments.deliver(late, 50)
                assert (await late.get("/readyz")).status_code == 503
        await payments.deliver_until_taken(early)
    await payments.prove(url)


async def waiting(conn: Connection) -> bool:
    row = await one(
        conn,
        f"select count(*) as n from pg_stat_activity where {OURS} and wait_event_type = 'Lock'",
    )
    return bool(row["n"])


async def gone(conn: Connection) -> bool:
    row = await one(
        conn, f"select count(*) as n from pg_stat_activity where {OURS} and state <> 'idle'"
    )
    return not row["n"]


async def reads_only(conn: Connection) -> bool:
    row = await one(conn, "select current_setting('default_transaction_read_only') as value")
    return bool(row["value"] == "on")
