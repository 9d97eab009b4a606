"""Which faults of Postgres mean "come back later" and which "this statement was refused"."""

from __future__ import annotations

import pytest

from outbox_worker.database import Connection, connect, connection, translated
from outbox_worker.errors import (
    DatabaseBusyError,
    DatabaseError,
    DatabaseUnreachableError,
    SchemaError,
)


async def test_a_port_where_nobody_listens_is_unreachable_and_names_no_password() -> None:
    with pytest.raises(DatabaseUnreachableError) as caught:
        await connect("postgresql://me:canary@127.0.0.1:9/none", application_name="test")
    assert "canary" not in str(caught.value)
    assert caught.value.hint


async def test_a_connection_that_was_terminated_is_unreachable(
    session: Connection, database_url: str
) -> None:
    async with connection(database_url, application_name="admin") as admin:
        await admin.execute("select pg_terminate_backend(%s)", [session.info.backend_pid])
    with pytest.raises(DatabaseUnreachableError), translated():
        await session.execute("select 1")


async def test_a_lock_that_is_not_free_in_time_is_busy_not_unreachable(
    conn: Connection, database_url: str
) -> None:
    other = await connect(database_url, application_name="test", autocommit=False)
    try:
        await other.execute("lock table bookings")
        with pytest.raises(DatabaseBusyError) as caught, translated():
            await conn.execute("set lock_timeout = '50ms'; select from bookings")
    finally:
        await other.close()
    assert "55P03" in str(caught.value)


async def test_a_statement_that_took_too_long_is_a_refused_statement(conn: Connection) -> None:
    with pytest.raises(DatabaseError) as caught, translated():
        await conn.execute("set statement_timeout = '50ms'; select pg_sleep(5)")
    assert not isinstance(caught.value, DatabaseUnreachableError)


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("select b.infants from public.bookings b", "public.bookings"),
        ("update public.properties set infants = 1", "public.properties"),
    ],
)
async def test_a_missing_column_of_the_site_is_named_with_its_table(
    conn: Connection, statement: str, table: str
) -> None:
    await conn.execute("alter table bookings drop column infants cascade")

    with pytest.raises(SchemaError) as caught, translated():
        await conn.execute(statement)

    assert caught.value.hint.startswith(f"Add column infants to {table}")


async def test_a_missing_table_asks_for_the_migrations(empty_database_url: str) -> None:
    with pytest.raises(SchemaError) as caught:
        async with connection(empty_database_url, application_name="test") as empty:
            await empty.execute("select from outbox.delivery")
    assert "outbox migrate" in caught.value.hint
