"""What a REF means."""

from __future__ import annotations

from uuid import UUID

import pytest

from outbox_worker.database import Connection
from outbox_worker.errors import AmbiguousRefError, NotFoundError
from outbox_worker.operations.refs import Subject, Target, resolve
from outbox_worker.outbox.delivery import DeliveryId, Destination
from tests.support_engine import insert_booking, owe

BOOKING = UUID("0b7e4d1e-52c4-4f6a-9a51-8f6f2f0f7a11")


async def a_booking(conn: Connection, **columns: str) -> Target:
    await insert_booking(
        conn,
        **{
            "id": BOOKING,
            "booking_reference": "LA2026-48213",
            "stripe_payment_intent_id": "pi_3Q9x",
            **columns,
        },
    )
    await conn.execute(
        "insert into outbox.reservation (booking_id, pms, reservation_id)"
        " values (%s, 'guestly', 'Res-66aa01')",
        [BOOKING],
    )
    return Target(subject=Subject.BOOKING, key=str(BOOKING), name="LA2026-48213")


async def an_event(
    conn: Connection, event_id: str, *, booking: UUID | None = None, intent: str | None = None
) -> None:
    await conn.execute(
        "insert into outbox.inbox_event"
        " (source, id, type, outcome, booking_id, payment_intent_id)"
        " values ('stripe', %s, 'payment_intent.succeeded', 'applied', %s, %s)",
        [event_id, booking, intent],
    )


async def test_a_booking_is_found_by_everything_that_names_it(conn: Connection) -> None:
    expected = await a_booking(conn)
    await insert_booking(conn, booking_reference="ZZ-1", stripe_payment_intent_id="pi_other")

    for ref in (
        "LA2026-48213",
        "la2026-48213",
        "  LA2026-48213 ",
        "LA2026-4",
        "la2026",
        str(BOOKING),
        str(BOOKING).upper(),
        BOOKING.hex,
        "0b7e4d1e",
        "0b7e4d1e-52c4-4",
        "pi_3Q9x",
        "pi_3q",
        "Res-66aa01",
        "res-66",
    ):
        assert await resolve(conn, ref) == expected, ref


async def test_a_delivery_id_means_its_booking(conn: Connection) -> None:
    booking = await a_booking(conn)
    delivery = await owe(conn, str(BOOKING), Destination.GUESTLY)

    found = await resolve(conn, str(delivery))

    assert (found.subject, found.key, found.name) == (booking.subject, booking.key, booking.name)
    assert found.delivery_id == delivery


async def test_a_delivery_id_is_never_a_prefix(conn: Connection) -> None:
    delivery = await owe(conn, "evt_1", Destination.INBOX)
    await conn.execute("alter sequence outbox.delivery_id_seq restart with 12345")
    await owe(conn, "evt_2", Destination.INBOX)

    with pytest.raises(NotFoundError):
        await resolve(conn, "1234")
    assert (await resolve(conn, str(delivery))).key == "evt_1"


async def test_a_delivery_of_an_alert_is_that_very_channel(conn: Connection) -> None:
    mail = await owe(conn, "7", Destination.EMAIL)
    chat = await owe(conn, "7", Destination.CHAT)

    assert await resolve(conn, str(chat)) == Target(
        subject=Subject.ALERT, key="7", name=f"delivery {chat}", delivery_id=chat
    )
    assert (await resolve(conn, str(mail))).delivery_id == mail


async def test_an_applied_event_means_its_booking(conn: Connection) -> None:
    booking = await a_booking(conn)
    await an_event(conn, "evt_1Zk", booking=BOOKING)

    assert await resolve(conn, "evt_1Zk") == booking


async def test_an_event_that_is_still_owed_means_itself(conn: Connection) -> None:
    await a_booking(conn)
    await an_event(conn, "evt_1Zk", booking=BOOKING)
    await owe(conn, "evt_1Zk", Destination.INBOX)

    assert await resolve(conn, "evt_1Z") == Target(
        subject=Subject.EVENT, key="evt_1Zk", name="evt_1Zk"
    )


async def test_a_payment_without_a_booking_means_its_event(conn: Connection) -> None:
    await an_event(conn, "evt_1", intent="pi_lost")

    assert (await resolve(conn, "pi_lost")).key == "evt_1"


async def test_a_payment_whose_booking_has_come_means_the_booking(conn: Connection) -> None:
    booking = await a_booking(conn)
    await an_event(conn, "evt_1", intent="pi_3Q9x")

    assert await resolve(conn, "pi_3Q9x") == booking


async def test_a_deleted_booking_is_found_by_what_is_left_of_it(conn: Connection) -> None:
    await a_booking(conn)
    delivery = await owe(conn, str(BOOKING), Destination.GUESTLY)
    await conn.execute("delete from bookings")

    for ref in (str(BOOKING), str(delivery), "Res-66aa01"):
        found = await resolve(conn, ref)
        assert (found.subject, found.key) == (Subject.BOOKING, str(BOOKING)), ref


async def test_what_fits_several_names_them(conn: Connection) -> None:
    for number in (3, 1, 2):
        await insert_booking(conn, booking_reference=f"LA2026-{number}")

    with pytest.raises(AmbiguousRefError, match="'LA2026' fits 3 things") as caught:
        await resolve(conn, "LA2026")

    assert caught.value.candidates == ("LA2026-1", "LA2026-2", "LA2026-3")


async def test_an_exact_name_wins_over_a_prefix(conn: Connection) -> None:
    await insert_booking(conn, booking_reference="LA1")
    await insert_booking(conn, booking_reference="LA11")

    assert (await resolve(conn, "LA1")).name == "LA1"


async def test_no_more_than_ten_candidates_are_named(conn: Connection) -> None:
    for number in range(12):
        await insert_booking(conn, booking_reference=f"LA-{number:02}")

    with pytest.raises(AmbiguousRefError, match="more than 10") as caught:
        await resolve(conn, "LA-")

    assert len(caught.value.candidates) == 11
    assert caught.value.candidates[-1] == "..."


async def test_two_kinds_of_the_same_name_are_told_apart(conn: Connection) -> None:
    delivery = await owe(conn, "evt_9", Destination.INBOX)
    await insert_booking(conn, id=BOOKING, booking_reference=str(delivery))

    # the booking is what people mean by a number on a letter
    assert (await resolve(conn, str(delivery))).key == str(BOOKING)


async def test_what_nothing_fits_is_not_found(conn: Connection) -> None:
    await a_booking(conn)

    for ref in ("", "   ", "nothing", "%", "_", "LA%", "\0", "9" * 30, "evt_", "'", "\\"):
        with pytest.raises(NotFoundError):
            await resolve(conn, ref)


async def test_a_key_that_is_no_booking_id_does_no_harm(conn: Connection) -> None:
    delivery = await owe(conn, "garbage", Destination.GUESTLY)

    assert await resolve(conn, str(delivery)) == Target(
        subject=Subject.BOOKING, key="garbage", name="garbage", delivery_id=DeliveryId(delivery)
    )
