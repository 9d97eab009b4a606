"""Removing what is finished and old, and nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from outbox_worker.alerts import store as alerts
from outbox_worker.alerts.alert import AlertKind, NewAlert
from outbox_worker.database import Connection, connect
from outbox_worker.operations.prune import PrunePlan, Removed, plan_prune, prune, record_prune
from outbox_worker.outbox.delivery import DeliveryId, Destination
from outbox_worker.settings_types import RetentionSettings
from tests.support_engine import claim_all, end_lease, owe, row_of
from tests.support_requeue import given_up, requested, synced

KEEP = RetentionSettings(days=timedelta(days=365), body_days=timedelta(days=30))
OLD = timedelta(days=400)


async def removed(conn: Connection, plan: PrunePlan | None = None, *, batch: int = 2) -> Removed:
    plan = plan or await plan_prune(conn, KEEP)
    total = Removed()
    async for part in prune(conn, plan, batch=batch):
        total += part
    return total


async def age(conn: Connection, delivery: DeliveryId, by: timedelta = OLD) -> None:
    """Let everything about a delivery have happened so long ago."""
    await conn.execute(
        "update outbox.delivery set requested_at = requested_at - %(by)s,"
        " delivered_at = delivered_at - %(by)s where id = %(id)s",
        {"by": by, "id": delivery},
    )
    await conn.execute(
        "update outbox.attempt set finished_at = finished_at - %(by)s where delivery_id = %(id)s",
        {"by": by, "id": delivery},
    )
    await conn.execute(
        "update outbox.request set requested_at = requested_at - %(by)s where delivery_id = %(id)s",
        {"by": by, "id": delivery},
    )


async def delivery_of(conn: Connection, key: object) -> DeliveryId:
    cursor = await conn.execute("select id from outbox.delivery where key = %s", [str(key)])
    [row] = await cursor.fetchall()
    return DeliveryId(row["id"])


async def count(conn: Connection, table: str) -> int:
    cursor = await conn.execute(f"select count(*) as n from outbox.{table}")
    [row] = await cursor.fetchall()
    return int(row["n"])


async def old_synced(conn: Connection) -> tuple[UUID, DeliveryId]:
    booking = await synced(conn)
    delivery = await delivery_of(conn, booking)
    await conn.execute(
        "insert into outbox.attempt (delivery_id, fence, round, number, worker, started_at,"
        " finished_at, outcome) values (%s, nextval('outbox.fence_seq'), 1, 1, 'w', now(), now(),"
        " 'held')",
        [delivery],
    )
    await age(conn, delivery)
    return booking, delivery


async def event(
    conn: Connection, name: str, *, days: int, owed: bool = False, **columns: Any
) -> None:
    values = {"outcome": "applied", **columns}
    await conn.execute(
        "insert into outbox.inbox_event (source, id, type, body, outcome, received_at)"
        " values ('stripe', %s, 'ping', 'body', %s, now() - %s)",
        [name, values["outcome"], timedelta(days=days)],
    )
    if owed:
        await owe(conn, name)


async def bodies(conn: Connection) -> set[str]:
    cursor = await conn.execute("select id from outbox.inbox_event where body is not null")
    return {row["id"] for row in await cursor.fetchall()}


async def test_a_delivery_that_was_finished_long_ago_goes_with_its_history(
    conn: Connection,
) -> None:
    for _ in range(5):
        await old_synced(conn)
    plan = await plan_prune(conn, KEEP)

    gone = await removed(conn, plan)

    assert (gone.deliveries, gone.attempts) == (5, 5)
    assert plan.counts == gone
    for table in ("delivery", "attempt", "request"):
        assert await count(conn, table) == 0, table
    assert (await plan_prune(conn, KEEP)).counts == Removed()


async def test_what_the_pms_holds_is_never_forgotten(conn: Connection) -> None:
    await old_synced(conn)
    await conn.execute("update outbox.reservation set updated_at = now() - interval '9 years'")

    await removed(conn)

    assert await count(conn, "reservation") == 1


async def ends_at(conn: Connection, delivery: DeliveryId, plan: PrunePlan, later_us: int) -> None:
    """Let a delivery, and by so many microseconds later its attempts, end at the cut-off."""
    later = timedelta(microseconds=later_us)
    values = {"id": delivery, "at": plan.history_before, "later": plan.history_before + later}
    await conn.execute(
        "update outbox.delivery set requested_at = %(at)s, delivered_at = %(at)s where id = %(id)s",
        values,
    )
    await conn.execute(
        "update outbox.attempt set finished_at = %(later)s where delivery_id = %(id)s", values
    )
    await conn.execute(
        "update outbox.request set requested_at = %(later)s where delivery_id = %(id)s", values
    )


async def test_what_ended_at_the_cut_off_itself_stays_and_a_moment_earlier_goes(
    conn: Connection,
) -> None:
    _, delivery = await old_synced(conn)
    plan = await plan_prune(conn, KEEP)
    await ends_at(conn, delivery, plan, later_us=0)

    assert await removed(conn, plan) == Removed()

    later = replace(plan, history_before=plan.history_before + timedelta(microseconds=1))
    gone = await removed(conn, later)
    assert (gone.deliveries, gone.attempts) == (1, 1)


@pytest.mark.parametrize("later_us", [0, 1, 60_000_000])
async def test_a_delivery_takes_the_attempts_and_requests_with_it_that_ended_after_the_cut_off(
    conn: Connection, later_us: int
) -> None:
    _, delivery = await old_synced(conn)
    plan = await plan_prune(conn, KEEP)
    await ends_at(conn, delivery, plan, later_us=later_us)
    just_before = timedelta(microseconds=1)
    await conn.execute(
        "update outbox.delivery set requested_at = requested_at - %(by)s,"
        " delivered_at = delivered_at - %(by)s",
        {"by": just_before},
    )

    gone = await removed(conn, plan)

    assert (gone.deliveries, gone.attempts) == (1, 1)
    for table in ("delivery", "attempt", "request"):
        assert await count(conn, table) == 0, table


async def test_what_is_younger_stays(conn: Connection) -> None:
    booking = await synced(conn)
    await age(conn, await delivery_of(conn, booking), timedelta(days=364))

    assert await removed(conn) == Removed()
    assert await count(conn, "delivery") == 1


@pytest.mark.parametrize("state", ["owed", "failed", "rejected", "discarded", "claimed", "doubt"])
async def test_what_is_not_finished_stays_with_all_its_history(
    conn: Connection, state: str
) -> None:
    _, delivery = await (given_up(conn) if state in {"failed", "rejected"} else requested(conn))
    if state == "claimed":
        await claim_all(conn, destination=Destination.GUESTLY)
        await end_lease(conn, delivery)
    changes = {
        "failed": "due_at = now() + interval '1 hour'",
        "discarded": "discarded_at = now(), due_at = null",
        "doubt": "uncertain_at = now(), delivered = requested, due_at = null",
    }
    if state in changes:
        await conn.execute(f"update outbox.delivery set {changes[state]}")
    await age(conn, delivery)

    gone = await removed(conn)

    assert (gone.deliveries, gone.attempts) == (0, 0)
    assert (await row_of(conn, delivery))["id"] == delivery
    cursor = await conn.execute(
        "select count(*) as n from outbox.request where delivery_id = %s", [delivery]
    )
    assert await cursor.fetchall() == [{"n": 1}]


async def test_old_history_of_a_booking_that_still_changes_goes_and_the_rest_stays(
    conn: Connection,
) -> None:
    booking, delivery = await old_synced(conn)
    await conn.execute("select outbox.request_sync(%s, 'database')", [booking])
    await conn.execute(
        "update outbox.delivery set delivered = requested, due_at = null, delivered_at = now()"
    )

    gone = await removed(conn)

    assert (gone.deliveries, gone.attempts) == (0, 1)
    cursor = await conn.execute("select version from outbox.request")
    assert await cursor.fetchall() == [{"version": 2}]
    assert (await row_of(conn, delivery))["delivered"] == 2


async def test_a_row_that_is_asked_for_while_it_is_looked_at_stays(
    conn: Connection, database_url: str
) -> None:
    """The request commits between the look at the row and its lock."""
    booking, delivery = await old_synced(conn)
    plan = await plan_prune(conn, KEEP)
    other = await connect(database_url, application_name="site")
    try:
        async with other.transaction():
            await other.execute("select outbox.request_sync(%s, 'database')", [booking])
            assert await removed(conn, plan) == Removed()
        assert await removed(conn, plan) == Removed()
    finally:
        await other.close()
    row = await row_of(conn, delivery)
    assert (row["requested"], row["delivered"]) == (2, 1)


async def test_requests_and_pruning_at_once_lose_no_request(
    conn: Connection, database_url: str
) -> None:
    rows = [await old_synced(conn) for _ in range(20)]
    plan = await plan_prune(conn, KEEP)
    other = await connect(database_url, application_name="site")

    async def ask() -> None:
        for booking, _ in rows:
            await other.execute("select outbox.request_sync(%s, 'database')", [booking])

    try:
        await asyncio.gather(ask(), removed(conn, plan))
    finally:
        await other.close()

    cursor = await conn.execute(
        "select count(*) as n from outbox.delivery where requested > delivered"
    )
    assert await cursor.fetchall() == [{"n": 20}]


async def test_bodies_go_after_their_own_time_and_the_events_stay(conn: Connection) -> None:
    for number in range(5):
        await event(conn, f"evt_old{number}", days=31)
    await event(conn, "evt_new", days=29)
    plan = await plan_prune(conn, KEEP)

    gone = await removed(conn, plan)

    assert gone == plan.counts == Removed(bodies=5)
    assert await bodies(conn) == {"evt_new"}
    assert await count(conn, "inbox_event") == 6


async def test_a_body_that_may_yet_be_applied_stays(conn: Connection) -> None:
    await event(conn, "evt_waiting", days=60, owed=True, outcome="waiting")
    await event(conn, "evt_parked", days=60, owed=True, outcome="failed")
    await conn.execute(
        "update outbox.delivery set failed_at = now(), due_at = null where key = 'evt_parked'"
    )
    # more of them than one batch looks at, received in the same moment
    await conn.execute("update outbox.inbox_event set received_at = now() - interval '60 days'")
    await event(conn, "evt_zzz", days=59)

    assert (await removed(conn, batch=1)).bodies == 1
    assert await bodies(conn) == {"evt_waiting", "evt_parked"}


async def test_a_solved_alert_goes_once_everybody_was_told(conn: Connection) -> None:
    _, delivery = await given_up(conn)
    async with conn.transaction():
        await alerts.heal(conn, [delivery], channels=[Destination.EMAIL])
    await conn.execute("update outbox.alert set resolved_at = resolved_at - %s", [OLD])

    assert (await removed(conn)).alerts == 0
    await conn.execute(
        "update outbox.delivery set delivered = requested, due_at = null, delivered_at = now()"
        " where destination <> 'guestly'"
    )
    assert (await removed(conn)).alerts == 1
    assert (await count(conn, "alert"), await count(conn, "alert_delivery")) == (0, 0)


async def test_an_open_alert_keeps_what_it_names(conn: Connection) -> None:
    _, delivery = await old_synced(conn)
    async with conn.transaction():
        alert = NewAlert(kind=AlertKind.MISCONFIGURED, fingerprint="guestly:unauthorized")
        await alerts.raise_alert(conn, alert, deliveries=[delivery], channels=[Destination.EMAIL])
    await conn.execute("update outbox.alert set first_seen_at = first_seen_at - %s", [OLD])

    gone = await removed(conn)

    assert (gone.alerts, gone.deliveries) == (0, 0)
    assert (await row_of(conn, delivery))["id"] == delivery


async def test_why_something_is_set_aside_is_kept_for_as_long_as_it_is(conn: Connection) -> None:
    _, parked = await given_up(conn)
    done = await delivery_of(conn, await synced(conn))
    await conn.execute(
        "insert into outbox.operator_action (at, actor, action, target, deliveries, affected)"
        " select now() - %s, 'anna', 'discard', 'x', array[i]::bigint[], 1"
        " from unnest(%s::bigint[]) i",
        [OLD, [parked, done]],
    )

    assert (await removed(conn)).actions == 1
    cursor = await conn.execute("select deliveries from outbox.operator_action")
    assert await cursor.fetchall() == [{"deliveries": [parked]}]


async def test_a_role_that_may_not_remove_what_operators_did_removes_the_rest(
    conn: Connection, direct_url: str
) -> None:
    await old_synced(conn)
    await conn.execute(
        "insert into outbox.operator_action (at, actor, action, target, affected)"
        " values (now() - %s, 'anna', 'requeue', 'x', 1)",
        [OLD],
    )
    role = f"pruner_{uuid4().hex}"
    restricted = await connect(direct_url, application_name="pruner")
    await restricted.execute(
        f"create role {role} bypassrls; grant usage on schema outbox to {role};"
        f"grant select, update, delete on all tables in schema outbox to {role};"
        f"revoke delete on outbox.operator_action from {role}; set role {role}"
    )
    try:
        plan = await plan_prune(restricted, KEEP)
        gone = await removed(restricted, plan)
    finally:
        await restricted.execute(f"reset role; drop owned by {role}; drop role {role}")
        await restricted.close()

    assert (plan.removes_actions, plan.actions_kept) == (False, 1)
    assert (gone.deliveries, gone.actions) == (1, 0)
    assert await count(conn, "operator_action") == 1


async def test_workers_of_long_ago_go_and_those_that_run_stay(conn: Connection) -> None:
    await conn.execute(
        "insert into outbox.worker (id, host, pid, version, pms, sync_enabled, test_mode, seen_at,"
        " stopped_at) values"
        " ('stopped', 'h', 1, '1', 'guestly', true, false, now() - %(old)s, now() - %(old)s),"
        " ('lost', 'h', 2, '1', 'guestly', true, false, now() - %(old)s, null),"
        " ('runs', 'h', 3, '1', 'guestly', true, false, now(), null)",
        {"old": OLD},
    )

    assert (await removed(conn)).workers == 2
    cursor = await conn.execute("select id from outbox.worker")
    assert await cursor.fetchall() == [{"id": "runs"}]


async def test_what_was_removed_stands_in_the_history(conn: Connection) -> None:
    await old_synced(conn)
    plan = await plan_prune(conn, KEEP)

    await record_prune(conn, plan, await removed(conn, plan), actor="anna")

    cursor = await conn.execute("select actor, action, affected from outbox.operator_action")
    assert await cursor.fetchall() == [{"actor": "anna", "action": "prune", "affected": 2}]
