"""Rules of settling results together that nothing else pins down: batches, and alerts by id."""

from __future__ import annotations

import asyncio

from psycopg.errors import LockNotAvailable

from outbox_worker.alerts.alert import AlertKind, NewAlert
from outbox_worker.database import Connection, connect
from outbox_worker.handlers.effect import AlertRaised, Result
from outbox_worker.outbox.delivery import Claim, Destination
from outbox_worker.outbox.outcome import Done, Outcome, Park
from outbox_worker.worker.execute import Finished
from outbox_worker.worker.settle import by_lock_order, settle
from tests.support_engine import A, claim_all, eventually, owe
from tests.support_settle import POLICIES, REFUSED, record


def about(name: str) -> AlertRaised:
    raised = NewAlert(kind=AlertKind.SYNC_REJECTED, fingerprint=name)
    return AlertRaised(alert=raised, only_if_given_up=True, names_delivery=True)


def finished(claim: Claim, outcome: Outcome, *effects: AlertRaised) -> Finished:
    return Finished(claim=claim, result=Result(outcome=outcome, effects=effects), seconds=0.1)


async def free(conn: Connection, alert_id: int) -> bool:
    try:
        async with conn.transaction():
            await conn.execute(
                "select from outbox.alert where id = %s for update nowait", [alert_id]
            )
    except LockNotAvailable:
        return False
    return True


async def waiting_for_a_lock(conn: Connection) -> bool:
    cursor = await conn.execute(
        "select from pg_stat_activity where wait_event_type = 'Lock'"
        " and datname = current_database()"
    )
    return await cursor.fetchone() is not None


async def test_what_heals_and_what_is_raised_lock_their_alerts_by_id(
    conn: Connection, database_url: str
) -> None:
    # alert 1 is about one delivery, alert 2 about another one; then the second heals, and a third
    # one is refused for the reason of the first
    for key, name in (("one", "first"), ("two", "second")):
        await owe(conn, key)
        (claim,) = await claim_all(conn)
        await record(conn, claim, REFUSED, effects=(about(name),))
    await owe(conn, "two")
    await owe(conn, "three")
    claims = {claim.key: claim for claim in await claim_all(conn)}
    cursor = await conn.execute("select id from outbox.alert order by id")
    first, second = [row["id"] for row in await cursor.fetchall()]
    batch = [finished(claims["two"], Done()), finished(claims["three"], REFUSED, about("first"))]
    other = await connect(database_url, application_name="other", autocommit=False)
    settling = await connect(database_url, application_name="settling")
    try:
        await other.execute("select from outbox.alert where id = %s for update", [first])
        work = asyncio.create_task(settle(settling, batch, owner=A, policies=POLICIES))
        await eventually(lambda: waiting_for_a_lock(conn), "the wait for the first alert")
        assert await free(conn, second), "the second alert was locked before the first"
        await other.rollback()
        assert len((await work).accepted) == 2
    finally:
        await other.close()
        await settling.close()


async def test_the_alerts_own_deliveries_are_settled_apart_from_all_others(
    conn: Connection,
) -> None:
    await owe(conn, "event", Destination.INBOX)
    await owe(conn, "1", Destination.EMAIL)
    results = [
        finished(claim, Park(code="x", message="x"))
        for destination in (Destination.EMAIL, Destination.INBOX)
        for claim in await claim_all(conn, destination=destination)
    ]

    batches = by_lock_order(results)

    found = [[item.claim.destination for item in batch] for batch in batches]
    assert found == [[Destination.INBOX], [Destination.EMAIL]]
