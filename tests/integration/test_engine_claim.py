"""Claim, fence, lease: the statements of the engine against a real Postgres."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from outbox_worker.database import Connection, connect
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Destination, Fence, Reason
from tests.support_engine import (
    LEASE,
    A,
    B,
    attempts_of,
    claim_all,
    end_lease,
    owe,
    row_of,
)


async def test_a_claim_takes_owner_lease_fence_and_charges_one_attempt(conn: Connection) -> None:
    delivery = await owe(conn)
    (claim,) = await claim_all(conn)
    row = await row_of(conn, delivery)
    assert row["owner"] == A
    assert row["fence"] == claim.fence > 0
    assert row["attempts"] == claim.attempts == 1
    assert row["lease_until"] - row["claimed_at"] == LEASE
    assert row["due_at"] is not None, "a claimed row keeps its place, so that claims stay HOT"
    assert (claim.version, claim.lost_owner, claim.uncertain_at) == (1, None, None)


async def test_every_field_of_a_claim_is_what_its_row_has_under_that_name(conn: Connection) -> None:
    """Claims are read by the order of a query's columns, and many of those are moments."""
    await owe(conn, "taken with others")
    alone = await owe(conn, "taken alone")
    await claim_all(conn, B)
    await conn.execute(
        "update outbox.delivery set requested = 7, round = 5, attempts = 3,"
        " requested_at = now() - interval '6 hours', delivered_at = now() - interval '5 hours',"
        " failed_at = now() - interval '4 hours', claimed_at = now() - interval '3 hours',"
        " lease_until = now() - interval '2 hours', uncertain_at = now() - interval '1 hour'"
    )
    single = await store.claim_one(conn, alone, owner=A, lease=LEASE, max_attempts=3)
    assert single is not None

    for claim in (single, *await claim_all(conn, A)):
        row = await row_of(conn, claim.id)
        same = set(claim._fields) - {"version", "seen_at", "lost_owner", "probe"}
        assert {name: getattr(claim, name) for name in same} == {name: row[name] for name in same}
        assert (claim.version, claim.lost_owner, claim.probe) == (row["requested"], B, False)
        assert row["claimed_at"] <= claim.seen_at <= row["now"]


async def test_a_live_lease_is_not_claimed_again(conn: Connection) -> None:
    await owe(conn)
    assert len(await claim_all(conn, A)) == 1
    assert await claim_all(conn, B) == []


async def test_an_expired_lease_is_claimed_by_another_worker(conn: Connection) -> None:
    delivery = await owe(conn)
    (first,) = await claim_all(conn, A)
    await end_lease(conn, delivery)
    before = await row_of(conn, delivery)
    (second,) = await claim_all(conn, B)
    assert second.fence != first.fence
    assert second.attempts == 2
    assert second.lost_owner == A
    assert second.uncertain_at == before["lease_until"], (
        "whoever was lost may have sent until its lease ended"
    )
    (lost,) = await attempts_of(conn, delivery)
    assert (lost["outcome"], lost["worker"], lost["fence"]) == ("lost", A, first.fence)
    assert lost["started_at"] == before["claimed_at"]
    assert lost["finished_at"] == before["lease_until"]


async def test_uncertainty_is_never_moved_back_by_a_lost_owner(conn: Connection) -> None:
    delivery = await owe(conn)
    await claim_all(conn, A)
    await end_lease(conn, delivery)
    await conn.execute("update outbox.delivery set uncertain_at = now() + interval '1 hour'")
    uncertain = (await row_of(conn, delivery))["uncertain_at"]
    (claim,) = await claim_all(conn, B)
    assert claim.uncertain_at == uncertain


async def test_two_workers_at_once_never_take_the_same_row(
    conn: Connection, database_url: str
) -> None:
    for number in range(60):
        await owe(conn, f"k{number}")
    others = [await connect(database_url, application_name="test") for _ in range(4)]
    try:
        taken: list[int] = []

        async def drain(mine: Connection) -> None:
            while claims := await claim_all(mine, A, limit=3):
                taken.extend(claim.id for claim in claims)

        await asyncio.gather(*(drain(other) for other in others))
    finally:
        for other in others:
            await other.close()
    assert len(taken) == len(set(taken)) == 60


async def test_a_row_that_somebody_locks_does_not_hold_up_the_others(
    conn: Connection, database_url: str
) -> None:
    locked, free = await owe(conn, "locked"), await owe(conn, "free")
    other = await connect(database_url, application_name="test", autocommit=False)
    try:
        await other.execute("select from outbox.delivery where id = %s for update", [locked])
        async with asyncio.timeout(5):
            claims = await claim_all(conn)
    finally:
        await other.close()
    assert [claim.id for claim in claims] == [free]


async def test_the_oldest_due_rows_come_first_and_no_more_than_asked_for(conn: Connection) -> None:
    ids = [await owe(conn, f"k{number}") for number in range(5)]
    for age, delivery in enumerate(ids):
        await conn.execute(
            "update outbox.delivery set due_at = now() - %s where id = %s",
            [timedelta(minutes=age + 1), delivery],
        )
    assert {claim.id for claim in await claim_all(conn, limit=2)} == {ids[4], ids[3]}


