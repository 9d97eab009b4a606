"""Bodies that Stripe really sent, as they are and damaged in every way that can be thought of."""

from __future__ import annotations

import asyncio
import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outbox_worker.database import Connection
from tests.support_receiver import Receiver, receiver_in_thread
from tests.support_stripe import Json, alerts, encoded, event_row, every, insert_booking, new_id

BODIES = Path(__file__).parents[2].parent / "shared" / "data" / "stripe_events"
NAMES = [
    "Łukasz Ångström-Ñandú 李 😀",
    "with\0NUL",
    "lone \ud800 surrogate",
    "x" * 10_000,
    "\u202eright to left\u2028",
    "'; drop table bookings; --",
]
PAID = {
    "payment_intent.succeeded",
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
}

pytestmark = pytest.mark.skipif(not BODIES.is_dir(), reason="the collected bodies are not here")


def collected() -> list[Json]:
    files = sorted(BODIES.glob("*.json"))
    assert len(files) > 60
    return [json.loads(file.read_bytes()) for file in files]


def fresh(body: Json) -> Json:
    """A copy under an id of its own: several sources reuse one id for different types."""
    return {**copy.deepcopy(body), "id": new_id("evt")}


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a body, outermost first."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else ()
    for key, child in inner:
        yield from paths(child, (*path, key))


def changed(body: Json, path: tuple[Any, ...], value: Any = None, *, drop: bool = False) -> Json:
    copied = copy.deepcopy(body)
    inner = copied
    for key in path[:-1]:
        inner = inner[key]
    if drop:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return copied


def texts(body: Json) -> list[tuple[Any, ...]]:
    """Places that hold free text, such as names and descriptions."""
    kept = {"id", "object", "type", "currency"}
    found = []
    for path in paths(body):
        value: Any = body
        for key in path:
            value = value[key]
        if isinstance(value, str) and path[-1] not in kept:
            found.append(path)
    return found


async def for_booking(conn: Connection, body: Json, **metadata: str) -> Json:
    """The body, made to be about a booking of ours that costs what it says."""
    thing = body["data"]["object"]
    paid = thing.get("amount_received") or thing.get("amount_total") or thing.get("amount") or 0
    booking_id = await insert_booking(conn, total=f"{paid / 100:.2f}")
    meant = changed(
        body, ("data", "object", "metadata"), {"booking_id": str(booking_id), **metadata}
    )
    meant["data"]["object"]["currency"] = "eur"
    # a payment intent is its own; other objects name theirs
    key = "id" if thing.get("object") == "payment_intent" else "payment_intent"
    meant["data"]["object"][key] = new_id("pi")
    return meant


async def deliver_all(receiver: Receiver, bodies: list[Json]) -> list[int]:
    async with receiver.client() as client:
        gate = asyncio.Semaphore(16)

        async def one(body: Json) -> int:
            async with gate:
                return (await receiver.deliver_with(client, body)).status_code

        return list(await asyncio.gather(*(one(body) for body in bodies)))


async def half_written(conn: Connection) -> list[Json]:
    """Bookings whose columns contradict each other, the deliveries or the events."""
    return await every(
        conn,
        """
        select b.id, b.status, b.payment_status from public.bookings b
        left join outbox.delivery d on d.destination = 'guestly' and d.key = b.id::text
        where (b.status = 'confirmed') <> (b.confirmed_at is not null)
           or (b.status = 'cancelled') <> (b.cancelled_at is not null)
           or (b.status = 'confirmed') <> (d.id is not null)
           or b.status = 'confirmed' and b.payment_status <> 'completed'
           or b.status = 'confirmed' and not exists (
                select from outbox.inbox_event e
                where e.booking_id = b.id and e.outcome = 'applied')
        """,
    )


async def test_every_collected_body_is_answered_and_kept(
    receiver: Receiver, conn: Connection
) -> None:
    bodies = [fresh(body) for body in collected()]

    assert set(await deliver_all(receiver, bodies)) == {200}

    for body in bodies:
        row = await event_row(conn, body["id"])
        assert (row["type"], row["livemode"]) == (body["type"], body["livemode"])
        assert bytes(row["body"]) == encoded(body)
        assert row["object_id"] == body["data"]["object"].get("id")
    outcomes = {
        row["outcome"] for row in await every(conn, "select outcome from outbox.inbox_event")
    }
    assert outcomes == {"ignored", "foreign", "deferred"}
    assert await alerts(conn) == []


async def test_every_collected_payment_confirms_a_booking_that_it_fits(
    receiver: Receiver, conn: Connection
) -> None:
    bodies = [await for_booking(conn, fresh(body)) for body in collected() if body["type"] in PAID]
    # one of them was written by hand and has received nothing; one stores a card
    bodies = [
        body
        for body in bodies
        if body["data"]["object"].get("amount_received") != 0
        and body["data"]["object"].get("mode") != "setup"
    ]
    assert len(bodies) >= 4

    assert set(await deliver_all(receiver, bodies)) == {200}

    statuses = await every(conn, "select status from public.bookings where total > 0")
    assert [row["status"] for row in statuses].count("confirmed") == len(bodies)
    assert await half_written(conn) == []


async def test_no_damaged_body_is_refused_or_half_applied(
    receiver: Receiver, conn: Connection
) -> None:
    dice = random.Random(20_261)  # noqa: S311 - repeatable, and no secret
    bodies: list[Json] = []
    for body in collected():
        about_us = body["type"].startswith(("payment_intent.", "checkout.session."))
        for name in NAMES if about_us else dice.sample(NAMES, k=1):
            damaged = await for_booking(conn, fresh(body), note=name) if about_us else fresh(body)
            places = texts(damaged)
            for path in dice.sample(places, k=min(5, len(places))):
                damaged = changed(damaged, path, name)
            bodies.append(fresh(damaged))
        if about_us:
            for currency in ("JPY", "jpy", "KWD", "kwd", "xx", "€€€", None, 7):
                paid = await for_booking(conn, fresh(body))
                bodies.append(fresh(changed(paid, ("data", "object", "currency"), currency)))

    assert set(await deliver_all(receiver, bodies)) == {200}

    assert await half_written(conn) == []
    counted = await every(conn, "select count(*) as n from outbox.inbox_event")
    assert counted[0]["n"] == len(bodies)


async def test_no_missing_field_is_answered_with_an_error_or_confirms_by_halves(
    database_url: str, conn: Connection
) -> None:
    by_type = {body["type"]: body for body in collected()}
    bodies: list[Json] = []
    for event_type in sorted(PAID & by_type.keys()):
        template = await for_booking(conn, by_type[event_type])
        for path in list(paths(template)):
            whole = await for_booking(conn, fresh(template))
            bodies.append(changed(whole, path, drop=True))
            if path != ("id",):
                bodies.append(fresh(changed(whole, path, None)))

    with receiver_in_thread(database_url, livemode=False) as receiver:
        assert set(await deliver_all(receiver, bodies)) == {200}

    assert await half_written(conn) == []
    outcomes = {
        row["outcome"] for row in await every(conn, "select outcome from outbox.inbox_event")
    }
    assert "failed" not in outcomes
    assert {"malformed", "mismatch", "foreign", "ignored"} <= outcomes
