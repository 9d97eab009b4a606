"""What would be asked for again, and what is left alone and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from outbox_worker.database import Connection
from outbox_worker.operations.plan import (
    Failed,
    InTestMode,
    Missing,
    Named,
    plan,
)
from outbox_worker.operations.refs import resolve
from outbox_worker.operations.requeue import apply
from outbox_worker.outbox.delivery import Destination, State
from outbox_worker.pms import mapping
from tests.support_engine import (
    insert_booking,
    owe,
    row_of,
)
from tests.support_requeue import (
    REQUEST,
    VIEW,
    given_up,
    named,
    only,
    requested,
    run,
    synced,
)


async def test_a_synced_booking_is_sent_only_if_it_differs(conn: Connection) -> None:
    booking = await synced(conn)
    assert (await only(conn, named(booking))).skip == "already as wanted"

    await conn.execute("update bookings set adults = 4 where id = %s", [booking])
    assert (await only(conn, named(booking))).skip is None
    assert len((await run(conn, named(booking))).requeued) == 1


async def test_a_taken_over_reservation_of_unknown_state_is_sent(conn: Connection) -> None:
    booking = await synced(conn)
    await conn.execute("update outbox.reservation set fingerprint = null")
    assert (await only(conn, named(booking))).skip is None

    await conn.execute("delete from outbox.delivery")
    assert (await only(conn, named(booking))).skip is None


async def test_a_booking_whose_history_was_pruned_is_compared_all_the_same(
    conn: Connection,
) -> None:
    booking = await synced(conn)
    await conn.execute("delete from outbox.delivery")

    assert (await only(conn, named(booking))).skip == "already as wanted"


async def test_a_cancelled_booking_is_sent_until_the_pms_knows(conn: Connection) -> None:
    booking = await synced(conn, booking_reference="LA-1")
    await conn.execute("update bookings set status = 'cancelled' where id = %s", [booking])
    assert (await only(conn, named(booking))).skip is None

    await conn.execute(
        "update outbox.reservation set fingerprint = %s", [mapping.cancelled_fingerprint("LA-1")]
    )
    assert (await only(conn, named(booking))).skip == "already as wanted"


async def test_missing_bookings_are_requested_for_the_first_time(conn: Connection) -> None:
    missing = await insert_booking(conn, booking_reference="LA-missing")
    for columns in (
        {"status": "pending"},
        {"status": "cancelled"},
        {"payment_status": "refunded"},
        {"status": "completed"},
    ):
        await insert_booking(conn, **columns)
    await requested(conn)
    await synced(conn, booking_reference="LA-taken-over")
    await conn.execute(
        "delete from outbox.delivery d using bookings b"
        " where d.key = b.id::text and b.booking_reference = 'LA-taken-over'"
    )

    changed = await run(conn, Missing())

    assert [each.name for each in changed.requeued] == ["LA-missing"]
    delivery = await row_of(conn, changed.requeued[0].delivery_id)
    assert (delivery["key"], delivery["due_at"] is not None) == (str(missing), True)
    cursor = await conn.execute(
        "select reason, reference from outbox.request where delivery_id = %s", [delivery["id"]]
    )
    assert await cursor.fetchall() == [{"reason": "operator", "reference": "anna"}]


async def test_bookings_of_test_mode_are_sent(conn: Connection) -> None:
    tested = await synced(conn, mode="test", booking_reference="LA-tested")
    await synced(conn, booking_reference="LA-live")
    never = await insert_booking(conn, booking_reference="LA-taken-over")
    await conn.execute(
        "insert into outbox.reservation (booking_id, pms, reservation_id, mode)"
        " values (%s, 'guestly', 'test-reservation-id', 'test')",
        [never],
    )

    changed = await run(conn, InTestMode())

    assert {each.name for each in changed.requeued} == {"LA-tested", "LA-taken-over"}
    assert (await only(conn, named(tested))).state is State.WAITING


async def test_failed_is_narrowed_by_error_and_time(conn: Connection) -> None:
    _, old = await given_up(conn, code="http_503", booking_reference="LA-old")
    await given_up(conn, code="http_503", booking_reference="LA-new")
    await given_up(conn, code="listing_missing", booking_reference="LA-other")
    await conn.execute(
        "update outbox.delivery set failed_at = now() - interval '3 hours' where id = %s", [old]
    )

    recent = Failed(code="http_503", since=datetime.now(UTC) - timedelta(hours=2))

    assert [item.name for item in await plan(conn, recent, view=VIEW)] == ["LA-new"]


async def test_what_cannot_be_sent_is_left_alone_with_the_reason(conn: Connection) -> None:
    pending = await insert_booking(conn, status="pending", payment_status="pending")
    cancelled = await insert_booking(conn, status="cancelled")
    gone, _ = await given_up(conn)
    await conn.execute("delete from bookings where id = %s", [gone])

    items = await plan(conn, named(pending, cancelled, gone), view=VIEW)

    assert [item.skip for item in items] == [
        "not confirmed yet: there is nothing to send",
        "cancelled before the PMS held it: there is nothing to send",
        "the booking was deleted from the site",
    ]
    assert (await apply(conn, items, REQUEST)).requeued == ()


async def test_a_subject_named_twice_is_asked_for_once(conn: Connection) -> None:
    booking, _ = await given_up(conn)

    assert len(await plan(conn, named(booking, booking), view=VIEW)) == 1


async def test_what_is_done_is_not_done_again(conn: Connection) -> None:
    event = await owe(conn, "evt_1", Destination.INBOX)
    await conn.execute("update outbox.delivery set delivered = requested, due_at = null")

    item = await only(conn, Named(targets=(await resolve(conn, str(event)),)))

    assert item.skip == "done already"
