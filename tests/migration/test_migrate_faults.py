"""`migrate` where something is in the way: a named error each time, and nothing half done."""

from __future__ import annotations

from datetime import timedelta

import pytest

from outbox_worker import migrate
from outbox_worker.errors import DatabaseError, DatabaseUnreachableError, SchemaError
from outbox_worker.migration_session import locked, session
from tests.migration.pooler import pooler
from tests.migration.support_site import OWNER, Site, connect, create_roles, value, with_user
from tests.migration.test_migrate_empty import MIGRATIONS

SHORT = timedelta(milliseconds=200)


def test_a_server_that_is_not_there_is_unreachable_and_no_password_is_told() -> None:
    with pytest.raises(DatabaseUnreachableError) as caught:
        migrate.apply("postgresql://somebody:secret@127.0.0.1:1/nowhere")

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql://somebody:secret@[::1/db", "secret", "a=secret"])
def test_a_url_that_cannot_be_read_is_not_repeated(url: str) -> None:
    with pytest.raises(DatabaseError, match="neither a libpq URL") as caught:
        migrate.apply(url)

    assert "secret" not in f"{caught.value}{caught.value.__cause__}"


def test_a_transaction_pooler_is_refused_and_left_unlocked(empty_database_url: str) -> None:
    with pooler(empty_database_url) as pooled:
        with pytest.raises(SchemaError, match="pooler") as caught:
            migrate.apply(pooled)

        assert "DATABASE_LISTEN_URL" in caught.value.hint
        # the pooler's session to the server lives on
        assert migrate.apply(empty_database_url, lock_wait=SHORT).applied == MIGRATIONS


def test_a_role_that_may_not_create_a_schema_is_told_which_role_to_use(
    empty_database_url: str, server_url: str
) -> None:
    create_roles(server_url)

    with pytest.raises(SchemaError, match="permission denied") as caught:
        migrate.apply(with_user(empty_database_url, OWNER, "owner"))

    assert "owner of public.bookings" in caught.value.hint


def test_waiting_for_another_process_ends(empty_database_url: str) -> None:
    with session(empty_database_url) as conn, locked(conn, empty_database_url, SHORT):
        with pytest.raises(DatabaseError, match="another process has been migrating"):
            migrate.apply(empty_database_url, lock_wait=SHORT)
        with pytest.raises(DatabaseError, match="another process has been migrating"):
            migrate.rollback(empty_database_url, lock_wait=SHORT)
        assert migrate.pending(empty_database_url).pending == MIGRATIONS

    assert migrate.apply(empty_database_url, lock_wait=SHORT).applied == MIGRATIONS


def test_a_table_that_somebody_keeps_locked_stops_the_migration_and_loses_nothing(
    site: Site,
) -> None:
    with connect(site.url) as conn:
        with conn.transaction():
            conn.execute("lock table public.bookings in share mode")
            with pytest.raises(DatabaseError, match=r"0003.*not applied.*locked") as caught:
                migrate.apply(site.url, lock_wait=SHORT)
            assert "pg_stat_activity" in caught.value.hint
        columns = "select count(*) from pg_attribute where attname ~ '^guestly'"
        assert value(conn, columns) == 0

    assert migrate.apply(site.url).applied == MIGRATIONS[2:]


def test_a_migration_that_fails_is_named_and_undone_and_goes_on_when_repaired(
    empty_database_url: str,
) -> None:
    with connect(empty_database_url) as conn:
        conn.execute("create view public.bookings as select gen_random_uuid() as id")
        with pytest.raises(
            DatabaseError, match=r"migration 0003\.add-sync-columns was not applied"
        ):
            migrate.apply(empty_database_url)
        assert migrate.pending(empty_database_url).pending == MIGRATIONS[2:]
        conn.execute("drop view public.bookings")
        conn.execute("create table public.bookings (id uuid primary key)")

        report = migrate.apply(empty_database_url)

    assert report.applied == MIGRATIONS[2:]
    assert "lack columns" in report.warnings[0]
    # every one of them with its type, so that one ALTER TABLE is enough
    assert "bookings.adults integer, " in report.warnings[0]
    assert "bookings.created_at timestamptz, " in report.warnings[0]
    assert report.warnings[0].count("bookings.") == 26


def test_the_lock_row_of_a_killed_process_is_broken(empty_database_url: str) -> None:
    migrate.apply(empty_database_url)
    with connect(empty_database_url) as conn:
        conn.execute("insert into outbox.yoyo_lock values (1, now(), 4711)")
        conn.execute("drop function outbox.lock_down")
        conn.execute("delete from outbox._yoyo_migration where migration_id = '0012.lock-down'")

        assert migrate.apply(empty_database_url).applied == ("0012.lock-down",)
        assert value(conn, "select count(*) from outbox.yoyo_lock") == 0


@pytest.mark.parametrize(
    ("theirs", "kind"),
    [
        ("outbox.theirs as select 1 as one", "table"),
        ("public.theirs as select id from outbox.delivery", "view"),
    ],
)
def test_a_rollback_that_would_take_what_is_not_ours_is_refused_whole(
    empty_database_url: str, theirs: str, kind: str
) -> None:
    migrate.apply(empty_database_url, with_booking_trigger=True)
    with connect(empty_database_url) as conn:
        conn.execute(f"create {kind} {theirs}")

        with pytest.raises(DatabaseError, match="nothing was removed") as caught:
            migrate.rollback(empty_database_url)

        assert "theirs" in caught.value.hint
        assert value(conn, "select count(*) from pg_trigger where not tgisinternal") == 1
        assert migrate.pending(empty_database_url).pending == ()
        conn.execute(f"drop {kind} {theirs.split(maxsplit=1)[0]}")
    assert migrate.rollback(empty_database_url) == tuple(reversed(MIGRATIONS))


def test_a_database_of_a_newer_version_is_told(direct_url: str) -> None:
    with connect(direct_url) as conn:
        conn.execute(
            "insert into outbox._yoyo_migration values ('h', '9999.from-the-future', now())"
        )

    for report in (migrate.apply(direct_url), migrate.pending(direct_url)):
        assert report.applied == ()
        assert "9999.from-the-future" in report.warnings[0]


def test_bookings_that_row_security_hides_from_us_are_not_taken_for_absent(
    lived_in: Site,
) -> None:
    with connect(lived_in.url) as conn:
        conn.execute("alter table public.bookings force row level security")
        foreseen = migrate.pending(lived_in.url).warnings
        with pytest.raises(SchemaError, match=r"0011\.take-over-bookings was not applied"):
            migrate.apply(lived_in.url)
        assert "public.bookings" in foreseen[0]
        conn.execute("alter table public.bookings no force row level security")
        assert migrate.apply(lived_in.url).applied == MIGRATIONS[10:]
        conn.execute("alter table public.bookings force row level security")

        assert "hides rows of public.bookings" in migrate.apply(lived_in.url).warnings[0]
