"""Notifications that Postgres refuses, or makes wait: the commit that they went with stands."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import psycopg
import pytest

from outbox_worker.database import Connection, connect
from outbox_worker.errors import DatabaseError
from outbox_worker.payments.verdict import EventOutcome
from tests.support_engine import eventually
from tests.support_own_server import migrated, own_server
from tests.support_receiver import receiver_in_thread
from tests.support_stripe import (
    every,
    one,
    payment,
    received,
)

APPLIED = '{"outcome":"applied"}'
_FILL = "select pg_notify('outbox', repeat('x', 7000) || g) from generate_series(1, 20) g"


async def refuse_notifications(conn: Connection, *, sqlstate: str) -> None:
    """For this session: as Postgres does, after the commit."""
    await conn.execute(
        f"""create or replace function public.pg_notify(text, text) returns void language plpgsql as
           $$ begin raise exception 'no' using errcode = '{sqlstate}'; end $$"""
    )
    await conn.execute("set search_path = public, pg_catalog")


@contextlib.asynccontextmanager
async def held_by_another_database(own_url: str, url: str) -> AsyncIterator[None]:
    """Its session has notified somebody of something and waits for a standby that is not there."""
    async with contextlib.AsyncExitStack() as stack:
        admin = await connect(own_url, application_name="admin")
        stack.push_async_callback(admin.close)
        await admin.execute("alter system set synchronous_standby_names = 'nobody'")
        await admin.execute("select pg_reload_conf()")
        site = psycopg.connect(url, autocommit=True, options="-c synchronous_commit=on")
        stack.callback(site.close)

        async def waits_for_a_standby() -> bool:
            names = await one(admin, "show synchronous_standby_names")
            return bool(names["synchronous_standby_names"] == "nobody")

        await eventually(waits_for_a_standby, "the setting")
        task = asyncio.create_task(
            asyncio.to_thread(site.execute, "begin; create table held (); notify other; commit")
        )

        async def holds() -> bool:
            waiting = "select from pg_stat_activity where wait_event = 'SyncRep'"
            return len(await every(admin, waiting)) == 1

        try:
            await eventually(holds, "the wait for the standby")
            yield
            assert await holds(), "it was let go of too early"
        finally:
            await admin.execute("alter system reset synchronous_standby_names")
            await admin.execute("select pg_reload_conf()")
            await task


@pytest.mark.parametrize("sqlstate", ["54000", "55P03", "42501", "P0001"])
async def test_a_notification_that_is_refused_after_the_commit_costs_the_event_nothing(
    session: Connection, sqlstate: str
) -> None:
    body, booking_id = await payment(session)
    await refuse_notifications(session, sqlstate=sqlstate)

    receipt = await received(session, body, may_notify=True)

    assert (receipt.outcome, receipt.booking_id) == (EventOutcome.APPLIED, booking_id)
    assert receipt.wake, "no worker has been told"
    assert [row["key"] for row in await every(session, "select key from outbox.delivery")] == [
        str(booking_id)
    ]
    again = await received(session, body, may_notify=True)
    assert (again.outcome, again.wake) == (None, False)


async def test_a_failed_event_whose_notification_is_refused_is_told_as_failed(
    session: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    body, _ = await payment(session)
    await session.execute(
        "alter table outbox.delivery add constraint refused check (destination <> 'guestly')"
    )
    await refuse_notifications(session, sqlstate="54000")

    receipt = await received(session, body, may_notify=True)

    assert (receipt.outcome, receipt.wake) == (EventOutcome.FAILED, True)
    assert f"event {body['id']} is kept, but it could not be applied" in caplog.text


async def fill(conn: Connection) -> None:
    while True:
        await conn.execute(_FILL)


async def test_payments_are_answered_as_ever_while_the_queue_of_notifications_is_full(
    database_url: str,
) -> None:
    with psycopg.connect(database_url) as given:
        if given.info.server_version < 170000:
            pytest.skip("the length of the queue is a setting since Postgres 17")
    with own_server({"max_notify_queue_pages": "64"}) as own:
        url = migrated(own.url)
        conn = await connect(url, application_name="site")
        lazy = await connect(url, application_name="lazy")
        try:
            # a session that listens and stays in a transaction keeps all that comes after
            await lazy.execute("listen outbox")
            await lazy.execute("begin")
            with pytest.raises(psycopg.OperationalError, match="too many notifications"):
                await fill(conn)
            with receiver_in_thread(url) as receiver:
                answers = [await receiver.deliver((await payment(conn))[0]) for _ in range(4)]

            assert [answer.text for answer in answers] == [APPLIED] * 4
        finally:
            await lazy.close()
            await conn.close()


async def test_payments_are_answered_while_another_database_holds_up_all_notifications() -> None:
    with own_server({"synchronous_commit": "local"}) as own:
        url, other = migrated(own.url), migrated(own.url)
        conn = await connect(url, application_name="site")
        try:
            bodies = [(await payment(conn))[0] for _ in range(8)]
            with receiver_in_thread(url) as receiver:
                async with held_by_another_database(own.url, other):
                    answers = [await receiver.deliver(body) for body in bodies]

            assert [answer.text for answer in answers] == [APPLIED] * 8
        finally:
            await conn.close()


async def test_a_transaction_that_postgres_ends_for_its_length_says_so(
    conn: Connection, direct_url: str
) -> None:
    if conn.info.server_version < 170000:
        pytest.skip("Postgres bounds a transaction since version 17")
    body, _ = await payment(conn)
    await conn.execute(
        "create function slow() returns trigger language plpgsql as"
        " 'begin perform pg_sleep(30); return new; end'"
    )
    await conn.execute(
        "create trigger slow before update on public.bookings for each row execute function slow()"
    )
    bounded = await connect(direct_url, application_name="bounded")
    try:
        await bounded.execute("set transaction_timeout = '1s'")
        with pytest.raises(DatabaseError) as caught:
            await received(bounded, body, may_notify=True)
    finally:
        await bounded.close()

    assert isinstance(caught.value.__cause__, psycopg.errors.TransactionTimeout)
    assert await every(conn, "select from outbox.inbox_event") == []
