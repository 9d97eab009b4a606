"""One row, one destination, one lock: none of them stops the others."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from outbox_worker.database import Connection, connect
from outbox_worker.errors import DatabaseError, SchemaError
from outbox_worker.handlers.effect import Result
from outbox_worker.handlers.protocol import Deadline
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Claim, Destination, Reason
from tests.support_engine import (
    Scripted,
    attempts_of,
    booking_row,
    eventually,
    insert_booking,
    owe,
    row_of,
)
from tests.support_loop import DONE, loop_of, running, settled
from tests.support_worker import environment, worker


async def test_a_row_that_cannot_be_read_fails_alone_and_is_charged(
    conn: Connection, database_url: str
) -> None:
    bad, good = await owe(conn, "bad"), await owe(conn, "good")

    class Spoilt(Scripted):
        async def load(self, conn: Connection, claims: Sequence[Claim]) -> Any:
            if any(claim.id == bad for claim in claims):
                raise DatabaseError("timestamp too large")
            return await super().load(conn, claims)

    loop, _ = loop_of(database_url, Spoilt())

    async def given_up() -> bool:
        return (await row_of(conn, bad))["failed_at"] is not None

    async with running(loop, database_url):
        await eventually(lambda: settled(conn, 1), "delivery of the good row")
        await eventually(given_up, "giving up on the unreadable row")
    assert (await row_of(conn, good))["delivered"] == 1
    assert (await row_of(conn, bad))["last_error_code"] == "row_unreadable"
    assert [row["outcome"] for row in await attempts_of(conn, bad)] == ["failed"] * 3


# whichever of them a claim happens to return first
@pytest.mark.parametrize(
    ("hidden", "seen"),
    [(Destination.INBOX, Destination.EMAIL), (Destination.EMAIL, Destination.INBOX)],
)
async def test_a_destination_that_cannot_be_read_at_all_does_not_stop_another(
    conn: Connection, database_url: str, hidden: Destination, seen: Destination
) -> None:
    for destination in (hidden, seen):
        await owe(conn, "key", destination)

    class Blind(Scripted):
        async def load(self, conn: Connection, claims: Sequence[Claim]) -> Any:
            del conn, claims
            raise SchemaError("rows are hidden")

    other = Scripted(destination=seen)

    async def sent() -> bool:
        return bool(other.claims)

    loop, _ = loop_of(database_url, Blind(destination=hidden), other)
    own = await connect(database_url, application_name="test loop")
    try:
        try:
            await loop.cycle(own)
        except SchemaError:
            await asyncio.sleep(0)
        await eventually(sent, "what can be read")
    finally:
        await own.close()


async def test_what_becomes_due_by_time_is_found_however_busy_another_destination_is(
    conn: Connection, database_url: str
) -> None:
    for number in range(400):
        await owe(conn, f"k{number}", Destination.INBOX)
    mail = await owe(conn, "mail", Destination.EMAIL)
    await conn.execute(
        "update outbox.delivery set due_at = now() + interval '0.5 seconds' where id = %s", [mail]
    )

    async def slowly(claim: Claim, deadline: Deadline) -> Result:
        del claim, deadline
        await asyncio.sleep(0.05)
        return DONE

    busy = Scripted(slowly)
    mails = Scripted(destination=Destination.EMAIL)
    loop, _ = loop_of(database_url, busy, mails, slots=5, poll=0.3)

    async def mailed() -> bool:
        return bool(mails.claims)

    async with running(loop, database_url):
        await eventually(mailed, "the mail")
    assert len(busy.claims) < 400, "the other backlog was over before, which proves nothing"


async def test_a_booking_whose_columns_the_site_refuses_is_recorded_and_told_all_the_same(
    conn: Connection, database_url: str
) -> None:
    booking = await insert_booking(conn)
    await store.request_sync(conn, booking, reason=Reason.STRIPE)
    await conn.execute(
        "create function refuse_mirror() returns trigger language plpgsql as"
        " $$begin raise exception 'Zoë Canary-Guest cannot be changed'; end$$;"
        " create trigger refuse before update on bookings for each row execute function"
        " refuse_mirror()"
    )
    handler = Scripted(destination=Destination.GUESTLY, book=True)
    loop, _ = loop_of(database_url, handler)
    async with running(loop, database_url):
        await eventually(lambda: settled(conn, 1), "the settle without the columns")
    assert len(handler.claims) == 1, "the call was repeated although its result was known"
    cursor = await conn.execute("select kind, booking_id, facts::text as facts from outbox.alert")
    (alert,) = await cursor.fetchall()
    assert (alert["kind"], alert["booking_id"]) == ("reported", booking)
    assert "Canary" not in alert["facts"], "a trigger's text may quote a guest"
    assert (await booking_row(conn, booking))["guestly_sync_status"] == "pending"


async def test_a_locked_table_does_not_keep_a_worker_from_stopping(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    booking = await insert_booking(conn)
    await store.request_sync(conn, booking, reason=Reason.STRIPE)
    site = await connect(database_url, application_name="site", autocommit=False)
    try:
        await site.execute("lock table bookings in access exclusive mode")
        environ = environment(database_url, None, WORKER_LEASE_SECONDS="30")
        with worker(tmp_path / "w.log", environ) as process:

            async def waiting() -> bool:
                cursor = await conn.execute(
                    "select count(*) as n from pg_locks where not granted"
                    " and relation = 'bookings'::regclass and database ="
                    " (select oid from pg_database where datname = current_database())"
                )
                return bool(((await cursor.fetchone()) or {})["n"])

            await eventually(waiting, "the worker behind the lock")
            began = time.monotonic()
            process.send(signal.SIGTERM)
            assert await process.ended() == 0
            assert time.monotonic() - began < 8
    finally:
        await site.close()
