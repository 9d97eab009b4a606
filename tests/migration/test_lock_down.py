"""Nobody of the site's reaches anything of ours, whatever the project's default privileges say."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors as pg
from psycopg import sql

from outbox_worker import migrate
from outbox_worker.errors import DatabaseError
from tests.migration.support_site import OUTSIDERS, Connection, Site, connect, role, rows, value

RELATIONS = """
  select c.relname::text as name, c.relkind::text as kind from pg_class c
  where c.relnamespace = 'outbox'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
  order by 1
"""
ROUTINES = """
  select n.nspname::text as schema, p.proname::text as name,
         array(select format_type(t, null) from unnest(p.proargtypes) t)::text[] as types
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace
  where n.nspname = 'outbox' or p.proname in ('request_booking_sync', 'increment_sync_attempts')
  order by 1, 2
"""
OPENED = "grant usage on schema outbox to public"


def refused(conn: Connection, who: str, statement: sql.Composed) -> bool:
    """Whether Postgres answers 42501 to a role; any other answer is given back as it came."""
    with role(conn, who):
        try:
            conn.execute(statement)
        except pg.InsufficientPrivilege:
            return True
        except psycopg.Error as error:
            pytest.fail(f"{who}: {error.sqlstate} instead of 42501")
    return False


def statements(conn: Connection, kind: str, name: str) -> list[sql.Composed]:
    relation = sql.Identifier("outbox", name)
    if kind == "S":
        texts = ["select last_value from {}", "select nextval({})", "select setval({}, 1)"]
        literal = sql.Literal(relation.as_string(conn))
        return [
            sql.SQL(texts[0]).format(relation),
            *(sql.SQL(text).format(literal) for text in texts[1:]),
        ]
    first = value(
        conn,
        "select attname::text from pg_attribute where attrelid = %s::regclass and attnum > 0"
        " and attidentity = '' order by attnum desc limit 1",
        relation.as_string(conn),
    )
    column = sql.Identifier(first)
    return [
        sql.SQL("select from {}").format(relation),
        sql.SQL("select {} from {} for update").format(column, relation),
        sql.SQL("insert into {} default values").format(relation),
        sql.SQL("update {} set {c} = {c}").format(relation, c=column),
        sql.SQL("delete from {}").format(relation),
        sql.SQL("truncate {}").format(relation),
    ]


@pytest.mark.parametrize("who", [*OUTSIDERS, "service_role"])
@pytest.mark.parametrize("schema_is_open", [False, True])
def test_every_relation_of_ours_is_closed_to_the_sites_roles(
    owner: Connection, who: str, *, schema_is_open: bool
) -> None:
    if schema_is_open:  # the second wall stands alone
        owner.execute(OPENED)
    relations = rows(owner, RELATIONS)

    assert {"delivery", "inbox_event", "_yoyo_log", "fence_seq"} <= {
        row["name"] for row in relations
    }
    for row in relations:
        for statement in statements(owner, row["kind"], row["name"]):
            assert refused(owner, who, statement), f"{who}: {statement.as_string(owner)}"


@pytest.mark.parametrize("who", OUTSIDERS)
@pytest.mark.parametrize("schema_is_open", [False, True])
def test_every_routine_of_ours_is_closed_to_guests(
    owner: Connection, who: str, *, schema_is_open: bool
) -> None:
    if schema_is_open:
        owner.execute(OPENED)
    routines = rows(owner, ROUTINES)

    assert len(routines) == 7
    for row in routines:
        name = sql.Identifier(row["schema"], row["name"])
        nulls = sql.SQL(", ").join(sql.SQL(f"null::{kind}") for kind in row["types"])
        call = sql.SQL("select {}({})").format(name, nulls)
        assert refused(owner, who, call), call.as_string(owner)


def test_the_service_role_may_call_what_it_needs_and_no_more(owner: Connection) -> None:
    allowed = {
        f"{row['schema']}.{row['name']}"
        for row in rows(owner, ROUTINES)
        if value(
            owner,
            "select has_function_privilege('service_role', %s, 'execute')",
            f"{row['schema']}.{row['name']}({', '.join(row['types'])})",
        )
    }

    assert allowed == {
        "outbox.request_sync",
        "public.request_booking_sync",
        "public.increment_sync_attempts",
    }


def test_every_table_has_row_level_security_and_no_policy(owner: Connection) -> None:
    open_tables = rows(
        owner,
        "select c.relname from pg_class c where c.relnamespace = 'outbox'::regnamespace"
        " and c.relkind in ('r', 'p') and not c.relrowsecurity",
    )
    assert open_tables == []
    assert value(owner, "select count(*) from pg_policy p join pg_class c on c.oid = p.polrelid"
                        " where c.relnamespace = 'outbox'::regnamespace") == 0  # fmt: skip


def test_tables_that_we_make_for_the_site_are_closed_until_it_opens_them(site: Site) -> None:
    with connect(site.url) as conn:
        conn.execute("drop table public.bookings, public.properties")
        migrate.apply(site.url)

        for who in OUTSIDERS:
            for name in ("bookings", "properties"):
                table = sql.SQL("select from {}").format(sql.Identifier("public", name))
                assert refused(conn, who, table)
        assert value(
            conn,
            "select count(*) from pg_class where relrowsecurity and relname in"
            " ('bookings', 'properties')",
        ) == 2  # fmt: skip


@pytest.mark.parametrize("who", OUTSIDERS)
def test_a_run_that_stops_before_the_lock_down_leaves_no_function_open(
    site: Site, who: str
) -> None:
    with connect(site.url) as conn:
        # what 0010 is to create exists already, so the run ends after 0009
        conn.execute("create schema outbox")
        conn.execute(
            "create function outbox.booking_changed() returns trigger language plpgsql"
            " as 'begin return null; end'"
        )
        with pytest.raises(DatabaseError, match=r"0010\..* was not applied"):
            migrate.apply(site.url)
        conn.execute(OPENED)

        for text in (
            "select public.request_booking_sync(null)",
            "select outbox.request_sync(null, null)",
            "select outbox.request('email', '1', 'alert')",
        ):
            assert refused(conn, who, sql.SQL(text).format())


def test_what_the_site_granted_on_its_own_tables_stays_granted(owner: Connection) -> None:
    with role(owner, "anon"):
        owner.execute("insert into public.bookings (booking_reference) values ('R-1')")
    with role(owner, "service_role"):
        assert value(owner, "select guestly_sync_status from public.bookings") == "pending"


def test_a_grant_that_somebody_made_since_is_revoked_by_the_next_run(migrated: Site) -> None:
    with connect(migrated.url) as conn:
        conn.execute("grant all on schema outbox to anon")
        conn.execute("grant all on all tables in schema outbox to anon, authenticated")
        conn.execute("grant execute on all functions in schema outbox to public")
        foreseen = migrate.pending(migrated.url).warnings

        report = migrate.apply(migrated.url)

        assert "anon on outbox." in foreseen[0]
        assert report.warnings == ()
        assert refused(conn, "anon", sql.SQL("select from outbox.delivery").format())


def test_a_right_that_we_cannot_take_away_is_told(migrated: Site) -> None:
    with connect(migrated.url) as conn, connect(migrated.admin_url) as admin:
        name = f"{conn.info.dbname}_staff"
        admin.execute(f"create role {name}")
        try:
            admin.execute(f"grant {name} to anon")
            admin.execute(f"grant select on outbox.inbox_event to {name}")

            report = migrate.apply(migrated.url)
        finally:
            admin.execute(f"drop owned by {name}")
            admin.execute(f"drop role {name}")

    assert "anon on outbox.inbox_event" in report.warnings[0]
