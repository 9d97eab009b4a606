from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

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
    next_message,
    outage,
    raised,
    told,
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


async def test_last_healed_delivery_resolves_the_alert_and_asks_for_the_solved_mail(
    conn: Connection,
) -> None:
    one, two = await failed(conn, 2)
    alert = await raised(conn, one, two)

    async with begun(conn):
        assert await store.heal(conn, [one], channels=EMAIL) == ()
    assert await versions(conn) == {str(alert.id): 1}
    async with begun(conn):
        assert await store.heal(conn, [two, one], channels=EMAIL) == (alert.id,)
    assert await versions(conn) == {str(alert.id): 2}
    (row,) = await fetch(conn, "select resolved_at from outbox.alert")
    assert row["resolved_at"] is not None


async def test_healing_twice_resolves_and_tells_once(conn: Connection) -> None:
    (one,) = await failed(conn, 1)
    alert = await raised(conn, one)
    for expected in [(alert.id,), ()]:
        async with begun(conn):
            assert await store.heal(conn, [one], channels=EMAIL) == expected
    assert await versions(conn) == {str(alert.id): 2}


async def test_healing_leaves_incidents_alone_that_name_no_delivery(conn: Connection) -> None:
    (one,) = await failed(conn, 1)
    await raised(conn, alert=NewAlert(kind=AlertKind.PAID_TWICE, fingerprint="pi_1"))
    async with begun(conn):
        assert await store.heal(conn, [one], channels=EMAIL) == ()
    (row,) = await fetch(conn, "select resolved_at from outbox.alert")
    assert row["resolved_at"] is None


async def test_row_that_fails_again_after_it_healed_is_named_again(conn: Connection) -> None:
    one, two = await failed(conn, 2)
    first = await raised(conn, one, two)
    async with begun(conn):
        await store.heal(conn, [one], channels=EMAIL)

    again = await raised(conn, one)

    assert again == RaisedAlert(id=first.id, opened=False, named=1)
    found = await fetch(conn, "select healed_at is null as open from outbox.alert_delivery")
    assert sorted(row["open"] for row in found) == [False, True, True]


async def test_heal_and_report_of_one_row_in_one_transaction_keep_it_named(
    conn: Connection,
) -> None:
    (one,) = await failed(conn, 1)
    await raised(conn, one)
    async with begun(conn):
        await store.heal(conn, [one], channels=EMAIL)
        alert = await store.raise_alert(conn, OUTAGE, deliveries=[one], channels=EMAIL)
    assert alert.opened
    assert alert.named == 1


async def test_an_accepted_message_is_counted_and_marks_what_it_named(conn: Connection) -> None:
    one, two = await failed(conn, 2)
    alert = await raised(conn, one, two)

    await told(conn, await next_message(conn, alert.id, page=1))

    (row,) = await fetch(conn, "select * from outbox.alert_told")
    assert (row["channel"], row["messages"], row["solved_told_at"]) == ("email", 1, None)
    assert row["told_at"] is not None
    unnamed = await fetch(
        conn, "select delivery_id from outbox.alert_delivery where id > %s", row["told_to"]
    )
    assert [each["delivery_id"] for each in unnamed] == [two]
    assert await versions(conn) == {str(alert.id): 2}, "the rest needs a mail of its own"
    assert await versions(conn, "chat") == {}, "which is no concern of the other channel's"


async def test_a_message_that_named_everything_asks_for_no_other(conn: Connection) -> None:
    (one,) = await failed(conn, 1)
    alert = await raised(conn, one)
    await told(conn, await next_message(conn, alert.id))
    assert await versions(conn) == {str(alert.id): 1}


async def test_a_failure_after_the_message_was_read_is_not_counted_as_named(
    conn: Connection,
) -> None:
    one, two = await failed(conn, 2)
    alert = await raised(conn, one, two)
    read = await next_message(conn, alert.id)
    async with begun(conn):
        await store.heal(conn, [one], channels=EMAIL)
    await raised(conn, one)

    await told(conn, read)

    following = await next_message(conn, alert.id)
    assert [(each.delivery_id, each.healed_at) for each in following.fresh] == [(one, None)]


async def test_a_trial_alert_is_over_once_one_channel_has_taken_it(conn: Connection) -> None:
    alert = await raised(conn, alert=NewAlert(kind=AlertKind.TEST, fingerprint="t"))
    async with begun(conn):
        await store.mark_told(
            conn, alert.id, channel=Destination.CHAT, told_to=0, count=1, resolved_told=False
        )
    (row,) = await fetch(conn, "select resolved_at from outbox.alert")
    assert row["resolved_at"] is not None


async def test_lock_takes_the_alert_of_a_mail_before_its_delivery(
    conn: Connection, others: list[Connection]
) -> None:
    """A report on an alert whose mail is being settled waits, and neither side deadlocks."""
    one, two = await failed(conn, 2)
    alert = await raised(conn, one)
    read = await next_message(conn, alert.id)
    first, second, _ = others
    async with begun(first):
        await store.lock(first, ids=[alert.id])
        task = asyncio.create_task(raised(second, two))
        await waiting_for_lock(conn, "other-1")
        await first.execute(
            "update outbox.delivery set due_at = null, delivered = requested where key = %s",
            (str(alert.id),),
        )
        await store.mark_told(
            first,
            alert.id,
            channel=Destination.EMAIL,
            told_to=read.named_to,
            count=read.count,
            resolved_told=False,
        )
    assert (await task).named == 1
    (row,) = await fetch(
        conn,
        "select requested, delivered, due_at from outbox.delivery where destination = 'email'",
    )
    assert row["requested"] == row["delivered"] + 1
    assert row["due_at"] is not None
