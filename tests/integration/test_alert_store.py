from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from outbox_worker.alerts import store
from outbox_worker.alerts.alert import AlertKind, NewAlert, RaisedAlert
from outbox_worker.database import Connection
from outbox_worker.outbox.delivery import Destination
from tests.support_alert import (
    begun,
    failed,
    fetch,
    more_connections,
    outage,
    raised,
    versions,
    waiting_for_lock,
)

EMAIL = (Destination.EMAIL,)
BOTH = (Destination.EMAIL, Destination.CHAT)
OUTAGE = outage()


@pytest.fixture
async def others(database_url: str) -> AsyncIterator[list[Connection]]:
    async with more_connections(database_url, 3) as opened:
        yield opened


async def test_first_report_opens_an_alert_and_asks_every_channel(conn: Connection) -> None:
    (delivery,) = await failed(conn, 1)

    alert = await raised(conn, delivery, channels=BOTH)

    assert alert.opened
    assert alert.named == 1
    assert await versions(conn) == {str(alert.id): 1}
    assert await versions(conn, "chat") == {str(alert.id): 1}
    requests = await fetch(conn, "select reason from outbox.request")
    assert [row["reason"] for row in requests] == ["alert", "alert"]


async def test_the_name_carries_the_time_at_which_the_delivery_was_given_up(
    conn: Connection,
) -> None:
    (delivery,) = await failed(conn, 1)
    await conn.execute("update outbox.delivery set failed_at = now() - interval '1 hour'")

    await raised(conn, delivery)

    (row,) = await fetch(
        conn,
        """select x.failed_at = d.failed_at as same from outbox.alert_delivery x
           join outbox.delivery d on d.id = x.delivery_id""",
    )
    assert row["same"]


async def test_second_report_of_the_same_row_counts_but_asks_for_no_mail(conn: Connection) -> None:
    (delivery,) = await failed(conn, 1)
    first = await raised(conn, delivery)

    again = await raised(conn, delivery)

    assert again == RaisedAlert(id=first.id, opened=False, named=0)
    (row,) = await fetch(conn, "select count from outbox.alert")
    assert row["count"] == 2
    assert await versions(conn) == {str(first.id): 1}


async def test_second_report_that_names_another_row_asks_for_another_mail(conn: Connection) -> None:
    one, two = await failed(conn, 2)
    first = await raised(conn, one)

    again = await raised(conn, one, two)

    assert again == RaisedAlert(id=first.id, opened=False, named=1)
    assert await versions(conn) == {str(first.id): 2}


async def test_reports_of_one_incident_in_a_batch_become_one_alert(conn: Connection) -> None:
    one, two, three = await failed(conn, 3)
    rejection = NewAlert(kind=AlertKind.SYNC_REJECTED, fingerprint="guestly:listing_missing")
    reports = [
        store.Raise(alert=OUTAGE, deliveries=(one,)),
        store.Raise(alert=rejection, deliveries=(two,)),
        store.Raise(alert=OUTAGE, deliveries=(three, one)),
    ]

    async with begun(conn):
        results = await store.raise_alerts(conn, reports, channels=EMAIL)

    assert results[0] == results[2]
    assert results[0].id != results[1].id
    assert [result.named for result in results] == [2, 1, 2]
    counts = await fetch(conn, "select count from outbox.alert order by kind")
    assert [row["count"] for row in counts] == [2, 1]
    assert set((await versions(conn)).values()) == {1}


async def test_no_reports_change_nothing(conn: Connection) -> None:
    assert await store.raise_alerts(conn, [], channels=EMAIL) == ()


async def test_one_delivery_can_be_named_by_two_incidents(conn: Connection) -> None:
    (delivery,) = await failed(conn, 1)
    await raised(conn, delivery)
    rejection = NewAlert(kind=AlertKind.SYNC_REJECTED, fingerprint="guestly:dates")

    alert = await raised(conn, delivery, alert=rejection)

    assert alert.named == 1


async def test_two_transactions_opening_one_incident_make_one_alert_and_lose_no_name(
    conn: Connection, others: list[Connection]
) -> None:
    one, two = await failed(conn, 2)
    first, second, _ = others
    async with begun(first):
        a = await store.raise_alert(first, OUTAGE, deliveries=[one], channels=EMAIL)
        task = asyncio.create_task(raised(second, two))
        await waiting_for_lock(conn, "other-1")
    b = await task

    assert a.id == b.id
    assert (a.opened, b.opened) == (True, False)
    named = await fetch(conn, "select delivery_id from outbox.alert_delivery order by 1")
    assert [row["delivery_id"] for row in named] == [one, two]
    assert await versions(conn) == {str(a.id): 2}


async def test_report_that_waits_for_a_resolving_transaction_opens_the_alert_again(
    conn: Connection, others: list[Connection]
) -> None:
    one, two = await failed(conn, 2)
    old = await raised(conn, one)
    first, second, _ = others
    async with begun(first):
        assert await store.heal(first, [one], channels=EMAIL) == (old.id,)
        task = asyncio.create_task(raised(second, two))
        await waiting_for_lock(conn, "other-1")
    new = await task

    assert new.opened
    assert (new.id, new.named) == (old.id, 1)
    open_ones = await fetch(conn, "select id from outbox.alert where resolved_at is null")
    assert [row["id"] for row in open_ones] == [new.id]


