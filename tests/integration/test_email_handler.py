from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest

from outbox_worker.alerts import store
from outbox_worker.alerts.alert import AlertKind, NewAlert
from outbox_worker.alerts.email import EmailApiChannel
from outbox_worker.alerts.smtp import SmtpChannel, parse_url
from outbox_worker.database import Connection
from outbox_worker.handlers.effect import AlertTold, Result
from outbox_worker.handlers.email import EmailHandler
from outbox_worker.outbox.delivery import Claim, Destination
from outbox_worker.outbox.outcome import Abandon, AttemptOutcome, Done, Retry, Wait
from outbox_worker.pms.port import PmsName
from outbox_worker.settings_types import Secret
from outbox_worker.worker.execute import Finished
from outbox_worker.worker.lease import Lease, boot_time
from outbox_worker.worker.settle import settle
from tests.support_alert import add_booking, add_failed_delivery, begun, failed, fetch, raised
from tests.support_engine import A, B, claim_all, end_lease, owe, policy
from tests.support_mail import MailApi, answer, broken, mail_api, mail_server
from tests.support_port import kept_port

RULES = policy(max_attempts=None)
EMAIL = (Destination.EMAIL,)


@pytest.fixture
async def api() -> AsyncIterator[MailApi]:
    async with mail_api() as running:
        yield running


@pytest.fixture
async def handler(api: MailApi) -> AsyncIterator[EmailHandler]:
    channel = EmailApiChannel(
        api.url, api_key=Secret("k"), sender="a@example.com", recipients=["ops@example.com"]
    )
    yield EmailHandler(channel, policy=RULES, currency="EUR", pms=PmsName.GUESTLY)
    await channel.aclose()


def lease(length: timedelta = timedelta(seconds=60)) -> Lease:
    return Lease(taken_at=boot_time(), length=length)


async def claimed(conn: Connection) -> Claim:
    # back-off and spacing are over, as if the time had passed
    await conn.execute(
        "update outbox.delivery set due_at = now() where destination = 'email' and owner is null"
        " and due_at is not null"
    )
    (claim,) = await claim_all(conn, destination=Destination.EMAIL, max_attempts=None)
    return claim


async def attempt(conn: Connection, handler: EmailHandler, *, settled: bool = True) -> Result:
    """One claim of the only mail that is owed, as a worker makes it."""
    claim = await claimed(conn)
    state = (await handler.load(conn, [claim]))[claim.id]
    result = await handler.run(claim, state, lease())
    if settled:
        finished = [Finished(claim=claim, result=result, seconds=0.0)]
        done = await settle(conn, finished, owner=A, policies={Destination.EMAIL: RULES})
        assert len(done.accepted) == 1
    return result


async def owed(conn: Connection) -> bool:
    rows = await fetch(
        conn,
        "select 1 from outbox.delivery where destination = 'email' and delivered < requested",
    )
    return bool(rows)


async def minutes_pass(conn: Connection, minutes: int) -> None:
    await conn.execute(
        "update outbox.alert_told set told_at = told_at - make_interval(mins => %s)", (minutes,)
    )


async def test_an_alert_is_mailed_once_and_recorded(
    conn: Connection, handler: EmailHandler, api: MailApi
) -> None:
    booking = await add_booking(conn, booking_reference="LFT-7K2P")
    delivery = await add_failed_delivery(conn, booking)
    alert = await raised(conn, delivery)

    result = await attempt(conn, handler)

    assert result.outcome == Done(http_status=202)
    (named,) = await fetch(conn, "select id from outbox.alert_delivery")
    told = {"channel": Destination.EMAIL, "told_to": named["id"], "count": 1}
    assert result.effects == (AlertTold(alert_id=alert.id, resolved_told=False, **told),)
    (posted,) = api.accepted
    assert posted.message_id == f"<alert-{alert.id}.1@booking-outbox>"
    assert "LFT-7K2P" in posted.json["subject"]
    assert not await owed(conn)
    (row,) = await fetch(
        conn, "select messages, told_at is not null as told from outbox.alert_told"
    )
    assert (row["messages"], row["told"]) == (1, True)
    (attempts,) = await fetch(conn, "select outcome, http_status from outbox.attempt")
    assert (attempts["outcome"], attempts["http_status"]) == ("held", 202)


