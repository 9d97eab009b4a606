"""The optional trigger on bookings: a change made anywhere is requested, and nothing else is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors as pg

from outbox_worker import migrate
from outbox_worker.errors import SchemaError
from tests.migration.support_site import Connection, Site, connect, role, rows, value

#: Every column that a reservation is made of, with a value that none of the bookings has.
MAPPED = {
    "booking_reference": "'R-new'",
    "property_id": "'00000000-0000-0000-0000-000000000001'",
    "status": "'cancelled'",
    "guest_first_name": "'Ann'",
    "guest_last_name": "'Other'",
    "guest_email": "'ann@example.com'",
    "guest_phone": "'+00'",
    "guest_country": "'PT'",
    "guest_company": "'Other Ltd'",
    "check_in_date": "'2027-01-01'",
    "check_out_date": "'2027-01-09'",
    "adults": "4",
    "children": "null",
    "infants": "2",
    "total": "999.99",
    "special_requests": "'a cot'",
    "purpose_of_stay": "'work'",
    "has_pet": "true",
    "early_checkin": "null",
    "late_checkout": "true",
}
#: Columns that are no part of a reservation.
UNMAPPED = {
    "nights": "9",
    "base_price": "1",
    "payment_method": "'card'",
    "stripe_charge_id": "'ch_1'",
    "confirmed_at": "now()",
    "cancelled_at": "now()",
    "guestly_reservation_id": "'RES-1'",
    "guestly_sync_status": "'synced'",
    "guestly_sync_error": "'boom'",
    "guestly_synced_at": "now()",
    "guestly_sync_attempts": "2",
}
GUEST = UUID("00000000-0000-0000-0000-00000000000a")


@pytest.fixture
def site_conn(migrated: Site) -> Iterator[Connection]:
    """The owner's connection to a migrated site with the trigger."""
    migrate.apply(migrated.url, with_booking_trigger=True)
    with connect(migrated.url) as conn:
        conn.execute(
            "insert into public.properties (id, slug, name)"
            " values ('00000000-0000-0000-0000-000000000001', 'villa', 'Villa')"
        )
        yield conn


def book(conn: Connection, status: str = "confirmed", payment: str = "completed") -> UUID:
    found = value(
        conn,
        "insert into public.bookings (booking_reference, status, payment_status, user_id,"
        " guest_first_name, guest_last_name, guest_email, check_in_date, check_out_date, adults,"
        " children, total, has_pet, early_checkin, late_checkout) values (%s, %s, %s, %s, 'Zoe',"
        " 'Guest', 'zoe@example.com', '2026-12-01', '2026-12-05', 2, 0, 100, false, false, false)"
        " returning id",
        str(uuid4()),
        status,
        payment,
        GUEST,
    )
    assert isinstance(found, UUID)
    return found


def change(conn: Connection, assignments: str) -> None:
    conn.execute(f"update public.bookings set {assignments}")


def requested(conn: Connection) -> int | None:
    """Versions asked for of the only booking; None when nothing was."""
    found = rows(conn, "select requested from outbox.delivery")
    return found[0]["requested"] if found else None


def test_a_change_of_each_mapped_column_of_a_paid_booking_is_requested(
    site_conn: Connection,
) -> None:
    book(site_conn)
    versions = []

    for column, new in MAPPED.items():
        change(site_conn, f"{column} = {new}")
        versions.append(requested(site_conn))

    assert versions == list(range(1, len(MAPPED) + 1))
    assert rows(site_conn, "select distinct reason, reference from outbox.request") == [
        {"reason": "database", "reference": "trigger"}
    ]
    assert value(site_conn, "select guestly_sync_status from public.bookings") == "pending"


def test_changes_of_everything_else_request_nothing(site_conn: Connection) -> None:
    book(site_conn)

    change(site_conn, ", ".join(f"{column} = {new}" for column, new in UNMAPPED.items()))
    change(site_conn, ", ".join(f"{column} = {column}" for column in (*MAPPED, *UNMAPPED)))

    assert requested(site_conn) is None


