"""What payments make of bookings, from Stripe's request to the rows."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from outbox_worker.database import Connection
from tests.support_receiver import Receiver, receiver_in_thread
from tests.support_stripe import (
    Json,
    alerts,
    booking_row,
    deliveries,
    event,
    event_row,
    every,
    insert_booking,
    intent,
    new_id,
    one,
    session,
)


def succeeded(intent_id: str, *, amount: int = 50000, **thing: Any) -> Json:
    return event("payment_intent.succeeded", intent(intent_id, amount=amount, **thing))


async def state(conn: Connection, booking_id: UUID) -> tuple[str, str]:
    row = await booking_row(conn, booking_id)
    return row["status"], row["payment_status"]


async def owed(conn: Connection) -> list[tuple[str, int]]:
    return [(row["key"], row["requested"]) for row in await deliveries(conn, "guestly")]


async def test_a_payment_confirms_its_booking_and_requests_the_sync(
    receiver: Receiver, conn: Connection
) -> None:
    intent_id = new_id("pi")
    booking_id = await insert_booking(conn, stripe_payment_intent_id=intent_id)
    body = succeeded(intent_id)

    answer = await receiver.deliver(body)

    assert answer.json() == {"outcome": "applied"}
    booking = await booking_row(conn, booking_id)
    assert (booking["status"], booking["payment_status"]) == ("confirmed", "completed")
    assert booking["confirmed_at"] is not None
    assert booking["stripe_charge_id"] == f"ch_{intent_id}"
    assert booking["guestly_sync_status"] == "pending"
    assert await owed(conn) == [(str(booking_id), 1)]
    kept = await event_row(conn, body["id"])
    assert (kept["outcome"], kept["booking_id"]) == ("applied", booking_id)
    assert (kept["object_id"], kept["payment_intent_id"]) == (intent_id, intent_id)
    request = await one(conn, "select * from outbox.request")
    assert (request["reason"], request["reference"]) == ("stripe", body["id"])


async def test_a_booking_is_found_by_its_id_and_by_its_reference(
    receiver: Receiver, conn: Connection
) -> None:
    by_id = await insert_booking(conn)
    by_reference = await insert_booking(conn, booking_reference="LA-REF")
    first, second = new_id("pi"), new_id("pi")

    await receiver.deliver(succeeded(first, metadata={"booking_id": str(by_id)}))
    await receiver.deliver(succeeded(second, metadata={"booking_reference": "LA-REF"}))

    for booking_id, intent_id in [(by_id, first), (by_reference, second)]:
        assert await state(conn, booking_id) == ("confirmed", "completed")
        row = await booking_row(conn, booking_id)
        assert row["stripe_payment_intent_id"] == intent_id


async def test_two_events_of_one_payment_confirm_once(receiver: Receiver, conn: Connection) -> None:
    intent_id = new_id("pi")
    booking_id = await insert_booking(conn, stripe_payment_intent_id=intent_id)

    first = await receiver.deliver(
        event("checkout.session.completed", session(intent_id, amount=50000))
    )
    second = await receiver.deliver(succeeded(intent_id))

    assert (first.json()["outcome"], second.json()["outcome"]) == ("applied", "applied")
    assert await state(conn, booking_id) == ("confirmed", "completed")
    assert (await booking_row(conn, booking_id))["stripe_charge_id"] == f"ch_{intent_id}"
    assert await owed(conn) == [(str(booking_id), 1)]
    assert await alerts(conn) == []


async def test_a_booking_confirmed_by_sql_before_its_event_is_synced(
    receiver: Receiver, conn: Connection
) -> None:
    intent_id = new_id("pi")
    booking_id = await insert_booking(
        conn,
        stripe_payment_intent_id=intent_id,
        stripe_charge_id="ch_of_the_site",
        status="confirmed",
        payment_status="completed",
        confirmed_at="2027-01-02T00:00:00Z",
    )
    before = await booking_row(conn, booking_id)
    assert await owed(conn) == []

    answer = await receiver.deliver(succeeded(intent_id))
    again = await receiver.deliver(succeeded(intent_id))

    assert (answer.json()["outcome"], again.json()["outcome"]) == ("applied", "no_change")
    assert await booking_row(conn, booking_id) == before
    assert await owed(conn) == [(str(booking_id), 1)]


async def test_a_booking_paid_after_its_cancellation_stays_cancelled_and_alerts(
    receiver: Receiver, conn: Connection
) -> None:
    intent_id = new_id("pi")
    booking_id = await insert_booking(conn, stripe_payment_intent_id=intent_id, status="cancelled")

    answer = await receiver.deliver(succeeded(intent_id))
    await receiver.deliver(event("checkout.session.completed", session(intent_id, amount=50000)))

    assert answer.status_code == 200
    assert await state(conn, booking_id) == ("cancelled", "completed")
    assert await owed(conn) == []
    (alert,) = await alerts(conn)
    assert (alert["kind"], alert["booking_id"]) == ("paid_after_cancellation", booking_id)
    assert alert["facts"]["payment_intent"] == intent_id
    (mail,) = await deliveries(conn, "email")
    assert (mail["key"], mail["due_at"] is not None) == (str(alert["id"]), True)


async def test_a_booking_that_is_paid_twice_alerts_and_is_left_alone(
    receiver: Receiver, conn: Connection
) -> None:
    first, second = new_id("pi"), new_id("pi")
    booking_id = await insert_booking(conn, stripe_payment_intent_id=first)
    metadata = {"booking_id": str(booking_id)}
    await receiver.deliver(succeeded(first, metadata=metadata))
    before = await booking_row(conn, booking_id)

    answer = await receiver.deliver(succeeded(second, metadata=metadata))

    assert answer.json() == {"outcome": "no_change"}
    assert await booking_row(conn, booking_id) == before
    assert await owed(conn) == [(str(booking_id), 1)]
    (alert,) = await alerts(conn)
    assert (alert["kind"], alert["fingerprint"]) == ("paid_twice", second)


async def test_a_payment_of_another_amount_or_currency_confirms_nothing(
    receiver: Receiver, conn: Connection
) -> None:
    wrong: list[Json] = [
        {"amount": 49999},
        {"amount": 50000, "currency": "usd"},
        {"amount": 50000, "amount_received": 0},
    ]
    bookings = []
    for thing in wrong:
        intent_id = new_id("pi")
        booking_id = await insert_booking(conn, stripe_payment_intent_id=intent_id)
        before = await booking_row(conn, booking_id)
        bookings.append(booking_id)

        answer = await receiver.deliver(succeeded(intent_id, **thing))

        assert answer.json() == {"outcome": "mismatch"}
        assert await booking_row(conn, booking_id) == before
    assert await owed(conn) == []
    assert [(alert["kind"], alert["booking_id"]) for alert in await alerts(conn)] == [
        ("amount_mismatch", booking_id) for booking_id in bookings
    ]
    assert len(await deliveries(conn, "email")) == 3


@pytest.mark.parametrize(
    ("currency", "total", "amount"), [("JPY", "80000", 80000), ("KWD", "120.50", 120500)]
)
async def test_a_currency_without_two_decimals_is_compared_in_its_own_units(
    database_url: str, conn: Connection, currency: str, total: str, amount: int
) -> None:
    intent_id, wrong_id = new_id("pi"), new_id("pi")
    booking_id = await insert_booking(conn, stripe_payment_intent_id=intent_id, total=total)
    other_id = await insert_booking(conn, stripe_payment_intent_id=wrong_id, total=total)
    code = currency.lower()

    with receiver_in_thread(database_url, currency=currency) as receiver:
        await receiver.deliver(succeeded(intent_id, amount=amount, currency=code))
        await receiver.deliver(succeeded(wrong_id, amount=int(float(total) * 100), currency=code))

    assert await state(conn, booking_id) == ("confirmed", "completed")
    assert await state(conn, other_id) == ("pending", "pending")


async def test_a_foreign_payment_is_kept_and_touches_nothing(
    receiver: Receiver, conn: Connection
) -> None:
    booking_id = await insert_booking(conn, stripe_payment_intent_id=new_id("pi"))
    body = succeeded(new_id("pi"), metadata={"order_id": "7", "property_id": str(uuid4())})

    answer = await receiver.deliver(body)

    assert answer.json() == {"outcome": "foreign"}
    assert await state(conn, booking_id) == ("pending", "pending")
    assert (await deliveries(conn, "inbox"), await alerts(conn)) == ([], [])


async def test_a_payment_that_comes_before_its_booking_waits(
    receiver: Receiver, conn: Connection
) -> None:
    row = await one(
        conn, "insert into public.properties (slug, name) values ('a', 'A') returning id"
    )
    by_property = succeeded(new_id("pi"), metadata={"property_id": str(row["id"])})
    by_name = succeeded(new_id("pi"), metadata={"booking_id": str(uuid4())})

    answers = [await receiver.deliver(body) for body in (by_property, by_name)]

    assert [answer.json()["outcome"] for answer in answers] == ["waiting", "waiting"]
    inbox = await deliveries(conn, "inbox")
    assert [entry["key"] for entry in inbox] == [by_property["id"], by_name["id"]]
    assert all(entry["due_at"] is not None for entry in inbox)
    assert await alerts(conn) == []


async def test_what_is_no_payment_moves_a_booking_only_forward(
    receiver: Receiver, conn: Connection
) -> None:
    unpaid, paid = ("pending", "pending"), ("confirmed", "completed")
    rows = [
        ("payment_intent.processing", unpaid, ("pending", "processing"), []),
        ("payment_intent.processing", paid, paid, []),
        ("payment_intent.payment_failed", ("pending", "processing"), ("pending", "failed"), []),
        ("payment_intent.payment_failed", paid, paid, []),
        ("payment_intent.canceled", ("pending", "failed"), ("cancelled", "failed"), []),
        ("payment_intent.canceled", paid, paid, ["canceled_after_confirmation"]),
    ]
    for event_type, before, after, kinds in rows:
        intent_id = new_id("pi")
        booking_id = await insert_booking(
            conn, stripe_payment_intent_id=intent_id, status=before[0], payment_status=before[1]
        )

        answer = await receiver.deliver(event(event_type, intent(intent_id, amount=50000)))

        assert answer.status_code == 200
        assert await state(conn, booking_id) == after
        told = [row["kind"] for row in await alerts(conn) if row["booking_id"] == booking_id]
        assert told == kinds
        row = await booking_row(conn, booking_id)
        assert (row["cancelled_at"] is not None) == (after[0] == "cancelled")
    assert await owed(conn) == []


async def test_checkouts_that_fail_late_or_expire_free_the_booking(
    receiver: Receiver, conn: Connection
) -> None:
    failing, expiring, under_way = new_id("pi"), new_id("pi"), new_id("pi")
    failed = await insert_booking(conn, stripe_payment_intent_id=failing)
    expired = await insert_booking(conn, booking_reference="LA-OLD")
    slow = await insert_booking(conn, stripe_payment_intent_id=under_way)

    await receiver.deliver(
        event("checkout.session.async_payment_failed", session(failing, amount=50000))
    )
    await receiver.deliver(
        event(
            "checkout.session.expired",
            session(None, amount=50000, metadata={"booking_reference": "LA-OLD"}),
        )
    )
    unpaid = session(under_way, amount=50000, payment_status="unpaid")
    await receiver.deliver(event("checkout.session.completed", unpaid))

    assert await state(conn, failed) == ("pending", "failed")
    assert await state(conn, expired) == ("cancelled", "pending")
    assert await state(conn, slow) == ("pending", "processing")

    await receiver.deliver(event("checkout.session.async_payment_succeeded", unpaid))

    assert await state(conn, slow) == ("confirmed", "completed")
    assert [key for key, _ in await owed(conn)] == [str(slow)]
    assert expiring not in {
        row["stripe_payment_intent_id"] for row in [await booking_row(conn, expired)]
    }


async def test_a_cancelled_request_that_the_pms_holds_is_taken_back_there(
    receiver: Receiver, conn: Connection
) -> None:
    intent_id = new_id("pi")
    booking_id = await insert_booking(conn, stripe_payment_intent_id=intent_id)
    await conn.execute("select outbox.request_sync(%s, 'the site')", [booking_id])

    await receiver.deliver(event("payment_intent.canceled", intent(intent_id, amount=50000)))

    assert await state(conn, booking_id) == ("cancelled", "pending")
    assert await owed(conn) == [(str(booking_id), 2)]


async def test_refunds_and_disputes_are_kept_with_their_bodies(
    receiver: Receiver, conn: Connection
) -> None:
    intent_id = new_id("pi")
    booking_id = await insert_booking(
        conn, stripe_payment_intent_id=intent_id, status="confirmed", payment_status="completed"
    )
    types = ["charge.refunded", "refund.created", "charge.refund.updated", "charge.dispute.created"]
    bodies = [event(name, {"id": new_id("re"), "payment_intent": intent_id}) for name in types]

    answers = [await receiver.deliver(body) for body in bodies]

    assert [answer.json()["outcome"] for answer in answers] == ["deferred"] * 4
    rows = await every(conn, "select * from outbox.inbox_event order by received_at")
    assert [row["type"] for row in rows] == types
    assert all(row["body"] and row["payment_intent_id"] == intent_id for row in rows)
    assert await state(conn, booking_id) == ("confirmed", "completed")


async def test_the_optional_trigger_is_silent_about_our_own_changes(
    receiver: Receiver, conn: Connection
) -> None:
    await conn.execute(
        "create trigger noisy after update on public.bookings for each row"
        " execute function outbox.booking_changed()"
    )
    intent_id = new_id("pi")
    booking_id = await insert_booking(conn, stripe_payment_intent_id=intent_id)

    await receiver.deliver(succeeded(intent_id))

    assert await owed(conn) == [(str(booking_id), 1)]
    await conn.execute("update public.bookings set adults = 3 where id = %s", [booking_id])
    assert await owed(conn) == [(str(booking_id), 2)]


async def test_an_intent_held_by_another_booking_than_the_named_one_needs_a_person(
    receiver: Receiver, conn: Connection
) -> None:
    intent_id = new_id("pi")
    holder = await insert_booking(conn, stripe_payment_intent_id=intent_id)
    named = await insert_booking(conn)

    answer = await receiver.deliver(succeeded(intent_id, metadata={"booking_id": str(named)}))

    assert answer.json() == {"outcome": "mismatch"}
    assert await state(conn, holder) == await state(conn, named) == ("pending", "pending")
    assert [alert["kind"] for alert in await alerts(conn)] == ["amount_mismatch"]
