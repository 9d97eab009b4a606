"""Where the time from the commit to the handler goes: the moments that one pickup passes.

As a program: the worker of `shared_driver`, which writes its moments into the file that ``STAGES``
names when it ends.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from outbox_worker.database import connection
from outbox_worker.demo.postgres import Cluster
from outbox_worker.outbox import store
from outbox_worker.worker.wakeup import Wakeup
from tests.benchmarks import engine, engine_fleet
from tests.benchmarks.options import WrongCountError
from tests.benchmarks.shared_driver import main, paced, request

_GAP_S = 0.05
#: In their order; the first is seen by whoever commits, the others by the worker.
STAGES = ("commit answered", "worker awake", "claim sent", "claim answered", "handler")


def stages(server: Cluster, template: str, folder: Path, *, count: int) -> dict[str, float]:
    """Median milliseconds of each stage since the one before; the first since the commit was sent.

    The worker may be awake before the commit is answered: both go out at the same time.
    """
    path = folder / "stages"
    environ = {"SLOTS": "10", "STAGES": str(path)}
    with engine_fleet.fleet(server, template, 1, folder, program=(__name__,), **environ) as running:
        running.open()
        answered = asyncio.run(_requests(running.url, count))
        engine_fleet.until(lambda: running.count() >= count, f"{count} pickups")
    seen: dict[str, list[float]] = json.loads(path.read_text(encoding="ascii"))
    passed: dict[str, list[float]] = {name: [] for name in STAGES}
    for sent, at in answered:
        moments = [sent, at, *_first(seen, after=sent)]
        for name, (before, moment) in zip(STAGES, pairwise(moments), strict=True):
            passed[name].append(moment - before)
    return {name: statistics.median(times) * 1000 for name, times in passed.items()}


def _first(seen: dict[str, list[float]], *, after: float) -> Iterator[float]:
    for name in STAGES[1:]:
        moment = next((moment for moment in seen[name] if moment > after), None)
        if moment is None:
            raise WrongCountError(f"no {name} after a commit was sent")
        yield moment


async def _requests(url: str, count: int) -> list[tuple[float, float]]:
    """When each commit was sent with its notification, and answered."""
    async with connection(url, application_name="bench") as conn:
        answered = []

        async def one(number: int) -> None:
            await conn.execute("begin")
            await request(conn, number)
            sent = time.monotonic()
            await store.commit_and_notify(conn)
            answered.append((sent, time.monotonic()))

        await asyncio.sleep(0.5)
        await paced(count, _GAP_S, one)
        return answered


def _worker() -> int:
    """Run the worker with its moments noted."""
    noted: dict[str, list[float]] = {name: [] for name in STAGES[1:]}

    def note(name: str) -> None:
        noted[name].append(time.monotonic())

    class Noting(Wakeup):
        def take_request(self) -> bool:
            requested = super().take_request()
            if requested:
                note("worker awake")
            return requested

    def around(
        original: Callable[..., Awaitable[Any]], *, before: str = "", after: str = ""
    ) -> Callable[..., Awaitable[Any]]:
        @functools.wraps(original)
        async def wrapped(*args: Any, **options: Any) -> Any:
            if before:
                note(before)
            answer = await original(*args, **options)
            if after:
                note(after)
            return answer

        return wrapped

    setattr(engine, "Wakeup", Noting)  # noqa: B010 - a class, to mypy
    claim = around(store.claim, before="claim sent", after="claim answered")
    setattr(store, "claim", claim)  # noqa: B010 - a function, to mypy
    setattr(engine.NoOp, "run", around(engine.NoOp.run, before="handler"))  # noqa: B010 - a method, to mypy
    try:
        return main(["worker"])
    finally:
        Path(os.environ["STAGES"]).write_text(json.dumps(noted), encoding="ascii")


if __name__ == "__main__":
    sys.exit(_worker())
