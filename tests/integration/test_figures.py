"""`outbox stats`: what each figure counts, and what it leaves out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from outbox_worker.database import Connection
from outbox_worker.operations.figures import Figures, read_figures
from outbox_worker.outbox.delivery import DeliveryId
from tests.support_engine import insert_booking
from tests.support_requeue import given_up, requested, synced


async def figures(conn: Connection, since: datetime | None = None) -> Figures:
    return await read_figures(conn, since=since)


async def attempted(
    conn: Connection, delivery: int, outcome: str, *, after: str = "0", code: str | None = None
) -> None:
    """An attempt that ended so long after now."""
    await conn.execute(
        "insert into outbox.attempt (delivery_id, fence, round, number, worker, started_at,"
        " finished_at, outcome, error_code)"
        " select %(id)s, coalesce(max(fence), 0) + 1, 1, 1, 'w', now(),"
        " now() + %(after)s::interval, %(outcome)s, %(code)s"
        " from outbox.attempt where delivery_id = %(id)s",
        {"id": delivery, "after": after, "outcome": outcome, "code": code},
    )


async def reserved(
    conn: Connection, *, reason: str, took: str, reference: str | None = None
) -> tuple[UUID, DeliveryId]:
    """A booking that somebody asked for, and whose reservation came so long after now."""
    booking = await insert_booking(conn, confirmed_at=datetime.now(tz=UTC))
    await conn.execute("select outbox.request_sync(%s, %s, %s)", [booking, reason, reference])
    cursor = await conn.execute(
        "update outbox.delivery set delivered = 1, due_at = null, delivered_at = now(),"
        " attempts = 1 where key = %s returning id",
        [str(booking)],
    )
    row = await cursor.fetchone()
    assert row is not None
    await attempted(conn, row["id"], "held", after=took)
    return booking, DeliveryId(row["id"])


async def test_an_empty_database_has_no_rate_rather_than_a_wrong_one(conn: Connection) -> None:
    found = await figures(conn)

    assert (found.pending, found.synced, found.tested, found.failed) == (0, 0, 0, 0)
    assert (found.success_rate, found.average_attempts, found.oldest_owed_at) == (None, None, None)
    assert (found.latency.p50, found.latency.p95, found.failures) == (None, None, ())


async def test_bookings_are_pending_synced_tested_or_failed(conn: Connection) -> None:
    await synced(conn)
    await synced(conn)
    await synced(conn)
    await synced(conn, mode="test")
    _, oldest = await requested(conn)
    await requested(conn)
    await conn.execute(
        "update outbox.delivery set requested_at = now() - interval '1 hour' where id = %s",
        [oldest],
    )
    await given_up(conn)
    await given_up(conn, redrive=True)
    await insert_booking(conn, status="pending")

    found = await figures(conn)

    assert (found.pending, found.synced, found.tested) == (2, 3, 1)
    assert (found.failed, found.retried) == (2, 1)
    assert found.success_rate == 0.6
    assert found.oldest_owed_at is not None
    assert found.now - found.oldest_owed_at >= timedelta(hours=1)
    # the site's own columns count every booking
    assert sum((found.bookings.pending, found.bookings.synced, found.bookings.failed)) == 9


async def test_attempts_are_averaged_over_bookings_that_needed_a_call(conn: Connection) -> None:
    for attempts in (1, 2, 0):
        booking = await synced(conn)
        await conn.execute(
            "update outbox.delivery set attempts = %s where key = %s", [attempts, str(booking)]
        )

    assert (await figures(conn)).average_attempts == 1.5


async def test_since_leaves_out_what_ended_before(conn: Connection) -> None:
    old = await synced(conn)
    await conn.execute(
        "update outbox.delivery set delivered_at = '2026-01-01' where key = %s", [str(old)]
    )
    _, gone = await given_up(conn)
    await attempted(conn, gone, "failed", after="-100 days", code="http_503")
    await conn.execute("update outbox.delivery set failed_at = '2026-01-01' where id = %s", [gone])
    await synced(conn)
    hour_ago = datetime.now(tz=UTC) - timedelta(hours=1)

    found = await figures(conn, hour_ago)

    assert (found.synced, found.failed, found.success_rate) == (1, 0, 1.0)
    assert found.failures == ()
    everything = await figures(conn)
    assert (everything.synced, everything.failed) == (2, 1)


async def test_a_payment_begins_when_its_event_came_in(conn: Connection) -> None:
    await conn.execute(
        "insert into outbox.inbox_event (source, id, type, outcome, received_at)"
        " values ('stripe', 'evt_1', 'payment_intent.succeeded', 'applied',"
        " now() - interval '1 minute')"
    )
    await reserved(conn, reason="stripe", reference="evt_1", took="30 seconds")

    latency = (await figures(conn)).latency

    assert (latency.reservations, latency.measured) == (1, 1)
    assert latency.p50 is not None
    assert timedelta(seconds=90) <= latency.p50 < timedelta(seconds=150)


async def test_half_and_ninety_five_of_a_hundred_are_told_apart(conn: Connection) -> None:
    for seconds in (10, 10, 10, 1000):
        await reserved(conn, reason="database", took=f"{seconds} seconds")

    latency = (await figures(conn)).latency

    assert latency.p50 is not None
    assert latency.p95 is not None
    assert latency.p50 < timedelta(seconds=60)
    assert latency.p95 > timedelta(seconds=800)


@pytest.mark.parametrize("reason", ["operator", "takeover", "redrive"])
async def test_a_booking_of_unknown_beginning_is_counted_and_not_measured(
    conn: Connection, reason: str
) -> None:
    await reserved(conn, reason=reason, took="1 hour")

    latency = (await figures(conn)).latency

    assert (latency.reservations, latency.measured, latency.p50) == (1, 0, None)


async def test_only_the_first_reservation_ends_the_measurement(conn: Connection) -> None:
    _, delivery = await reserved(conn, reason="database", took="5 seconds")
    await attempted(conn, delivery, "held", after="2 days")

    latency = (await figures(conn)).latency

    assert latency.p95 is not None
    assert latency.p95 < timedelta(minutes=5)


async def test_failed_calls_are_counted_by_code_the_most_frequent_first(conn: Connection) -> None:
    _, one = await requested(conn)
    _, other = await requested(conn)
    for delivery, outcome, code in (
        (one, "failed", "http_503"), (one, "ambiguous", "http_503"), (other, "failed", "http_503"),
        (one, "lost", None), (one, "held", None), (other, "waiting", "quiet"),
    ):  # fmt: skip
        await attempted(conn, delivery, outcome, code=code)

    found = [(each.code, each.attempts, each.bookings) for each in (await figures(conn)).failures]

    assert found == [("http_503", 3, 2), ("lost", 1, 1)]
