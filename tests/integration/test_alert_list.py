"""`outbox alerts`: what is open and who was told; and the TEST alert."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from outbox_worker.alerts import store as alerts
from outbox_worker.alerts.alert import ALERT_CHANNELS, AlertKind, NewAlert
from outbox_worker.database import Connection
from outbox_worker.operations.alert_list import ListedAlert, list_alerts
from outbox_worker.operations.alert_trial import Trial, raise_trial, wait_for_channels
from outbox_worker.outbox.delivery import Destination
from tests.support_engine import eventually, insert_booking
from tests.support_requeue import given_up

AT_ONCE = timedelta(0)


async def listed(conn: Connection, *, resolved: bool = False) -> list[ListedAlert]:
    return list((await list_alerts(conn, resolved=resolved, limit=100)).rows)


async def taken(conn: Connection, alert_id: int, channel: str, outcome: str) -> None:
    """What settling leaves when a channel has dealt with an alert."""
    await conn.execute(
        "with d as (update outbox.delivery set delivered = requested, due_at = null"
        " where destination = %(channel)s and key = %(id)s::text returning id)"
        " insert into outbox.attempt (delivery_id, fence, round, number, worker, started_at,"
        " finished_at, outcome) select d.id, 1, 1, 1, 'w', now(), now(), %(outcome)s from d",
        {"channel": channel, "id": alert_id, "outcome": outcome},
    )


async def test_an_alert_says_what_it_names_and_what_of_that_still_stands(conn: Connection) -> None:
    deliveries = [(await given_up(conn, booking_reference=f"LA-{n}"))[1] for n in range(5)]
    async with conn.transaction():
        await alerts.heal(conn, deliveries[:1], channels=[])

    [found] = await listed(conn)

    assert (found.kind, found.fingerprint) == (AlertKind.SYNC_FAILED, "guestly:http_503")
    assert (found.total, found.standing) == (5, 4)
    assert found.names == ("LA-1", "LA-2", "LA-3")


async def test_solved_ones_are_listed_only_when_asked_for(conn: Connection) -> None:
    booking = await insert_booking(conn, booking_reference="LA-1")
    about = NewAlert(kind=AlertKind.PAID_TWICE, fingerprint="pi_1", booking_id=booking)
    async with conn.transaction():
        raised = await alerts.raise_alert(conn, about, channels=ALERT_CHANNELS)
    [alert] = await listed(conn)
    assert (alert.id, alert.booking, alert.resolved_at) == (raised.id, "LA-1", None)
    async with conn.transaction():
        await alerts.lock(conn, ids=[raised.id])
        await alerts.close(conn, [raised.id], channels=ALERT_CHANNELS)

    assert await listed(conn) == []
    [alert] = await listed(conn, resolved=True)
    assert alert.resolved_at is not None


async def test_each_channel_says_whether_it_has_told(conn: Connection) -> None:
    alert_id = await raise_trial(conn, actor="anna")
    await conn.execute(
        "insert into outbox.alert_told (alert_id, channel, messages, told_at)"
        " values (%s, 'email', 2, now())",
        [alert_id],
    )
    await taken(conn, alert_id, "email", "held")
    await taken(conn, alert_id, "chat", "not_configured")

    [alert] = await listed(conn)

    told = {each.channel: each for each in alert.channels}
    email, chat = told[Destination.EMAIL], told[Destination.CHAT]
    assert (email.messages, email.owed, email.configured) == (2, False, True)
    assert email.told_at is not None
    assert (chat.messages, chat.told_at, chat.configured) == (0, None, False)


async def test_alerts_are_paged_by_number(conn: Connection) -> None:
    for number in range(3):
        about = NewAlert(kind=AlertKind.REPORTED, fingerprint=str(number))
        async with conn.transaction():
            await alerts.raise_alert(conn, about, channels=())

    first = await list_alerts(conn, resolved=False, limit=2)
    assert first.after is not None
    last = await list_alerts(conn, resolved=False, limit=2, after=int(first.after))

    assert [each.fingerprint for each in (*first.rows, *last.rows)] == ["2", "1", "0"]
    assert (first.more, last.more, last.after) == (1, 0, None)


async def test_every_test_is_an_alert_of_its_own_and_ends_the_one_before(conn: Connection) -> None:
    first = await raise_trial(conn, actor="anna")
    second = await raise_trial(conn, actor="anna")

    assert [each.id for each in await listed(conn)] == [second]
    assert [each.id for each in await listed(conn, resolved=True)] == [second, first]
    cursor = await conn.execute(
        "select destination, key from outbox.delivery where key = %s order by 1", [str(second)]
    )
    assert [row["destination"] for row in await cursor.fetchall()] == ["chat", "email"]
    cursor = await conn.execute("select actor, action from outbox.operator_action")
    assert await cursor.fetchall() == [{"actor": "anna", "action": "test alert"}] * 2


async def test_the_wait_ends_when_every_channel_has_answered(conn: Connection) -> None:
    alert_id = await raise_trial(conn, actor="anna")
    told: list[str] = []
    waiting = asyncio.create_task(
        wait_for_channels(
            conn,
            alert_id,
            patience=timedelta(seconds=50),
            stalled=told.append,
            stalled_after=AT_ONCE,
        )
    )

    async def stalled() -> bool:
        return bool(told)

    await eventually(stalled, "the reason")
    await taken(conn, alert_id, "email", "held")
    await taken(conn, alert_id, "chat", "not_configured")

    results = {each.channel: each.became for each in await waiting}
    assert results == {
        Destination.EMAIL: Trial.ACCEPTED,
        Destination.CHAT: Trial.NOT_CONFIGURED,
    }
    assert told[0] == "no worker is running"


async def test_the_wait_says_why_a_channel_has_not_taken_it(conn: Connection) -> None:
    await conn.execute(
        "insert into outbox.worker (id, host, pid, version, pms, sync_enabled, test_mode)"
        " values ('w', 'h', 1, '0.1.0', 'guestly', true, false)"
    )
    alert_id = await raise_trial(conn, actor="anna")
    await conn.execute(
        "update outbox.delivery set last_error_code = 'email_api_401', attempts = 1,"
        " last_error = 'the mail API refused our key' where destination = 'email'"
    )

    results = await wait_for_channels(conn, alert_id, patience=AT_ONCE)

    said = {each.channel: (each.became, each.code, each.error) for each in results}
    assert said == {
        Destination.EMAIL: (Trial.RETRIED, "email_api_401", "the mail API refused our key"),
        Destination.CHAT: (Trial.WAITING, None, "no worker has tried chat yet"),
    }
