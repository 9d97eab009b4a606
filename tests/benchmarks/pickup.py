"""How soon an idle worker's handler runs after a request has been committed."""

from __future__ import annotations

import asyncio
import math
import tempfile
import time
from pathlib import Path

from outbox_worker.database import connection
from outbox_worker.demo.postgres import Cluster
from tests.benchmarks import engine_fleet, peers, pickup_stages, postgres
from tests.benchmarks.figure import Figure
from tests.benchmarks.options import Options, WrongCountError
from tests.benchmarks.rounds import Rounds, not_measured
from tests.benchmarks.shared_driver import paced, request

_POLL_S = 1.0
_GAP_S = 0.05
_OURS = "ours:SLOTS=10"


def measure(options: Options) -> list[Figure]:
    """Milliseconds from the commit to the handler: beside others, and with LISTEN lost."""
    seen = Rounds("pickup")
    compared = peers.installed(options)
    with tempfile.TemporaryDirectory(prefix="pickup-") as folder, postgres.durable() as server:
        for _ in range(options.rounds):
            if compared:
                _beside(options, server, seen)
            with engine_fleet.backlog(server, 0) as template:
                _deaf(options, server, template, Path(folder), seen)
                count = 40 if options.quick else 200
                passed = pickup_stages.stages(server, template, Path(folder), count=count)
                for stage, milliseconds in passed.items():
                    seen.note(f"until {stage}", milliseconds)
    figures = [
        seen.figure(
            "p50 with LISTEN lost",
            "of the poll interval",
            most=0.6,
            note=f"one request every {_GAP_S * 1000:g} ms, poll {_POLL_S:g} s",
        )
    ]
    figures += [
        seen.figure(f"until {stage}", "ms", note="median since the stage before; ours alone")
        for stage in pickup_stages.STAGES
    ]
    if not compared:
        return [*figures, not_measured("pickup: p50 and p99", "best Python peer", "no peers")]
    note = "one request every 50 ms, commit to handler"
    figures += [
        seen.figure(name, "ms", note=note)
        for name in seen.names
        if name.startswith(("p50 ", "p99 ")) and name != "p50 with LISTEN lost"
    ]
    figures += [
        seen.figure("p50, of the best Python peer's", "x", most=1.0),
        seen.figure("p99, of pgqueuer's", "x", most=0.5),
    ]
    return figures


def _beside(options: Options, server: Cluster, seen: Rounds) -> None:
    others = peers.python_peers(options)
    found = {
        answer["sys"].partition(":")[0]: answer
        for answer in peers.run(options, server, (_OURS, *others), ("lat",), 0)
    }
    for name, answer in found.items():
        seen.note(f"p50 {name}", answer["p50"])
        seen.note(f"p99 {name}", answer["p99"])
    ours = found["ours"]
    seen.note(
        "p50, of the best Python peer's", ours["p50"] / min(found[name]["p50"] for name in others)
    )
    seen.note("p99, of pgqueuer's", ours["p99"] / found["pgqueuer"]["p99"])


def _deaf(options: Options, server: Cluster, template: str, folder: Path, seen: Rounds) -> None:
    count = 40 if options.quick else 200
    environ = {"SLOTS": "100", "POLL": str(_POLL_S), "LISTEN": "0"}
    with engine_fleet.fleet(server, template, 1, folder, **environ) as running:
        running.open()
        committed = asyncio.run(_requests(running.url, count))
        ends = time.monotonic() + 10
        while running.count() < count and time.monotonic() < ends:
            time.sleep(0.01)
        at = dict(running.calls())
    if sorted(at) != list(range(count)):
        raise WrongCountError(f"{len(at)} of {count} requests were picked up")
    waits = sorted(at[number] - done for number, done in committed)
    seen.note("p50 with LISTEN lost", waits[math.ceil(len(waits) / 2) - 1] / _POLL_S)


async def _requests(url: str, count: int) -> list[tuple[int, float]]:
    async with connection(url, application_name="bench") as conn:
        rows = await paced(count, _GAP_S, lambda number: request(conn, number))
    return [(number, done) for number, _, done in rows]
