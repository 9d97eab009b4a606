from __future__ import annotations

import asyncio
from uuid import uuid4

from outbox_worker.alerts import report, store
from outbox_worker.database import Connection
from outbox_worker.outbox.delivery import Destination
from tests.support_alert import (
    add_booking,
    add_failed_delivery,
    begun,
    fetch,
    more_connections,
    versions,
    waiting_for_lock,
)

EMAIL = (Destination.EMAIL,)


async def test_a_reported_failure_names_the_owed_delivery_and_is_solved_by_its_success(
    conn: Connection,
) -> None:
    booking = await add_booking(conn)
    delivery = await add_failed_delivery(conn, booking)
    async with begun(conn):
        alert = await report.sync_failure(conn, booking, "no answer", channels=EMAIL)
    assert alert.named == 1
    async with begun(conn):
        assert await store.heal(conn, [delivery], channels=EMAIL) == (alert.id,)


async def test_a_reported_failure_without_anything_owed_is_told_all_the_same(
    conn: Connection,
) -> None:
    booking = await add_booking(conn)
    async with begun(conn):
        alert = await report.sync_failure(conn, booking, "no answer", channels=EMAIL)
    assert (alert.opened, alert.named) == (True, 0)
    assert await versions(conn) == {str(alert.id): 1}


async def test_a_failure_reported_twice_is_one_incident(conn: Connection) -> None:
    booking = await add_booking(conn)
    opened = []
    for _ in range(2):
        async with begun(conn):
            alert = await report.sync_failure(conn, booking, "no answer", channels=EMAIL)
            opened.append(alert.opened)
    assert opened == [True, False]
    assert list((await versions(conn)).values()) == [1]


async def test_a_report_waits_for_the_settle_of_its_delivery_and_names_no_success(
    conn: Connection, database_url: str
) -> None:
    booking = await add_booking(conn)
    delivery = await add_failed_delivery(conn, booking)
    async with more_connections(database_url, 1) as (other,):

        async def reported() -> int:
            async with begun(other):
                return (await report.sync_failure(other, booking, "late", channels=EMAIL)).named

        async with begun(conn):
            await conn.execute(
                "update outbox.delivery set delivered = requested, failed_at = null, due_at = null"
                " where id = %s",
                (delivery,),
            )
            await store.heal(conn, [delivery], channels=EMAIL)
            task = asyncio.create_task(reported())
            async with more_connections(database_url, 1) as (observer,):
                await waiting_for_lock(observer, "other-0")
        assert await task == 0


async def test_what_looks_like_guest_data_is_masked_before_it_is_stored(conn: Connection) -> None:
    booking = uuid4()
    text = "guest@example.com called from +49 151 23456789"
    async with begun(conn):
        await report.sync_failure(conn, booking, text, channels=EMAIL)
        await report.booking_attention(conn, booking, text, channels=EMAIL)
    for row in await fetch(conn, "select fingerprint, facts::text from outbox.alert"):
        assert "guest@example.com" not in str(row)
        assert "23456789" not in str(row)


async def test_another_message_about_a_booking_is_another_incident(conn: Connection) -> None:
    booking = await add_booking(conn)
    ids = set()
    for message in ("late arrival", "late arrival", "wrong price"):
        async with begun(conn):
            alert = await report.booking_attention(conn, booking, message, channels=EMAIL)
        ids.add(alert.id)
    assert len(ids) == 2
