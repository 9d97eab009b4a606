"""Postgres that is down, frozen, read-only, lost in the middle, or not as it has to be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import psycopg
import pytest
from psycopg import sql

from outbox_worker.database import Connection
from tests.support_receiver import Receiver, receiver_in_thread
from tests.support_stripe import (
    Json,
    alerts,
    booking_row,
    deliveries,
    event,
    event_row,
    every,
    insert_booking,
    intent,
    new_id,
    one,
    payment,
)
from tests.support_wire import Wire
from webhook_receiver.app import Limits

PING = event("payout.paid", {"id": "po_1"})


@pytest.fixture
async def wire(database_url: str) -> AsyncIterator[Wire]:
    async with Wire(database_url) as running:
        yield running


async def paid_booking(conn: Connection) -> tuple[Json, dict[str, str]]:
    body, booking_id = await payment(conn)
    return body, {"booking_id": str(booking_id)}


async def until_ready(receiver: Receiver, *, within: float) -> None:
    async with asyncio.timeout(within):
        while (await receiver.get("/readyz")).status_code != 200:
            pass


def end_sessions(admin: psycopg.Connection[tuple[object, ...]], database: str) -> None:
    """End all of them, so that what was set for the database holds for whoever comes next."""
    admin.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [database]
    )


async def timed(receiver: Receiver, body: Json) -> tuple[httpx.Response, float]:
    began = time.monotonic()
    answer = await receiver.deliver(body)
    return answer, time.monotonic() - began


def come_back(answer: httpx.Response) -> bool:
    return answer.status_code == 503 and answer.headers["retry-after"] == "5"


async def test_while_postgres_is_down_events_are_refused_and_soon_after_taken(
    wire: Wire, conn: Connection
) -> None:
    with receiver_in_thread(wire.url) as receiver:
        assert (await receiver.deliver(PING)).status_code == 200
        body, _ = await paid_booking(conn)

        await wire.cut()
        answer, took = await timed(receiver, body)
        began = time.monotonic()
        ready = await receiver.get("/readyz")
        asked = time.monotonic() - began
        healthy = await receiver.get("/healthz")

        assert come_back(answer)
        assert (took < 8, asked < 5) == (True, True)
        assert (ready.status_code, healthy.status_code) == (503, 200)

        await wire.mend()
        await until_ready(receiver, within=10)
        assert (await receiver.deliver(body)).json() == {"outcome": "applied"}


async def test_connections_that_the_server_closed_while_idle_cost_no_event(
    session: Connection, direct_url: str
) -> None:
    ours = "application_name = 'webhook-receiver' and datname = current_database()"
    still = "select from pg_stat_activity where pid = any(%(pids)s)"
    body, _ = await paid_booking(session)
    with receiver_in_thread(direct_url) as receiver:
        await asyncio.gather(*(receiver.deliver(body) for _ in range(20)))
        found = await every(session, f"select pid from pg_stat_activity where {ours}")
        closed = [row["pid"] for row in found]
        for pid in closed:
            await session.execute("select pg_terminate_backend(%s)", [pid])
        while await every(session, still, pids=closed):
            pass

        began = time.monotonic()
        answers = [await receiver.deliver(event("payout.paid", {"id": "po_1"})) for _ in range(5)]
        took = time.monotonic() - began

    assert len(closed) > 2
    assert [answer.status_code for answer in answers] == [200] * 5
    # the pool's own check would pause for a second at one that is closed, then for two
    assert took < 3


async def test_a_network_that_says_nothing_is_answered_in_time(
    wire: Wire, conn: Connection
) -> None:
    hasty = Limits(answer=timedelta(seconds=1))
    assert Limits().answer < timedelta(seconds=8)
    with receiver_in_thread(wire.url, limits=hasty) as receiver:
        assert (await receiver.deliver(PING)).status_code == 200
        body, booking = await paid_booking(conn)

        wire.freeze()
        answer, took = await timed(receiver, body)
        ready = await receiver.get("/readyz")

        assert come_back(answer)
        assert took < Limits().answer.total_seconds()
        assert ready.status_code == 503

        await wire.cut()
        await wire.mend()
        await until_ready(receiver, within=10)
        assert (await receiver.deliver(body)).status_code == 200
        row = await one(
            conn, "select status from public.bookings where id = %(id)s", id=booking["booking_id"]
        )
        assert row["status"] == "confirmed"
        assert len(await deliveries(conn, "guestly")) == 1


async def test_a_connection_lost_during_the_commit_is_no_answer(
    wire: Wire, conn: Connection
) -> None:
    with receiver_in_thread(wire.url) as receiver:
        await until_ready(receiver, within=10)
        body, _ = await paid_booking(conn)
        wire.lose_answer_to(b"commit;")

        answer = await receiver.deliver(body)

        assert come_back(answer)
        # it takes effect all the same, which nobody could know: the next attempt finds out
        async with asyncio.timeout(20):
            while not await every(conn, "select from outbox.inbox_event"):
                pass
        assert (await receiver.deliver(body)).json() == {"outcome": "duplicate"}
        assert len(await deliveries(conn, "guestly")) == 1


async def test_a_server_that_turns_connections_away_is_waited_for(
    receiver: Receiver, conn: Connection, server_url: str
) -> None:
    row = await one(conn, "select current_database() as name")
    name = sql.Identifier(row["name"])
    body, _ = await paid_booking(conn)
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(sql.SQL("alter database {} allow_connections false").format(name))
        end_sessions(admin, row["name"])
        assert come_back(await receiver.deliver(body))
        admin.execute(sql.SQL("alter database {} allow_connections true").format(name))

    await until_ready(receiver, within=10)
    assert (await receiver.deliver(body)).json() == {"outcome": "applied"}


async def test_a_standby_takes_no_events(
    database_url: str, conn: Connection, server_url: str
) -> None:
    row = await one(conn, "select current_database() as name")
    name = sql.Identifier(row["name"])
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(
            sql.SQL("alter database {} set default_transaction_read_only = on").format(name)
        )
        end_sessions(admin, row["name"])

    with receiver_in_thread(database_url) as receiver:
        answer = await receiver.deliver(PING)
        ready = await receiver.get("/readyz")

    assert come_back(answer)
    assert (ready.status_code, ready.json()["reason"]) == (503, "database_read_only")


async def test_a_statement_that_takes_too_long_is_given_up(
    receiver: Receiver, conn: Connection
) -> None:
    body, booking = await paid_booking(conn)
    await conn.execute(
        "create function slow() returns trigger language plpgsql as"
        " 'begin perform pg_sleep(30); return new; end'"
    )
    await conn.execute(
        "create trigger slow before update on public.bookings for each row execute function slow()"
    )

    answer, took = await timed(receiver, body)

    assert come_back(answer)
    assert took < 8
    assert await every(conn, "select from outbox.inbox_event") == []
    row = await one(
        conn, "select status from public.bookings where id = %(id)s", id=booking["booking_id"]
    )
    assert row["status"] == "pending"


async def test_a_transition_that_raises_is_undone_and_its_event_kept(
    receiver: Receiver, conn: Connection
) -> None:
    intent_id = new_id("pi")
    booking_id = await insert_booking(conn, stripe_payment_intent_id=intent_id)
    before = await booking_row(conn, booking_id)
    await conn.execute(
        "create function refuse() returns trigger language plpgsql as"
        " $$ begin raise exception 'no, %', new.guest_email; end $$"
    )
    await conn.execute(
        "create trigger refuse before update on public.bookings for each row"
        " execute function refuse()"
    )
    body = event("payment_intent.succeeded", intent(intent_id, amount=50000))

    answer = await receiver.deliver(body)

    assert (answer.status_code, answer.json()) == (200, {"outcome": "failed"})
    assert await booking_row(conn, booking_id) == before
    kept = await event_row(conn, body["id"])
    assert kept["outcome"] == "failed"
    assert kept["detail"] == "Postgres refused it with SQLSTATE P0001"
    (inbox,) = await deliveries(conn, "inbox")
    assert (inbox["key"], inbox["due_at"] is not None) == (body["id"], True)
    assert (await deliveries(conn, "guestly"), await alerts(conn)) == ([], [])


async def test_a_role_that_row_level_security_blinds_takes_no_events(
    conn: Connection, database_url: str, server_url: str
) -> None:
    row = await one(conn, "select current_database() as name, current_user as owner")
    role = f"blind_{row['name'][-12:]}"
    name = sql.Identifier(role)
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(sql.SQL("create role {} login password 'blind'").format(name))
    for statement in (
        "grant usage on schema public, outbox to {}",
        "grant select, update on public.bookings to {}",
        "grant select on public.properties to {}",
        "grant all on all tables in schema outbox to {}",
        "grant execute on all functions in schema outbox to {}",
    ):
        await conn.execute(sql.SQL(statement).format(name))
    # it lacks nothing but the sight of bookings, so every payment would look foreign to it
    await conn.execute("alter table outbox.inbox_event disable row level security")
    login = database_url.partition("://")[2].rpartition("@")[0]
    body, _ = await paid_booking(conn)
    try:
        with receiver_in_thread(database_url.replace(login, f"{role}:blind")) as receiver:
            answer = await receiver.deliver(body)
            ready = await receiver.get("/readyz")
    finally:
        await conn.execute(sql.SQL("drop owned by {}").format(name))
        with psycopg.connect(server_url, autocommit=True) as admin:
            admin.execute(sql.SQL("drop role {}").format(name))

    assert come_back(answer)
    assert (ready.status_code, ready.json()["reason"]) == (503, "row_level_security")
    assert await every(conn, "select from outbox.inbox_event") == []


async def test_a_database_that_is_not_migrated_takes_no_events(empty_database_url: str) -> None:
    with receiver_in_thread(empty_database_url) as receiver:
        answer = await receiver.deliver(PING)
        ready = await receiver.get("/readyz")

    assert come_back(answer)
    assert (ready.status_code, ready.json()["reason"]) == (503, "not_migrated")
