from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import pytest

from outbox_worker.alerts import pending, render, store
from outbox_worker.alerts.alert import AlertId, AlertKind, Incident, NewAlert
from outbox_worker.database import Connection
from outbox_worker.outbox.delivery import Destination, State
from outbox_worker.pms.port import PmsName
from tests.support_alert import (
    Page,
    add_booking,
    add_failed_delivery,
    add_property,
    begun,
    failed,
    more_connections,
    next_message,
    raised,
    told,
    versions,
    waiting_for_lock,
)

CANARY = "Canaria"
PERSONAL = {
    "guest_first_name": f"{CANARY}first",
    "guest_last_name": f"{CANARY}last",
    "guest_email": f"{CANARY}@example.com",
    "guest_phone": "+49 151 7654321",
    "special_requests": f"{CANARY} wants a cot",
}


@pytest.fixture
async def others(database_url: str) -> AsyncIterator[list[Connection]]:
    async with more_connections(database_url, 2) as opened:
        yield opened


def ids(incident: Incident) -> list[int]:
    return [delivery.delivery_id for delivery in incident.named]


async def test_booking_and_delivery_are_read_as_they_are_now(conn: Connection) -> None:
    property_id = await add_property(conn, slug="sea-loft", name="Sea Loft")
    booking = await add_booking(
        conn, booking_reference="LFT-7K2P", property_id=property_id, infants=1, **PERSONAL
    )
    delivery = await add_failed_delivery(conn, booking)
    await conn.execute(
        """insert into outbox.reservation (booking_id, pms, reservation_id, mode)
           values (%s, 'guestly', 'R-1', 'live')""",
        (booking,),
    )
    alert = await raised(conn, delivery)

    incident = await next_message(conn, alert.id)

    (named,) = incident.named
    assert named.stay is not None
    assert (named.stay.id, named.stay.reference) == (booking, "LFT-7K2P")
    assert (named.stay.property_name, named.stay.slug) == ("Sea Loft", "sea-loft")
    assert (named.stay.check_in, named.stay.check_out) == (date(2026, 11, 22), date(2026, 11, 25))
    assert named.stay.nights == 3
    assert (named.stay.adults, named.stay.children, named.stay.infants) == (2, 1, 1)
    assert str(named.stay.total) == "1240.00"
    assert (named.stay.payment_status, named.stay.status) == ("completed", "confirmed")
    assert (named.stay.reservation_id, named.stay.test) == ("R-1", False)
    assert (named.state, named.attempts, named.error_code) == (State.FAILED, 3, "http_503")
    assert named.untold
    assert incident.has_news


async def test_no_guest_data_is_read_at_all(conn: Connection) -> None:
    booking = await add_booking(conn, **PERSONAL)
    delivery = await add_failed_delivery(conn, booking)
    alert = await raised(conn, delivery, alert=None)
    paid_twice = NewAlert(kind=AlertKind.PAID_TWICE, fingerprint="pi_1", booking_id=booking)
    about = await raised(conn, alert=paid_twice)
    for alert_id in (alert.id, about.id):
        message = render.message(
            await next_message(conn, alert_id), currency="EUR", pms=PmsName.GUESTLY
        )
        everything = message.subject + message.text + message.html + Page(message.html).text
        assert CANARY not in everything
        assert "7654321" not in everything
        assert str(booking) in everything, "the canary's booking itself has to be in the mail"


async def test_an_event_is_named_with_the_booking_that_it_is_about(conn: Connection) -> None:
    booking = await add_booking(conn)
    await conn.execute(
        """insert into outbox.inbox_event (source, id, type, outcome, booking_id)
           values ('stripe', 'evt_1', 'payment_intent.succeeded', 'failed', %s)""",
        (booking,),
    )
    delivery = await add_failed_delivery(conn, "evt_1", destination="inbox")
    alert = await raised(
        conn, delivery, alert=NewAlert(kind=AlertKind.EVENT_FAILED, fingerprint="evt_1")
    )
    (named,) = (await next_message(conn, alert.id)).named
    assert named.destination is Destination.INBOX
    assert named.stay is not None
    assert named.stay.id == booking


async def test_rows_that_are_gone_do_not_hide_the_alert(conn: Connection) -> None:
    one, two = await failed(conn, 2)
    alert = await raised(conn, one, two)
    await conn.execute("delete from outbox.delivery where id = %s", (one,))
    incident = await next_message(conn, alert.id)
    assert [named.state for named in incident.named] == [None, State.FAILED]
    assert [named.stay for named in incident.named] == [None, None]
    render.message(incident, currency="EUR", pms=PmsName.GUESTLY)


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "0044-03-15 BC", "12026-01-01"])
async def test_a_date_that_python_cannot_hold_does_not_hide_the_alert(
    conn: Connection, moment: str
) -> None:
    booking = await add_booking(conn, check_in_date=moment, check_out_date=moment)
    alert = await raised(conn, await add_failed_delivery(conn, booking))
    (named,) = (await next_message(conn, alert.id)).named
    assert named.stay is not None
    assert (named.stay.check_in, named.stay.nights) == (None, None)


@pytest.mark.parametrize("key", ["no-uuid", "0b1c2d3e-0000-4000-8000-00000000000g"])
async def test_a_key_that_is_no_booking_id_does_not_hide_the_alert(
    conn: Connection, key: str
) -> None:
    alert = await raised(conn, await add_failed_delivery(conn, key))
    (named,) = (await next_message(conn, alert.id)).named
    assert (named.key, named.stay) == (key, None)


