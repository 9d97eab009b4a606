"""Plans that are kept by a session, and what becomes of them when the site changes its tables."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from outbox_worker.bookings.store import read_for_sync
from outbox_worker.database import Connection, PreparingConnection, connect, translated
from outbox_worker.errors import DatabaseUnreachableError
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Reason
from outbox_worker.outbox.store import request_sync
from tests.pooler.pgbouncer import pooling_of
from tests.support_engine import A, claim_all, eventually, insert_booking, owe
from tests.support_receiver import receiver_in_thread
from tests.support_stripe import Json, event, intent
from tests.support_wire import Wire
from tests.support_worker import environment, worker
from webhook_receiver.pool import Pool

through_nothing = pytest.mark.skipif(
    pooling_of(os.environ) is not None, reason="behind a pooler nothing is prepared"
)


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PreparingConnection, "_distrusted", False)


@pytest.fixture
async def long_lived(database_url: str) -> AsyncIterator[Connection]:
    conn = await connect(database_url, application_name="test", prepares=True)
    yield conn
    await conn.close()


async def _prepared(conn: Connection) -> int:
    cursor = await conn.execute("select count(*) as n from pg_prepared_statements", prepare=False)
    return int(((await cursor.fetchone()) or {})["n"])


async def _twice(conn: Connection) -> None:
    for _ in range(2):
        await conn.execute("select 7 as n")


@through_nothing
async def test_what_is_executed_twice_is_prepared(long_lived: Connection) -> None:
    await _twice(long_lived)

    assert await _prepared(long_lived) == 1


@through_nothing
async def test_the_claim_is_not_planned_anew_each_time_where_nothing_was_ever_analyzed(
    long_lived: Connection,
) -> None:
    for _ in range(12):
        await claim_all(long_lived)

    cursor = await long_lived.execute(
        "select custom_plans as n from pg_prepared_statements"
        " where statement ~ 'update outbox.delivery'",
        prepare=False,
    )
    plans = [row["n"] for row in await cursor.fetchall()]
    assert len(plans) == 1
    assert plans[0] <= 5, "Postgres makes five before it reckons whether to keep one"


async def test_a_connection_for_a_moment_prepares_nothing(database_url: str) -> None:
    conn = await connect(database_url, application_name="test")
    await _twice(conn)
    found = await _prepared(conn)
    await conn.close()

    assert found == 0


async def test_a_session_whose_process_is_not_as_it_was_told_prepares_nothing(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psycopg.ConnectionInfo, "backend_pid", 1)
    conn = await connect(database_url, application_name="test", prepares=True)
    await _twice(conn)
    found = await _prepared(conn)
    await conn.close()

    assert found == 0


@through_nothing
async def test_no_two_sessions_have_a_statement_of_the_same_name(
    database_url: str, long_lived: Connection
) -> None:
    other = await connect(database_url, application_name="test", prepares=True)
    names = []
    for conn in (long_lived, other):
        await _twice(conn)
        cursor = await conn.execute("select name from pg_prepared_statements", prepare=False)
        names += [row["name"] for row in await cursor.fetchall()]
    await other.close()

    assert len(names) == len(set(names)) == 2


async def test_a_session_that_is_older_than_its_connection_prepares_nothing(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "outbox_worker.database.query", lambda _: "select pg_backend_pid() as pid, false as young"
    )
    conn = await connect(database_url, application_name="test", prepares=True)
    threshold = conn.prepare_threshold
    await conn.close()

    assert threshold is None


@through_nothing
async def test_after_a_refusal_the_receiver_uses_no_connection_that_still_prepares(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Pool(database_url)
    await pool.open()
    try:
        async with pool.connection(within=timedelta(seconds=10)) as conn:
            assert conn.prepare_threshold is not None
        monkeypatch.setattr(PreparingConnection, "_distrusted", True)
        for _ in range(4):
            async with pool.connection(within=timedelta(seconds=10)) as conn:
                assert conn.prepare_threshold is None
    finally:
        await pool.close()


@through_nothing
async def test_many_bookings_are_read_by_a_plan_for_their_number(
    session: Connection, long_lived: Connection
) -> None:
    few = [await insert_booking(session, booking_reference=f"LA-{n}") for n in range(2)]
    for ids in ([*few, *(uuid4() for _ in range(30))], few):
        before = await _prepared(long_lived)
        for _ in range(3):
            await read_for_sync(long_lived, ids, pms="guestly")
        assert (await _prepared(long_lived) > before) == (ids is few)


@through_nothing
@pytest.mark.parametrize(("rows", "kept"), [(20, True), (21, False)])
async def test_a_plan_is_kept_for_few_rows_only(
    conn: Connection, long_lived: Connection, rows: int, kept: bool
) -> None:
    for number in range(rows * 3):
        await owe(conn, f"k{number}")
    for _ in range(3):
        claims = await claim_all(conn, limit=rows)
        columns: dict[str, list[object]] = {
            "ids": [each.id for each in claims],
            "fences": [each.fence for each in claims],
            "versions": [each.version for each in claims],
            "rounds": [each.round for each in claims],
            "numbers": [each.attempts for each in claims],
            "outcomes": ["held"] * rows,
            "http_statuses": [200] * rows,
        }
        assert len(await store.settle_held(long_lived, columns, owner=A)) == rows

    assert await _prepared(long_lived) == int(kept)


@through_nothing
async def test_the_receivers_connections_prepare(database_url: str) -> None:
    pool = Pool(database_url)
    await pool.open()
    try:
        async with pool.connection(within=timedelta(seconds=10)) as conn:
            await _twice(conn)
            assert await _prepared(conn) == 1
    finally:
        await pool.close()


@through_nothing
async def test_the_site_may_change_the_type_of_its_texts_and_of_the_price(
    session: Connection, long_lived: Connection
) -> None:
    booking_id = await insert_booking(session, total="640.00")
    for _ in range(3):
        await read_for_sync(long_lived, [booking_id], pms="guestly")
    for column, kind in {"total": "numeric(14,4)", "guest_phone": "varchar(40)"}.items():
        await session.execute(
            f"alter table public.bookings alter column {column} type {kind}".encode()
        )

    view = (await read_for_sync(long_lived, [booking_id], pms="guestly"))[booking_id]

    assert view.booking is not None
    assert view.booking.total == Decimal(640)
    assert await _prepared(long_lived) > 0


@through_nothing
async def test_another_column_that_changes_its_type_costs_the_connection_and_nothing_else(
    session: Connection, database_url: str, long_lived: Connection
) -> None:
    booking_id = await insert_booking(session)
    for _ in range(3):
        await read_for_sync(long_lived, [booking_id], pms="guestly")
    await session.execute("alter table public.bookings alter column adults type bigint")

    with pytest.raises(DatabaseUnreachableError, match="0A000"), translated():
        await read_for_sync(long_lived, [booking_id], pms="guestly")

    assert long_lived.closed
    later = await connect(database_url, application_name="test", prepares=True)
    for _ in range(3):
        assert booking_id in await read_for_sync(later, [booking_id], pms="guestly")
    assert await _prepared(later) == 0
    await later.close()


@through_nothing
async def test_a_payment_after_such_a_change_is_applied(
    session: Connection, database_url: str
) -> None:
    for number in range(7):
        await insert_booking(
            session,
            booking_reference=f"LA-{number}",
            stripe_payment_intent_id=f"pi_{number}",
            status="pending",
            payment_status="pending",
        )

    def paid(number: int) -> Json:
        succeeded = intent(f"pi_{number}", amount=124050)
        return event("payment_intent.succeeded", succeeded, id=f"evt_{number}")

    with receiver_in_thread(database_url) as receiver:
        answers = [await receiver.deliver(paid(number)) for number in range(6)]
        await session.execute(
            "alter table public.bookings alter column total type numeric(14,4),"
            " alter column booking_reference type varchar(200)"
        )
        answers += [await receiver.deliver(paid(6))]

    assert [answer.json() for answer in answers] == [{"outcome": "applied"}] * 7


@through_nothing
async def test_a_worker_goes_on_after_such_a_change_and_charges_nobody(
    session: Connection, database_url: str, tmp_path: Path
) -> None:
    async def synced(count: int) -> bool:
        cursor = await session.execute(
            "select count(*) as n from outbox.delivery where delivered = requested"
        )
        return (await cursor.fetchone()) == {"n": count}

    await session.execute(
        "insert into public.properties (id, slug, name) values (%s, 'sea-loft', 'Sea Loft')",
        (house := uuid4(),),
    )
    await session.execute(
        "insert into outbox.listing (pms, slug, listing_id) values ('guestly', 'sea-loft', 'L1')"
    )
    environ = environment(database_url, None, GUESTLY_TEST_MODE="true")
    with worker(tmp_path / "w.log", environ) as process:
        for number in range(4):
            if number == 3:
                await session.execute("alter table public.bookings alter column adults type bigint")
            booking_id = await insert_booking(
                session, booking_reference=f"LA-{number}", property_id=house
            )
            await request_sync(session, booking_id, reason=Reason.DATABASE)
            await eventually(partial(synced, number + 1), f"booking {number} in the PMS")
        assert process.events("database.lost"), "the statement was not refused at all"
    cursor = await session.execute("select outcome from outbox.attempt")
    assert [row["outcome"] for row in await cursor.fetchall()] == ["test"] * 4


@through_nothing
async def test_a_session_that_forgot_what_it_had_prepared_is_left(
    long_lived: Connection,
) -> None:
    await _twice(long_lived)
    await long_lived.execute("deallocate all", prepare=False)
    # psycopg has heard of that one; of a session that was exchanged it hears nothing
    await _twice(long_lived)
    long_lived.pgconn.exec_(b"do $$ begin execute 'deallocate all'; end $$")

    with pytest.raises(DatabaseUnreachableError, match="26000"), translated():
        await long_lived.execute("select 7 as n")

    assert long_lived.closed


async def test_a_refusal_of_another_kind_leaves_the_connection_open(
    long_lived: Connection,
) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        await long_lived.execute("select 1/0")

    assert not long_lived.closed


async def test_a_new_connection_that_does_not_answer_is_given_up_in_time(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox_worker.database._ANSWERS_WITHIN", timedelta(seconds=0.3))
    async with Wire(database_url) as wire:
        conn = await PreparingConnection.connect(wire.url, autocommit=True)
        wire.freeze()
        with pytest.raises(DatabaseUnreachableError, match="does not answer"), translated():
            await conn.prepare_if_direct()
        assert conn.closed
