"""`outbox destinations` and `outbox worker list`: what is open, and who works."""

from __future__ import annotations

from datetime import timedelta

import pytest

from outbox_worker.database import Connection
from outbox_worker.gate import store as gates
from outbox_worker.gate.circuit import CLOSED, Cause, opened
from outbox_worker.gate.hold import Hold
from outbox_worker.operations.destinations import (
    ListedDestination,
    Openness,
    list_destinations,
)
from outbox_worker.operations.fleet import SyncMode
from outbox_worker.operations.worker_list import WorkerState, list_workers
from outbox_worker.outbox.delivery import Destination, State
from outbox_worker.pms.port import PmsName
from tests.support_requeue import given_up, requested, synced

ON = SyncMode(enabled=True, test_mode=False, pms=PmsName.GUESTLY)
GUESTLY = Destination.GUESTLY


async def guestly(conn: Connection, mode: SyncMode = ON) -> ListedDestination:
    found = await list_destinations(conn, mode)
    assert [each.destination for each in found] == list(Destination)
    return next(each for each in found if each.destination is GUESTLY)


async def test_an_idle_destination_is_open_and_has_never_taken_anything(conn: Connection) -> None:
    found = await guestly(conn)

    assert (found.openness, found.owed, found.given_up) == (Openness.OPEN, {}, 0)
    assert (found.last_success_at, found.since, found.until, found.test_mode) == (
        None, None, None, False,
    )  # fmt: skip


async def test_what_is_owed_is_counted_apart_from_what_was_given_up(conn: Connection) -> None:
    await synced(conn)
    await requested(conn)
    await given_up(conn)
    await given_up(conn, redrive=True)

    found = await guestly(conn)

    assert (dict(found.owed), found.given_up) == ({State.WAITING: 1}, 2)
    assert found.last_success_at is not None


@pytest.mark.parametrize(
    ("outcome", "told", "not_set_up"),
    [("held", True, False), ("test", False, False), ("not_configured", False, True)],
)
async def test_only_a_real_hand_over_is_a_success(
    conn: Connection, *, outcome: str, told: bool, not_set_up: bool
) -> None:
    await synced(conn)
    await conn.execute("delete from outbox.attempt")
    await conn.execute(
        "insert into outbox.attempt (delivery_id, fence, round, number, worker, started_at,"
        " finished_at, outcome) select d.id, 1, 1, 1, 'w', now(), now(), %s from outbox.delivery d",
        [outcome],
    )

    found = await guestly(conn)

    assert (found.last_success_at is not None, found.not_set_up) == (told, not_set_up)


async def test_sync_that_is_disabled_comes_before_all_other_reasons(conn: Connection) -> None:
    await gates.pause(conn, GUESTLY, by="anna", reason="maintenance", length=None)

    found = await guestly(conn, SyncMode(enabled=False, test_mode=True, pms=PmsName.GUESTLY))

    assert found.openness is Openness.DISABLED


@pytest.mark.parametrize("length", [None, timedelta(hours=1)])
async def test_a_pause_says_who_why_and_until_when(
    conn: Connection, length: timedelta | None
) -> None:
    await gates.pause(conn, GUESTLY, by="anna", reason="maintenance", length=length)

    found = await guestly(conn)

    assert (found.openness, found.by, found.reason) == (Openness.PAUSED, "anna", "maintenance")
    assert found.since is not None
    assert (found.until is None) == (length is None)


async def test_an_open_circuit_says_since_when_and_when_it_is_tried_again(conn: Connection) -> None:
    circuit = opened(CLOSED, cause=Cause.OUTAGE, code="http_503", now=(await guestly(conn)).now)
    async with conn.transaction():
        await gates.lock(conn, GUESTLY)
        await gates.write_circuit(conn, GUESTLY, circuit, Hold())
    await requested(conn)

    found = await guestly(conn)

    assert (found.openness, found.cause, found.code) == (
        Openness.CIRCUIT_OPEN, Cause.OUTAGE, "http_503",
    )  # fmt: skip
    assert (found.since, found.until) == (circuit.opened_at, circuit.until)
    assert dict(found.owed) == {State.HELD: 1}
    await conn.execute(
        "update outbox.destination set circuit = 'half_open', probe_owner = 'w',"
        " probe_until = now() + interval '1 minute' where destination = 'guestly'"
    )
    assert (await guestly(conn)).openness is Openness.PROBING


async def test_a_destination_that_asked_to_be_left_alone_says_until_when(conn: Connection) -> None:
    await conn.execute(
        "update outbox.destination set held_until = now() + interval '1 minute'"
        " where destination = 'guestly'"
    )

    found = await guestly(conn)

    assert found.openness is Openness.LIMITED
    assert found.until is not None


async def beat(conn: Connection, name: str, seen: str, *, stopped: bool = False) -> None:
    await conn.execute(
        "insert into outbox.worker (id, host, pid, version, pms, sync_enabled, test_mode,"
        " seen_at, stopped_at) values (%(name)s, 'h', 1, '0.1.0', 'guestly', true, false,"
        " now() - %(seen)s::interval, case when %(stopped)s then now() - %(seen)s::interval end)",
        {"name": name, "seen": seen, "stopped": stopped},
    )


async def test_workers_are_running_silent_or_stopped_and_forgotten_after_a_day(
    conn: Connection,
) -> None:
    await beat(conn, "stopped", "1 minute", stopped=True)
    await beat(conn, "silent", "5 minutes")
    await beat(conn, "running", "3 seconds")
    await beat(conn, "long-gone", "2 days", stopped=True)

    found = await list_workers(conn)

    assert [(each.id, each.state) for each in found] == [
        ("running", WorkerState.RUNNING),
        ("silent", WorkerState.SILENT),
        ("stopped", WorkerState.STOPPED),
    ]