async def test_unknown_ids_are_left_out(conn: Connection) -> None:
    assert await pending.read(conn, [AlertId(99)], channel=Destination.EMAIL) == {}
    async with begun(conn):
        await pending.plan(conn, {AlertId(99): True}, channel=Destination.EMAIL)


async def test_after_a_certain_failure_the_next_mail_names_what_has_come_since(
    conn: Connection,
) -> None:
    one, two = await failed(conn, 2)
    alert = await raised(conn, one)
    assert ids(await next_message(conn, alert.id)) == [one]
    await raised(conn, two)
    assert ids(await next_message(conn, alert.id, certain=True)) == [one, two]


async def test_a_mail_of_unknown_fate_is_repeated_with_the_same_names(conn: Connection) -> None:
    one, two = await failed(conn, 2)
    alert = await raised(conn, one)
    first = await next_message(conn, alert.id)
    await raised(conn, two)

    again = await next_message(conn, alert.id, certain=False)

    assert ids(again) == [one]
    assert again.untold == 2
    assert (
        render.message(again, currency="EUR", pms=PmsName.GUESTLY).message_id
        == render.message(first, currency="EUR", pms=PmsName.GUESTLY).message_id
    )
    await told(conn, again)
    following = await next_message(conn, alert.id)
    assert ids(following) == [two]
    assert following.messages == 1
    assert (following.told_standing, following.standing) == (1, 2)


async def test_a_mail_of_unknown_fate_that_named_nothing_stays_without_names(
    conn: Connection,
) -> None:
    (one,) = await failed(conn, 1)
    alert = await raised(conn)
    assert ids(await next_message(conn, alert.id)) == []
    await raised(conn, one)
    repeated = await next_message(conn, alert.id, certain=False)
    assert ids(repeated) == []
    await told(conn, repeated)
    assert ids(await next_message(conn, alert.id)) == [one]


async def test_two_workers_planning_at_once_choose_the_same_names(
    conn: Connection, others: list[Connection]
) -> None:
    one, two = await failed(conn, 2)
    alert = await raised(conn, one)
    first, second = others
    async with begun(first):
        await pending.plan(first, {alert.id: True}, channel=Destination.EMAIL)
        # the lease of the first has ended meanwhile, so that the fate of its mail is unknown
        late = asyncio.create_task(next_message(second, alert.id, certain=False))
        await waiting_for_lock(conn, "other-1")
        adding = asyncio.create_task(raised(conn, two))
        mine = (await pending.read(first, [alert.id], channel=Destination.EMAIL))[alert.id]
    theirs = await late
    await adding
    assert ids(mine) == ids(theirs) == [one]
    assert ids(await next_message(conn, alert.id, certain=False)) == [one]


async def test_more_than_a_page_is_told_in_several_mails_and_each_is_asked_for(
    conn: Connection,
) -> None:
    deliveries = await failed(conn, 5)
    alert = await raised(conn, *deliveries)
    named: list[list[int]] = []
    for _ in range(3):
        incident = await next_message(conn, alert.id, page=2)
        named.append(ids(incident))
        before = await versions(conn)
        await told(conn, incident)
        assert (await versions(conn) != before) is (len(named) < 3)
    assert named == [deliveries[:2], deliveries[2:4], deliveries[4:]]
    assert not (await next_message(conn, alert.id)).has_news


async def test_a_row_that_healed_and_failed_again_is_named_once_as_it_is_now(
    conn: Connection,
) -> None:
    one, two = await failed(conn, 2)
    alert = await raised(conn, one, two)
    async with begun(conn):
        await store.heal(conn, [one], channels=(Destination.EMAIL,))
    await raised(conn, one)

    incident = await next_message(conn, alert.id)

    assert sorted(ids(incident)) == [one, two]
    assert all(named.healed_at is None for named in incident.named)
    assert (incident.total, incident.standing, incident.untold) == (2, 2, 2)
    await told(conn, incident)
    assert not (await next_message(conn, alert.id)).has_news


async def test_a_row_that_healed_before_any_mail_is_named_all_the_same(conn: Connection) -> None:
    one, two = await failed(conn, 2)
    alert = await raised(conn, one, two)
    async with begun(conn):
        await store.heal(conn, [one], channels=(Destination.EMAIL,))
    incident = await next_message(conn, alert.id)
    assert ids(incident) == [one, two]
    assert incident.standing == 1


async def test_a_solved_alert_names_the_untold_first_and_is_told_once(conn: Connection) -> None:
    one, two = await failed(conn, 2)
    alert = await raised(conn, one)
    await told(conn, await next_message(conn, alert.id))
    await raised(conn, two)
    async with begun(conn):
        await store.heal(conn, [one, two], channels=(Destination.EMAIL,))

    incident = await next_message(conn, alert.id)

    assert incident.resolved_at is not None
    assert ids(incident) == [two, one]
    assert [named.delivery_id for named in incident.fresh] == [two]
    assert incident.has_news
    await told(conn, incident)
    after = await next_message(conn, alert.id)
    assert after.solved_told_at is not None
    assert not after.has_news


@pytest.mark.parametrize("certain", [True, False])
async def test_a_solved_alert_that_nobody_heard_of_is_news(
    conn: Connection,
    certain: bool,
) -> None:
    (one,) = await failed(conn, 1)
    alert = await raised(conn, one)
    async with begun(conn):
        await store.heal(conn, [one], channels=(Destination.EMAIL,))
    incident: Any = await next_message(conn, alert.id, certain=certain)
    assert incident.has_news
