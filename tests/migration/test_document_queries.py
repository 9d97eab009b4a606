"""The queries of the documents, on the site's tables with rows whose figures are known."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.migration.support_site import Connection, rows, value
from tests.support_documents import GUIDE, QUICKSTART, Block, blocks

#: What the columns hold: reference, status, attempts, id, error, days since it was made.
_BOOKINGS: tuple[tuple[str, str | None, int, str | None, str | None, int], ...] = (
    ("first", "synced", 1, "RES-1", None, 0),
    ("retried", "synced", 3, "RES-2", None, 1),
    ("never-held", "synced", 0, None, None, 2),
    ("refused", "failed", 1, None, "no listing", 1),
    ("given-up", "failed", 3, None, "HTTP 503", 0),
    ("owed", "pending", 0, None, None, 0),
    ("untouched", None, 0, None, None, 0),
    ("tested", "synced", 1, "test-reservation-id", None, 3),
    ("long-ago", "failed", 3, None, "HTTP 503", 40),
    ("long-ago-synced", "synced", 9, "RES-3", None, 40),
)


@pytest.fixture
def written(owner: Connection) -> Connection:
    for reference, status, attempts, held, error, days in _BOOKINGS:
        owner.execute(
            "insert into public.bookings (booking_reference, status, payment_status, check_in_date,"
            " created_at, guestly_sync_status, guestly_sync_attempts, guestly_reservation_id,"
            " guestly_sync_error) values (%s, 'confirmed', 'completed',"
            " current_date + 30 - %s, now() - make_interval(days => %s), %s, %s, %s, %s)",
            (reference, days, days, status, attempts, held, error),
        )
    return owner


def query(name: str) -> str:
    [block] = [each for each in blocks(GUIDE, "sql") if name in each.words]
    return block.text


def answer(conn: Connection, name: str) -> list[dict[str, Any]]:
    return rows(conn, query(name))


def test_the_success_rate_is_of_what_was_decided(written: Connection) -> None:
    assert answer(written, "success-rate") == [
        {"synced": 4, "failed": 2, "success_rate_percent": Decimal("66.67")}
    ]


def test_the_success_rate_of_nothing_is_empty(owner: Connection) -> None:
    assert answer(owner, "success-rate") == [
        {"synced": 0, "failed": 0, "success_rate_percent": None}
    ]


def test_the_average_is_of_attempts_that_made_a_reservation(written: Connection) -> None:
    [row] = answer(written, "average-attempts")

    assert row["avg_attempts"] == pytest.approx(Decimal(5) / 3)


def test_what_failed_comes_newest_first_and_without_the_guest(written: Connection) -> None:
    found = answer(written, "needs-attention")

    assert [row["booking_reference"] for row in found] == ["given-up", "refused", "long-ago"]
    assert found[1]["guestly_sync_error"] == "no listing"
    assert found[1]["guestly_sync_attempts"] == 1
    assert not [name for name in found[0] if "guest_" in name]


def test_a_days_summary_counts_each_status(written: Connection) -> None:
    found = {row.pop("day"): row for row in answer(written, "by-day")}

    today: date = value(written, "select now()::date")
    assert sorted(found, reverse=True) == list(found)
    assert found[today] == {"synced": 1, "failed": 1, "pending": 2}
    assert found[today - timedelta(days=1)] == {"synced": 1, "failed": 1, "pending": 0}


def test_errors_are_counted(written: Connection) -> None:
    assert answer(written, "by-error") == [
        {"guestly_sync_error": "HTTP 503", "bookings": 2},
        {"guestly_sync_error": "no listing", "bookings": 1},
    ]


def essential(columns: str) -> Block:
    found = [each for each in blocks(QUICKSTART, "sql") if columns in each.text]
    assert len(found) == 1, columns
    return found[0]


def test_the_bookings_of_a_week_come_newest_first(written: Connection) -> None:
    found = rows(written, essential("interval '7 days'").text)

    assert len(found) == len(_BOOKINGS) - 2
    assert [row["booking_reference"] for row in found][-1] == "tested"
    assert all(isinstance(row["guestly_synced_at"], datetime | None) for row in found)


def test_failures_come_by_arrival(written: Connection) -> None:
    found = rows(written, essential("where guestly_sync_status = 'failed'").text)

    assert [row["booking_reference"] for row in found] == ["long-ago", "refused", "given-up"]


def test_what_is_paid_and_not_in_guestly_is_listed_tested_ones_included(
    written: Connection,
) -> None:
    found = rows(written, essential("is distinct from 'synced'").text)

    assert {row["booking_reference"] for row in found} == {
        "refused", "given-up", "owed", "untouched", "tested", "long-ago",
    }  # fmt: skip


def test_the_end_of_the_trial_asks_for_each_cancellation(written: Connection) -> None:
    """Bookings that are not of the trial are left alone."""
    written.execute(
        "insert into public.bookings (booking_reference, status, payment_status)"
        " values ('LA2026-48213', 'confirmed', 'completed')"
    )

    rows(written, essential("end of the trial").text)

    assert rows(
        written,
        "select b.booking_reference, r.reason, r.reference from outbox.request r"
        " join outbox.delivery d on d.id = r.delivery_id"
        " join public.bookings b on b.id::text = d.key",
    ) == [
        {
            "booking_reference": "LA2026-48213",
            "reason": "database",
            "reference": "end of the trial",
        }
    ]
    cancelled = "select count(*) from public.bookings where status = 'cancelled'"
    assert value(written, cancelled) == 1
