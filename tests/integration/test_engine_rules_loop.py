"""Rules of the loop that nothing else pins down: slots, leases, back-pressure, stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from outbox_worker.database import Connection, connect
from outbox_worker.errors import DatabaseUnreachableError
from outbox_worker.handlers.effect import Result
from outbox_worker.handlers.protocol import Deadline
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Claim, DeliveryId, Destination, Reason, WorkerId
from outbox_worker.outbox.outcome import Abandon
from outbox_worker.worker.lease import boot_time
from tests.support_engine import (
    LEASE,
    A,
    B,
    Scripted,
    claim_all,
    end_lease,
    eventually,
    insert_booking,
    owe,
    row_of,
)
from tests.support_loop import DONE, loop_of, running, said, settled, until


async def refuse_bad(conn: Connection) -> None:
    """Let Postgres refuse to record that the key ``bad`` is delivered."""
    await conn.execute(
        "create function refuse() returns trigger language plpgsql as"
        " $$ begin raise exception 'refused by the test'; end $$"
    )
    await conn.execute(
        "create trigger refuse before update on outbox.delivery for each row"
        " when (new.key = 'bad' and new.delivered > 0) execute function refuse()"
    )


@pytest.fixture
async def worker(database_url: str) -> AsyncIterator[Connection]:
    """The connection of a loop whose cycles the test runs one by one."""
    connection = await connect(database_url, application_name="test loop")
    yield connection
    await connection.close()


class Peeping(Scripted):
    """Looks at its row from another session while it loads, for as long as it is told to."""

    def __init__(self, observer: Connection, *, pause_s: float = 0, **options: Any) -> None:
        super().__init__(**options)
        self._observer = observer
        self._pause_s = pause_s
        self.owners: list[str | None] = []

    async def load(
        self, conn: Connection, claims: Sequence[Claim]
    ) -> Mapping[DeliveryId, dict[str, Any]]:
        self.owners += [(await row_of(self._observer, claim.id))["owner"] for claim in claims]
        await conn.execute("select pg_sleep(%s)", [self._pause_s])
        return await super().load(conn, claims)


async def test_a_claim_is_committed_before_its_work_is_read(
    conn: Connection, database_url: str, worker: Connection
) -> None:
    await owe(conn)
    handler = Peeping(conn)
    loop, _ = loop_of(database_url, handler)

    await loop.cycle(worker)

    assert handler.owners == ["worker-a"], "what is read might be older than the version claimed"


async def test_a_lease_is_counted_from_before_the_claim_was_sent(
    conn: Connection, database_url: str, worker: Connection
) -> None:
    await owe(conn)
    allowed: list[bool] = []

    async def ask(claim: Claim, deadline: Deadline) -> Result:
        del claim
        allowed.append(deadline.allows(timedelta(seconds=4.5)))
        return Result(outcome=Abandon(code="lease_too_short"))

    loop, _ = loop_of(database_url, Peeping(conn, pause_s=0.6, run=ask), lease=5)
    await loop.cycle(worker)
    await eventually(lambda: said(allowed), "the question")

    assert allowed == [False], "the call could have outlasted the lease"


def test_time_that_a_machine_sleeps_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    asleep_s = 3600.0
    awake = {time.CLOCK_MONOTONIC: 100.0, time.CLOCK_BOOTTIME: 100.0 + asleep_s}
    monkeypatch.setattr(time, "clock_gettime", awake.__getitem__)

    assert boot_time() == 100.0 + asleep_s


async def test_a_call_keeps_its_lease_however_seldom_the_loop_polls(
    conn: Connection, database_url: str
) -> None:
    delivery = await owe(conn)
    gate = asyncio.Event()
    handler = Scripted(until(gate))
    loop, _ = loop_of(database_url, handler, lease=6, poll=60)
    async with running(loop, database_url):
        await eventually(lambda: said(handler.running), "the call")
        ends = (await row_of(conn, delivery))["lease_until"]

        async def outlived() -> bool:
            row = await row_of(conn, delivery)
            assert row["lease_until"] > row["now"], "the lease of a running call has ended"
            return bool(row["now"] > ends)

        await eventually(outlived, "the end of the first lease")
        gate.set()
        await eventually(lambda: settled(conn, 1), "delivery")


@pytest.mark.parametrize("heir", [B, A], ids=["another worker", "itself"])
async def test_a_call_may_not_begin_on_a_row_that_was_taken_over(
    conn: Connection, database_url: str, heir: WorkerId
) -> None:
    delivery = await owe(conn)
    deadlines: list[Deadline] = []
    gate = asyncio.Event()

    async def wait(claim: Claim, deadline: Deadline) -> Result:
        del claim
        deadlines.append(deadline)
        await gate.wait()
        return DONE

    # the loop looks again before it extends its leases, or not at all
    loop, _ = loop_of(database_url, Scripted(wait), lease=9, poll=0.1 if heir == A else 60)
    async with running(loop, database_url):
        await eventually(lambda: said(deadlines), "the call")
        began = boot_time()
        await end_lease(conn, delivery)
        if heir == B:
            assert await claim_all(conn, B)
        else:
            await eventually(lambda: said(len(deadlines) == 2), "its own second claim")
        await eventually(lambda: said(not deadlines[0].allows(timedelta(0))), "the word of it")
        assert boot_time() - began < 8, "only its own clock has told it so"
        assert heir == B or deadlines[1].allows(timedelta(0))
        gate.set()


async def test_a_row_that_somebody_locks_does_not_keep_other_leases_from_being_renewed(
    conn: Connection, database_url: str
) -> None:
    locked, free = await owe(conn, "locked"), await owe(conn, "free")
    claims = {claim.id: claim for claim in await claim_all(conn, A)}
    site = await connect(database_url, application_name="site", autocommit=False)
    try:
        await site.execute("select outbox.request('inbox', 'locked', 'database')")
        done = await asyncio.wait_for(
            store.extend(conn, list(claims.values()), owner=A, lease=LEASE * 2), timeout=5
        )
    except TimeoutError as error:
        raise AssertionError("the extension waits for a site's transaction") from error
    finally:
        await site.close()
    assert done == store.Extended(
        renewed=frozenset({claims[free].fence}), locked=frozenset({claims[locked].fence})
    )


async def test_a_handler_that_fails_after_it_has_begun_leaves_the_row_uncertain(
    conn: Connection, database_url: str
) -> None:
    delivery = await owe(conn)

    async def crash(claim: Claim, deadline: Deadline) -> Result:
        del claim
        assert deadline.allows(timedelta(0))
        raise RuntimeError("after the first byte")

    handler = Scripted(crash)
    loop, _ = loop_of(database_url, handler)

    async def failed() -> bool:
        return bool((await row_of(conn, delivery))["last_error_code"] == "handler_crashed")

    async with running(loop, database_url):
        await eventually(failed, "the failed attempt")
    uncertain = (await row_of(conn, delivery))["uncertain_at"]
    assert uncertain is not None, "what was sent may have taken effect"


async def claimed(conn: Connection) -> list[str]:
    """Keys of what was ever claimed and not given back."""
    cursor = await conn.execute("select key from outbox.delivery where attempts > 0 order by id")
    return [row["key"] for row in await cursor.fetchall()]


async def one_cycle(loop: Any, worker: Connection, handler: Scripted, *, claims: int) -> None:
    """A cycle that claims, and the end of what it has started."""
    await loop.cycle(worker)
    assert len(handler.claims) == 0  # a task starts with the next turn of the event loop
    await eventually(lambda: said(len(handler.claims) == claims), "the calls")
    await eventually(lambda: said(loop.in_flight == 0), "the end of the calls")


async def test_a_result_that_is_not_recorded_yet_takes_its_slot(
    conn: Connection, database_url: str, worker: Connection
) -> None:
    held = await insert_booking(conn)
    await store.request_sync(conn, held, reason=Reason.STRIPE)
    handler = Scripted(destination=Destination.GUESTLY, book=True)
    loop, _ = loop_of(database_url, handler, slots=1, poll=0.01)
    site = await connect(database_url, application_name="site", autocommit=False)
    try:
        await site.execute("select from bookings where id = %s for update", [held])
        await one_cycle(loop, worker, handler, claims=1)
        await store.request_sync(conn, await insert_booking(conn), reason=Reason.STRIPE)
        for _ in range(5):
            await loop.pause()
            await loop.cycle(worker)
        assert await claimed(conn) == [str(held)], "there was no slot for another claim"
    finally:
        await site.close()


async def test_nothing_is_claimed_while_postgres_refuses_a_result_and_then_again(
    conn: Connection, database_url: str, worker: Connection
) -> None:
    await owe(conn, "bad")
    await refuse_bad(conn)
    handler = Scripted()
    loop, _ = loop_of(database_url, handler, poll=0.01)
    await one_cycle(loop, worker, handler, claims=1)
    await owe(conn, "good")
    for _ in range(2):
        await loop.pause()
        await loop.cycle(worker)
    assert await claimed(conn) == ["bad"], "more was begun while a result could not be recorded"

    await conn.execute("drop trigger refuse on outbox.delivery")
    async with running(loop, database_url):
        await eventually(lambda: settled(conn, 2), "delivery of both")


async def test_one_refused_result_costs_the_others_of_its_batch_nothing(
    conn: Connection, database_url: str, worker: Connection
) -> None:
    await owe(conn, "bad")
    good = await owe(conn, "good")
    await refuse_bad(conn)
    handler = Scripted()
    loop, _ = loop_of(database_url, handler)
    await one_cycle(loop, worker, handler, claims=2)

    await loop.cycle(worker)

    assert (await row_of(conn, good))["delivered"] == 1


async def test_a_result_that_is_refused_for_good_is_dropped(
    conn: Connection, database_url: str
) -> None:
    await owe(conn, "bad")
    await refuse_bad(conn)
    handler = Scripted()
    loop, _ = loop_of(database_url, handler)
    async with running(loop, database_url):
        await eventually(lambda: said(handler.claims), "the call")
        await eventually(lambda: said(loop.settled), "the end of its tries")


async def test_a_locked_delivery_does_not_hold_up_the_results_of_others(
    conn: Connection, database_url: str
) -> None:
    locked, free = await owe(conn, "locked"), await owe(conn, "free")
    gate = asyncio.Event()
    handler = Scripted(until(gate))
    loop, _ = loop_of(database_url, handler)
    operator = await connect(database_url, application_name="operator", autocommit=False)
    try:
        async with running(loop, database_url):
            await eventually(lambda: said(handler.running == 2), "both calls")
            await operator.execute("select from outbox.delivery where id = %s for update", [locked])
            gate.set()

            async def recorded() -> bool:
                return bool((await row_of(conn, free))["delivered"] == 1)

            await eventually(recorded, "the other result")
            await operator.rollback()
            await eventually(lambda: settled(conn, 2), "the result that had to wait")
    except DatabaseUnreachableError as error:
        raise AssertionError("a lock of somebody else's ended the loop") from error
    finally:
        await operator.close()


async def test_a_worker_that_stops_claims_nothing_more(
    conn: Connection, database_url: str, worker: Connection
) -> None:
    delivery = await owe(conn)
    loop, _ = loop_of(database_url, Scripted())
    loop.stop()

    await loop.cycle(worker)

    row = await row_of(conn, delivery)
    assert (row["owner"], row["attempts"]) == (None, 0)
