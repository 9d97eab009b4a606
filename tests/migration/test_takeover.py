"""The first migration of a site that has been running: what is taken over, what stays untouched."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from outbox_worker import migrate
from tests.migration.support_site import Connection, Site, connect, everything, rows, value

DELIVERIES = """
  select b.booking_reference as ref, d.delivered, d.failed_at is not null as failed, d.attempts,
         d.delivered_at::date::text as delivered_on, d.last_error_code as code
  from outbox.delivery d join public.bookings b on d.destination = 'guestly' and d.key = b.id::text
"""
RESERVATIONS = """
  select b.booking_reference as ref, r.pms, r.reservation_id, r.mode, r.fingerprint, r.reservations
  from outbox.reservation r join public.bookings b on b.id = r.booking_id
"""
INVENTORY = """
  select c.relname::text as name, c.relrowsecurity::text as what, c.relacl::text as acl
  from pg_class c where c.relnamespace = 'public'::regnamespace
  union all
  select polname::text, pg_get_expr(polqual, polrelid), polroles::text from pg_policy
  union all
  select tgname::text, pg_get_triggerdef(oid), tgenabled::text
  from pg_trigger where not tgisinternal
  union all
  select conname::text, pg_get_constraintdef(oid), contype::text
  from pg_constraint where connamespace = 'public'::regnamespace
  union all
  select proname::text, prosrc, proacl::text
  from pg_proc where pronamespace = 'public'::regnamespace
  union all
  select defaclobjtype::text, defaclnamespace::regnamespace::text, defaclacl::text
  from pg_default_acl
