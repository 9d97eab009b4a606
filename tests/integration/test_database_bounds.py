"""Work on a connection ends in time, also where the network says nothing any more."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from outbox_worker.database import bounded, cancel, connect, connection
from tests.support_wire import Wire

#: psycopg alone waits ten seconds for a server that does not answer a cancellation.
HARDLY_LONGER_S = 8.0


async def test_a_statement_over_a_silent_network_is_given_up_in_time(database_url: str) -> None:
    async with Wire(database_url) as wire:
        conn = await connect(wire.url, application_name="test")
        wire.freeze()
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(TimeoutError):
            await bounded(conn.execute("select 1"), within=timedelta(seconds=0.2))
        assert loop.time() - began < HARDLY_LONGER_S
        await conn.close()


async def test_what_ends_in_time_answers_or_raises_as_it_is(database_url: str) -> None:
    async with connection(database_url, application_name="test") as conn:
        cursor = await bounded(conn.execute("select 7 as n"), within=timedelta(seconds=30))
        assert await cursor.fetchone() == {"n": 7}
        with pytest.raises(Exception, match="division by zero"):
            await bounded(conn.execute("select 1/0"), within=timedelta(seconds=30))


async def test_whoever_cancels_a_bounded_wait_gets_the_connection_back_unused(
    database_url: str,
) -> None:
    async with Wire(database_url) as wire:
        conn = await connect(wire.url, application_name="test")
        wire.strand()
        work = asyncio.create_task(conn.execute("select 1"))
        outer = asyncio.create_task(_wait_for(work))
        await asyncio.sleep(0)
        await cancel(outer)
        assert work.done(), "somebody still waits on a connection that is closed now"
        assert outer.cancelled()
        await conn.close()


async def _wait_for(work: asyncio.Task[object]) -> None:
    async def result() -> object:
        try:
            return await work
        finally:
            await cancel(work)

    await bounded(result(), within=timedelta(seconds=30))


async def test_a_task_that_has_ended_is_left_as_it_is() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    task = asyncio.create_task(fail())
    await asyncio.wait({task})
    await cancel(task)
    assert isinstance(task.exception(), ZeroDivisionError)
