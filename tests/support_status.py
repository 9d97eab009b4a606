"""A worker that seems to run, for what the status makes of it."""

from __future__ import annotations

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
