"""Pause, a destination that asks for rest, and the common limit of calls."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

from outbox_worker.database import Connection, connect
from outbox_worker.gate import store as gates
from outbox_worker.gate.rate import Window
from outbox_worker.outbox.delivery import Destination
from outbox_worker.pms.port import Remaining
from tests.support_engine import Scripted, eventually, owe
from tests.support_gate import (
    Destined,
    Mood,
    count,
    gate,
    gated_loop,
    keeper_of,
    owe_bookings,
)
from tests.support_loop import running

TEN_A_MINUTE = Window(limit=10, length=timedelta(minutes=1))


async def sent(conn: Connection, number: int) -> bool:
    return await count(conn, "delivered = requested") == number


async def test_a_paused_destination_sends_nothing_until_it_is_resumed(
    conn: Connection, database_url: str
) -> None:
    await owe_bookings(conn, 5)
    paused = await gates.pause(conn, Destination.GUESTLY, by="zoe", reason="moving", length=None)
    assert paused.pause is not None
    assert not paused.open
    pms = Destined()
    async with running(gated_loop(database_url, pms.handler()), database_url):
        await asyncio.sleep(0.4)
        assert pms.calls == []
        await gates.resume(conn, Destination.GUESTLY)
        await eventually(lambda: sent(conn, 5), "everything sent")
    assert await count(conn, "attempts > 1") == 0


async def test_a_pause_for_a_time_ends_by_itself(conn: Connection, database_url: str) -> None:
    await owe_bookings(conn, 2)
    await gates.pause(
        conn, Destination.GUESTLY, by="zoe", reason="", length=timedelta(milliseconds=300)
    )
    async with running(gated_loop(database_url, Destined().handler()), database_url):
        await eventually(lambda: sent(conn, 2), "everything sent")
    assert all(each.open for each in await gates.read_all(conn))


async def test_pausing_again_keeps_since_when_it_is_paused(conn: Connection) -> None:
    first = await gates.pause(conn, Destination.EMAIL, by="a", reason="x", length=None)
    again = await gates.pause(
        conn, Destination.EMAIL, by="b", reason="y", length=timedelta(hours=1)
    )
    assert first.pause is not None
    assert again.pause is not None
    assert again.pause.since == first.pause.since
    assert (again.pause.by, again.pause.reason) == ("b", "y")
    assert again.pause.until == again.now + timedelta(hours=1)


async def test_who_asks_to_be_left_alone_is_left_alone_by_all_rows_of_all_workers(
    conn: Connection, database_url: str
) -> None:
    await owe_bookings(conn, 20)
    busy = Destined(Mood.TOO_MANY)
    async with running(gated_loop(database_url, busy.handler()), database_url):

        async def held() -> bool:
            return (await gate(conn))["held_until"] is not None

        await eventually(held, "the rest that was asked for")
    assert len(busy.calls) <= 3, "what was under way when the first answer came"
    other = Destined()
    async with running(gated_loop(database_url, other.handler(), owner="b"), database_url):
        await asyncio.sleep(0.3)
        assert other.calls == []
        row = await gate(conn)
        assert 25 < (row["held_until"] - row["now"]).total_seconds() <= 30
        assert row["circuit"] == "closed"
        await conn.execute(
            "update outbox.destination set held_until = now() where destination = 'guestly'"
        )
        await eventually(lambda: sent(conn, 20 - len(busy.calls)), "the rest of them")
    assert await count(conn, "attempts > 1") == 0


async def test_nobody_is_left_alone_for_more_than_an_hour(
    conn: Connection, database_url: str
) -> None:
    await owe_bookings(conn, 1)
    busy = Destined(Mood.TOO_MANY)
    busy.retry_after = timedelta(days=2)
    async with running(gated_loop(database_url, busy.handler()), database_url):

        async def held() -> bool:
            return (await gate(conn))["held_until"] is not None

        await eventually(held, "the rest that was asked for")
    row = await gate(conn)
    assert row["held_until"] - row["now"] <= timedelta(hours=1)


async def test_two_workers_share_one_limit_and_charge_no_attempt_for_waiting(
    conn: Connection, database_url: str
) -> None:
    await owe_bookings(conn, 40)
    ours, theirs = Destined(), Destined()
    async with (
        running(gated_loop(database_url, ours.handler(), windows=(TEN_A_MINUTE,)), database_url),
        running(
            gated_loop(database_url, theirs.handler(), windows=(TEN_A_MINUTE,), owner="b"),
            database_url,
        ),
    ):
        await eventually(lambda: sent(conn, 10), "the first ten")
        await asyncio.sleep(0.5)
        assert len(ours.calls) + len(theirs.calls) == 10
    assert await count(conn, "attempts > 0 and delivered = 0") == 0


async def test_under_a_limit_that_frees_calls_all_of_them_are_sent_no_faster(
    conn: Connection, database_url: str
) -> None:
    await owe_bookings(conn, 30)
    windows = (Window(limit=10, length=timedelta(seconds=1)),)
    pms = Destined()
    started = time.monotonic()
    async with running(gated_loop(database_url, pms.handler(), windows=windows), database_url):
        await eventually(lambda: sent(conn, 30), "all of them")
    assert time.monotonic() - started > 2, "three windows' worth of calls"


async def test_calls_that_were_not_needed_are_given_back(
    conn: Connection, database_url: str
) -> None:
    await owe_bookings(conn, 4)
    pms = Destined()
    loop = gated_loop(database_url, pms.handler(), windows=(TEN_A_MINUTE,), calls_per_claim=2)
    async with running(loop, database_url):
        await eventually(lambda: sent(conn, 4), "all of them")

        async def returned() -> bool:
            slots = (await gate(conn))["rate_tokens"]["60"]
            return sum(int(calls) for _, calls in slots) == 4

        await eventually(returned, "only the calls that were made")


async def test_whoever_else_uses_the_account_takes_from_the_same_limit(
    conn: Connection, database_url: str
) -> None:
    await owe_bookings(conn, 8)
    pms = Destined()
    said = [Remaining(length=TEN_A_MINUTE.length, limit=10, left=1)]

    def heard() -> list[Remaining]:
        return [said.pop()] if pms.calls and said else []

    loop = gated_loop(database_url, pms.handler(), windows=(TEN_A_MINUTE,), heard=heard)
    async with running(loop, database_url):
        await eventually(lambda: sent(conn, 4), "three at first, and the one that was left")
        await asyncio.sleep(0.5)
    assert len(pms.calls) == 4
    assert not said


async def test_a_limit_that_is_hardly_used_is_not_written_down(conn: Connection) -> None:
    before = (await gate(conn))["written"]
    plenty = Remaining(length=TEN_A_MINUTE.length, limit=100, left=25)
    keeper = keeper_of("worker-a", windows=(TEN_A_MINUTE,), heard=lambda: [plenty])
    await keeper.tell(conn)
    assert (await gate(conn))["written"] == before


async def test_an_idle_worker_takes_no_calls(conn: Connection, database_url: str) -> None:
    before = (await gate(conn))["written"]
    async with running(
        gated_loop(database_url, Destined().handler(), windows=(TEN_A_MINUTE,)), database_url
    ):
        await asyncio.sleep(0.4)
    assert (await gate(conn))["written"] == before


async def test_a_gate_that_somebody_locks_holds_up_its_own_destination_alone(
    conn: Connection, database_url: str
) -> None:
    await owe_bookings(conn, 3)
    pms, mail = Destined(), Scripted(destination=Destination.EMAIL)
    loop = gated_loop(database_url, pms.handler(), mail, windows=(TEN_A_MINUTE,))
    other = await connect(database_url, application_name="holder")
    try:
        # held before the worker starts: a quick one would have sent the bookings by then
        await other.execute("begin")
        await gates.lock(other, Destination.GUESTLY)
        await other.execute("set local idle_in_transaction_session_timeout = 0")
        async with running(loop, database_url):
            for number in range(3):
                await owe(conn, f"mail {number}", Destination.EMAIL)
                await eventually(lambda n=number + 1: sent(conn, n), "the mail")  # type: ignore[misc]
            assert pms.calls == []
            await other.rollback()
            await eventually(lambda: sent(conn, 6), "the bookings")
    finally:
        await other.close()