def test_an_insert_requests_nothing_whatever_it_claims(site_conn: Connection) -> None:
    with role(site_conn, "anon"):
        site_conn.execute(
            "insert into public.bookings (booking_reference, status, payment_status, adults)"
            " values ('R-1', 'confirmed', 'completed', 2)"
        )
    site_conn.execute(
        "insert into public.bookings (booking_reference, status, payment_status) values"
        " ('R-1', 'pending', 'pending') on conflict (booking_reference) do nothing"
    )

    assert requested(site_conn) is None


#: (status, payment status, what is changed): whether it is requested.
PAID = {
    ("pending", "pending", "adults = 3"): False,
    ("pending", "pending", "status = 'cancelled'"): False,
    ("pending", "failed", "adults = 3"): False,
    ("pending", "processing", "adults = 3"): False,
    ("confirmed", "pending", "adults = 3"): False,
    ("pending", "pending", "status = 'confirmed'"): False,
    ("pending", "pending", "payment_status = 'completed'"): False,
    ("pending", "pending", "status = 'confirmed', payment_status = 'completed'"): True,
    ("pending", "completed", "status = 'confirmed'"): True,
    ("confirmed", "pending", "payment_status = 'completed'"): True,
    ("confirmed", "completed", "payment_status = 'refunded'"): False,
    ("confirmed", "completed", "payment_status = 'refunded', status = 'cancelled'"): True,
    ("confirmed", "refunded", "status = 'cancelled'"): True,
    ("confirmed", "completed", "payment_status = null, status = null"): True,
    ("completed", "completed", "special_requests = 'x'"): True,
}


def test_only_what_is_or_was_paid_is_requested(site_conn: Connection) -> None:
    found = {}
    for status, payment, assignments in PAID:
        booking = book(site_conn, status, payment)
        change(site_conn, f"{assignments} where id = '{booking}'")
        count = "select count(*) from outbox.delivery where key = %s"
        found[status, payment, assignments] = value(site_conn, count, str(booking)) == 1

    assert found == PAID


def test_a_booking_that_the_pms_was_asked_to_hold_unpaid_is_followed_too(
    site_conn: Connection,
) -> None:
    booking = book(site_conn, "confirmed", "pending")
    site_conn.execute("select outbox.request_sync(%s, 'bank transfer')", (booking,))

    site_conn.execute("update public.bookings set status = 'cancelled'")

    assert requested(site_conn) == 2


def test_a_cancellation_made_by_sql_reaches_the_outbox(site_conn: Connection) -> None:
    booking = book(site_conn)
    site_conn.execute("select outbox.request_sync(%s, 'stripe')", (booking,))
    site_conn.execute("update outbox.delivery set delivered = requested, due_at = null")
    site_conn.execute(
        "update public.bookings set guestly_sync_status = 'synced', guestly_reservation_id = 'R'"
    )
    assert requested(site_conn) == 1

    site_conn.execute("update public.bookings set status = 'cancelled', cancelled_at = now()")

    [row] = rows(
        site_conn, "select requested, delivered, due_at <= now() as due from outbox.delivery"
    )
    assert row == {"requested": 2, "delivered": 1, "due": True}
    [state] = rows(
        site_conn, "select guestly_sync_status as s, guestly_reservation_id as r from bookings"
    )
    assert state == {"s": "pending", "r": "R"}


def test_a_guest_under_row_level_security_changes_theirs_and_it_is_requested(
    site_conn: Connection,
) -> None:
    book(site_conn)
    with role(site_conn, "authenticated"), site_conn.transaction():
        site_conn.execute(f"set local request.jwt.claim.sub = '{GUEST}'")
        changed = site_conn.execute("update public.bookings set special_requests = 'late'")

    assert changed.rowcount == 1
    assert requested(site_conn) == 1