async def test_the_next_mail_waits_until_five_minutes_after_the_last(
    conn: Connection, handler: EmailHandler, api: MailApi
) -> None:
    one, two = await failed(conn, 2)
    await raised(conn, one)
    await attempt(conn, handler)
    await raised(conn, two)
    await minutes_pass(conn, 2)

    result = await attempt(conn, handler)

    assert isinstance(result.outcome, Wait)
    assert result.outcome.due_in is not None
    assert timedelta(minutes=2, seconds=50) < result.outcome.due_in <= timedelta(minutes=3)
    assert len(api.posted) == 1
    (row,) = await fetch(
        conn,
        "select attempts, due_at > now() + interval '170 seconds' as later from outbox.delivery"
        " where destination = 'email'",
    )
    assert (row["attempts"], row["later"]) == (0, True), "waiting costs no attempt"

    await minutes_pass(conn, 3)
    assert (await attempt(conn, handler)).outcome == Done(http_status=202)
    assert api.accepted[1].message_id.endswith(".2@booking-outbox>")
    assert "1 more" not in api.accepted[1].json["subject"]


async def test_nothing_new_is_settled_without_a_mail(
    conn: Connection, handler: EmailHandler, api: MailApi
) -> None:
    (one,) = await failed(conn, 1)
    alert = await raised(conn, one)
    await attempt(conn, handler)
    await owe(conn, str(alert.id), Destination.EMAIL)
    result = await attempt(conn, handler)
    assert result.outcome == Done(record=AttemptOutcome.NOTHING)
    assert len(api.posted) == 1


@pytest.mark.parametrize("key", ["99", "none", "9" * 40, "٣", "-1"])
async def test_an_alert_that_is_gone_is_settled_without_a_mail(
    conn: Connection, handler: EmailHandler, api: MailApi, key: str
) -> None:
    await owe(conn, key, Destination.EMAIL)
    result = await attempt(conn, handler, settled=key == "99")
    assert result.outcome == Done(record=AttemptOutcome.NOTHING)
    assert api.posted == []