async def test_healing_that_waits_for_a_report_does_not_resolve_what_the_report_added(
    conn: Connection, others: list[Connection]
) -> None:
    one, two = await failed(conn, 2)
    alert = await raised(conn, one)
    first, second, _ = others
    async with begun(first):
        await store.raise_alert(first, OUTAGE, deliveries=[two], channels=EMAIL)

        async def heal() -> tuple[int, ...]:
            async with begun(second):
                return await store.heal(second, [one], channels=EMAIL)

        task = asyncio.create_task(heal())
        await waiting_for_lock(conn, "other-1")
    assert await task == ()

    (row,) = await fetch(conn, "select id, resolved_at from outbox.alert")
    assert (row["id"], row["resolved_at"]) == (alert.id, None)


async def test_many_transactions_over_the_same_incidents_neither_deadlock_nor_lose_a_name(
    conn: Connection, others: list[Connection]
) -> None:
    deliveries = await failed(conn, 24)
    kinds = (AlertKind.SYNC_FAILED, AlertKind.SYNC_REJECTED, AlertKind.MISCONFIGURED)
    alerts = [
        NewAlert(kind=kind, fingerprint=f"guestly:{code}") for kind in kinds for code in "abcd"
    ]

    async def work(connection: Connection, offset: int) -> None:
        for step in range(8):
            order = alerts[offset + step :] + alerts[: offset + step]
            mine = deliveries[(offset * 8 + step) % 24]
            reports = [store.Raise(alert=alert, deliveries=(mine,)) for alert in order]
            old = deliveries[(offset * 8 + step - 1) % 24]
            async with begun(connection):
                await store.lock(connection, alerts=order, deliveries=[old])
                await store.heal(connection, [old], channels=BOTH)
                await store.raise_alerts(connection, reports, channels=BOTH)

    await asyncio.gather(*(work(each, number) for number, each in enumerate(others)))

    double = await fetch(
        conn,
        """select kind from outbox.alert where resolved_at is null
           group by kind, fingerprint having count(*) > 1""",
    )
    assert double == []
    (row,) = await fetch(
        conn,
        "select count(distinct (delivery_id, alert_id)) as named from outbox.alert_delivery",
    )
    assert row["named"] == 24 * 12
    told = await fetch(
        conn,
        """select a.id from outbox.alert a where not exists (
             select from outbox.delivery d where d.destination = 'email' and d.key = a.id::text)""",
    )
    assert told == []


@pytest.mark.parametrize("text", ["a\0b", "\ud800lone", "x" * 5000, ""])
async def test_text_that_postgres_cannot_store_is_cleaned_and_cut(
    conn: Connection, text: str
) -> None:
    alert = NewAlert(
        kind=AlertKind.EVENT_FAILED, fingerprint=text, facts={f"fact{text}": text, "ok": "kept"}
    )
    await raised(conn, alert=alert)
    again = await raised(conn, alert=alert)
    assert not again.opened

    (row,) = await fetch(conn, "select fingerprint, facts from outbox.alert")
    assert 1 <= len(row["fingerprint"]) <= 300
    assert row["facts"]["ok"] == "kept"
    assert all(len(value) <= 500 for value in row["facts"].values())


async def test_long_fingerprints_that_differ_at_their_end_are_two_incidents(
    conn: Connection,
) -> None:
    ids = set()
    for end in "ab":
        alert = NewAlert(kind=AlertKind.EVENT_FAILED, fingerprint="x" * 400 + end)
        ids.add((await raised(conn, alert=alert)).id)
    assert len(ids) == 2


async def test_later_facts_win_and_the_first_booking_stays(conn: Connection) -> None:
    first, second = uuid4(), uuid4()
    for booking, facts in [(first, {"code": "a", "old": "1"}), (second, {"code": "b"})]:
        alert = NewAlert(
            kind=AlertKind.PAID_TWICE, fingerprint="pi_1", booking_id=booking, facts=facts
        )
        await raised(conn, alert=alert)
    (row,) = await fetch(conn, "select booking_id, facts from outbox.alert")
    assert row["booking_id"] == first
    assert row["facts"] == {"code": "b", "old": "1"}


async def test_a_report_rolled_back_with_its_transaction_leaves_nothing(conn: Connection) -> None:
    (one,) = await failed(conn, 1)
    async with conn.transaction(force_rollback=True):
        await store.raise_alert(conn, OUTAGE, deliveries=[one], channels=EMAIL)
    assert await fetch(conn, "select 1 from outbox.alert") == []
    assert await versions(conn) == {}


async def test_reports_lock_their_alerts_by_id_whatever_their_kind(
    conn: Connection, others: list[Connection]
) -> None:
    older = NewAlert(kind=AlertKind.SYNC_REJECTED, fingerprint="guestly:a")
    newer = NewAlert(kind=AlertKind.MISCONFIGURED, fingerprint="guestly:b")
    first, second, _ = others
    low = await raised(conn, alert=older)
    high = await raised(conn, alert=newer)

    async def both() -> None:
        async with begun(second):
            reports = [store.Raise(alert=newer), store.Raise(alert=older)]
            await store.raise_alerts(second, reports, channels=EMAIL)

    async with begun(first):
        await store.lock(first, ids=[low.id])
        task = asyncio.create_task(both())
        await waiting_for_lock(conn, "other-1")
        # whoever waits for the lower id must not hold the higher one
        found = await fetch(
            first, "select id from outbox.alert where id = %s for update nowait", high.id
        )
        assert len(found) == 1
    await task


async def test_an_open_incident_is_told_once_more_for_each_change_that_it_is_raised_for(
    conn: Connection,
) -> None:
    asked = []
    for change in (None, "3", "3", None, "4"):
        alert = NewAlert(kind=AlertKind.REPORTED, fingerprint="price", change=change)
        opened = await raised(conn, alert=alert)
        asked.append((await versions(conn))[str(opened.id)])
    assert asked == [1, 2, 2, 2, 3]
