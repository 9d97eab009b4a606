"""An incident that is solved and back within minutes is one alert, and its mails stay apart."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from outbox_worker.alerts import store
from outbox_worker.alerts.alert import SPACING, AlertKind, NewAlert
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


async def healed(conn: Connection, *deliveries: int) -> None:
    async with begun(conn):
        await store.heal(conn, deliveries, channels=EMAIL)


async def passed(conn: Connection, time: timedelta) -> None:
    for statement in (
        "update outbox.alert set resolved_at = resolved_at - %(time)s",
        "update outbox.alert_told set told_at = told_at - %(time)s",
    ):
        await conn.execute(statement, {"time": time})


async def test_a_failure_soon_after_it_was_solved_goes_on_under_the_same_alert(
    conn: Connection,
) -> None:
    one, two = await failed(conn, 2)
    alert = await raised(conn, one)
    await told(conn, await next_message(conn, alert.id))
    await healed(conn, one)

    again = await raised(conn, two)

    assert (again.id, again.opened, again.named) == (alert.id, True, 1)
    assert await versions(conn) == {str(alert.id): 3}, "raised, solved, back again"
    incident = await next_message(conn, alert.id)
    assert incident.resolved_at is None
    assert [delivery.delivery_id for delivery in incident.fresh] == [two]
    assert incident.told_at is not None, "what the next mail keeps its distance from"


async def test_one_that_comes_and_goes_every_minute_is_one_alert(conn: Connection) -> None:
    (one,) = await failed(conn, 1)
    for _ in range(6):
        await raised(conn, one)
        await healed(conn, one)
        await passed(conn, timedelta(minutes=1))
    assert len(await fetch(conn, "select 1 from outbox.alert")) == 1


async def test_a_failure_long_after_it_was_solved_is_a_new_alert(conn: Connection) -> None:
    (one,) = await failed(conn, 1)
    alert = await raised(conn, one)
    await told(conn, await next_message(conn, alert.id))
    await healed(conn, one)
    await passed(conn, SPACING + timedelta(seconds=1))

    again = await raised(conn, one)

    assert again.opened
    assert again.id != alert.id


async def test_a_solved_mail_of_a_moment_ago_keeps_the_next_one_away(conn: Connection) -> None:
    (one,) = await failed(conn, 1)
    alert = await raised(conn, one)
    await told(conn, await next_message(conn, alert.id))
    await healed(conn, one)
    await passed(conn, SPACING + timedelta(seconds=1))
    await told(conn, await next_message(conn, alert.id))

    assert (await raised(conn, one)).id == alert.id


async def test_what_is_back_after_a_mail_called_it_solved_is_told_even_if_it_names_nothing(
    conn: Connection,
) -> None:
    (one,) = await failed(conn, 1)
    alert = await raised(conn, one)
    await told(conn, await next_message(conn, alert.id))
    await healed(conn, one)
    await told(conn, await next_message(conn, alert.id))

    await raised(conn)
    back = await next_message(conn, alert.id)
    assert back.has_news
    await told(conn, back)

    assert not (await next_message(conn, alert.id)).has_news


async def test_what_is_solved_again_after_its_relapse_was_told_gets_another_solved_mail(
    conn: Connection,
) -> None:
    (one,) = await failed(conn, 1)
    alert = await raised(conn, one)
    for _ in range(2):
        await raised(conn, one)
        await told(conn, await next_message(conn, alert.id))
        await healed(conn, one)
        solved = await next_message(conn, alert.id)
        assert solved.has_news
        await told(conn, solved)
        assert not (await next_message(conn, alert.id)).has_news


async def test_a_solved_mail_on_its_way_does_not_count_as_naming_the_relapse(
    conn: Connection,
) -> None:
    (one,) = await failed(conn, 1)
    alert = await raised(conn, one)
    await healed(conn, one)
    solved = await next_message(conn, alert.id)
    await raised(conn, one)

    await told(conn, solved)

    after = await next_message(conn, alert.id)
    assert [delivery.delivery_id for delivery in after.fresh] == [one]
    assert [delivery.healed_at for delivery in after.fresh] == [None]


async def test_every_trial_is_an_alert_of_its_own(conn: Connection) -> None:
    trial = NewAlert(kind=AlertKind.TEST, fingerprint="trial")
    first = await raised(conn, alert=trial)
    await told(conn, await next_message(conn, first.id))
    assert (await raised(conn, alert=trial)).id != first.id


@pytest.mark.parametrize("rivals", [2, 3])
async def test_reports_that_come_together_open_a_solved_alert_once(
    conn: Connection, database_url: str, rivals: int
) -> None:
    deliveries = await failed(conn, rivals + 1)
    alert = await raised(conn, deliveries[0])
    await healed(conn, deliveries[0])
    async with more_connections(database_url, rivals) as others:
        results = await asyncio.gather(
            *(raised(each, deliveries[number + 1]) for number, each in enumerate(others))
        )
    assert {result.id for result in results} == {alert.id}
    assert sorted(result.opened for result in results) == [False] * (rivals - 1) + [True]


async def test_opening_again_and_opening_anew_at_the_very_edge_do_not_collide(
    conn: Connection, database_url: str
) -> None:
    """By the clock of one transaction the relapse came in time, by that of the other too late."""
    one, two, three = await failed(conn, 3)
    await raised(conn, one)
    await healed(conn, one)
    async with more_connections(database_url, 2) as (early, late):
        await conn.execute(
            "update outbox.alert set resolved_at = now() - %s + interval '0.5 seconds'", [SPACING]
        )
        async with begun(early):
            async with asyncio.timeout(10):
                while not await fetch(
                    conn,
                    "select 1 from outbox.alert where resolved_at < clock_timestamp() - %s",
                    SPACING,
                ):
                    pass
            async with begun(late):
                anew = await store.raise_alert(late, outage(), deliveries=[two], channels=EMAIL)
                task = asyncio.create_task(
                    store.raise_alert(early, outage(), deliveries=[three], channels=EMAIL)
                )
                await waiting_for_lock(conn, "other-0")
            again = await task
    assert anew.opened
    assert (again.id, again.opened, again.named) == (anew.id, False, 1)
