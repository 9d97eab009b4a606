"""outbox.request_sync and its RPC, as our processes and the site's own roles call them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors as pg

from tests.migration.support_delivery import CLAIM, DISCARD, RETRY, SETTLE, delivery, history
from tests.migration.support_site import Connection, role, rows, value, wait_for_waiter


@pytest.fixture
def booking(owner: Connection) -> UUID:
    return new_booking(owner)


def new_booking(conn: Connection) -> UUID:
    statement = (
        "insert into public.bookings (booking_reference, status, payment_status)"
        " values (%s, 'confirmed', 'completed') returning id"
    )
    found = value(conn, statement, str(uuid4()))
    assert isinstance(found, UUID)
    return found


def mirrored(conn: Connection) -> tuple[object, ...]:
    [row] = rows(
        conn,
        "select guestly_sync_status, guestly_sync_attempts, guestly_reservation_id"
        " from public.bookings",
    )
    return tuple(row.values())


class TestRequestSync:
    def test_the_booking_is_owed_and_its_columns_say_so(
        self, owner: Connection, booking: UUID
    ) -> None:
        owner.execute(
            "update public.bookings set guestly_sync_status = 'failed', guestly_sync_attempts = 3,"
            " guestly_reservation_id = 'RES-1'"
        )

        assert value(owner, "select outbox.request_sync(%s, 'operator', 'ann')", booking) == 1
        assert value(owner, "select key from outbox.delivery where destination = 'guestly'") == str(
            booking
        )
        assert mirrored(owner) == ("pending", 0, "RES-1")
        assert history(owner) == [(1, "operator", "ann", None)]

    @pytest.mark.parametrize(
        ("arguments", "recorded"),
        [
            ("'stripe', 'evt_1', '00-a'", ("stripe", "evt_1", "00-a")),
            ("'redrive'", ("redrive", None, None)),
            ("'the site, checkout'", ("database", "the site, checkout", None)),
            ("'import', 'batch 7'", ("database", "import: batch 7", None)),
            ("null", ("database", None, None)),
            ("''", ("database", None, None)),
            ("repeat('x', 500)", ("database", "x" * 200, None)),
        ],
    )
    def test_any_reason_is_taken_and_an_unknown_one_is_kept_as_the_reference(
        self,
        owner: Connection,
        booking: UUID,
        arguments: str,
        recorded: tuple[str | None, ...],
    ) -> None:
        owner.execute(f"select outbox.request_sync('{booking}', {arguments})")

        assert history(owner) == [(1, *recorded)]

    @pytest.mark.parametrize("booking_id", [None, UUID(int=0)])
    def test_an_unknown_booking_has_an_error_code_of_its_own(
        self, owner: Connection, booking_id: UUID | None
    ) -> None:
        with pytest.raises(psycopg.Error) as caught:
            owner.execute("select outbox.request_sync(%s, 'operator')", (booking_id,))

        assert caught.value.sqlstate == "OB404"
        assert value(owner, "select count(*) from outbox.delivery") == 0

    def test_bookings_hidden_from_the_owner_are_not_called_unknown(
        self, owner: Connection, booking: UUID
    ) -> None:
        owner.execute("alter table public.bookings force row level security")

        with pytest.raises(psycopg.Error) as caught:
            owner.execute("select outbox.request_sync(%s, 'operator')", (booking,))

        assert caught.value.sqlstate == "OB403"

    def test_a_synced_booking_with_a_change_owed_is_pending_and_keeps_its_reservation(
        self, owner: Connection, booking: UUID
    ) -> None:
        owner.execute("select outbox.request_sync(%s, 'operator')", (booking,))
        for statement in (CLAIM, SETTLE):
            owner.execute(statement)
        owner.execute(
            "update public.bookings set guestly_sync_status = 'synced', guestly_sync_attempts = 1,"
            " guestly_reservation_id = 'RES-1'"
        )
        owner.execute("select outbox.request_sync(%s, 'operator')", (booking,))

        assert mirrored(owner) == ("pending", 0, "RES-1")

    def test_a_retrying_booking_keeps_its_count(self, owner: Connection, booking: UUID) -> None:
        owner.execute("select outbox.request_sync(%s, 'operator')", (booking,))
        for statement in (CLAIM, RETRY):
            owner.execute(statement)
        owner.execute("update public.bookings set guestly_sync_attempts = 1")
        owner.execute("select outbox.request_sync(%s, 'operator')", (booking,))

        assert mirrored(owner) == ("pending", 1, None)

    def test_a_request_during_a_redrive_shows_the_booking_as_owed_and_keeps_its_count(
        self, owner: Connection, booking: UUID
    ) -> None:
        owner.execute("select outbox.request_sync(%s, 'operator')", (booking,))
        owner.execute("update outbox.delivery set failed_at = now()")
        owner.execute(CLAIM)
        owner.execute(
            "update public.bookings set guestly_sync_status = 'failed', guestly_sync_attempts = 3"
        )
        owner.execute("select outbox.request_sync(%s, 'operator')", (booking,))

        assert mirrored(owner) == ("pending", 3, None)

    def test_a_discarded_booking_stays_as_it_is(self, owner: Connection, booking: UUID) -> None:
        owner.execute("select outbox.request_sync(%s, 'operator')", (booking,))
        for statement in (CLAIM, DISCARD):
            owner.execute(statement)
        owner.execute(
            "update public.bookings set guestly_sync_status = 'failed', guestly_sync_attempts = 2"
        )

        assert value(owner, "select outbox.request_sync(%s, 'database')", booking) == 2
        assert mirrored(owner) == ("failed", 2, None)
        assert delivery(owner)["discarded"] is True

    def test_a_second_request_writes_the_booking_no_second_time(
        self, owner: Connection, booking: UUID
    ) -> None:
        owner.execute("select outbox.request_sync(%s, 'operator')", (booking,))
        before = value(owner, "select xmin from public.bookings")
        owner.execute("select outbox.request_sync(%s, 'operator')", (booking,))

        assert value(owner, "select xmin from public.bookings") == before

    def test_it_belongs_to_the_transaction_of_the_change(
        self, owner: Connection, other: Connection, booking: UUID
    ) -> None:
        with owner.transaction(force_rollback=True):
            owner.execute("update public.bookings set adults = 3")
            owner.execute("select outbox.request_sync(%s, 'checkout')", (booking,))
            assert value(other, "select count(*) from outbox.delivery") == 0
        assert value(other, "select count(*) from outbox.delivery") == 0

        with owner.transaction():
            owner.execute("update public.bookings set adults = 3")
            owner.execute("select outbox.request_sync(%s, 'checkout')", (booking,))
        assert value(other, "select count(*) from outbox.delivery") == 1

    def test_it_locks_the_booking_before_the_delivery(
        self, owner: Connection, other: Connection, watcher: Connection, booking: UUID
    ) -> None:
        request = "select outbox.request_sync(%s, 'operator')"
        owner.execute(request, (booking,))
        with ThreadPoolExecutor() as pool:
            with owner.transaction():
                owner.execute("select from public.bookings for no key update")
                second = pool.submit(value, other, request, booking)
                wait_for_waiter(watcher, other.info.backend_pid)
                # a settle does this next; the waiting request must not hold the row
                owner.execute("select from outbox.delivery for update nowait")
            assert second.result() == 2

    def test_a_repeatable_read_caller_has_to_retry_after_a_concurrent_claim(
        self, owner: Connection, other: Connection, booking: UUID
    ) -> None:
        owner.execute("select outbox.request_sync(%s, 'operator')", (booking,))
        owner.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ

        def request_after_a_claim() -> None:
            with owner.transaction():
                value(owner, "select count(*) from public.bookings")
                other.execute(CLAIM)
                owner.execute("select outbox.request_sync(%s, 'operator')", (booking,))

        with pytest.raises(pg.SerializationFailure):
            request_after_a_claim()
        with owner.transaction():
            assert value(owner, "select outbox.request_sync(%s, 'operator')", booking) == 2


class TestTheSitesOwnRoles:
    def test_the_service_role_requests_by_rpc(self, owner: Connection, booking: UUID) -> None:
        with role(owner, "service_role"):
            # as PostgREST calls it: arguments by name
            rpc = "select public.request_booking_sync(booking_id => %s)"
            assert value(owner, rpc, booking) == 1

        assert delivery(owner)["due"] is True
        assert history(owner) == [(1, "database", "rpc", None)]

    def test_the_service_role_requests_in_its_own_transaction(
        self, owner: Connection, booking: UUID
    ) -> None:
        with role(owner, "service_role"), owner.transaction():
            owner.execute("update public.bookings set adults = 2")
            owner.execute("select outbox.request_sync(%s, 'checkout')", (booking,))

        assert history(owner) == [(1, "database", "checkout", None)]

    @pytest.mark.parametrize("who", ["anon", "authenticated"])
    @pytest.mark.parametrize(
        "call",
        [
            "public.request_booking_sync(%s)",
            "outbox.request_sync(%s, 'mine')",
            "public.increment_sync_attempts(%s)",
        ],
    )
    def test_guests_request_nothing(
        self, owner: Connection, booking: UUID, who: str, call: str
    ) -> None:
        with role(owner, who), pytest.raises(pg.InsufficientPrivilege):
            owner.execute(f"select {call}", (booking,))

        assert value(owner, "select count(*) from outbox.delivery") == 0

    def test_a_search_path_of_the_callers_changes_nothing(
        self, owner: Connection, booking: UUID
    ) -> None:
        owner.execute("grant usage, create on schema public to service_role")
        with role(owner, "service_role"):
            owner.execute("create temp table delivery (like public.bookings)")
            owner.execute("create temp table bookings (like public.bookings)")
            owner.execute("set search_path = pg_temp, public")
            owner.execute("select public.request_booking_sync(%s)", (booking,))

        assert delivery(owner)["requested"] == 1
