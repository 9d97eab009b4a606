"""Pruning against whoever asks for, claims or settles the row that is being removed."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from outbox_worker.database import Connection
from outbox_worker.operations.prune import Removed, plan_prune, prune
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import DeliveryId, Destination, Reason
from outbox_worker.outbox.outcome import Done
from outbox_worker.settings_types import RetentionSettings
from outbox_worker.sql import query
from tests.support_engine import B, claim_all, end_lease, owe, row_of
from tests.support_races import claim_only, session, waits
from tests.support_settle import record

KEEP = RetentionSettings(days=timedelta(days=90), body_days=timedelta(days=30))
#: A lock of the tests' own, which a slowed statement waits for.
BETWEEN = "pg_advisory_xact_lock(1)"


async def finished(conn: Connection) -> DeliveryId:
    """A row that was delivered and can go."""
    delivery = await owe(conn)
    await record(conn, await claim_only(conn), Done())
    await age(conn)
    return delivery


async def age(conn: Connection) -> None:
    """Let a year go by."""
    await conn.execute(
        "update outbox.delivery set requested_at = requested_at - interval '1 year',"
        " delivered_at = delivered_at - interval '1 year'"
    )
    await conn.execute(
        "update outbox.attempt set started_at = started_at - interval '1 year',"
        " finished_at = finished_at - interval '1 year'"
    )
    await conn.execute("update outbox.request set requested_at = requested_at - interval '1 year'")


async def removed(conn: Connection) -> Removed:
    gone = Removed()
    async for batch in prune(conn, await plan_prune(conn, KEEP)):
        gone += batch
    return gone


async def ask(conn: Connection) -> int:
    return await store.request(conn, destination=Destination.INBOX, key="k", reason=Reason.STRIPE)


async def test_a_request_behind_a_prune_makes_a_row_of_its_own(
    conn: Connection, database_url: str
) -> None:
    old = await finished(conn)
    async with session(database_url, "pruner") as pruner, session(database_url, "site") as site:
        async with pruner.transaction():
            assert (await removed(pruner)).deliveries == 1
            asking = await waits(conn, ask(site))
        assert await asking == 1

    claim = await claim_only(conn)
    assert (claim.version, claim.attempts) == (1, 1)
    assert claim.id != old, "a settle that names the old row could hit the new one"
    cursor = await conn.execute("select delivery_id, version from outbox.request")
    assert await cursor.fetchall() == [{"delivery_id": claim.id, "version": 1}]


async def test_a_row_that_is_asked_for_between_the_look_at_it_and_its_lock_stays(
    conn: Connection, database_url: str
) -> None:
    delivery = await finished(conn)
    slow = query("prune_deliveries").replace(
        "with page as materialized (\n  select d.id from outbox.delivery d",
        f"with pause as materialized (select {BETWEEN}), page as materialized (\n"
        "  select d.id from pause cross join outbox.delivery d",
    )
    assert BETWEEN in slow

    async with session(database_url, "pruner") as pruner, session(database_url) as holder:
        plan = await plan_prune(pruner, KEEP)
        assert plan.counts.deliveries == 1
        values = {"after": 0, "before": plan.history_before, "limit": 100}
        async with holder.transaction():
            await holder.execute(f"select {BETWEEN}")
            pruning = await waits(conn, pruner.execute(slow, values))
            await ask(conn)
        page = await (await pruning).fetchone()

    assert page is not None
    assert (page["removed"], page["after"]) == (0, delivery)
    row = await row_of(conn, delivery)
    assert (row["requested"], row["delivered"], row["due_at"] is not None) == (2, 1, True)
    assert (await claim_only(conn)).version == 2


async def test_a_prune_waits_for_nobody_and_takes_what_is_free(
    conn: Connection, database_url: str
) -> None:
    for key in ("asked for", "claimed", "free"):
        await owe(conn, key)
    for claim in await claim_all(conn):
        await record(conn, claim, Done())
    await age(conn)
    await owe(conn, "claimed")
    async with (
        session(database_url, "site") as site,
        session(database_url, "worker") as worker,
        site.transaction(),
        worker.transaction(),
    ):
        await owe(site, "asked for")
        assert len(await claim_all(worker)) == 1
        async with asyncio.timeout(10):
            gone = await removed(conn)
    assert gone.deliveries == 1
    cursor = await conn.execute("select key from outbox.delivery order by key")
    assert [row["key"] for row in await cursor.fetchall()] == ["asked for", "claimed"]


async def test_a_stale_worker_that_comes_back_after_the_prune_hits_nothing(
    conn: Connection,
) -> None:
    delivery = await owe(conn)
    stale = await claim_only(conn)
    await end_lease(conn, delivery)
    await record(conn, await claim_only(conn, B), Done(), owner=B)
    await age(conn)
    assert (await removed(conn)).deliveries == 1
    successor = await owe(conn)
    current = await claim_only(conn)

    late = await record(conn, stale, Done())

    assert late.refused
    assert (successor, current.id) == (current.id, successor)
    assert (await row_of(conn, successor))["fence"] == current.fence
