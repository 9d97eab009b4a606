"""Several processes that migrate at once, and one that is killed on its way."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta

import pytest

from outbox_worker import migrate
from outbox_worker.errors import DatabaseError
from tests.migration.support_site import (
    ROOT,
    Connection,
    Site,
    connect,
    rows,
    value,
    wait_until,
)
from tests.migration.test_migrate_empty import MIGRATIONS

PROGRAM = """
import sys
from outbox_worker import migrate
report = migrate.apply(sys.argv[1], with_booking_trigger=True)
print(len(report.applied), *report.warnings)
"""

#: Makes a migrating process wait for the advisory lock 42 when it notes one migration as applied.
HOLD_THE_NOTE = """
create table public.held (migration text);
insert into public.held values ('none');
create function public.hold() returns trigger language plpgsql as $$
begin
  if new.migration_id = (select migration from public.held) then
    perform pg_advisory_xact_lock(42);
  end if;
  return new;
end $$;
create trigger hold before insert on outbox._yoyo_migration
  for each row execute function public.hold()
"""


@contextlib.contextmanager
def started(url: str, program: str = PROGRAM) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that runs a program; killed at the end of the block at the latest."""
    command = [sys.executable, "-W", "error", "-c", program, url]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def sessions(conn: Connection, *, waiting: bool = False) -> int:
    """How many sessions of migrating processes this database has, or how many wait for a lock."""
    count = (
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and application_name = 'outbox migrate' and (wait_event_type = 'Lock' or not %s)"
    )
    found = value(conn, count, waiting)
    assert isinstance(found, int)
    return found


def test_eight_at_once_migrate_once_and_all_succeed(site: Site) -> None:
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(started(site.url)) for _ in range(8)]
        answers = [process.communicate(timeout=55) for process in processes]

    assert [process.returncode for process in processes] == [0] * 8, answers
    assert sorted(out.split() for out, _ in answers) == [["0"]] * 7 + [[str(len(MIGRATIONS))]]
    with connect(site.url) as conn:
        applied = rows(conn, "select migration_id as id from outbox._yoyo_migration order by 1")
        assert tuple(row["id"] for row in applied) == MIGRATIONS
        assert value(conn, "select count(*) from outbox.yoyo_lock") == 0


def test_one_killed_while_it_waits_for_a_table_blocks_nobody(site: Site) -> None:
    with connect(site.url) as conn, connect(site.admin_url) as watcher:
        with conn.transaction(), started(site.url) as process:
            conn.execute("lock table public.bookings in share mode")
            wait_until(lambda: sessions(watcher, waiting=True) == 1, "it waits for the table")
            process.kill()
            # the lock of all goes with its session, while its other one still waits for the table
            wait_until(lambda: sessions(watcher) == 1, "the session of the lock is gone")

        assert migrate.apply(site.url).applied[-1] == MIGRATIONS[-1]
        assert migrate.pending(site.url).pending == ()
        assert value(conn, "select count(*) from outbox.yoyo_lock") == 0


@pytest.mark.parametrize("reached", MIGRATIONS[3::4])
def test_one_killed_between_a_migration_and_the_note_of_it_blocks_nobody(
    lived_in: Site, reached: str
) -> None:
    with connect(lived_in.url) as conn, connect(lived_in.admin_url) as watcher:
        with conn.transaction():
            conn.execute("lock table public.bookings in share mode")
            with pytest.raises(DatabaseError, match="0003"):
                migrate.apply(lived_in.url, lock_wait=timedelta(milliseconds=100))
        conn.execute(HOLD_THE_NOTE)
        conn.execute("update public.held set migration = %s", (reached,))
        with watcher.transaction(), started(lived_in.url) as process:
            watcher.execute("select pg_advisory_xact_lock(42)")
            wait_until(lambda: sessions(conn, waiting=True) == 1, f"{reached} is to be noted")
            process.kill()
        conn.execute("drop table public.held; drop function public.hold cascade")

        report = migrate.apply(lived_in.url)

        assert report.applied == MIGRATIONS[MIGRATIONS.index(reached) :]
        assert migrate.pending(lived_in.url).pending == ()
        assert value(conn, "select count(*) from outbox.request where reason = 'takeover'") == 14


def test_a_rollback_that_is_killed_changes_nothing(migrated: Site, watcher: Connection) -> None:
    program = "import sys; from outbox_worker import migrate; migrate.rollback(sys.argv[1])"
    with connect(migrated.url) as conn:
        with conn.transaction(), started(migrated.url, program) as process:
            # among the last tables to go
            conn.execute("lock table outbox.delivery in row exclusive mode")
            wait_until(lambda: sessions(watcher, waiting=True) == 1, "it waits for the table")
            process.kill()
        wait_until(lambda: sessions(watcher) == 0, "its sessions are gone")

        assert migrate.pending(migrated.url).pending == ()
        assert value(conn, "select to_regclass('outbox.operator_action')") is not None
        assert migrate.rollback(migrated.url) == tuple(reversed(MIGRATIONS))
