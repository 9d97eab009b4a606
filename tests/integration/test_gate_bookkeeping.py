"""What a worker tells the gate: nothing is dropped, and nothing else is held up by it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from datetime import timedelta

import pytest

from outbox_worker.bookings import store as bookings
from outbox_worker.database import Connection, connect, translated
from outbox_worker.errors import DatabaseError, SchemaError
from outbox_worker.gate import store as gates
from outbox_worker.handlers.effect import Result
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import DeliveryId, Destination, WorkerId
from outbox_worker.outbox.outcome import AttemptOutcome, Done, Retry, Wait
from outbox_worker.worker.execute import Finished
from tests.support_engine import LEASE, Scripted, claim_all, eventually, owe
from tests.support_gate import (
    Destined,
    Mood,
    allow_probe,
    circuit_state,
    count,
    gated_loop,
    keeper_of,
    open_alerts,
    open_circuit,
    owe_bookings,
)
from tests.support_loop import running


async def test_what_ends_while_the_gate_is_written_is_told_next_time(
    conn: Connection, database_url: str
) -> None:
    await open_circuit(conn)
    await conn.execute(
        "update outbox.destination set circuit = 'half_open', probe_owner = 'worker-a',"
        " probe_until = now() + interval '30 s' where destination = 'guestly'"
    )
    keeper = keeper_of("worker-a")
    row = (await owe_bookings(conn, 1))[0]
    claim = await store.claim_one(
        conn, row, owner=WorkerId("worker-a"), lease=LEASE, max_attempts=3, probe=True
    )
    assert claim is not None
    answered = Finished(claim=claim, result=Result(outcome=Done()), seconds=0.1, calls=1)
    straggler = replace(
        answered,
        claim=claim._replace(probe=False),
        result=Result(outcome=Retry(code="timeout", message="late", outage=True)),
    )
    other = await connect(database_url, application_name="holder")
    try:
        async with other.transaction():
            await gates.lock(other, Destination.GUESTLY)
            keeper.saw(straggler)
            telling = asyncio.create_task(keeper.tell(conn))
            await asyncio.sleep(0.05)  # it waits for the gate
            keeper.saw(answered)
        await telling
    finally:
        await other.close()
    await keeper.tell(conn)
    assert await circuit_state(conn) == "closed"


async def test_a_gate_that_cannot_be_written_keeps_no_result_from_being_recorded(
    conn: Connection, database_url: str
) -> None:
    await owe_bookings(conn, 4)
    await conn.execute(
        "create function refuse() returns trigger language plpgsql as"
        " $$ begin raise exception 'no'; end $$"
    )
    await conn.execute(
        "create trigger refuse before update on outbox.destination"
        " for each row execute function refuse()"
    )
    pms = Destined(broken=frozenset({"b0", "b1"}))
    loop = gated_loop(database_url, pms.handler(), failures=2)

    async def all_on_record() -> bool:
        with contextlib.suppress(DatabaseError):  # what cannot be written is no result's fault
            await loop.cycle(conn)
        recorded = await count(conn, "delivered = requested")
        given_up = await count(conn, "failed_at is not null")
        return (recorded, given_up) == (2, 2)

    await eventually(all_on_record, "four results on record")


async def test_a_gate_that_somebody_locks_before_a_probe_stops_no_other_destination(
    conn: Connection, database_url: str
) -> None:
    await owe_bookings(conn, 1)
    await open_circuit(conn, rest="-1 second")
    mail = Scripted(destination=Destination.EMAIL)
    loop = gated_loop(database_url, Destined().handler(), mail)
    other = await connect(database_url, application_name="holder")
    try:
        async with other.transaction():
            await gates.lock(other, Destination.GUESTLY)
            await other.execute("set local idle_in_transaction_session_timeout = 0")
            async with running(loop, database_url):
                for number in range(3):
                    await owe(conn, f"mail {number}", Destination.EMAIL)

                async def told() -> bool:
                    return await count(conn, "destination = 'email' and delivered = 1") == 3

                await eventually(told, "the mails")
    finally:
        await other.close()


async def test_an_outage_that_turns_into_a_refused_key_is_told_as_that_and_all_of_it_ends(
    conn: Connection, database_url: str
) -> None:
    await owe_bookings(conn, 3)
    await open_circuit(conn, rest="-1 second")
    pms = Destined(Mood.DOWN)
    async with running(gated_loop(database_url, pms.handler()), database_url):

        async def told(*kinds: str) -> bool:
            await allow_probe(conn)
            return await open_alerts(conn) == list(kinds)

        await eventually(lambda: told("circuit_open"), "the outage")
        pms.mood = Mood.REFUSES_KEY
        await eventually(lambda: told("circuit_open", "misconfigured"), "the refused key")
        pms.mood = Mood.WELL
        await eventually(told, "the end of both")


async def test_look_ups_that_work_do_not_hide_that_no_write_gets_through(
    conn: Connection,
) -> None:
    await owe_bookings(conn, 1)
    keeper = keeper_of("worker-a", failures=4)
    (claim,) = await claim_all(conn, destination=Destination.GUESTLY)
    for row in range(4):
        timeout = Retry(code="timeout", message="late", ambiguous=True, outage=True)
        quiet = Wait(
            due_in=timedelta(0), record=AttemptOutcome.WAITING, code="quiet_period",
            message="", http_status=200,
        )  # fmt: skip
        for outcome in (timeout, quiet):
            about = claim._replace(id=DeliveryId(row))
            keeper.saw(Finished(claim=about, result=Result(outcome=outcome), seconds=0.1, calls=1))
        await keeper.tell(conn)
    assert await circuit_state(conn) == "open"


async def test_a_probe_is_taken_once(conn: Connection) -> None:
    rows = await owe_bookings(conn, 2)
    await open_circuit(conn, rest="-1 second")
    quiet = timedelta(seconds=30)
    first = await gates.take_probe(
        conn, Destination.GUESTLY, owner=WorkerId("a"), lease=LEASE, quiet=quiet
    )
    second = await gates.take_probe(
        conn, Destination.GUESTLY, owner=WorkerId("b"), lease=LEASE, quiet=quiet
    )
    assert (first, second) == (rows[0], None)


async def test_after_a_resume_the_next_answer_ends_the_alert_about_a_long_rest(
    conn: Connection, database_url: str
) -> None:
    await owe_bookings(conn, 2)
    pms = Destined(Mood.TOO_MANY)
    pms.retry_after = timedelta(hours=1)
    async with running(gated_loop(database_url, pms.handler(), slots=1), database_url):

        async def told(*kinds: str) -> bool:
            return await open_alerts(conn) == list(kinds)

        await eventually(lambda: told("circuit_open"), "the long rest")
        pms.mood = Mood.WELL
        await gates.resume(conn, Destination.GUESTLY)
        await eventually(told, "the end of the alert")


async def patience_of(conn: Connection) -> str:
    """How long Postgres lets a transaction stand idle before it ends it."""
    cursor = await conn.execute("show idle_in_transaction_session_timeout")
    row = await cursor.fetchone()
    return str((row or {})["idle_in_transaction_session_timeout"])


async def test_a_process_that_freezes_with_bookings_in_hand_lets_go_of_them(
    conn: Connection,
) -> None:
    async with conn.transaction():
        await bookings.begin_ours(conn, "test")
        assert await patience_of(conn) == "5s"
    assert await patience_of(conn) == "0", "of that transaction alone"


async def test_a_process_that_freezes_with_the_gate_lets_go_of_it(database_url: str) -> None:
    other = await connect(database_url, application_name="frozen")
    async with other.transaction(force_rollback=True):
        await gates.lock(other, Destination.GUESTLY)
        assert await patience_of(other) == "5s"
    await other.close()


async def test_on_a_schema_that_is_not_migrated_every_question_about_a_gate_says_so(
    conn: Connection,
) -> None:
    await conn.execute(
        "alter table outbox.destination drop column held_since, drop column held_until"
    )
    guestly = Destination.GUESTLY
    for ask in (
        lambda: gates.read_all(conn),
        lambda: gates.lock(conn, guestly),
        lambda: gates.pause(conn, guestly, by="zoe", reason="", length=None),
        lambda: gates.resume(conn, guestly),
    ):
        with pytest.raises(SchemaError), translated():
            await ask()
