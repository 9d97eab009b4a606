"""What a loop counts of what it does, seen in its metrics."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from prometheus_client.parser import text_string_to_metric_families

from outbox_worker.database import Connection
from outbox_worker.handlers.effect import Result
from outbox_worker.handlers.protocol import Deadline
from outbox_worker.metrics import Metrics, Now
from outbox_worker.outbox.delivery import Claim
from outbox_worker.outbox.outcome import Abandon, Park
from tests.support_engine import B, Scripted, claim_all, end_lease, eventually, owe
from tests.support_loop import DONE, loop_of, running, until

NOW = Now(
    cycles=0,
    database_misses=0,
    cycle_age=timedelta(0),
    alive=False,
    reaches_database=False,
    listening=False,
    in_flight=0,
    worker="w",
    version="v",
)


def counted(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """What is not zero, without the prefix that all have."""
    return {
        (sample.name.removeprefix("outbox_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics.render(NOW).decode())
        for sample in family.samples
        if sample.value and sample.name != "outbox_worker_info"
    }


async def becomes(metrics: Metrics, expected: dict[tuple[str, ...], float]) -> None:
    async def there() -> bool:
        return counted(metrics) == expected

    try:
        await eventually(there, "the count")
    except AssertionError:
        assert counted(metrics) == expected


async def test_a_delivery_and_one_that_is_given_up(conn: Connection, database_url: str) -> None:
    given_back: list[str] = []

    async def by_key(claim: Claim, deadline: Deadline) -> Result:
        del deadline
        if claim.key == "given back once" and not given_back:
            given_back.append(claim.key)
            return Result(outcome=Abandon(code="lease_too_short"))
        if claim.key == "refused":
            return Result(outcome=Park(code="no", message="never"))
        return DONE

    metrics = Metrics()
    await owe(conn, "refused")
    await owe(conn, "given back once")
    loop, _ = loop_of(database_url, Scripted(by_key), metrics=metrics)
    async with running(loop, database_url):
        await becomes(
            metrics,
            {
                ("attempts_total", "inbox", "held"): 1,
                ("attempts_total", "inbox", "rejected"): 1,
                ("deliveries_given_up_total", "inbox"): 1,
            },
        )


async def test_a_row_that_is_taken_over_and_one_that_is_taken_from_it(
    conn: Connection, database_url: str
) -> None:
    row = await owe(conn)
    await claim_all(conn, B)
    await end_lease(conn, row)
    gate = asyncio.Event()
    metrics = Metrics()
    handler = Scripted(until(gate))
    loop, _ = loop_of(database_url, handler, metrics=metrics, poll=60)
    async with running(loop, database_url):
        await becomes(metrics, {("leases_lost_total", "inbox"): 1})
        await end_lease(conn, row)
        assert await claim_all(conn, B)
        gate.set()
        await becomes(
            metrics, {("leases_lost_total", "inbox"): 1, ("settles_refused_total", "inbox"): 1}
        )


async def test_a_result_that_postgres_refuses(conn: Connection, database_url: str) -> None:
    await owe(conn)
    await conn.execute(
        "alter table outbox.attempt add constraint full_disk check (false) not valid"
    )
    metrics = Metrics()
    loop, _ = loop_of(database_url, Scripted(), metrics=metrics, poll=0.05)

    async def failed() -> bool:
        return counted(metrics).get(("settles_failed_total", "inbox"), 0) >= 2

    async with running(loop, database_url):
        await eventually(failed, "two refusals")
        await conn.execute("alter table outbox.attempt drop constraint full_disk")

        async def recorded() -> bool:
            return counted(metrics).get(("attempts_total", "inbox", "held"), 0) == 1

        await eventually(recorded, "the attempt on record")
