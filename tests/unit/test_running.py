"""Handlers at work: who runs beside whom, and what is cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from outbox_worker.gate.circuit import Evidence
from outbox_worker.handlers.effect import Result
from outbox_worker.handlers.protocol import Deadline
from outbox_worker.outbox.delivery import Claim, DeliveryId, Destination, Fence
from outbox_worker.outbox.outcome import Abandon, Done, Retry
from outbox_worker.worker.execute import Finished
from outbox_worker.worker.gatekeeper import observed
from outbox_worker.worker.lease import Lease, boot_time
from outbox_worker.worker.running import InFlight, Running
from tests.support_engine import Scripted

DONE = Result(outcome=Done())
NOW = datetime(2027, 1, 1, tzinfo=UTC)


def item(number: int, run: Callable[[Claim, Deadline], Awaitable[Result]]) -> InFlight:
    claim = Claim(
        id=DeliveryId(number),
        destination=Destination.INBOX,
        key=str(number),
        version=1,
        fence=Fence(number),
        attempts=1,
        round=1,
        failed_at=None,
        uncertain_at=None,
        delivered_at=None,
        requested_at=NOW,
        seen_at=NOW,
        lost_owner=None,
    )
    lease = Lease(taken_at=boot_time(), length=timedelta(seconds=30))
    return InFlight(claim=claim, state=None, handler=Scripted(run), lease=lease)


async def turns(count: int = 50) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_handlers_that_wait_all_run_at_once() -> None:
    ended: list[Finished] = []
    running, go, begun = Running(ended.append), asyncio.Event(), list[int]()

    async def waits(claim: Claim, deadline: Deadline) -> Result:
        del deadline
        begun.append(claim.id)
        await go.wait()
        return DONE

    for number in range(100):
        running.start(item(number, waits))
    await turns()

    assert sorted(begun) == list(range(100))
    assert (len(running), ended) == (100, [])
    go.set()
    await turns()
    assert (len(running), len(ended)) == (0, 100)


async def test_a_handler_that_waits_holds_up_none_that_does_not() -> None:
    ended: list[Finished] = []
    running, never = Running(ended.append), asyncio.Event()

    async def waits(claim: Claim, deadline: Deadline) -> Result:
        del deadline
        if claim.id % 2 == 0:
            await never.wait()
        return DONE

    for number in range(20):
        running.start(item(number, waits))
    await turns()

    assert sorted(each.claim.id for each in ended) == list(range(1, 20, 2))
    running.cancel()
    await turns()
    assert len(running) == 0


async def test_handlers_that_do_not_wait_share_a_task() -> None:
    running, tasks = Running(lambda _: None), set[asyncio.Task[object] | None]()

    async def at_once(claim: Claim, deadline: Deadline) -> Result:
        del claim, deadline
        tasks.add(asyncio.current_task())
        return DONE

    for number in range(100):
        running.start(item(number, at_once))
    await turns()

    assert (len(running), len(tasks)) == (0, 1)


async def test_what_is_cut_off_ends_by_whether_its_call_has_begun() -> None:
    ended: list[Finished] = []
    running, never = Running(ended.append), asyncio.Event()

    async def calls(claim: Claim, deadline: Deadline) -> Result:
        del claim
        deadline.allows(timedelta(seconds=1))
        await never.wait()
        return DONE

    running.start(item(1, calls))
    await turns()
    running.start(item(2, calls))
    running.cancel()
    await turns()

    outcomes = {each.claim.id: each.result.outcome for each in ended}
    begun, not_begun = outcomes[DeliveryId(1)], outcomes[DeliveryId(2)]
    assert isinstance(begun, Retry)
    assert begun.ambiguous
    assert isinstance(not_begun, Abandon)
    assert len(running) == 0


async def test_a_fault_outside_of_every_handler_leaves_nothing_that_is_extended_for_ever() -> None:
    ended: list[Finished] = []
    running = Running(ended.append)

    async def fails(claim: Claim, deadline: Deadline) -> Result:
        del claim, deadline
        raise RuntimeError

    class Broken(Scripted):
        def failed(self, claim: Claim, retry: Retry) -> Result:
            raise RuntimeError(claim.key, retry.code)

    one = item(1, fails)
    broken = InFlight(claim=one.claim, state=None, handler=Broken(fails), lease=one.lease)
    caught: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: caught.append(context))
    running.start(broken)
    await turns()
    assert len(running) == 0
    assert ended == []


async def test_what_was_read_before_it_was_cut_off_counts_and_proves_nothing() -> None:
    ended: list[Finished] = []
    running, reading = Running(ended.append), asyncio.Event()

    async def looks_up(claim: Claim, deadline: Deadline) -> Result:
        del claim
        deadline.reads()
        reading.set()
        await asyncio.Event().wait()
        return DONE

    running.start(item(1, looks_up))
    await reading.wait()
    running.cancel()
    await turns()

    (cut,) = ended
    assert (cut.result.outcome, cut.calls) == (Abandon(code="worker_stopped"), 1)
    assert observed(cut, probe=True).evidence is Evidence.NONE, "no answer has come"
