"""A worker that seems to run, and rows in every state, for what is made of them."""

from __future__ import annotations

import itertools
from typing import Any

import psycopg

from outbox_worker.database import Connection


async def running_worker(
    conn: Connection, *, sync_enabled: bool = True, test_mode: bool = False
) -> None:
    """The row of a worker seen just now; asked again, the same one with other settings."""
    await conn.execute(
        "insert into outbox.worker (id, host, pid, version, pms, sync_enabled, test_mode)"
        " values ('w', 'h', 1, '0.1.0', 'guestly', %(sync_enabled)s, %(test_mode)s)"
        " on conflict (id) do update set seen_at = now(), sync_enabled = excluded.sync_enabled,"
        " test_mode = excluded.test_mode",
        {"sync_enabled": sync_enabled, "test_mode": test_mode},
    )


async def rows_in_every_state(conn: Connection) -> list[dict[str, Any]]:
    """Deliveries with each combination of columns that the table admits, half of them mails."""
    moments = ("null", "now() - interval '1 minute'", "now() + interval '1 minute'")
    ever = ("null", "now()")
    combinations = itertools.product((0, 1), moments, ever, ever, ever, (0, 2), moments)
    for number, combination in enumerate(combinations):
        delivered, due, failed, discarded, uncertain, attempts, lease = combination
        owner, fence = ("null", 0) if lease == "null" else ("'w'", 7)
        try:
            await conn.execute(
                "insert into outbox.delivery (destination, key, requested, delivered, due_at,"
                " failed_at, discarded_at, uncertain_at, attempts, lease_until, owner, fence)"
                f" values ('{'email' if number % 2 else 'guestly'}', '{number}', 1, {delivered},"
                f" {due}, {failed}, {discarded}, {uncertain}, {attempts}, {lease}, {owner},"
                f" {fence})"
            )
        except psycopg.errors.CheckViolation:
            continue
    cursor = await conn.execute("select *, now() as now from outbox.delivery")
    rows = await cursor.fetchall()
    assert len(rows) > 50
    return rows