def test_a_change_of_several_bookings_requests_each_once(site_conn: Connection) -> None:
    bookings = {str(book(site_conn)) for _ in range(5)}
    book(site_conn, "pending", "pending")

    site_conn.execute("update public.bookings set special_requests = 'quiet'")

    found = rows(site_conn, "select key, requested from outbox.delivery")
    assert {row["key"] for row in found} == bookings
    assert {row["requested"] for row in found} == {1}


def test_a_change_that_is_rolled_back_is_not_requested(site_conn: Connection) -> None:
    book(site_conn)
    with site_conn.transaction(force_rollback=True):
        site_conn.execute("update public.bookings set adults = 3")

    assert requested(site_conn) is None


def test_our_own_processes_are_not_echoed(site_conn: Connection) -> None:
    book(site_conn)
    with site_conn.transaction():
        site_conn.execute("set local outbox.origin = 'receiver'")
        site_conn.execute("update public.bookings set status = 'cancelled'")
    assert requested(site_conn) is None

    # the setting ends with its transaction
    site_conn.execute("update public.bookings set adults = 3")
    assert requested(site_conn) == 1


def test_a_fault_of_ours_never_fails_the_sites_update(site_conn: Connection) -> None:
    notices: list[str] = []
    site_conn.add_notice_handler(
        lambda notice: notices.append(f"{notice.message_primary} {notice.message_hint}")
    )
    booking = book(site_conn)
    site_conn.execute("alter table outbox.delivery rename to hidden")
    site_conn.execute("update public.bookings set adults = 3, guest_email = 'new@example.com'")
    assert value(site_conn, "select adults from public.bookings") == 3

    site_conn.execute("alter table outbox.hidden rename to delivery")
    site_conn.execute("alter table outbox.request add check (false) not valid")
    site_conn.execute("update public.bookings set adults = 4")

    assert value(site_conn, "select adults from public.bookings") == 4
    assert requested(site_conn) is None
    assert [str(booking) in notice for notice in notices] == [True, True]
    assert "example.com" not in "".join(notices)


def test_a_change_that_has_to_be_repeated_is_not_half_kept(
    site_conn: Connection, migrated: Site
) -> None:
    booking = book(site_conn)
    site_conn.execute("select outbox.request_sync(%s, 'stripe')", (booking,))
    site_conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ

    def cancel_after_a_claim() -> None:
        with connect(migrated.url) as claimer, site_conn.transaction():
            value(site_conn, "select count(*) from public.bookings")
            claimer.execute("update outbox.delivery set attempts = 1")
            change(site_conn, "status = 'cancelled'")

    with pytest.raises(pg.SerializationFailure):
        cancel_after_a_claim()
    assert value(site_conn, "select status from public.bookings") == "confirmed"

    with site_conn.transaction():
        site_conn.execute("update public.bookings set status = 'cancelled'")
    assert requested(site_conn) == 2


def test_it_is_made_once_and_stays_without_the_flag(site: Site) -> None:
    count = "select count(*) from pg_trigger where tgname = 'outbox_booking_changed'"
    with connect(site.url) as conn:
        migrate.apply(site.url)
        assert value(conn, count) == 0
        for _ in range(2):
            migrate.apply(site.url, with_booking_trigger=True)
            assert value(conn, count) == 1
        migrate.apply(site.url)
        assert value(conn, count) == 1


def test_a_site_that_lacks_a_mapped_column_is_told(site: Site) -> None:
    with connect(site.url) as conn:
        conn.execute("alter table public.bookings drop column guest_company")

        with pytest.raises(SchemaError, match="guest_company"):
            migrate.apply(site.url, with_booking_trigger=True)


def test_every_column_of_the_where_clause_is_tried_above(site_conn: Connection) -> None:
    definition = value(
        site_conn,
        "select pg_get_triggerdef(oid) from pg_trigger where tgname = 'outbox_booking_changed'",
    )
    compared = set(re.findall(r"old\.(\w+)", definition, re.IGNORECASE))
    assert compared - {"payment_status"} == set(MAPPED)
