"""The order of row locks in what a person does: see `test_lock_order`."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from outbox_worker.alerts import store as alerts
from outbox_worker.alerts.alert import ALERT_CHANNELS
from outbox_worker.bookings.booking import BookingId
from outbox_worker.database import Connection
from outbox_worker.handlers import price
from outbox_worker.operations.discard import discard, plan_discard
from outbox_worker.operations.link import link
from outbox_worker.operations.plan import PmsView
from outbox_worker.operations.prune import plan_prune, prune
from outbox_worker.operations.refs import Subject, Target, resolve
from outbox_worker.operations.slices import Request
from outbox_worker.pms.port import PmsName
from outbox_worker.settings_types import RetentionSettings
from tests.support_doubt import linked
from tests.support_locks import Rank, Recording, tell_of_second_payments
from tests.support_requeue import given_up, requested, synced

REQUEST = Request(actor="ops", target="LA-1", reason="tests", closes_alerts=True)


def target(booking: UUID) -> Target:
    return Target(subject=Subject.BOOKING, key=str(booking), name=str(booking))


async def test_discarding_bookings_locks_in_order(conn: Connection, recording: Recording) -> None:
    bookings = [(await given_up(conn))[0] for _ in range(3)]
    await tell_of_second_payments(conn, bookings)
    items = await plan_discard(conn, [target(booking) for booking in reversed(bookings)])

    done = await discard(recording, items, REQUEST)

    assert (len(done.discarded), len(done.closed)) == (3, 3)
    assert recording.order == tuple(Rank)
    assert recording.faults == []


async def test_discarding_a_mail_locks_its_alert_first(
    conn: Connection, recording: Recording
) -> None:
    await given_up(conn)
    cursor = await conn.execute("select id from outbox.delivery where destination = 'email'")
    [mail] = await cursor.fetchall()
    items = await plan_discard(conn, [await resolve(conn, str(mail["id"]))])

    done = await discard(recording, items, REQUEST)

    assert len(done.discarded) == 1
    assert recording.order == (Rank.ALERTS, Rank.ALERTS_OWN_DELIVERIES)
    assert recording.faults == []


async def test_linking_a_booking_locks_in_order(conn: Connection, recording: Recording) -> None:
    booking, _ = await requested(conn)

    await linked(recording, None, booking, "64f1")

    assert recording.order == (Rank.BOOKINGS, Rank.DELIVERIES)
    assert recording.faults == []


async def test_pruning_locks_one_kind_of_row_at_a_time(
    conn: Connection, recording: Recording
) -> None:
    for _ in range(3):
        await synced(conn)
    await conn.execute(
        "update outbox.delivery set requested_at = now() - interval '2 years',"
        " delivered_at = now() - interval '2 years'"
    )
    days = timedelta(days=30)
    plan = await plan_prune(conn, RetentionSettings(days=days, body_days=days))

    async with recording.transaction():
        gone = [part async for part in prune(recording, plan)]

    assert sum(part.deliveries for part in gone) == 3
    assert recording.faults == []


async def test_saying_that_a_price_is_right_locks_in_order(
    conn: Connection, recording: Recording
) -> None:
    booking = await synced(conn)
    await conn.execute(
        "insert into outbox.listing (pms, slug, listing_id) values ('guesty', 'sea-loft', 'a')"
    )
    await conn.execute("update bookings set guest_phone = '+493055501234'")
    await conn.execute("delete from outbox.reservation")
    await conn.execute(
        "insert into outbox.reservation (booking_id, pms, reservation_id, mode, fingerprint)"
        " values (%s, 'guesty', 'r-1', 'live', 'as it was')",
        [booking],
    )
    async with conn.transaction():
        await alerts.raise_alert(
            conn, price.alert(PmsName.GUESTY, BookingId(booking)), channels=ALERT_CHANNELS
        )

    done = await link(
        recording,
        target(booking),
        "r-1",
        pms=None,
        view=PmsView(pms=PmsName.GUESTY, currency="EUR"),
        quiet=timedelta(0),
        request=REQUEST,
    )

    assert done.confirms
    assert recording.order == (
        Rank.BOOKINGS,
        Rank.DELIVERIES,
        Rank.ALERTS,
        Rank.ALERTS_OWN_DELIVERIES,
    )
    assert recording.faults == []
    cursor = await conn.execute("select fingerprint, parts from outbox.reservation")
    [kept] = await cursor.fetchall()
    assert (kept["fingerprint"], sorted(kept["parts"])) == ("as it was", ["contact", "fare"])