async def test_each_destination_has_its_own_limit_in_one_statement(conn: Connection) -> None:
    for number in range(3):
        await owe(conn, f"i{number}", Destination.INBOX)
        await owe(conn, f"e{number}", Destination.EMAIL)
        await owe(conn, f"g{number}", Destination.GUESTLY)
    claimed = await store.claim(
        conn,
        [
            store.Wanted(destination=Destination.INBOX, limit=1, max_attempts=None),
            store.Wanted(destination=Destination.EMAIL, limit=2, max_attempts=None),
        ],
        owner=A,
        lease=LEASE,
    )
    counts = [claim.destination for claim in claimed.claims]
    assert sorted(counts) == ["email", "email", "inbox"]


async def test_a_row_that_is_not_due_yet_waits(conn: Connection) -> None:
    delivery = await owe(conn)
    await conn.execute(
        "update outbox.delivery set due_at = now() + interval '1 hour' where id = %s", [delivery]
    )
    assert await claim_all(conn) == []


async def test_a_redrive_begins_a_new_round_with_its_first_attempt(conn: Connection) -> None:
    delivery = await owe(conn)
    await conn.execute(
        "update outbox.delivery set attempts = 3, failed_at = now() - interval '5 minutes'"
    )
    (claim,) = await claim_all(conn)
    assert (claim.attempts, claim.round) == (1, 2)
    assert claim.failed_at is not None, "told once: a redrive keeps failed_at"
    assert (await row_of(conn, delivery))["attempts"] == 1


async def test_a_row_lost_on_its_last_attempt_is_claimed_over_the_limit(conn: Connection) -> None:
    delivery = await owe(conn)
    await conn.execute("update outbox.delivery set attempts = 2")
    await claim_all(conn, A)
    await end_lease(conn, delivery)
    (claim,) = await claim_all(conn, B)
    assert (claim.attempts, claim.round) == (4, 1), "over the limit: to be parked, not to be run"


async def test_a_destination_without_a_limit_counts_on(conn: Connection) -> None:
    await owe(conn)
    await conn.execute("update outbox.delivery set attempts = 40")
    (claim,) = await claim_all(conn, max_attempts=None)
    assert (claim.attempts, claim.round) == (41, 1)


async def test_extend_renews_only_what_is_still_ours(conn: Connection) -> None:
    mine, stale, foreign = [await owe(conn, key) for key in ("mine", "stale", "foreign")]
    claims = {claim.id: claim for claim in await claim_all(conn, A)}
    await end_lease(conn, stale)
    await conn.execute("update outbox.delivery set owner = %s where id = %s", [B, foreign])
    before = {delivery: await row_of(conn, delivery) for delivery in (mine, stale, foreign)}
    done = await store.extend(conn, list(claims.values()), owner=A, lease=timedelta(minutes=5))
    assert done == store.Extended(renewed=frozenset({claims[mine].fence}), locked=frozenset())
    assert (await row_of(conn, mine))["lease_until"] > before[mine]["lease_until"]
    for other in (stale, foreign):
        assert (await row_of(conn, other))["lease_until"] == before[other]["lease_until"]


async def test_extend_with_an_older_fence_is_refused(conn: Connection) -> None:
    delivery = await owe(conn)
    (old,) = await claim_all(conn, A)
    await end_lease(conn, delivery)
    await claim_all(conn, A)
    lease_until = (await row_of(conn, delivery))["lease_until"]
    extended = await store.extend(conn, [old], owner=A, lease=LEASE * 2)
    assert extended == store.Extended(renewed=frozenset(), locked=frozenset())
    assert (await row_of(conn, delivery))["lease_until"] == lease_until


async def test_the_version_of_a_claim_is_that_of_the_locked_row(
    conn: Connection, database_url: str
) -> None:
    delivery = await owe(conn)
    writer = await connect(database_url, application_name="test", autocommit=False)
    try:
        await store.request(writer, destination=Destination.INBOX, key="k", reason=Reason.OPERATOR)
        # the row is locked by a request that has not committed: skipped, not read stale
        assert await claim_all(conn) == []
        await writer.commit()
    finally:
        await writer.close()
    (claim,) = await claim_all(conn)
    assert (claim.id, claim.version) == (delivery, 2)


async def test_claim_one_takes_the_named_row_and_no_other(conn: Connection) -> None:
    wanted, _other = await owe(conn, "wanted"), await owe(conn, "other")
    claim = await store.claim_one(conn, wanted, owner=A, lease=LEASE, max_attempts=3)
    assert claim is not None
    assert claim.id == wanted
    assert await store.claim_one(conn, wanted, owner=B, lease=LEASE, max_attempts=3) is None
    assert claim.fence != Fence(0)


async def test_the_claim_uses_its_index_whatever_the_statistics_say(conn: Connection) -> None:
    await conn.execute(
        "insert into outbox.delivery (destination, key, requested, delivered, due_at)"
        " select 'guestly', 'k' || n, 1, case when n % 10 = 0 then 0 else 1 end,"
        " case when n % 10 = 0 then now() end from generate_series(1, 20000) n"
    )
    await conn.execute("analyze outbox.delivery")
    from outbox_worker.sql import query

    for mode in ("force_custom_plan", "force_generic_plan"):
        async with conn.transaction():
            await conn.execute(f"set local plan_cache_mode = {mode}")
            cursor = await conn.execute(
                "explain " + query("claim"),
                {
                    "destinations": ["guestly"],
                    "limits": [10],
                    "max_attempts": [3],
                    "owner": A,
                    "lease": LEASE,
                },
                prepare=True,
            )
            plan = "\n".join(row["QUERY PLAN"] for row in await cursor.fetchall())
        assert "delivery_due" in plan, plan
        assert "Seq Scan on delivery" not in plan, plan
