"""The indexes on the site's sync columns: built while the site goes on writing, and mended."""

from __future__ import annotations

from datetime import timedelta

import pytest

from outbox_worker import migrate
from tests.migration.support_site import (
    ROOT,
    Connection,
    Site,
    connect,
    rows,
    value,
    wait_until,
)
from tests.migration.test_migrate_together import started

NAMES = (
    "idx_bookings_failed_syncs",
    "idx_bookings_guestly_reservation_id",
    "idx_bookings_guestly_sync_status",
)
SHORT = timedelta(milliseconds=200)
#: Without the trigger, which would wait for writers itself.
PROGRAM = "import sys; from outbox_worker import migrate; migrate.apply(sys.argv[1])"


def valid(conn: Connection) -> dict[str, bool]:
    found = rows(
        conn,
        "select c.relname::text as name, i.indisvalid as valid from pg_class c"
        " join pg_index i on i.indexrelid = c.oid where c.relname = any (%s)",
        list(NAMES),
    )
    return {row["name"]: row["valid"] for row in found}


def test_no_migration_builds_an_index_on_the_sites_rows_within_its_transaction() -> None:
    """There it would keep the table locked until the last of its statements is done."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "migrations").glob("*.sql")]

    assert not [text for text in texts if "index" in text and "on public.bookings (" in text]


@pytest.mark.parametrize("name", NAMES)
def test_the_site_goes_on_writing_while_an_index_is_built(site: Site, name: str) -> None:
    """The build waits for a writer that was there first, and other writers do not wait for it."""
    with connect(site.url) as conn, connect(site.admin_url) as watcher:
        migrate.apply(site.url)
        conn.execute(f"drop index public.{name}")
        # of all databases, those of other tests among them
        building = (
            "select count(*) from pg_stat_progress_create_index where lockers_total > 0"
            " and datname = current_database()"
        )
        with conn.transaction(), started(site.url, PROGRAM) as process:
            conn.execute("update public.bookings set adults = 1")
            wait_until(lambda: value(watcher, building) == 1, "the index waits for the writer")
            with connect(site.url) as guest:
                guest.execute("set lock_timeout = '1s'")
                guest.execute("insert into public.bookings (booking_reference) values ('NEW')")
            assert process.poll() is None
            process.kill()


def test_an_index_whose_build_was_killed_is_built_anew(site: Site) -> None:
    with connect(site.url) as conn, connect(site.admin_url) as watcher:
        migrate.apply(site.url)
        for name in NAMES:
            conn.execute(f"drop index public.{name}")
        ours = (
            "select count(*) from pg_stat_activity where application_name = 'outbox migrate'"
            " and datname = current_database()"
        )
        with conn.transaction(), started(site.url, PROGRAM) as process:
            conn.execute("update public.bookings set adults = 1")
            wait_until(lambda: False in valid(watcher).values(), "an index is half built")
            process.kill()
            watcher.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'outbox migrate' and datname = current_database()"
            )
            wait_until(lambda: value(watcher, ours) == 0, "its sessions are gone")
        assert False in valid(conn).values()

        assert migrate.apply(site.url).warnings == ()
        assert valid(conn) == dict.fromkeys(NAMES, True)


@pytest.mark.parametrize("name", NAMES)
def test_an_index_that_cannot_be_built_now_is_a_warning_and_built_by_the_next_run(
    site: Site, name: str
) -> None:
    with connect(site.url) as conn:
        migrate.apply(site.url)
        conn.execute(f"drop index public.{name}")
        with conn.transaction():
            conn.execute("lock table public.bookings in row exclusive mode")
            report = migrate.apply(site.url, lock_wait=SHORT)

        [warning] = report.warnings
        assert name in warning
        assert "LockNotAvailable" in warning
        assert migrate.apply(site.url).warnings == ()
        assert valid(conn) == dict.fromkeys(NAMES, True)


def test_an_index_of_that_name_that_the_site_made_is_left_alone(site: Site) -> None:
    with connect(site.url) as conn:
        conn.execute("alter table public.bookings add guestly_sync_status text")
        conn.execute(
            "create index idx_bookings_guestly_sync_status on public.bookings"
            " (guestly_sync_status desc)"
        )
        before = value(conn, "select 'public.idx_bookings_guestly_sync_status'::regclass::oid")

        assert migrate.apply(site.url).warnings == ()
        after = value(conn, "select 'public.idx_bookings_guestly_sync_status'::regclass::oid")
        assert before == after
