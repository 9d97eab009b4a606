"""Many requests at once, slow clients among them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import httpx

from outbox_worker.database import Connection, connect
from tests.support_engine import eventually
from tests.support_receiver import (
    WEBHOOK,
    Receiver,
    ReceiverProcess,
    environment,
    receiver_process,
)
from tests.support_stripe import (
    Json,
    booking_row,
    deliveries,
    event,
    every,
    insert_booking,
    intent,
    new_id,
    one,
    session,
)


async def all_at_once(receiver: Receiver, bodies: list[Json]) -> list[httpx.Response]:
    async with receiver.client(connections=len(bodies)) as client:
        return list(await asyncio.gather(*(receiver.deliver_with(client, body) for body in bodies)))


def unavailable(receiver: ReceiverProcess) -> list[float]:
    """Milliseconds until each event was refused that could not be recorded."""
    lines = [line for line in receiver.lines if line["event"] == "webhook.unavailable"]
    return [line["duration_ms"] for line in lines]


async def told_of(receiver: ReceiverProcess, count: int) -> bool:
    return len(unavailable(receiver)) == count


@asynccontextmanager
async def locked(database_url: str, booking_id: UUID) -> AsyncIterator[Connection]:
    """Another session holds the booking; commit or rollback lets it go."""
    holder = await connect(database_url, application_name="holder", autocommit=False)
    try:
        await holder.execute("select from public.bookings where id = %s for update", [booking_id])
        yield holder
    finally:
        await holder.close()


async def waiting_for_a_lock(conn: Connection, *, at_least: int) -> None:
    async with asyncio.timeout(10):
        while True:
            row = await one(
                conn,
                "select count(*) as n from pg_stat_activity where wait_event_type = 'Lock'"
                " and datname = current_database()",
            )
            if row["n"] >= at_least:
                return


async def test_twenty_deliveries_of_one_event_at_once_make_one_row(
    receiver: Receiver, conn: Connection
) -> None:
    intent_id = new_id("pi")
    booking_id = await insert_booking(conn, stripe_payment_intent_id=intent_id)
    body = event("payment_intent.succeeded", intent(intent_id, amount=50000))

    answers = await all_at_once(receiver, [body] * 20)

    assert [answer.status_code for answer in answers] == [200] * 20
    outcomes = sorted(answer.json()["outcome"] for answer in answers)
    assert outcomes == ["applied"] + ["duplicate"] * 19
    assert len(await every(conn, "select from outbox.inbox_event")) == 1
    (delivery,) = await deliveries(conn, "guestly")
    assert (delivery["key"], delivery["requested"]) == (str(booking_id), 1)


async def test_different_events_of_one_payment_at_once_confirm_once(
    receiver: Receiver, conn: Connection
) -> None:
    intent_id = new_id("pi")
    booking_id = await insert_booking(conn, stripe_payment_intent_id=intent_id)
    paid, checkout = intent(intent_id, amount=50000), session(intent_id, amount=50000)
    bodies = [event("payment_intent.succeeded", paid) for _ in range(5)]
    bodies += [event("checkout.session.completed", checkout) for _ in range(5)]
    bodies += [event("payment_intent.processing", paid) for _ in range(5)]

    answers = await all_at_once(receiver, bodies)

    assert {answer.status_code for answer in answers} == {200}
    row = await booking_row(conn, booking_id)
    assert (row["status"], row["payment_status"]) == ("confirmed", "completed")
    assert row["stripe_charge_id"] == f"ch_{intent_id}"
    (delivery,) = await deliveries(conn, "guestly")
    assert delivery["requested"] == 1


async def test_sixty_four_at_once_are_admitted_while_the_database_is_slow(
    receiver: Receiver, conn: Connection, database_url: str
) -> None:
    intent_id = new_id("pi")
    booking_id = await insert_booking(conn, stripe_payment_intent_id=intent_id)
    paid = intent(intent_id, amount=50000)
    bodies = [event("payment_intent.succeeded", paid) for _ in range(64)]

    async with locked(database_url, booking_id) as holder:
        burst = asyncio.create_task(all_at_once(receiver, bodies))
        await waiting_for_a_lock(conn, at_least=10)
        await holder.rollback()
        answers = await burst

    assert [answer.status_code for answer in answers] == [200] * 64


async def test_a_lock_held_for_long_is_answered_in_time_and_leaves_nothing_behind(
    receiver: Receiver, conn: Connection, database_url: str
) -> None:
    intent_id = new_id("pi")
    booking_id = await insert_booking(conn, stripe_payment_intent_id=intent_id)
    before = await booking_row(conn, booking_id)
    body = event("payment_intent.succeeded", intent(intent_id, amount=50000))

    async with locked(database_url, booking_id):
        began = time.monotonic()
        answer = await receiver.deliver(body)
        took = time.monotonic() - began

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert took < 8
    assert await every(conn, "select from outbox.inbox_event") == []
    assert await deliveries(conn, "guestly") == []
    assert await booking_row(conn, booking_id) == before
    assert (await receiver.deliver(body)).json() == {"outcome": "applied"}


async def test_a_flood_is_told_to_come_back_within_the_time_and_loses_nothing(
    conn: Connection, database_url: str
) -> None:
    intent_id = new_id("pi")
    booking_id = await insert_booking(conn, stripe_payment_intent_id=intent_id)
    paid = intent(intent_id, amount=50000)
    bodies = [event("payment_intent.succeeded", paid) for _ in range(180)]

    # a process of its own: beside the test's own clients it would be slow for their sake
    with receiver_process(environment(database_url)) as receiver:
        async with locked(database_url, booking_id):
            answers = await all_at_once(receiver, bodies)
            ready = await receiver.get("/readyz")

        assert {answer.status_code for answer in answers} == {503}
        assert all("retry-after" in answer.headers for answer in answers)
        # its own clock: that of so many clients in one process goes slow for their sake
        await eventually(lambda: told_of(receiver, 180), "the lines about them")
        assert max(unavailable(receiver)) < 8_000
        assert ready.status_code == 200
        assert await every(conn, "select from outbox.inbox_event") == []
        again = await all_at_once(receiver, bodies[:64])
        assert {answer.status_code for answer in again} == {200}


async def test_idle_and_slow_clients_keep_nobody_else_out(receiver: Receiver) -> None:
    host, port = receiver.url.removeprefix("http://").split(":")
    slow = f"POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: 90\r\n\r\n{{".encode()
    writers = []
    try:
        for number in range(300):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write([b"", b"POST /web", slow][number % 3])
            writers.append(writer)
        began = time.monotonic()
        answer = await receiver.deliver(event("payout.paid", {"id": "po_1"}))
        ready = await receiver.get("/readyz")
        took = time.monotonic() - began
    finally:
        for writer in writers:
            writer.transport.abort()

    assert (answer.status_code, ready.status_code) == (200, 200)
    assert took < 5
