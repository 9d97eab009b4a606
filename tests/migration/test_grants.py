"""deploy/grants.sql: a role that is not the owner can do the work, and no more."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from psycopg import errors as pg
from psycopg import sql

from outbox_worker import database, migrate
from outbox_worker.bookings.visibility import blinded_tables
from outbox_worker.sql import catalogue
from tests.migration.support_site import ROOT, Connection, Site, connect, role, rows, value

GRANTS = (ROOT / "deploy" / "grants.sql").read_bytes()
APP = "outbox_app"
#: Run by the owner, or in the demo's own database, never as the application.
NOT_THE_APPLICATIONS = {"migrate.sql", "demo.sql"}
#: Statements that PREPARE does not take, after their comments.
UTILITY = re.compile(r"(?:\s*--[^\n]*\n)*\s*(?:begin|commit|listen|notify)\b")
QUERIES = {
    name: item
    for name, item in catalogue().items()
    if item.file not in NOT_THE_APPLICATIONS and not UTILITY.match(item.text)
}


@pytest.fixture
def app(migrated: Site, server_url: str) -> Iterator[Connection]:
    """The owner's connection to a site whose worker has a role of its own; `role(conn, APP)`."""
    with connect(server_url) as admin, admin.transaction():
        admin.execute("select pg_advisory_xact_lock(7310593858)")
        if not rows(admin, "select from pg_roles where rolname = %s", APP):
            admin.execute(f"create role {APP} login")
        admin.execute(f"grant {APP} to outbox_test_owner")
    with connect(migrated.url) as conn:
        for _ in range(2):  # it may be run any number of times
            with conn.transaction():
                conn.execute(GRANTS)
        conn.execute(
            "insert into public.bookings (booking_reference, status, payment_status)"
            " values ('R-1', 'confirmed', 'completed')"
        )
        yield conn


def prepared(text: str) -> tuple[str, str]:
    """A query with numbered parameters, and as many nulls to execute it with."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    numbered = re.sub(r"%\((\w+)\)s", number, text).replace("%%", "%")
    return numbered, f"({', '.join('null' for _ in names)})" if names else ""


def test_the_role_may_run_every_named_query(app: Connection) -> None:
    # planned without looking at the values, so that nothing is pruned before rights are checked
    app.execute("set plan_cache_mode = force_generic_plan")
    refused = {}
    with role(app, APP):
        for name, item in QUERIES.items():
            text, nulls = prepared(item.text)
            try:
                app.execute(f"prepare {name} as {text}")
                app.execute(f"explain execute {name}{nulls}")
            except pg.InsufficientPrivilege as error:
                refused[name] = error.diag.message_primary

    # what operators did is not the role's to shorten: `outbox prune` leaves it and goes on
    assert set(refused) == {"prune_actions"}


def test_the_role_requests_a_sync_and_sees_what_it_did(app: Connection) -> None:
    with role(app, APP):
        booking = value(app, "select id from public.bookings")
        assert value(app, "select outbox.request_sync(%s, 'operator')", booking) == 1
        assert value(app, "select outbox.request('email', '1', 'alert')") == 1
        assert value(app, "select count(*) from outbox.delivery") == 2
        app.execute("update public.bookings set guestly_sync_status = 'synced'")
        app.execute("update outbox.delivery set fence = nextval('outbox.fence_seq'), owner = 'w',"
                    " lease_until = now()")  # fmt: skip
        assert value(app, "select guestly_sync_status from public.bookings") == "synced"


@pytest.mark.parametrize(
    "statement",
    [
        "delete from public.bookings",
        "insert into public.bookings (booking_reference) values ('R-2')",
        "update public.bookings set total = 1",
        "update public.properties set name = ''",
        "delete from outbox.reservation",
        "delete from outbox.operator_action",
        "update outbox.attempt set outcome = 'held'",
        "update outbox.request set reason = 'operator'",
        "truncate outbox.delivery",
        "delete from outbox._yoyo_migration",
        "select outbox.lock_down()",
        "create table outbox.mine ()",
    ],
)
def test_the_role_may_not_do_what_the_work_does_not_need(app: Connection, statement: str) -> None:
    with role(app, APP), pytest.raises(pg.InsufficientPrivilege):
        app.execute(statement)


def test_a_later_migration_leaves_the_grants_alone(migrated: Site, app: Connection) -> None:
    assert migrate.apply(migrated.url).warnings == ()

    with role(app, APP):
        assert value(app, "select count(*) from outbox.destination") == 4


class TestBlindedTables:
    async def blinded(self, site: Site, who: str) -> tuple[str, ...]:
        async with database.connection(site.url, application_name="test") as conn:
            await conn.execute(sql.SQL("set role {}").format(sql.Identifier(who)))
            return await blinded_tables(conn)

    async def test_neither_the_owner_nor_the_granted_role_is_blinded(
        self, migrated: Site, app: Connection
    ) -> None:
        assert await self.blinded(migrated, app.info.user) == ()
        assert await self.blinded(migrated, APP) == ()

    async def test_a_role_without_a_policy_is_told_each_table(
        self, migrated: Site, app: Connection
    ) -> None:
        app.execute("drop policy outbox_app_reads on public.bookings")
        app.execute("drop policy outbox_app on outbox.delivery")

        assert await self.blinded(migrated, APP) == ("outbox.delivery", "public.bookings")

    async def test_a_role_that_may_read_but_not_change_is_blinded_too(
        self, migrated: Site, app: Connection
    ) -> None:
        app.execute("drop policy outbox_app_updates on public.bookings")

        assert await self.blinded(migrated, APP) == ("public.bookings",)

    async def test_a_policy_that_shows_everybody_everything_will_do(
        self, migrated: Site, app: Connection
    ) -> None:
        app.execute("drop policy outbox_app on public.properties")

        assert await self.blinded(migrated, APP) == ()  # the site's own policy, using (true)

    async def test_a_policy_for_everybody_that_hides_rows_blinds(
        self, migrated: Site, app: Connection
    ) -> None:
        app.execute("drop policy outbox_app_reads on public.bookings")
        app.execute("create policy fewer on public.bookings for select using (status = 'pending')")

        assert await self.blinded(migrated, APP) == ("public.bookings",)

    async def test_a_restrictive_policy_for_everybody_blinds(
        self, migrated: Site, app: Connection
    ) -> None:
        app.execute(
            "create policy fewer on public.bookings as restrictive using (status = 'pending')"
        )

        assert await self.blinded(migrated, APP) == ("public.bookings",)

    async def test_row_security_that_is_off_blinds_nobody(
        self, migrated: Site, app: Connection
    ) -> None:
        app.execute("drop policy outbox_app_reads on public.bookings")
        app.execute("alter table public.bookings disable row level security")

        assert await self.blinded(migrated, APP) == ()

    async def test_an_owner_under_forced_row_security_is_blinded(
        self, migrated: Site, owner: Connection
    ) -> None:
        owner.execute("alter table public.bookings force row level security")

        assert await self.blinded(migrated, owner.info.user) == ("public.bookings",)

    async def test_a_role_that_bypasses_row_security_is_not(
        self, migrated: Site, app: Connection
    ) -> None:
        app.execute("grant usage on schema outbox to service_role")
        app.execute("grant select, update on all tables in schema outbox to service_role")

        assert await self.blinded(migrated, "service_role") == ()
