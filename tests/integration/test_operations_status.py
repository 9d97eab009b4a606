"""Taking stock: counts by state, and whether a person is needed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from outbox_worker.alerts import store as alerts
from outbox_worker.alerts.alert import AlertKind, NewAlert
from outbox_worker.database import Connection
from outbox_worker.operations.fleet import SyncMode
from outbox_worker.operations.rows import snapshot_from
from outbox_worker.operations.status import Status, read_status
from outbox_worker.outbox.delivery import Destination, State, state_of
from outbox_worker.pms.port import PmsName
from outbox_worker.sql import query
from tests.support_engine import claim_all, insert_booking, owe
from tests.support_status import rows_in_every_state, running_worker

ON = SyncMode(enabled=True, test_mode=False, pms=PmsName.GUESTLY)
OFF = SyncMode(enabled=False, test_mode=True, pms=PmsName.GUESTLY)


async def status(conn: Connection, mode: SyncMode = ON) -> Status:
    """What a running worker of this mode makes of it."""
    await running_worker(conn, sync_enabled=mode.enabled, test_mode=mode.test_mode)
    return await read_status(conn, mode)


def counts(status: Status, destination: Destination = Destination.GUESTLY) -> dict[str, int]:
    """Counts that are not zero."""
    found = next(each for each in status.destinations if each.destination == destination)
    return {str(state): number for state, number in found.counts.items() if number}


async def change(conn: Connection, key: str, changes: str) -> None:
    await conn.execute(f"update outbox.delivery set {changes} where key = %s", [key])


async def test_an_empty_database_needs_nobody(conn: Connection) -> None:
    found = await status(conn)

    assert found.needs == ()
    assert found.warnings == ()
    assert all(not any(each.counts.values()) for each in found.destinations)


async def test_the_count_agrees_with_the_rule_for_one_row(conn: Connection) -> None:
    """Every combination of columns that the table admits, counted both ways."""
    rows = await rows_in_every_state(conn)
    for mode in (ON, OFF):
        held = set() if mode.enabled else {"guestly"}
        expected = Counter(
            (row["destination"], state_of(snapshot_from(row), now=row["now"], held=h))
            for row in rows
            for h in [row["destination"] in held]
        )
        found = await status(conn, mode)
        counted = Counter(
            {
                (each.destination.value, state): number
                for each in found.destinations
                for state, number in each.counts.items()
                if number
            }
        )
        assert counted == expected


async def test_what_is_finished_is_counted_up_to_a_limit(
    conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox_worker.operations.status.COUNT_LIMIT", 5)
    await conn.execute(
        "insert into outbox.delivery (destination, key, delivered)"
        " select 'guestly', i::text, 1 from generate_series(1, 9) i"
    )

    found = await status(conn)

    [guestly] = [each for each in found.destinations if each.destination == "guestly"]
    assert (guestly.counts[State.SYNCED], guestly.synced_at_least) == (5, True)


async def test_a_rejected_and_a_failed_booking_need_a_person(conn: Connection) -> None:
    for name, day, changes in (
        ("LA-late", "2027-06-01", "failed_at = now(), due_at = null"),
        ("LA-soon", "2027-05-01", "failed_at = now(), due_at = now() + interval '5 minutes'"),
    ):
        booking = await insert_booking(
            conn, booking_reference=name, check_in_date=day, check_out_date="2027-06-03"
        )
        await conn.execute("select outbox.request_sync(%s, 'stripe')", [booking])
        await change(conn, str(booking), f"{changes}, last_error_code = 'http_503'")

    found = await status(conn)

    assert found.needs == ("2 deliveries were given up",)
    assert [(each.name, each.state.value) for each in found.parked] == [
        ("LA-soon", "failed"),
        ("LA-late", "rejected"),
    ]
    assert counts(found) == {"failed": 1, "rejected": 1}


async def test_a_confirmed_booking_that_nobody_requested_needs_a_person(conn: Connection) -> None:
    await insert_booking(conn, booking_reference="LA-1")
    await insert_booking(conn, status="pending")

    found = await status(conn)

    assert found.needs == ("1 confirmed booking was never requested",)
    assert [each.name for each in found.missing] == ["LA-1"]


async def test_a_payment_event_may_wait_ten_minutes(conn: Connection) -> None:
    await conn.execute(
        "insert into outbox.inbox_event (source, id, type, outcome)"
        " values ('stripe', 'evt_1', 'payment_intent.succeeded', 'waiting')"
    )
    await owe(conn, "evt_1")
    found = await status(conn)
    assert (found.needs, found.waiting_events_total) == ((), 1)

    await conn.execute("update outbox.inbox_event set received_at = now() - interval '11 minutes'")
    found = await status(conn)
    assert found.needs == ("a payment event has waited for more than 10 minutes",)


async def test_an_open_alert_that_no_delivery_stands_for_needs_a_person(conn: Connection) -> None:
    async with conn.transaction():
        for kind in (AlertKind.PAID_TWICE, AlertKind.SYNC_FAILED, AlertKind.TEST):
            await alerts.raise_alert(conn, NewAlert(kind=kind, fingerprint="x"), channels=[])

    found = await status(conn)

    assert [each.kind for each in found.open_alerts] == [AlertKind.PAID_TWICE]
    assert found.needs == ("1 alert is open",)


async def test_an_alert_about_the_key_is_shown_with_its_code(conn: Connection) -> None:
    alert = NewAlert(kind=AlertKind.MISCONFIGURED, fingerprint="x", facts={"code": "unauthorized"})
    async with conn.transaction():
        await alerts.raise_alert(conn, alert, channels=[])

    [shown] = (await status(conn)).open_alerts

    assert (shown.code, shown.booking_id) == ("unauthorized", None)


async def test_without_a_worker_a_person_is_needed_and_due_work_is_told(conn: Connection) -> None:
    assert (await read_status(conn, ON)).needs == ("no worker is running",)

    await owe(conn, "evt_1")
    await change(conn, "evt_1", "due_at = now() - interval '2 minutes'")
    assert (await read_status(conn, ON)).needs == ("work is due and no worker is running",)

    assert (await status(conn)).needs == ()
    await conn.execute("update outbox.worker set seen_at = now() - interval '2 minutes'")
    assert (await read_status(conn, ON)).needs == ("work is due and no worker is running",)


async def test_what_is_held_waits_for_nobody(conn: Connection) -> None:
    await owe(conn, "k", Destination.GUESTLY)
    await change(conn, "k", "due_at = now(), requested_at = now() - interval '2 hours'")

    found = await status(conn, OFF)

    assert counts(found) == {"held": 1}
    assert found.needs == ()
    paused = "update outbox.destination set paused_at = now(), paused_by = 'anna',"
    await conn.execute(f"{paused} pause_reason = 'move' where destination = 'guestly'")
    assert (await status(conn)).needs == (), "a person decided it, and the status says so"


async def test_a_delivery_on_its_way_is_sending(conn: Connection) -> None:
    await owe(conn, "k")
    await claim_all(conn)

    assert counts(await status(conn), Destination.INBOX) == {"sending": 1}


async def test_a_missing_payment_index_is_a_warning_and_not_an_alarm(conn: Connection) -> None:
    await conn.execute("drop index public.idx_bookings_payment_intent_once")

    found = await status(conn)

    assert found.needs == ()
    assert [warning.partition(":")[0] for warning in found.warnings] == [
        "nothing keeps two bookings from sharing one payment"
    ]


async def test_a_key_that_is_no_booking_id_does_not_break_the_status(conn: Connection) -> None:
    await owe(conn, "garbage", Destination.GUESTLY)
    await change(conn, "garbage", "failed_at = now(), due_at = null")

    assert [each.name for each in (await status(conn)).parked] == ["garbage"]


async def _plan(conn: Connection, name: str, parameters: dict[str, Any]) -> str:
    cursor = await conn.execute("explain " + query(name), parameters)
    return "\n".join(row["QUERY PLAN"] for row in await cursor.fetchall())


async def test_counting_what_is_owed_does_not_read_what_is_finished(conn: Connection) -> None:
    await conn.execute(
        "insert into outbox.delivery (destination, key, delivered)"
        " select 'guestly', i::text, 1 from generate_series(1, 20000) i"
    )
    await conn.execute("analyze outbox.delivery")

    owed = await _plan(conn, "count_owed", {"closed": []})
    assert "delivery_due" in owed
    assert "delivery_failed" in owed
    parked = await _plan(conn, "list_parked", {"limit": 5})
    assert "Seq Scan on delivery" not in parked
    synced = await _plan(conn, "count_synced", {"limit": 1000})
    assert "delivery_key" in synced
    assert "Seq Scan on delivery" not in synced
