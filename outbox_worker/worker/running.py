"""Handlers at work: all claims at once, with no more tasks than handlers that wait."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from outbox_worker.handlers.protocol import Handler
from outbox_worker.outbox.delivery import Claim
from outbox_worker.worker.execute import Finished, cut_off, execute
from outbox_worker.worker.lease import Lease


@dataclass(slots=True, kw_only=True, eq=False)
class InFlight:
    """A claim whose handler runs, or is about to.

    Args:
        state: What the handler's ``load`` answered.
        lease: Asked by the handler before every write.
    """

    claim: Claim
    state: Any
    handler: Handler[Any]
    lease: Lease


class Running:
    """Runs the handlers of claims, each beside all others.

    A task of its own for every claim costs more than a handler that has nothing to wait for. So one
    task takes claim after claim; when a handler waits, further tasks take the rest.

    Args:
        ended: Called with each result as soon as it is there.
    """

    def __init__(self, ended: Callable[[Finished], None]) -> None:
        self._ended = ended
        self._items: dict[InFlight, None] = {}
        self._next: deque[InFlight] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._called = False
        #: Tasks to begin at once; doubled as long as the handlers wait.
        self._wide = 1

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[InFlight]:
        return iter(self._items)

    def start(self, item: InFlight) -> None:
        """Run a handler as soon as the event loop is free."""
        self._items[item] = None
        self._next.append(item)
        self._call()

    def cancel(self) -> None:
        """Cut off what runs; what has not begun is given back at once."""
        while self._next:
            self._end(item := self._next.popleft(), cut_off(item.claim, item.handler, item.lease))
        for task in self._tasks:
            task.cancel()

    def _call(self) -> None:
        if not self._called:
            self._called = True
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        self._called = False
        for _ in range(min(self._wide, len(self._next))):
            task = asyncio.create_task(self._take())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._wide *= 2

    async def _take(self) -> None:
        while self._next:
            item = self._next.popleft()
            if self._next:
                self._call()  # for the others, should this one wait
            else:
                self._wide = 1
            try:
                finished = await execute(item.claim, item.state, item.handler, item.lease)
            except asyncio.CancelledError:
                self._end(item, cut_off(item.claim, item.handler, item.lease))
                raise
            except BaseException:
                # nothing knows what became of it: its lease ends, and whoever comes next finds out
                del self._items[item]
                raise
            self._end(item, finished)

    def _end(self, item: InFlight, finished: Finished) -> None:
        del self._items[item]
        self._ended(finished)
