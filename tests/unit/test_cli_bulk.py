"""Bulk actions: their pace, and slices that are finished even when interrupted."""

from __future__ import annotations

import asyncio

import pytest

from outbox_worker.cli.bulk import paced, to_its_end


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def read(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


async def test_a_minutes_worth_leaves_at_once_and_the_rest_at_the_rate_of_the_pms() -> None:
    clock = Clock()
    items = list(range(200))
    seen: list[int] = []
    at: dict[int, float] = {}

    async for part in paced(items, per_minute=120, clock=clock.read, sleep=clock.sleep):
        assert 1 <= len(part) <= 50
        at.update(dict.fromkeys(part, clock.now))
        seen += part

    assert seen == items
    assert at[119] == 0
    for number in range(120, 200):
        # never faster than two a second, and never a second behind
        assert (number - 119) / 2 <= at[number] + 1e-6
        assert at[number] <= (number - 119) / 2 + 1


async def test_an_empty_list_has_no_slices() -> None:
    nothing: list[int] = []
    assert [part async for part in paced(nothing, per_minute=1)] == []


async def test_an_interrupted_slice_is_finished_before_the_interruption_goes_on() -> None:
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await go_on.wait()
        done.set()

    task = asyncio.create_task(to_its_end(work()))
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.is_set()


async def test_the_error_of_a_slice_is_not_swallowed() -> None:
    async def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await to_its_end(work())
