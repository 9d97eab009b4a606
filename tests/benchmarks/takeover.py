"""`python -m tests.benchmarks.takeover`: how long a dead worker's rows wait for another worker.

Real workers, a real Postgres and the simulator. A worker is killed by SIGKILL while its calls are
under way, again and again; another one has to take over what it held and deliver it. The lease it
died with has to end first, so what is judged is the time from the kill to another worker's claim:
its p99 may be one second longer than the lease. How soon the delivery follows is a matter of the
PMS and of this machine; it is shown beside. Exit code 1: it was longer.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import random
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from outbox_worker import migrate
from outbox_worker.database import Connection, connection
from outbox_worker.demo.postgres import cluster
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Reason
from tests.support_engine import eventually, insert_booking
from tests.support_simulator import LISTING, Simulator, start_simulator
from tests.support_worker import WorkerProcess, environment

#: What a take-over may take beyond the lease.
BOUND_S = 1.0
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured.

    Args:
        kills: How many workers die.
        rows: Deliveries that are under way at each kill.
        workers: How many run at any time; one that died is replaced at once.
        lease, poll: Settings of the workers.
        seed: Of the moment of each kill.
    """

    kills: int
    rows: int
    workers: int
    lease: timedelta
    poll: timedelta
    seed: int

    @property
    def call(self) -> timedelta:
        """Longest wait for a call: half a lease is the most that the settings allow."""
        return self.lease / 2

    @property
    def settings(self) -> dict[str, str]:
        """Of every worker: nothing but the lease is to be waited for."""
        return {
            "WORKER_LEASE_SECONDS": f"{self.lease.total_seconds()}",
            "WORKER_POLL_SECONDS": f"{self.poll.total_seconds()}",
            "PMS_TIMEOUT_SECONDS": f"{self.call.total_seconds()}",
            "PMS_QUIET_SECONDS": "0",
            "PMS_CIRCUIT_FAILURES": "100000",
            "PMS_RATE_PER_SECOND": "0",
            "PMS_RATE_PER_MINUTE": "0",
            "PMS_RATE_PER_HOUR": "0",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """One row of a dead worker: seconds from the kill, on the database's clock.

    Args:
        leased: Until the end of the lease.
        taken: Until another worker's claim.
        delivered: Until the delivery.
    """

    leased: float
    taken: float
    delivered: float


class Fleet:
    """The workers that run at present.

    Args:
        folder: For their logs.
        environ: Their settings.
    """

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self._folder = folder
        self._environ = environ
        self._started = 0
        self._running: list[WorkerProcess] = []

    def start(self) -> None:
        """Start one more."""
        self._started += 1
        log = self._folder / f"worker-{self._started}.log"
        self._running.append(WorkerProcess(log, self._environ))

    def kill(self, pid: int) -> None:
        """End one by SIGKILL; it says nothing any more."""
        for worker in list(self._running):
            if worker.pid == pid:
                worker.send(signal.SIGKILL)
                self._running.remove(worker)
                worker.close()

    async def ready(self) -> None:
        """Wait until every one of them listens."""
        for worker in self._running:
            await worker.logged("listen.restored", within=_PATIENCE_S)

    def close(self) -> None:
        """End them all."""
        for worker in self._running:
            worker.close()


async def one_kill(
    conn: Connection, fleet: Fleet, pms: Simulator, plan: Plan, dice: random.Random
) -> list[Takeover]:
    """Let the worker that holds most rows die, and wait until others have delivered them."""
    await fleet.ready()
    hold = 0.8 * plan.call.total_seconds()
    pms.once("latency", seconds=hold, operation="lookup", times=plan.rows)
    bookings = [str(await _owed(conn)) for _ in range(plan.rows)]
    await store.notify(conn)

    async def under_way() -> bool:
        held = [int(row["n"]) for row in await _rows(conn, _HELD, bookings)]
        return sum(held) == plan.rows

    await eventually(under_way, "calls under way", within=_PATIENCE_S)
    await asyncio.sleep(dice.uniform(0, hold / 2))
    victim = (await _rows(conn, _HELD, bookings))[0]
    fleet.kill(victim["pid"])
    fleet.start()
    left = await _rows(conn, _LEFT, bookings, victim["owner"])
    if not left:
        raise AssertionError("the worker had settled everything before it was killed")

    async def delivered() -> bool:
        (row,) = await _rows(conn, _OWED, bookings)
        return bool(row["n"] == 0)

    await eventually(delivered, "the take-over", within=_PATIENCE_S + plan.lease.total_seconds())
    ended = {row["id"]: row for row in await _rows(conn, _ENDED, bookings)}
    return [
        Takeover(
            leased=_seconds(row["lease_until"] - victim["at"]),
            taken=_seconds(ended[row["id"]]["taken_at"] - victim["at"]),
            delivered=_seconds(ended[row["id"]]["delivered_at"] - victim["at"]),
        )
        for row in left
    ]


async def measure(plan: Plan, folder: Path, url: str) -> list[list[Takeover]]:
    """The rows of each kill."""
    await asyncio.to_thread(migrate.apply, url)
    dice = random.Random(plan.seed)  # noqa: S311 - spreads the kills, guards nothing
    with start_simulator(folder / "pms") as pms:
        # every booking is of the same week
        pms.switch(availability=False)
        fleet = Fleet(folder, environment(url, pms, **plan.settings))
        try:
            async with connection(url, application_name="takeover") as conn:
                await conn.execute(
                    "insert into outbox.listing (pms, slug, listing_id)"
                    " values ('guestly', 'sea-loft', %s)",
                    [LISTING],
                )
                for _ in range(plan.workers):
                    fleet.start()
                kills = []
                for number in range(1, plan.kills + 1):
                    kills.append(await one_kill(conn, fleet, pms, plan, dice))
                    worst = max(row.delivered for row in kills[-1])
                    _say(f"kill {number}: {len(kills[-1])} rows, the last after {worst:.2f} s")
                reservations = len(pms.reservations())
        finally:
            fleet.close()
    if reservations != plan.kills * plan.rows:
        raise AssertionError(f"{reservations} reservations of {plan.kills * plan.rows} bookings")
    return kills


def main() -> int:
    """Measure, print what was seen under which conditions, and judge it."""
    plan = _plan(sys.argv[1:])
    with (
        tempfile.TemporaryDirectory(prefix="booking-outbox-takeover-") as folder,
        cluster(durable=True) as server,
    ):
        kills = asyncio.run(measure(plan, Path(folder), server.url))
        version = server.version
    rows = [row for kill in kills for row in kill]
    last = [max(kill, key=lambda row: row.delivered) for kill in kills]
    lease = plan.lease.total_seconds()
    bound = lease + BOUND_S
    p99 = _percentile([row.taken for row in rows], 99)
    _say(
        "",
        f"{plan.kills} kills, {len(rows)} rows taken over by another worker, each delivered once",
        f"conditions: {plan.workers} workers on {os.cpu_count()} cores, Postgres {version} with"
        f" fsync, lease {lease:g} s,",
        f"  WORKER_POLL_SECONDS {plan.poll.total_seconds():g}, quiet period 0 s, a PMS that"
        f" answers at once, seed {plan.seed},",
        f"  load of the machine {os.getloadavg()[0]:.1f} (last minute)",
        "",
        f"{'seconds':<44}{'p50':>7}{'p99':>7}{'most':>7}",
        _line("kill to delivery of the last row", [row.delivered for row in last]),
        _line("kill to another worker's claim", [row.taken for row in rows]),
        _line("kill to delivery of each row", [row.delivered for row in rows]),
        _line(
            "end of the lease to another worker's claim", [row.taken - row.leased for row in rows]
        ),
        _line("end of the lease to the delivery", [row.delivered - row.leased for row in rows]),
        "",
        f"kill to claim: p99 {p99:.2f} s, bound {bound:g} s (lease + {BOUND_S:g} s):"
        f" {'held' if p99 <= bound else 'BROKEN'}",
    )
    return 0 if p99 <= bound else 1


_HELD = """
select d.owner, w.pid, count(*) as n, clock_timestamp() as at
from outbox.delivery d join outbox.worker w on w.id = d.owner
where d.key = any(%s) group by d.owner, w.pid order by n desc
"""
_LEFT = "select id, lease_until from outbox.delivery where key = any(%s) and owner = %s"
_OWED = """
select count(*) as n from outbox.delivery where key = any(%s) and delivered < requested
"""
_ENDED = """
select d.id, d.delivered_at, max(a.started_at) as taken_at
from outbox.delivery d join outbox.attempt a on a.delivery_id = d.id
where d.key = any(%s) group by d.id
"""


async def _rows(conn: Connection, statement: str, *values: Any) -> list[dict[str, Any]]:
    return await (await conn.execute(statement, values)).fetchall()


async def _owed(conn: Connection) -> UUID:
    booking = await insert_booking(conn)
    await store.request_sync(conn, booking, reason=Reason.OPERATOR)
    return booking


def _seconds(length: timedelta) -> float:
    return length.total_seconds()


def _percentile(values: Sequence[float], of_100: int) -> float:
    """Nearest rank: with fewer than a hundred values the 99th is the largest."""
    return sorted(values)[max(0, math.ceil(len(values) * of_100 / 100) - 1)]


def _line(name: str, values: Sequence[float]) -> str:
    figures = (_percentile(values, 50), _percentile(values, 99), max(values))
    return f"{name:<44}" + "".join(f"{figure:>7.2f}" for figure in figures)


def _plan(arguments: Sequence[str]) -> Plan:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.takeover", description=__doc__
    )
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--rows", type=int, default=6, help="calls under way at each kill")
    parser.add_argument("--workers", type=int, default=2, help="that run at any time")
    parser.add_argument("--lease", type=float, default=4.0, help="seconds")
    parser.add_argument("--poll", type=float, default=1.0, help="seconds")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    chosen = parser.parse_args(arguments)
    return Plan(
        kills=chosen.kills,
        rows=chosen.rows,
        workers=chosen.workers,
        lease=timedelta(seconds=chosen.lease),
        poll=timedelta(seconds=chosen.poll),
        seed=chosen.seed,
    )


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
