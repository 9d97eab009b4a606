"""Pausing and resuming a destination, and letting a probe through."""

from __future__ import annotations

from datetime import timedelta

from outbox_worker.database import Connection
from outbox_worker.gate import store
from outbox_worker.gate.circuit import State
from outbox_worker.operations import gates
from outbox_worker.operations.plan import Failed
from outbox_worker.outbox.delivery import Destination
from tests.support_engine import claim_all
from tests.support_requeue import given_up, requested, run

HOUR = timedelta(hours=1)


async def actions(conn: Connection) -> list[tuple[str, str, str, str | None]]:
    cursor = await conn.execute("select * from outbox.operator_action order by id")
    return [
        (row["actor"], row["action"], row["target"], row["reason"])
        for row in await cursor.fetchall()
    ]


async def open_circuit(conn: Connection) -> None:
    await conn.execute(
        "update outbox.destination set circuit = 'open', circuit_cause = 'outage',"
        " circuit_until = now() + interval '1 hour' where destination = 'guestly'"
    )


async def probe_is_due(conn: Connection) -> bool:
    cursor = await conn.execute(
        "select circuit_until <= now() as due from outbox.destination where destination = 'guestly'"
    )
    [row] = await cursor.fetchall()
    return bool(row["due"])


async def test_a_paused_destination_holds_what_is_owed_until_it_is_resumed(
    conn: Connection,
) -> None:
    await requested(conn)

    paused = await gates.pause(
        conn, Destination.GUESTLY, actor="anna", reason="maintenance", length=None
    )
    assert (paused.pause.until, paused.before) == (None, None)
    assert await claim_all(conn, destination=Destination.GUESTLY) == []

    resumed = await gates.resume(conn, Destination.GUESTLY, actor="bert")
    assert resumed.changed
    assert len(await claim_all(conn, destination=Destination.GUESTLY)) == 1
    assert await actions(conn) == [
        ("anna", "pause", "guestly", "maintenance"),
        ("bert", "resume", "guestly", None),
    ]


async def test_a_pause_that_ran_out_holds_nothing(conn: Connection) -> None:
    await requested(conn)
    await gates.pause(conn, Destination.GUESTLY, actor="anna", reason="x", length=HOUR)
    await conn.execute("update outbox.destination set paused_until = now() where paused_at < now()")

    assert len(await claim_all(conn, destination=Destination.GUESTLY)) == 1


async def test_pausing_again_says_so_and_begins_anew(conn: Connection) -> None:
    first = await gates.pause(conn, Destination.EMAIL, actor="anna", reason="x", length=HOUR)

    again = await gates.pause(conn, Destination.EMAIL, actor="bert", reason="y", length=None)

    assert again.before == first.pause
    assert (again.pause.by, again.pause.reason, again.pause.until) == ("bert", "y", None)


async def test_resuming_what_is_open_changes_nothing_and_records_nothing(conn: Connection) -> None:
    resumed = await gates.resume(conn, Destination.CHAT, actor="anna")

    assert (resumed.changed, resumed.circuit) == (False, State.CLOSED)
    assert await actions(conn) == []


async def test_resuming_lets_the_probe_of_an_open_circuit_through_at_once(
    conn: Connection,
) -> None:
    await open_circuit(conn)
    assert not await probe_is_due(conn)

    resumed = await gates.resume(conn, Destination.GUESTLY, actor="anna")

    assert (resumed.changed, resumed.circuit) == (True, State.OPEN)
    assert await probe_is_due(conn)
    [gate] = [each for each in await store.read_all(conn) if each.destination == "guestly"]
    assert gate.circuit.state is State.OPEN


async def test_so_does_asking_for_a_booking_again(conn: Connection) -> None:
    await given_up(conn)
    await open_circuit(conn)

    await run(conn, Failed())

    assert await probe_is_due(conn)


async def test_asking_for_nothing_lets_no_probe_through(conn: Connection) -> None:
    await open_circuit(conn)

    await run(conn, Failed())

    assert not await probe_is_due(conn)