async def test_without_a_channel_the_alert_stays_untold_and_the_log_says_so(
    conn: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    await raised(conn, *await failed(conn, 1))
    result = await attempt(
        conn, EmailHandler(None, policy=RULES, currency="EUR", pms=PmsName.GUESTLY)
    )
    assert result.outcome == Done(record=AttemptOutcome.NOT_CONFIGURED)
    assert not await owed(conn)
    (row,) = await fetch(conn, "select messages from outbox.alert_told")
    assert row["messages"] == 0
    assert "alert.unconfigured" in caplog.text


async def test_a_lease_that_is_too_short_sends_nothing(
    conn: Connection, handler: EmailHandler, api: MailApi
) -> None:
    await raised(conn, *await failed(conn, 1))
    claim = await claimed(conn)
    state = (await handler.load(conn, [claim]))[claim.id]
    result = await handler.run(claim, state, lease(timedelta(seconds=1)))
    assert result.outcome == Abandon(code="lease_too_short")
    assert api.posted == []


async def test_a_refused_mail_is_retried_and_raises_no_alert_about_itself(
    conn: Connection, handler: EmailHandler, api: MailApi
) -> None:
    await raised(conn, *await failed(conn, 1))
    api.script.extend([answer(401), answer(401)])
    for _ in range(2):
        result = await attempt(conn, handler)
        assert isinstance(result.outcome, Retry)
        assert (result.outcome.code, result.outcome.ambiguous) == ("email_api_401", False)
        assert result.effects == ()
        assert await owed(conn)
    assert (await attempt(conn, handler)).outcome == Done(http_status=202)
    (row,) = await fetch(conn, "select count(*) as alerts from outbox.alert")
    assert row["alerts"] == 1


async def test_a_mail_server_that_is_down_delays_the_alert_and_loses_nothing(
    conn: Connection,
) -> None:
    deliveries = await failed(conn, 3)
    alert = await raised(conn, deliveries[0])
    port = kept_port()
    channel = SmtpChannel(
        parse_url(Secret(f"smtp://127.0.0.1:{port}")),
        sender="a@example.com",
        recipients=["ops@example.com"],
    )
    handler = EmailHandler(channel, policy=RULES, currency="EUR", pms=PmsName.GUESTLY)
    for delivery in deliveries[1:]:
        result = await attempt(conn, handler)
        assert isinstance(result.outcome, Retry)
        assert not result.outcome.ambiguous
        await raised(conn, delivery)

    async with mail_server(port=port) as back:
        assert isinstance((await attempt(conn, handler)).outcome, Done)

    (taken,) = back.taken
    assert taken.mail["Message-ID"] == f"<alert-{alert.id}.1@booking-outbox>"
    assert taken.mail["Subject"].startswith("[Warning] 3 bookings")
    plain = next(taken.mail.iter_parts()).get_content()
    keys = await fetch(conn, "select key from outbox.delivery where destination = 'guestly'")
    assert all(row["key"] in plain for row in keys)
    await attempt(conn, handler) if await owed(conn) else None
    assert len(back.taken) == 1


async def test_a_mail_of_unknown_fate_is_repeated_as_the_same_mail_and_others_follow(
    conn: Connection, handler: EmailHandler, api: MailApi
) -> None:
    one, two = await failed(conn, 2)
    alert = await raised(conn, one)
    api.script.append(broken)
    result = await attempt(conn, handler)
    assert isinstance(result.outcome, Retry)
    assert result.outcome.ambiguous
    await raised(conn, two)

    await attempt(conn, handler)

    first, second = api.posted
    assert first.message_id == second.message_id == f"<alert-{alert.id}.1@booking-outbox>"
    assert first.json["subject"] == second.json["subject"]
    assert await owed(conn), "the other one is still to be named"
    await minutes_pass(conn, 6)
    await attempt(conn, handler)
    third = api.accepted[-1]
    assert third.message_id == f"<alert-{alert.id}.2@booking-outbox>"
    assert third.json["headers"]["In-Reply-To"] == f"<alert-{alert.id}.1@booking-outbox>"
    key = (await fetch(conn, "select key from outbox.delivery where id = %s", two))[0]["key"]
    assert key in third.json["content"][0]["value"]
    assert not await owed(conn)


async def test_a_worker_lost_after_sending_repeats_the_same_mail(
    conn: Connection, handler: EmailHandler, api: MailApi
) -> None:
    one, two = await failed(conn, 2)
    await raised(conn, one)
    claim = await claimed(conn)
    state = (await handler.load(conn, [claim]))[claim.id]
    result = await handler.run(claim, state, lease())
    assert isinstance(result.outcome, Done)
    await raised(conn, two)
    await end_lease(conn, claim.id)
    (next_claim,) = await claim_all(conn, owner=B, destination=Destination.EMAIL, max_attempts=None)
    state = (await handler.load(conn, [next_claim]))[next_claim.id]
    await handler.run(next_claim, state, lease())

    first, second = api.accepted
    assert first.message_id == second.message_id
    assert first.json["subject"] == second.json["subject"]
    (late,) = await fetch(conn, "select key from outbox.delivery where id = %s", two)
    assert late["key"] not in second.body.decode(), "a mailbox that drops repetitions hid it"


async def test_the_solved_mail_follows_in_the_same_thread(
    conn: Connection, handler: EmailHandler, api: MailApi
) -> None:
    booking = await add_booking(conn, booking_reference="LFT-7K2P")
    delivery = await add_failed_delivery(conn, booking)
    alert = await raised(conn, delivery)
    await attempt(conn, handler)
    async with begun(conn):
        await conn.execute(
            "update outbox.delivery set delivered = requested, failed_at = null, due_at = null"
            " where id = %s",
            (delivery,),
        )
        await store.heal(conn, [delivery], channels=EMAIL)
    assert isinstance((await attempt(conn, handler)).outcome, Wait)
    await minutes_pass(conn, 5)

    result = await attempt(conn, handler)

    assert isinstance(result.outcome, Done)
    solved = api.accepted[-1]
    assert solved.json["subject"] == "[Solved] Booking LFT-7K2P is in Guestly"
    assert solved.message_id == f"<alert-{alert.id}.2.solved@booking-outbox>"
    assert solved.json["headers"]["References"] == f"<alert-{alert.id}.1@booking-outbox>"
    assert not await owed(conn)


async def test_an_incident_that_ends_while_the_mail_server_is_down_is_told_in_one_solved_mail(
    conn: Connection, handler: EmailHandler, api: MailApi
) -> None:
    (one,) = await failed(conn, 1)
    await raised(conn, one)
    api.script.append(answer(503))
    await attempt(conn, handler)
    async with begun(conn):
        await store.heal(conn, [one], channels=EMAIL)

    await attempt(conn, handler)

    (mail,) = api.accepted
    assert mail.json["subject"].startswith("[Solved]")
    assert mail.message_id != api.posted[0].message_id, "a mailbox that has the first keeps both"
    key = (await fetch(conn, "select key from outbox.delivery where id = %s", one))[0]["key"]
    assert key in mail.json["content"][0]["value"]
    assert not await owed(conn)


async def test_a_failure_that_joins_while_a_mail_is_on_its_way_gets_a_mail_of_its_own(
    conn: Connection, handler: EmailHandler, api: MailApi
) -> None:
    one, two = await failed(conn, 2)
    await raised(conn, one)
    claim = await claimed(conn)
    state = (await handler.load(conn, [claim]))[claim.id]
    await raised(conn, two)
    result = await handler.run(claim, state, lease())
    await settle(
        conn,
        [Finished(claim=claim, result=result, seconds=0.0)],
        owner=A,
        policies={Destination.EMAIL: RULES},
    )
    assert await owed(conn)
    await minutes_pass(conn, 5)
    await attempt(conn, handler)
    assert len(api.accepted) == 2
    unnamed = await fetch(
        conn,
        "select 1 from outbox.alert_delivery x join outbox.alert_told t using (alert_id)"
        " where x.id > t.told_to",
    )
    assert unnamed == []


async def test_a_trial_alert_is_mailed_and_over(
    conn: Connection, handler: EmailHandler, api: MailApi
) -> None:
    alert = await raised(conn, alert=NewAlert(kind=AlertKind.TEST, fingerprint=str(uuid4())))
    await attempt(conn, handler)
    await owe(conn, str(alert.id), Destination.EMAIL)
    await attempt(conn, handler)
    assert len(api.posted) == 1
    assert api.accepted[0].json["subject"].startswith("[Test] ")
    assert not await owed(conn)
    (row,) = await fetch(conn, "select resolved_at from outbox.alert")
    assert row["resolved_at"] is not None


async def test_several_alerts_are_loaded_together_each_with_its_own_rows(
    conn: Connection, handler: EmailHandler
) -> None:
    one, two = await failed(conn, 2)
    first = await raised(conn, one)
    second = await raised(
        conn, two, alert=NewAlert(kind=AlertKind.SYNC_REJECTED, fingerprint="guestly:x")
    )
    claims = await claim_all(conn, destination=Destination.EMAIL, max_attempts=None)
    states = await handler.load(conn, claims)
    by_alert = {state.id: state for state in states.values() if state is not None}
    assert [named.delivery_id for named in by_alert[first.id].named] == [one]
    assert [named.delivery_id for named in by_alert[second.id].named] == [two]


async def test_a_channel_that_asks_for_no_time_at_all_is_not_asked_again_at_once(
    conn: Connection, api: MailApi, handler: EmailHandler
) -> None:
    booking = await add_booking(conn, booking_reference="LFT-7K2P")
    await raised(conn, await add_failed_delivery(conn, booking))
    api.script.append(answer(429, b"", content_type="text/plain\r\nRetry-After: 0"))

    outcome = (await attempt(conn, handler)).outcome

    assert isinstance(outcome, Wait)
    assert outcome.due_in == timedelta(seconds=1)
