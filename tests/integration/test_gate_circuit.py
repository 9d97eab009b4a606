"""The circuit breaker of a destination, shared by all workers."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from outbox_worker.alerts.alert import AlertKind
from outbox_worker.database import Connection
from outbox_worker.gate import store as gates
from outbox_worker.gate.rate import Window
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Destination, Reason
from tests.support_engine import eventually, policy, row_of
from tests.support_gate import (
    Destined,
    Mood,
    allow_probe,
    circuit_state,
    count,
    gate,
    gated_loop,
    open_alerts,
    open_circuit,
    owe_bookings,
)
from tests.support_loop import running


async def test_an_outage_opens_the_circuit_and_nothing_more_is_called(
    conn: Connection, database_url: str
) -> None:
    await owe_bookings(conn, 40)
    pms = Destined(Mood.DOWN)
    async with running(gated_loop(database_url, pms.handler()), database_url):

        async def opened() -> bool:
            return await circuit_state(conn) == "open"

        await eventually(opened, "an open circuit")
        called = len(pms.calls)
        assert called < 20, "it opened late"
        # another worker with free slots finds nothing either
        other = Destined(Mood.WELL)
        async with running(
            gated_loop(database_url, other.handler(), owner="worker-b"), database_url
        ):
            await asyncio.sleep(0.5)
    assert other.calls == []
    assert len(pms.calls) == called


async def test_while_it_is_open_no_attempt_is_charged(conn: Connection, database_url: str) -> None:
    rows = await owe_bookings(conn, 3)
    await open_circuit(conn)
    async with running(gated_loop(database_url, Destined().handler()), database_url):
        await asyncio.sleep(0.3)
    for row in rows:
        assert (await row_of(conn, row))["attempts"] == 0


async def test_one_booking_that_breaks_the_pms_does_not_hold_up_the_others(
    conn: Connection, database_url: str
) -> None:
    await owe_bookings(conn, 1)
    pms = Destined(broken=frozenset({"b0"}))
    async with running(gated_loop(database_url, pms.handler(), failures=2), database_url):

        async def gave_up() -> bool:
            return await count(conn, "failed_at is not null") == 1

        await eventually(gave_up, "three attempts")
    assert await circuit_state(conn) == "closed"


async def test_one_probe_goes_through_for_the_whole_fleet_and_its_success_lets_all_through(
    conn: Connection, database_url: str
) -> None:
    await owe_bookings(conn, 30)
    await open_circuit(conn, rest="-1 second")
    pms = Destined()
    pms.release.clear()
    handlers = [pms.handler() for _ in range(3)]
    loops = [
        gated_loop(database_url, handler, owner=f"worker-{number}")
        for number, handler in enumerate(handlers)
    ]
    async with (
        running(loops[0], database_url),
        running(loops[1], database_url),
        running(loops[2], database_url),
    ):

        async def probing() -> bool:
            return sum(handler.running for handler in handlers) == 1

        await eventually(probing, "a probe")
        await asyncio.sleep(0.4)
        assert sum(handler.running for handler in handlers) == 1
        assert await circuit_state(conn) == "half_open"
        pms.release.set()

        async def drained() -> bool:
            return await count(conn, "delivered = requested") == 30

        await eventually(drained, "everything sent")
    assert await circuit_state(conn) == "closed"
    assert sum(claim.probe for claim in pms.calls) == 1


async def test_a_failed_probe_costs_no_attempt_waits_longer_and_lets_another_row_try_next(
    conn: Connection, database_url: str
) -> None:
    rows = await owe_bookings(conn, 3)
    await open_circuit(conn, rest="-1 second")
    pms = Destined(Mood.DOWN)
    async with running(gated_loop(database_url, pms.handler()), database_url):
        for probes in (1, 2, 3):

            async def probed(probes: int = probes) -> bool:
                return len(pms.calls) == probes and await circuit_state(conn) == "open"

            await eventually(probed, f"probe {probes}")
            seen = await gate(conn)
            assert (seen["circuit_until"] - seen["now"]).total_seconds() > 5
            if probes < len(rows):
                await allow_probe(conn)

        async def at_rest() -> bool:
            return await count(conn, "owner is not null") == 0

        # the gate is told before the result is on record
        await eventually(at_rest, "the last result on record")
    assert [claim.id for claim in pms.calls][:3] == rows
    for row in rows:
        kept = await row_of(conn, row)
        assert (kept["attempts"], kept["failed_at"]) == (0, None)


async def test_a_poisonous_booking_cannot_keep_the_circuit_open(
    conn: Connection, database_url: str
) -> None:
    await owe_bookings(conn, 4)
    await open_circuit(conn, rest="-1 second")
    pms = Destined(broken=frozenset({"b0"}))
    async with running(gated_loop(database_url, pms.handler()), database_url):

        async def sent() -> bool:
            await allow_probe(conn)
            return await count(conn, "delivered = requested") == 3

        await eventually(sent, "all but the poisonous one")


async def test_with_nothing_due_the_oldest_that_was_given_up_is_the_probe_and_all_come_back(
    conn: Connection, database_url: str
) -> None:
    await owe_bookings(conn, 7)
    await conn.execute(
        "update outbox.delivery set failed_at = now() - interval '1 hour', attempts = 3,"
        " due_at = now() + interval '40 minutes', claimed_at = now() - interval '1 hour'"
    )
    # a person's turn: no outage was the reason
    await conn.execute("update outbox.delivery set due_at = null where key = 'b6'")
    await open_circuit(conn, rest="-1 second")
    pms = Destined()
    async with running(gated_loop(database_url, pms.handler()), database_url):

        async def back() -> bool:
            return await count(conn, "delivered = requested") == 6

        await eventually(back, "the redrive")
    assert await count(conn, "failed_at is not null") == 1
    assert (await gate(conn))["redrive_before"] is None


async def test_what_is_new_goes_before_what_an_outage_gave_up(
    conn: Connection, database_url: str
) -> None:
    await owe_bookings(conn, 40)
    await conn.execute(
        "update outbox.delivery set failed_at = now() - interval '1 hour', attempts = 3,"
        " due_at = now() + interval '40 minutes', claimed_at = now() - interval '1 hour'"
    )
    await conn.execute(
        "update outbox.destination set redrive_before = now() where destination = 'guestly'"
    )
    await store.request(conn, destination=Destination.GUESTLY, key="new", reason=Reason.STRIPE)
    pms = Destined()
    async with running(gated_loop(database_url, pms.handler(), slots=2), database_url):

        async def back() -> bool:
            return await count(conn, "delivered = requested") == 41

        await eventually(back, "everything")
    assert pms.calls[0].key == "new"


async def test_a_row_that_fails_again_is_not_redriven_in_a_circle(
    conn: Connection, database_url: str
) -> None:
    await owe_bookings(conn, 2)
    await conn.execute(
        "update outbox.delivery set failed_at = now() - interval '1 hour', attempts = 3,"
        " due_at = now() + interval '40 minutes', claimed_at = now() - interval '1 hour'"
    )
    await conn.execute(
        "update outbox.destination set redrive_before = now() where destination = 'guestly'"
    )
    pms = Destined(broken=frozenset({"b0"}))
    rules = policy(redrive_every=timedelta(hours=1))
    loop = gated_loop(database_url, pms.handler(rules), slots=1)
    async with running(loop, database_url):

        async def over() -> bool:
            return (await gate(conn))["redrive_before"] is None

        await eventually(over, "the end of the redrive")

        async def tried() -> bool:
            return len([claim for claim in pms.calls if claim.key == "b0"]) >= 3

        await eventually(tried, "three attempts")
        await asyncio.sleep(0.3)
    assert len([claim for claim in pms.calls if claim.key == "b0"]) == 3


async def test_answers_while_all_is_well_write_nothing(conn: Connection, database_url: str) -> None:
    await owe_bookings(conn, 10)
    before = (await gate(conn))["written"]
    pms = Destined(Mood.REFUSES_BOOKING)
    async with running(gated_loop(database_url, pms.handler()), database_url):

        async def done() -> bool:
            return await count(conn, "failed_at is not null") == 10

        await eventually(done, "ten answers")
    assert (await gate(conn))["written"] == before
    assert await circuit_state(conn) == "closed"


async def test_an_answer_ends_a_row_of_failures_that_another_worker_saw(
    conn: Connection, database_url: str
) -> None:
    await conn.execute(
        "update outbox.destination set circuit_failures = 4, circuit_row = 1, circuit_rows = true"
        " where destination = 'guestly'"
    )
    await owe_bookings(conn, 1)
    async with running(gated_loop(database_url, Destined().handler()), database_url):

        async def forgotten() -> bool:
            return int((await gate(conn))["circuit_failures"]) == 0

        await eventually(forgotten, "a fresh count")


async def test_a_wrong_key_rejects_no_booking_and_a_restart_tries_again_at_once(
    conn: Connection, database_url: str
) -> None:
    await owe_bookings(conn, 20)
    pms = Destined(Mood.REFUSES_KEY)
    async with running(gated_loop(database_url, pms.handler()), database_url):

        async def shut() -> bool:
            return await circuit_state(conn) == "open"

        await eventually(shut, "a shut gate")
        await asyncio.sleep(0.3)
    assert len(pms.calls) <= 3, "what was under way when the first answer came"
    assert (await gate(conn))["circuit_cause"] == "misconfigured"
    assert await count(conn, "failed_at is not null or attempts > 0") == 0
    mended = Destined()
    async with running(gated_loop(database_url, mended.handler(), owner="new"), database_url):

        async def sent() -> bool:
            return await count(conn, "delivered = requested") == 20

        await eventually(sent, "everything sent after the restart")


async def test_an_outage_is_told_at_the_first_failed_probe_once_and_its_end_too(
    conn: Connection, database_url: str
) -> None:
    await owe_bookings(conn, 6)
    await open_circuit(conn, rest="-1 second")
    pms = Destined(Mood.DOWN)
    async with running(gated_loop(database_url, pms.handler()), database_url):

        async def told() -> bool:
            return await open_alerts(conn) == [AlertKind.CIRCUIT_OPEN]

        await eventually(told, "the alert")
        await allow_probe(conn)

        async def again() -> bool:
            return int((await gate(conn))["circuit_opens"]) == 3

        await eventually(again, "another failed probe")
        assert await open_alerts(conn) == [AlertKind.CIRCUIT_OPEN]
        pms.mood = Mood.WELL
        await allow_probe(conn)

        async def solved() -> bool:
            return await open_alerts(conn) == []

        await eventually(solved, "the end of the alert")
    cursor = await conn.execute(
        "select count(*) as n from outbox.delivery where destination = 'email'"
    )
    assert ((await cursor.fetchone()) or {})["n"] == 1


async def test_a_probe_whose_worker_was_lost_is_taken_over(
    conn: Connection, database_url: str
) -> None:
    await owe_bookings(conn, 3)
    await open_circuit(conn)
    await conn.execute(
        "update outbox.destination set circuit = 'half_open', probe_owner = 'gone',"
        " probe_until = now() - interval '1 second' where destination = 'guestly'"
    )
    async with running(gated_loop(database_url, Destined().handler()), database_url):

        async def sent() -> bool:
            return await count(conn, "delivered = requested") == 3

        await eventually(sent, "everything sent")


async def test_resume_lets_a_probe_through_at_once(conn: Connection, database_url: str) -> None:
    await owe_bookings(conn, 3)
    await open_circuit(conn)
    async with running(gated_loop(database_url, Destined().handler()), database_url):
        await gates.resume(conn, Destination.GUESTLY)

        async def sent() -> bool:
            return await count(conn, "delivered = requested") == 3

        await eventually(sent, "everything sent")


async def test_a_gate_whose_row_somebody_removed_is_open_and_comes_back(
    conn: Connection, database_url: str
) -> None:
    await conn.execute("delete from outbox.destination where destination = 'guestly'")
    await owe_bookings(conn, 3)
    pms = Destined(broken=frozenset({"b1"}))
    async with running(gated_loop(database_url, pms.handler()), database_url):

        async def sent() -> bool:
            return await count(conn, "delivered = requested") == 2

        await eventually(sent, "what can be sent")
    assert await circuit_state(conn) == "closed"


async def test_an_open_circuit_with_nothing_owed_writes_nothing(
    conn: Connection, database_url: str
) -> None:
    await open_circuit(conn, rest="-1 second")
    before = (await gate(conn))["written"]
    windows = (Window(limit=10, length=timedelta(minutes=1)),)
    async with running(
        gated_loop(database_url, Destined().handler(), windows=windows), database_url
    ):
        await asyncio.sleep(0.4)
    assert (await gate(conn))["written"] == before
