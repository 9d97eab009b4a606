"""Sending one booking now, whatever holds the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from outbox_worker.database import Connection, connect
from outbox_worker.errors import RefusedError
from outbox_worker.gate import store as gates
from outbox_worker.handlers.booking import BookingHandler
from outbox_worker.operations.fleet import SyncMode, read_fleet
from outbox_worker.operations.slices import Request
from outbox_worker.operations.sync_now import SyncedNow, Tried, Watch, sync_now
from outbox_worker.outbox.delivery import DeliveryId, Destination, State, WorkerId
from outbox_worker.outbox.store import DeliveryRow
from outbox_worker.pms.guestly import Guestly
from outbox_worker.pms.port import PmsName
from outbox_worker.worker.gatekeeper import Gatekeeper
from outbox_worker.worker.single import deliver_one
from tests.support_doubt import VIEW, target
from tests.support_engine import LEASE, booking_row, claim_all, eventually
from tests.support_requeue import given_up
from tests.support_simulator import Simulator
from tests.support_sync import handler

OWNER = WorkerId("operator")


@pytest.fixture
async def beside(database_url: str) -> AsyncIterator[Connection]:
    connection = await connect(database_url, application_name="beside")
    yield connection
    await connection.close()


class Sending:
    """`sync_now` with the parts of a worker, and what it told."""

    def __init__(self, conn: Connection, beside: Connection) -> None:
        self._conn, self._beside = conn, beside
        self.told: list[Tried] = []
        self.began = asyncio.Event()

    async def __call__(
        self, booking: UUID, handling: BookingHandler, *, test_mode: bool = False, **more: Any
    ) -> SyncedNow:
        gatekeeper = Gatekeeper({}, owner=OWNER, lease=LEASE)
        patience = timedelta(seconds=more.get("patience", 20))

        async def deliver(conn: Connection, delivery_id: DeliveryId) -> DeliveryRow:
            self.began.set()
            return await deliver_one(
                conn,
                delivery_id,
                handler=handling,
                gatekeeper=gatekeeper,
                lease=LEASE,
                patience=patience,
            )

        return await sync_now(
            self._conn,
            target(booking),
            deliver=deliver,
            test_mode=test_mode,
            view=VIEW,
            fleet=await read_fleet(
                self._conn, SyncMode(enabled=False, test_mode=test_mode, pms=PmsName.GUESTLY)
            ),
            request=Request(actor="anna", target="LA-1", reason="sync"),
            watch=Watch(conn=self._beside, tell=self.told.append),
        )


@pytest.fixture
def sending(conn: Connection, beside: Connection) -> Sending:
    return Sending(conn, beside)


async def test_a_booking_that_nobody_asked_for_is_sent_and_each_attempt_told(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID, sending: Sending
) -> None:
    pms.once("error", status=503, operation="lookup")

    done = await sending(booking, handler(adapter))

    assert done.settled is not None
    [held] = pms.reservations()
    assert (done.settled.state, done.settled.reservation_id) == (State.SYNCED, held["_id"])
    assert [(each.number, each.outcome.value, each.error_code) for each in done.attempts] == [
        (1, "failed", "http_503"),
        (2, "held", None),
    ]
    assert sending.told == list(done.attempts)
    assert (await booking_row(conn, booking))["guestly_sync_status"] == "synced"


async def test_a_paused_destination_and_an_open_circuit_hold_nothing_up(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID, sending: Sending
) -> None:
    await gates.pause(conn, Destination.GUESTLY, by="anna", reason="maintenance", length=None)
    await conn.execute(
        "update outbox.destination set circuit = 'open', circuit_cause = 'outage',"
        " circuit_until = now() + interval '1 hour' where destination = 'guestly'"
    )

    done = await sending(booking, handler(adapter))

    assert done.settled is not None
    assert done.settled.state is State.SYNCED
    assert len(pms.reservations()) == 1


async def test_a_booking_in_its_back_off_or_given_up_is_sent_at_once(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID, sending: Sending
) -> None:
    await conn.execute("select outbox.request_sync(%s, 'stripe')", [booking])
    await conn.execute(
        "update outbox.delivery set attempts = 1, due_at = now() + interval '1 hour'"
    )
    parked, _ = await given_up(conn, check_in_date="2027-07-01", check_out_date="2027-07-05")

    for each in (booking, parked):
        done = await sending(each, handler(adapter))
        assert done.settled is not None
        assert done.settled.state is State.SYNCED

    assert len(pms.reservations()) == 2


async def test_what_guestly_holds_as_it_should_is_left_alone(
    pms: Simulator, adapter: Guestly, booking: UUID, sending: Sending
) -> None:
    await sending(booking, handler(adapter))
    calls = len(pms.requests())

    done = await sending(booking, handler(adapter))

    assert (done.settled, done.skip) == (None, "already as wanted")
    assert len(pms.requests()) == calls


async def test_a_change_that_nobody_asked_to_send_is_sent(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID, sending: Sending
) -> None:
    await sending(booking, handler(adapter))
    await conn.execute("update bookings set adults = 4 where id = %s", [booking])

    done = await sending(booking, handler(adapter))

    assert done.settled is not None
    [held] = pms.reservations()
    assert held["numberOfGuests"] == 5


async def test_a_failure_says_so_with_its_error(
    pms: Simulator, adapter: Guestly, booking: UUID, sending: Sending
) -> None:
    pms.faults({"fault": "error", "status": 503, "operation": "lookup"})

    done = await sending(booking, handler(adapter))

    assert done.settled is not None
    assert (done.settled.state, done.settled.error_code) == (State.REJECTED, "http_503")
    assert len(done.attempts) == 3


async def test_what_a_worker_is_sending_is_waited_for(
    conn: Connection, adapter: Guestly, booking: UUID, sending: Sending
) -> None:
    await conn.execute("select outbox.request_sync(%s, 'stripe')", [booking])
    [claim] = await claim_all(conn, destination=Destination.GUESTLY)
    waiting = asyncio.create_task(sending(booking, handler(adapter)))
    await sending.began.wait()
    await conn.execute(
        "update outbox.delivery set delivered = 1, due_at = null, owner = null, fence = 0,"
        " lease_until = null where id = %s",
        [claim.id],
    )

    done = await asyncio.wait_for(waiting, 20)

    assert done.settled is not None
    assert (done.settled.state, done.attempts) == (State.SYNCED, ())


async def test_test_mode_sends_nothing_and_is_done_once(
    conn: Connection, pms: Simulator, booking: UUID, sending: Sending
) -> None:
    done = await sending(booking, handler(None, test_mode=True), test_mode=True)

    assert done.settled is not None
    assert (done.settled.state, done.settled.tested) == (State.SYNCED, True)
    assert pms.reservations() == []
    again = await sending(booking, handler(None, test_mode=True), test_mode=True)
    assert again.skip == "tested already (GUESTLY_TEST_MODE=true)"
    cursor = await conn.execute("select mode from outbox.reservation")
    assert await cursor.fetchall() == [{"mode": "test"}]


async def test_test_mode_beside_workers_that_send_in_earnest_is_refused(
    conn: Connection, booking: UUID, sending: Sending
) -> None:
    await conn.execute(
        "insert into outbox.worker (id, host, pid, version, pms, sync_enabled, test_mode)"
        " values ('w', 'h', 1, '0.1.0', 'guestly', true, false)"
    )

    with pytest.raises(RefusedError, match="without being sent"):
        await sending(booking, handler(None, test_mode=True), test_mode=True)

    cursor = await conn.execute("select count(*) as n from outbox.delivery")
    assert await cursor.fetchall() == [{"n": 0}]


async def test_test_mode_leaves_a_real_reservation_alone(
    conn: Connection, adapter: Guestly, booking: UUID, sending: Sending
) -> None:
    await sending(booking, handler(adapter))
    await conn.execute("update bookings set adults = 4 where id = %s", [booking])

    with pytest.raises(RefusedError, match="test mode leaves alone"):
        await sending(booking, handler(None, test_mode=True), test_mode=True)


async def test_an_interruption_waits_for_the_call_that_is_under_way(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID, sending: Sending
) -> None:
    pms.once("latency", seconds=2, operation="create")
    waiting = asyncio.create_task(sending(booking, handler(adapter)))

    async def claimed() -> bool:
        cursor = await conn.execute("select owner from outbox.delivery")
        return any(row["owner"] for row in await cursor.fetchall())

    # over the connection that sends: it is free while the PMS is called
    await eventually(claimed, "a claim")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    cursor = await conn.execute("select delivered, owner from outbox.delivery")
    assert await cursor.fetchall() == [{"delivered": 1, "owner": None}]
    assert len(pms.reservations()) == 1
