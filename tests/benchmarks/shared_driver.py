"""`python -m tests.benchmarks.shared_driver VERB`: this engine as one of several that are compared.

setup | enq1 N CLIENTS | enqb N | lat N GAP | worker
The database is DATABASE_URL; a worker notes what its handler saw in the file REC. Results are one
line ``RESULT {json}``.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from outbox_worker import migrate
from outbox_worker.database import Connection, connect, connection
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Reason
from tests.benchmarks.engine import DESTINATION, Engine, work
from tests.benchmarks.engine_record import Record

CLIENTS = 8

#: For whoever compares: what is finished, what is not, and a backlog of so many.
FINISHED = "select count(*) from outbox.delivery where delivered = requested"
UNFINISHED = "select count(*) from outbox.delivery where delivered < requested"
SEED = (
    "select count(outbox.request('guestly', g::text, 'stripe', 'evt_x'))"
    " from generate_series(0, {n} - 1) g"
)


async def request(conn: Connection, number: int) -> None:
    """One request, as after a payment."""
    await store.request(
        conn, destination=DESTINATION, key=str(number), reason=Reason.STRIPE, reference="evt_x"
    )


async def announced(conn: Connection, number: int) -> None:
    """One request and its notification, as the receiver sends them: with the commit, not in it."""
    await conn.execute("begin")
    await request(conn, number)
    await store.commit_and_notify(conn)


async def paced(
    count: int, gap: float, one: Callable[[int], Awaitable[None]]
) -> list[tuple[int, float, float]]:
    """Do ``one(number)`` every ``gap`` seconds; number, monotonic clock before and after."""
    noted = []
    due = time.monotonic()
    for number in range(count):
        due += gap
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        began = time.monotonic()
        await one(number)
        noted.append((number, began, time.monotonic()))
    return noted


async def _singly(url: str, count: int, clients: int) -> float:
    """Requests a second, each a transaction of its own."""
    numbers = iter(range(count))
    conns = [await connect(url, application_name="bench") for _ in range(clients)]

    async def client(conn: Connection) -> None:
        for number in numbers:
            await request(conn, number)

    await request(conns[0], -1)
    began = time.monotonic()
    await asyncio.gather(*map(client, conns))
    took = time.monotonic() - began
    for conn in conns:
        await conn.close()
    return count / took


async def _many(url: str, count: int) -> float:
    """Requests a second, a thousand to a transaction."""
    async with connection(url, application_name="bench") as conn:
        began = time.monotonic()
        for first in range(0, count, 1000):
            await conn.execute(
                "select count(outbox.request('guestly', g::text, 'stripe', 'evt_x'))"
                " from generate_series(%s::int, %s::int) g",
                (first, min(count, first + 1000) - 1),
            )
        return count / (time.monotonic() - began)


async def _paced(url: str, count: int, gap: float) -> list[tuple[int, float, float]]:
    async with connection(url, application_name="bench") as conn:
        await asyncio.sleep(0.5)
        return await paced(count, gap, lambda number: announced(conn, number))


def main(arguments: Sequence[str]) -> int:
    """Do what the verb says."""
    url = os.environ["DATABASE_URL"]
    verb, *rest = arguments
    numbers: Iterator[str] = iter(rest)
    match verb:
        case "setup":
            migrate.apply(url)
        case "enq1":
            _say(rate=asyncio.run(_singly(url, int(next(numbers)), int(next(numbers, CLIENTS)))))
        case "enqb":
            _say(rate=asyncio.run(_many(url, int(next(numbers)))))
        case "lat":
            _say(rows=asyncio.run(_paced(url, int(next(numbers)), float(next(numbers)))))
        case "worker":
            engine = Engine.from_environ(os.environ)
            asyncio.run(work(url, engine, Record.named(os.environ)))
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 2
    return 0


def _say(**result: Any) -> None:
    sys.stdout.write(f"RESULT {json.dumps(result)}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
