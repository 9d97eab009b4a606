"""A full disk: where a table needs it, Postgres refuses; where its log does, Postgres ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from tests.support_faults import Payments
from tests.support_own_server import migrated
from tests.support_receiver import ReceiverProcess, environment, receiver_process
from tests.support_small_disk import SmallDisk, small_disk

pytestmark = pytest.mark.timeout(180)

#: A segment of Postgres's log, whose last bytes are what a test wants to come next.
_SEGMENT = 16 << 20
_LEFT = 64 << 10


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    with small_disk(tmp_path_factory.mktemp("disk")) as running:
        yield running


async def deliver_while_full(payments: Payments, receiver: ReceiverProcess) -> None:
    await asyncio.to_thread(receiver.wait_until_ready)
    await payments.deliver(receiver)
    assert payments.refused, "the disk was not full enough"


async def test_a_disk_too_full_for_a_table_costs_no_event(disk: SmallDisk) -> None:
    url = migrated(disk.url)
    payments = await Payments.booked(url, 80, padding=6000)
    with receiver_process(environment(url)) as receiver:
        disk.fill()
        try:
            await deliver_while_full(payments, receiver)
        finally:
            disk.free()
        await payments.deliver_until_taken(receiver)
        reasons = {
            line["reason"] for line in receiver.lines if line["event"] == "webhook.unavailable"
        }
    assert "DiskFull 53100" in reasons
    await payments.prove(url)


async def test_a_disk_too_full_for_the_log_ends_the_server_and_costs_no_event(
    disk: SmallDisk,
) -> None:
    url = migrated(disk.url)
    events = Payments.of_no_interest(70, padding=1500)
    with receiver_process(environment(url)) as receiver:
        make_room_in_table(url)
        write_log_up_to_its_end(url)
        disk.fill()
        try:
            await deliver_while_full(events, receiver)
            end_for_want_of_log(url)
        finally:
            disk.free()
        disk.restart()
        await events.deliver_until_taken(receiver)
    await events.prove(url)


def make_room_in_table(url: str) -> None:
    """Pages that are free already, so that the table itself needs no more of the disk."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "insert into outbox.inbox_event (source, id, type, body, outcome)"
            " select 'stripe', 'evt_filler_' || n, 'x', convert_to(repeat(md5(n::text), 60),"
            " 'UTF8'), 'ignored' from generate_series(1, 2000) n"
        )
        # what is free at the end of a table is given back to the disk, so something stays there
        conn.execute("delete from outbox.inbox_event where id <> 'evt_filler_2000'")
        conn.execute("vacuum outbox.inbox_event")


def write_log_up_to_its_end(url: str) -> None:
    """Leave a few bytes of the log's last file, and no file after it."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("checkpoint")
        while True:
            row = conn.execute(
                "select pg_walfile_name(pg_current_wal_insert_lsn()) as file,"
                " (pg_current_wal_insert_lsn() - '0/0')::bigint as at,"
                " (select max(name) from pg_ls_waldir() where name ~ '^[0-9A-F]{24}$') as last"
            ).fetchone()
            assert row is not None
            file, at, last = row
            left = _SEGMENT - int(at) % _SEGMENT
            if file == last and left <= _LEFT + 8192:
                return
            size = max(min(left - _LEFT, 1 << 20), 1024) if file == last else min(left, 1 << 20)
            conn.execute("select pg_logical_emit_message(false, 'test', repeat('x', %s))", [size])


def end_for_want_of_log(url: str) -> None:
    """Write log until the server ends of it, if the events have not come so far.

    They may have been refused for a page of a table or an index, which ends nothing.
    """
    for _ in range(60):
        try:
            with psycopg.connect(url, autocommit=True, connect_timeout=5) as conn:
                conn.execute("select pg_logical_emit_message(true, 'test', repeat('x', 1 << 20))")
        except psycopg.OperationalError as error:
            if error.sqlstate is None:
                return  # the connection is gone, not the statement refused
    raise AssertionError("the log always found room")
