"""`migrate` on an empty database: up, down, what it leaves, and its dry run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from psycopg import conninfo
from yoyo import read_migrations

from outbox_worker import migrate
from tests.migration.support_site import ROOT, connect, rows, value

FOLDER = ROOT / "migrations"
MIGRATIONS = tuple(
    path.stem for path in sorted(FOLDER.glob("*.sql")) if not path.name.endswith(".rollback.sql")
)
RELATIONS = """
  select n.nspname || '.' || c.relname as name from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  where n.nspname in ('public', 'outbox') and c.relkind in ('r', 'v', 'S') order by 1
"""
FUNCTIONS = """
  select p.oid::regprocedure::text as name, p.prosecdef, p.proconfig from pg_proc p
  where p.pronamespace in ('public'::regnamespace, to_regnamespace('outbox')) order by 1
"""


def test_an_empty_database_is_migrated_and_a_second_run_does_nothing(
    empty_database_url: str,
) -> None:
    first = migrate.apply(empty_database_url)
    second = migrate.apply(empty_database_url)

    warning = (
        "no public.bookings here: an empty one was created; is DATABASE_URL the site's database?"
    )
    assert first == migrate.MigrationReport(applied=MIGRATIONS, pending=(), warnings=(warning,))
    assert second == migrate.MigrationReport(applied=(), pending=(), warnings=())


def test_a_dry_run_lists_what_is_pending_and_changes_nothing(empty_database_url: str) -> None:
    before = migrate.pending(empty_database_url)
    with connect(empty_database_url) as conn:
        assert value(conn, "select count(*) from pg_class where relnamespace > 16000") == 0
    migrate.apply(empty_database_url)

    assert before.pending == MIGRATIONS
    assert before.applied == ()
    assert migrate.pending(empty_database_url).pending == ()


def test_only_the_two_tables_of_the_site_are_made_outside_our_schema(
    empty_database_url: str,
) -> None:
    migrate.apply(empty_database_url)

    with connect(empty_database_url) as conn:
        names = [row["name"] for row in rows(conn, RELATIONS)]
    assert [name for name in names if name.startswith("public.")] == [
        "public.bookings",
        "public.properties",
    ]
    assert {"outbox.delivery", "outbox._yoyo_migration", "outbox.yoyo_lock"} <= set(names)


def test_up_down_and_up_again_ends_where_it_began(empty_database_url: str) -> None:
    migrate.apply(empty_database_url, with_booking_trigger=True)
    with connect(empty_database_url) as conn:
        first = rows(conn, RELATIONS)
        undone = migrate.rollback(empty_database_url)
        assert value(conn, "select to_regnamespace('outbox')") is None
        assert [row["name"] for row in rows(conn, FUNCTIONS)] == ["increment_sync_attempts(uuid)"]
        assert value(conn, "select count(*) from pg_trigger where not tgisinternal") == 0
        assert value(conn, "select to_regclass('idx_bookings_payment_intent_once')") is None
        again = migrate.apply(empty_database_url)

        assert undone == tuple(reversed(MIGRATIONS))
        assert again.applied == MIGRATIONS
        assert rows(conn, RELATIONS) == first


def test_rolling_back_what_was_never_migrated_does_nothing(empty_database_url: str) -> None:
    assert migrate.rollback(empty_database_url) == ()


def test_a_keyword_string_serves_as_well_as_a_url(empty_database_url: str) -> None:
    keywords = conninfo.make_conninfo(empty_database_url, application_name="keywords")

    assert "://" not in keywords
    assert migrate.apply(keywords).applied == MIGRATIONS
    assert migrate.pending(keywords).pending == ()


def test_every_function_has_an_empty_search_path(database_url: str) -> None:
    with connect(database_url) as conn:
        functions = rows(conn, FUNCTIONS)

    assert len(functions) == 7
    assert [row["name"] for row in functions if row["proconfig"] != ['search_path=""']] == []


def test_the_functions_between_us_and_the_site_run_with_the_rights_of_the_owner(
    database_url: str,
) -> None:
    with connect(database_url) as conn:
        definers = {row["name"].split("(")[0] for row in rows(conn, FUNCTIONS) if row["prosecdef"]}

    assert definers == {
        "outbox.booking_changed",
        "outbox.cleaning_fees",
        "outbox.request",
        "outbox.request_sync",
        "request_booking_sync",
    }


def test_the_documented_columns_and_indexes_are_on_bookings(database_url: str) -> None:
    with connect(database_url) as conn:
        columns = rows(
            conn,
            "select column_name as name, data_type as type, column_default as preset,"
            " col_description('public.bookings'::regclass, ordinal_position) is not null as told"
            " from information_schema.columns where table_schema = 'public'"
            " and table_name = 'bookings' and column_name ~ '^guestly' order by 1",
        )
        indexes = rows(
            conn,
            "select indexname as name, indexdef as text from pg_indexes"
            " where schemaname = 'public' and indexname ~ '^idx' order by 1",
        )

    assert [tuple(row.values()) for row in columns] == [
        ("guestly_reservation_id", "text", None, True),
        ("guestly_sync_attempts", "integer", "0", True),
        ("guestly_sync_error", "text", None, True),
        ("guestly_sync_status", "text", "'pending'::text", True),
        ("guestly_synced_at", "timestamp with time zone", None, True),
    ]
    assert {row["name"]: row["text"].split(" USING btree ")[1] for row in indexes} == {
        "idx_bookings_failed_syncs": (
            "(guestly_sync_status, guestly_sync_attempts)"
            " WHERE (guestly_sync_status = 'failed'::text)"
        ),
        "idx_bookings_guestly_reservation_id": "(guestly_reservation_id)",
        "idx_bookings_guestly_sync_status": "(guestly_sync_status)",
        "idx_bookings_payment_intent_once": (
            "(stripe_payment_intent_id) WHERE (stripe_payment_intent_id <> ''::text)"
        ),
    }
    assert [row["name"] for row in indexes if "UNIQUE" in row["text"]] == [
        "idx_bookings_payment_intent_once"
    ]


def test_counting_an_attempt_takes_null_for_zero(database_url: str) -> None:
    with connect(database_url) as conn:
        booking = value(
            conn,
            "insert into public.bookings (booking_reference, guestly_sync_attempts)"
            " values ('R-1', null) returning id",
        )
        for _ in range(2):
            conn.execute("select public.increment_sync_attempts(%s)", (booking,))

        assert value(conn, "select guestly_sync_attempts from public.bookings") == 2


@pytest.mark.parametrize("name", MIGRATIONS)
def test_a_migration_has_a_rollback_and_says_what_it_locks(name: str) -> None:
    text = (FOLDER / f"{name}.sql").read_text(encoding="utf-8")
    header = text[: re.search(r"^[^-\s]", text, re.MULTILINE).start()]  # type: ignore[union-attr]  # no statement at all fails the test as well

    assert (FOLDER / f"{name}.rollback.sql").is_file()
    assert re.search(r"^-- Locks: .*", header, re.MULTILINE)


def test_every_migration_runs_in_a_transaction_and_after_the_one_it_needs() -> None:
    migrations = read_migrations(str(FOLDER))
    for migration in migrations:
        migration.load()

    assert all(migration.use_transactions for migration in migrations)
    assert [migration.id for migration in migrations if not migration.depends] == [MIGRATIONS[0]]


def test_no_extension_is_needed() -> None:
    texts = [path.read_text(encoding="utf-8") for path in Path(FOLDER).rglob("*.sql")]

    assert not [text for text in texts if re.search("create extension|uuid_generate", text)]