"""
#: reference: (delivered of one requested, failed, attempts, delivered on, error code)
TAKEN = {
    "live": (1, False, 1, "2026-01-02", None),
    "live-pending": (1, False, 0, "2026-01-02", None),
    "live-failed": (0, True, 3, "2026-01-02", "takeover_failed"),
    "live-cancelled": (1, False, 2, "2026-01-02", None),
    "live-padded": (1, False, 1, None, None),
    "live-no-status": (1, False, 0, None, None),
    "live-far-future": (1, False, 1, None, None),
    "live-repeated": (1, False, 1, "2026-01-02", None),
    "too-long": (0, True, 1, "2026-01-02", "takeover_reservation_id"),
    "test": (1, False, 1, "2026-01-02", None),
    "test-failed": (0, True, 3, None, "takeover_failed"),
    "failed": (0, True, 3, None, "takeover_failed"),
    "failed-no-count": (0, True, 0, None, "takeover_failed"),
    "failed-odd-count": (0, True, 0, None, "takeover_failed"),
}
HELD = {
    "live": ("RES-1", "live", 1),
    "live-pending": ("RES-2", "live", 1),
    "live-failed": ("RES-3", "live", 1),
    "live-cancelled": ("RES-4", "live", 1),
    "live-padded": ("RES-5", "live", 1),
    "live-no-status": ("RES-6", "live", 1),
    "live-far-future": ("RES-7", "live", 1),
    "live-repeated": ("RES-1", "live", 1),
    "test": ("test-reservation-id", "test", 0),
    "test-failed": ("test-reservation-id", "test", 0),
}


def taken(conn: Connection) -> dict[str, tuple[object, ...]]:
    return {
        row["ref"]: (
            row["delivered"],
            row["failed"],
            row["attempts"],
            row["delivered_on"],
            row["code"],
        )
        for row in rows(conn, DELIVERIES)
    }


def held(conn: Connection) -> dict[str, tuple[object, ...]]:
    return {
        row["ref"]: (row["reservation_id"], row["mode"], row["reservations"])
        for row in rows(conn, RESERVATIONS)
    }


def test_every_kind_of_booking_is_taken_over_as_what_it_is(lived_in: Site) -> None:
    migrate.apply(lived_in.url)

    with connect(lived_in.url) as conn:
        assert taken(conn) == TAKEN
        assert held(conn) == HELD
        assert value(conn, "select count(*) from outbox.delivery") == len(TAKEN)
        assert value(conn, "select count(*) from outbox.reservation") == len(HELD)
        assert {row["fingerprint"] for row in rows(conn, RESERVATIONS)} == {None}
        assert {row["pms"] for row in rows(conn, RESERVATIONS)} == {"guestly"}
        history = rows(conn, "select delivery_id, version, reason from outbox.request")
        assert len({row["delivery_id"] for row in history}) == len(history) == len(TAKEN)
        assert {(row["version"], row["reason"]) for row in history} == {(1, "takeover")}


def test_migrating_makes_nothing_due_and_tells_nobody(lived_in: Site) -> None:
    migrate.apply(lived_in.url, with_booking_trigger=True)

    with connect(lived_in.url) as conn:
        assert value(conn, "select count(*) from outbox.delivery where due_at is not null") == 0
        assert value(conn, "select count(*) from outbox.delivery where owner is not null") == 0
        assert value(conn, "select count(*) from outbox.alert") == 0
        assert value(conn, "select count(*) from outbox.attempt") == 0


def test_the_sites_own_error_text_is_not_copied(lived_in: Site) -> None:
    migrate.apply(lived_in.url)

    with connect(lived_in.url) as conn:
        texts = rows(conn, "select d::text as t from outbox.delivery d")
        assert "guest@example.com" in "".join(everything(conn))
    assert not [row for row in texts if "guest@example.com" in row["t"]]


def test_the_sites_rows_stay_as_they_are_through_up_down_and_up_again(lived_in: Site) -> None:
    with connect(lived_in.url) as conn:
        before = everything(conn)
        migrate.apply(lived_in.url, with_booking_trigger=True)
        after_up = everything(conn)
        migrate.rollback(lived_in.url)
        after_down = everything(conn)
        migrate.apply(lived_in.url)

        assert before == after_up == after_down == everything(conn)
        assert taken(conn) == TAKEN
        assert held(conn) == HELD


def test_what_the_site_made_itself_outlives_up_and_down(lived_in: Site) -> None:
    with connect(lived_in.url) as conn:
        before = {tuple(row.values()) for row in rows(conn, INVENTORY)}
        migrate.apply(lived_in.url, with_booking_trigger=True)
        migrate.rollback(lived_in.url)
        after = {tuple(row.values()) for row in rows(conn, INVENTORY)}

    assert before <= after
    assert {name for name, *_ in after - before} == {
        "idx_bookings_guestly_reservation_id",
        "idx_bookings_guestly_sync_status",
        "idx_bookings_failed_syncs",
        "increment_sync_attempts",
    }


def test_a_site_without_the_columns_gets_them_without_a_rewrite(site: Site) -> None:
    with connect(site.url) as conn:
        conn.execute(
            "insert into public.bookings (booking_reference, status, payment_status)"
            " select 'R-' || n, 'confirmed', 'completed' from generate_series(1, 50) n"
        )
        places = "select array_agg((ctid, xmin)::text order by id) from public.bookings"
        before = value(conn, places)
        migrate.apply(site.url)

        assert value(conn, places) == before
        [state] = rows(
            conn,
            "select distinct guestly_sync_status as s, guestly_sync_attempts as a,"
            " guestly_reservation_id as r from public.bookings",
        )
        assert state == {"s": "pending", "a": 0, "r": None}
        assert value(conn, "select count(*) from outbox.delivery") == 0


def test_a_function_of_that_name_that_the_site_made_is_left_alone(site: Site) -> None:
    with connect(site.url) as conn:
        conn.execute(
            "create function public.increment_sync_attempts(booking uuid) returns integer"
            " language sql as 'select 42'"
        )
        state = (
            "select (prosrc, proacl, proconfig)::text from pg_proc"
            " where proname = 'increment_sync_attempts'"
        )
        before = value(conn, state)
        migrate.apply(site.url)

        assert value(conn, state) == before


class TestOnePaymentIntentBelongsToOneBooking:
    INDEX = "select to_regclass('public.idx_bookings_payment_intent_once')::text"

    @pytest.fixture
    def conn(self, site: Site) -> object:
        with connect(site.url) as conn:
            for reference, intent in {
                "A": "pi_1",
                "B": "pi_1",
                "C": "",
                "D": "",
                "E": None,
            }.items():
                conn.execute(
                    "insert into public.bookings (booking_reference, stripe_payment_intent_id)"
                    " values (%s, %s)",
                    (reference, intent),
                )
            yield conn

    def test_duplicates_keep_the_index_away_until_a_later_run_finds_none(
        self, site: Site, conn: Connection
    ) -> None:
        first = migrate.apply(site.url)
        foreseen = migrate.pending(site.url)
        assert value(conn, self.INDEX) is None
        conn.execute(
            "update public.bookings set stripe_payment_intent_id = null"
            " where booking_reference = 'B'"
        )
        second = migrate.apply(site.url)

        assert "1 payment intent(s) stand on more than one booking" in first.warnings[0]
        assert first.warnings == foreseen.warnings
        assert second == migrate.MigrationReport(applied=(), pending=(), warnings=())
        with pytest.raises(psycopg.errors.UniqueViolation):
            conn.execute("update public.bookings set stripe_payment_intent_id = 'pi_1'")
        assert value(conn, "select count(*) from public.bookings") == 5

    def test_an_invalid_leftover_is_replaced(self, site: Site, conn: Connection) -> None:
        with pytest.raises(psycopg.errors.UniqueViolation):
            conn.execute(
                "create unique index concurrently idx_bookings_payment_intent_once"
                " on public.bookings (stripe_payment_intent_id)"
                " where stripe_payment_intent_id <> ''"
            )
        assert migrate.apply(site.url).warnings
        assert value(conn, self.INDEX) is None
        conn.execute("delete from public.bookings where booking_reference = 'B'")

        assert migrate.apply(site.url).warnings == ()
        assert value(
            conn,
            "select indisvalid and indisunique from pg_index"
            " where indexrelid = 'public.idx_bookings_payment_intent_once'::regclass",
        )

    def test_duplicates_that_come_up_while_it_is_built_leave_nothing_behind(
        self, site: Site, conn: Connection
    ) -> None:
        migrate.apply(site.url)
        # the count beforehand does not see them, building the index does
        conn.execute("alter table public.bookings force row level security")

        report = migrate.apply(site.url)

        assert "UniqueViolation" in report.warnings[-1]
        assert value(conn, self.INDEX) is None

    def test_an_index_of_the_sites_own_is_enough(self, site: Site, conn: Connection) -> None:
        conn.execute("delete from public.bookings where booking_reference in ('B', 'D')")
        conn.execute("alter table public.bookings add unique (stripe_payment_intent_id)")

        assert migrate.apply(site.url).warnings == ()
        assert value(conn, self.INDEX) is None

    def test_an_index_that_cannot_be_built_now_is_a_warning(
        self, site: Site, conn: Connection
    ) -> None:
        conn.execute("delete from public.bookings where booking_reference = 'B'")
        migrate.apply(site.url)
        conn.execute("drop index public.idx_bookings_payment_intent_once")
        with conn.transaction():
            conn.execute("lock table public.bookings in row exclusive mode")
            report = migrate.apply(site.url, lock_wait=timedelta(milliseconds=200))

        assert "LockNotAvailable" in report.warnings[0]
        assert migrate.apply(site.url).warnings == ()
        assert value(conn, self.INDEX) is not None


def test_a_reservation_that_two_bookings_claim_is_told(lived_in: Site) -> None:
    assert "1 live reservation id(s)" in migrate.apply(lived_in.url).warnings[0]
