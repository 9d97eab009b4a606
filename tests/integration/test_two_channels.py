"""Mail and chat beside each other: each tells everything, whatever becomes of the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from outbox_worker.alerts import render_chat, store
from outbox_worker.alerts.alert import ALERT_CHANNELS, AlertKind, NewAlert
from outbox_worker.alerts.chat import ChatWebhookChannel
from outbox_worker.alerts.email import EmailApiChannel
from outbox_worker.database import Connection
from outbox_worker.handlers.alert import FAILING_AFTER, AlertHandler
from outbox_worker.handlers.chat import ChatHandler
from outbox_worker.handlers.effect import Result
from outbox_worker.handlers.email import EmailHandler
from outbox_worker.outbox.delivery import Destination
from outbox_worker.outbox.outcome import AttemptOutcome, Done, Retry, Wait
from outbox_worker.pms.port import PmsName
from outbox_worker.settings_types import Secret
from outbox_worker.worker.execute import Finished
from outbox_worker.worker.lease import Lease, boot_time
from outbox_worker.worker.settle import settle
from tests.support_alert import begun, failed, fetch, raised
from tests.support_engine import A, claim_all, policy
from tests.support_hook import Hook, hook, patience
from tests.support_mail import MailApi, answer, broken, mail_api
from tests.support_port import kept_port

RULES = policy(max_attempts=None)
REFUSED = answer(401)
TRIAL = NewAlert(kind=AlertKind.TEST, fingerprint="t")


@asynccontextmanager
async def mail_handler(api: MailApi) -> AsyncIterator[EmailHandler]:
    channel = EmailApiChannel(
        api.url, api_key=Secret("k"), sender="a@example.com", recipients=["ops@example.com"]
    )
    yield EmailHandler(channel, policy=RULES, currency="EUR", pms=PmsName.GUESTLY, alone=False)
    await channel.aclose()


@asynccontextmanager
async def chat_handler(chat: Hook) -> AsyncIterator[ChatHandler]:
    channel = ChatWebhookChannel(Secret(chat.url))
    yield ChatHandler(channel, policy=RULES, pms=PmsName.GUESTLY)
    await channel.aclose()


@pytest.fixture
async def api() -> AsyncIterator[MailApi]:
    async with mail_api() as running:
        yield running


@pytest.fixture
async def chat() -> AsyncIterator[Hook]:
    async with hook() as running:
        yield running


@pytest.fixture
async def mails(api: MailApi) -> AsyncIterator[EmailHandler]:
    async with mail_handler(api) as handler:
        yield handler


@pytest.fixture
async def chats(chat: Hook) -> AsyncIterator[ChatHandler]:
    async with chat_handler(chat) as handler:
        yield handler


async def turn(conn: Connection, handler: AlertHandler[Any]) -> list[Result]:
    """Deliver what the channel is owed once, as a worker does it; back-off is over."""
    channel = handler.destination
    await conn.execute(
        "update outbox.delivery set due_at = now() where destination = %s and owner is null"
        " and due_at is not null",
        (channel,),
    )
    claims = await claim_all(conn, destination=channel, max_attempts=None)
    states = await handler.load(conn, claims) if claims else {}
    finished = []
    for claim in claims:
        lease = Lease(taken_at=boot_time(), length=timedelta(seconds=60))
        result = await handler.run(claim, states[claim.id], lease)
        finished.append(Finished(claim=claim, result=result, seconds=0.0))
    if finished:
        settled = await settle(conn, finished, owner=A, policies={channel: RULES})
        assert len(settled.accepted) == len(finished)
    return [each.result for each in finished]


async def owed(conn: Connection) -> list[tuple[str, str]]:
    """Channel and alert of what is still to be told."""
    rows = await fetch(
        conn,
        "select destination, key from outbox.delivery where destination in ('email', 'chat')"
        " and delivered < requested order by destination, key",
    )
    return [(row["destination"], row["key"]) for row in rows]


async def keys(conn: Connection, *deliveries: int) -> list[str]:
    rows = await fetch(
        conn, "select key from outbox.delivery where id = any(%s) order by id", list(deliveries)
    )
    return [row["key"] for row in rows]


async def five_minutes_pass(conn: Connection) -> None:
    await conn.execute("update outbox.alert_told set told_at = told_at - interval '5 minutes'")


async def incident(conn: Connection, *deliveries: int) -> str:
    return str((await raised(conn, *deliveries, channels=ALERT_CHANNELS)).id)


async def failing(conn: Connection) -> list[tuple[str, bool]]:
    """Alerts about channels: which, and whether it is open."""
    rows = await fetch(
        conn,
        "select fingerprint, resolved_at is null as open from outbox.alert"
        " where kind = 'channel_failing' order by fingerprint",
    )
    return [(row["fingerprint"], row["open"]) for row in rows]


async def test_both_channels_tell_an_incident_once(
    conn: Connection, mails: EmailHandler, chats: ChatHandler, api: MailApi, chat: Hook
) -> None:
    (one,) = await failed(conn, 1)
    alert = await incident(conn, one)
    assert await owed(conn) == [("chat", alert), ("email", alert)]

    await turn(conn, mails)
    await turn(conn, chats)

    assert await owed(conn) == []
    assert len(api.accepted) == len(chat.taken) == 1
    assert (await keys(conn, one))[0] in chat.texts[0]
    told = await fetch(conn, "select channel, messages from outbox.alert_told order by channel")
    assert [(row["channel"], row["messages"]) for row in told] == [("chat", 1), ("email", 1)]


async def test_a_channel_that_is_down_delays_itself_alone_and_tells_everything_later(
    conn: Connection, mails: EmailHandler, api: MailApi
) -> None:
    one, two = await failed(conn, 2)
    port = kept_port()
    async with hook(port) as gone:
        pass
    async with chat_handler(gone) as chats:
        await incident(conn, one)
        await turn(conn, mails)
        assert isinstance((await turn(conn, chats))[0].outcome, Retry)
        await incident(conn, two)
        await five_minutes_pass(conn)
        await turn(conn, mails)
        await turn(conn, chats)
        async with begun(conn):
            await store.heal(conn, [one], channels=ALERT_CHANNELS)
        async with hook(port) as back:
            await turn(conn, chats)
            await turn(conn, chats)

    assert len(api.accepted) == 2
    (text,) = back.texts
    assert all(key in text for key in await keys(conn, one, two))
    assert await owed(conn) == []


async def test_messages_of_one_channel_keep_their_distance_and_the_solved_one_comes_in_both(
    conn: Connection, mails: EmailHandler, chats: ChatHandler, api: MailApi, chat: Hook
) -> None:
    (one,) = await failed(conn, 1)
    await incident(conn, one)
    await turn(conn, chats)
    async with begun(conn):
        await store.heal(conn, [one], channels=ALERT_CHANNELS)

    (result,) = await turn(conn, chats)
    assert isinstance(result.outcome, Wait)
    assert result.outcome.due_in is not None
    assert timedelta(minutes=4) < result.outcome.due_in <= timedelta(minutes=5)
    # the mail was not sent yet: nothing keeps it away, and one mail tells the whole story
    assert isinstance((await turn(conn, mails))[0].outcome, Done)

    await five_minutes_pass(conn)
    await turn(conn, chats)

    assert [text.split("*")[1].split("]")[0] for text in chat.texts] == ["[Warning", "[Solved"]
    assert api.accepted[0].json["subject"].startswith("[Solved]")
    assert await owed(conn) == []


async def test_more_than_fits_into_one_message_follows_in_the_next(
    conn: Connection, chats: ChatHandler, chat: Hook
) -> None:
    deliveries = await failed(conn, render_chat.PAGE + 3)
    await incident(conn, *deliveries)

    await turn(conn, chats)
    assert "3 more follow in the next message" in chat.texts[0]
    await five_minutes_pass(conn)
    await turn(conn, chats)

    names = await keys(conn, *deliveries)
    assert [sum(name in text for text in chat.texts) for name in names] == [1] * len(names)
    assert ("chat", "1") not in await owed(conn)


async def test_a_message_of_unknown_fate_is_repeated_with_the_same_names(
    conn: Connection, chats: ChatHandler, chat: Hook
) -> None:
    one, two = await failed(conn, 2)
    await incident(conn, one)
    chat.script.append(broken)
    await turn(conn, chats)
    await incident(conn, two)

    await turn(conn, chats)

    first, second = (call.text for call in chat.called)
    known, new = await keys(conn, one, two)
    assert known in first
    assert known in second
    assert new not in second
    assert ("chat", "1") in await owed(conn), "the other one is still to be told"


async def test_a_chat_that_is_not_set_up_settles_its_rows_and_is_no_trouble(
    conn: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    await incident(conn)

    (result,) = await turn(conn, ChatHandler(None, policy=RULES, pms=PmsName.GUESTLY))

    assert result.outcome == Done(record=AttemptOutcome.NOT_CONFIGURED)
    assert await owed(conn) == [("email", "1")]
    assert "alert.unconfigured" not in caplog.text


async def test_a_chat_that_asks_for_patience_gets_it_and_it_is_no_attempt(
    conn: Connection, chats: ChatHandler, chat: Hook
) -> None:
    await incident(conn)
    chat.script.append(patience(40))

    (result,) = await turn(conn, chats)

    assert isinstance(result.outcome, Wait)
    assert result.outcome.due_in == timedelta(seconds=40)
    (row,) = await fetch(
        conn,
        "select attempts, last_error_code from outbox.delivery where destination = 'chat'",
    )
    assert (row["attempts"], row["last_error_code"]) == (0, "chat_429")
    await turn(conn, chats)
    assert len(chat.taken) == 1


async def test_a_trial_alert_is_told_in_both_although_the_first_ends_it(
    conn: Connection, mails: EmailHandler, chats: ChatHandler, api: MailApi, chat: Hook
) -> None:
    await raised(conn, alert=TRIAL, channels=ALERT_CHANNELS)

    await turn(conn, chats)
    await turn(conn, mails)

    assert "*[Test] Alerts of booking-outbox arrive here*" in chat.texts[0]
    assert api.accepted[0].json["subject"] == "[Test] Alerts of booking-outbox arrive here"
    assert await owed(conn) == []


class TestAChannelThatKeepsFailing:
    async def test_is_told_in_the_other_channel_alone_until_it_works_again(
        self, conn: Connection, mails: EmailHandler, chats: ChatHandler, api: MailApi, chat: Hook
    ) -> None:
        alert = await incident(conn, *await failed(conn, 1))
        await turn(conn, chats)
        for _ in range(FAILING_AFTER - 1):
            api.script.append(REFUSED)
            await turn(conn, mails)
        assert await failing(conn) == []

        for _ in range(2):
            api.script.append(REFUSED)
            await turn(conn, mails)

        assert await failing(conn) == [("email", True)]
        assert await owed(conn) == [("chat", "2"), ("email", alert)], "never about itself"
        await turn(conn, chats)
        assert "*[Action] Alerts cannot be mailed*" in chat.texts[1]
        assert "email_api_401" in chat.texts[1]

        await turn(conn, mails)
        assert await failing(conn) == [("email", False)]
        await five_minutes_pass(conn)
        await turn(conn, chats)
        assert "*[Solved] No alert waits to be mailed any more*" in chat.texts[2]
        assert len(api.accepted) == 1
        assert await owed(conn) == []

    async def test_of_the_chat_is_told_by_mail(
        self, conn: Connection, mails: EmailHandler, chats: ChatHandler, api: MailApi, chat: Hook
    ) -> None:
        await incident(conn, *await failed(conn, 1))
        chat.script.extend([answer(404, b"no_service", content_type="text/plain")] * FAILING_AFTER)
        for _ in range(FAILING_AFTER):
            await turn(conn, chats)
        await turn(conn, mails)

        # beside the incident's own, in the order in which they were claimed: any
        mails_by_subject = {posted.json["subject"]: posted.json for posted in api.accepted}
        mail = mails_by_subject["[Action] Alerts do not reach the chat"]
        assert len(api.accepted) == 2
        assert "ALERT_CHAT_WEBHOOK_URL" in mail["content"][0]["value"]
        assert "no_service" in mail["content"][0]["value"]
        assert "Alert 1 by chat" in mail["content"][0]["value"]

    async def test_that_asks_for_patience_for_half_an_hour_is_told_too(
        self, conn: Connection, chats: ChatHandler, chat: Hook
    ) -> None:
        await incident(conn)
        chat.script.append(patience(40))
        await turn(conn, chats)
        assert await failing(conn) == []
        await conn.execute(
            "update outbox.delivery set requested_at = now() - interval '31 minutes'"
        )
        chat.script.append(patience(40))
        await turn(conn, chats)
        assert await failing(conn) == [("chat", True)]

    async def test_together_with_the_other_comes_to_an_end(
        self, conn: Connection, mails: EmailHandler, chats: ChatHandler, api: MailApi, chat: Hook
    ) -> None:
        await incident(conn, *await failed(conn, 1))
        for _ in range(3 * FAILING_AFTER):
            for script in (api.script, chat.script):
                script.clear()
                script.extend([answer(503)] * 9)
            await turn(conn, mails)
            await turn(conn, chats)
        assert await failing(conn) == [("chat", True), ("email", True)]
        (row,) = await fetch(conn, "select count(*) as alerts from outbox.alert")
        assert row["alerts"] == 3
        api.script.clear()
        chat.script.clear()

        for _ in range(6):
            await turn(conn, mails)
            await turn(conn, chats)
            await five_minutes_pass(conn)

        assert await failing(conn) == [("chat", False), ("email", False)]
        assert await owed(conn) == []

    async def test_whose_handler_crashes_is_told_too(
        self, conn: Connection, mails: EmailHandler
    ) -> None:
        await incident(conn, *await failed(conn, 1))
        await conn.execute("update outbox.delivery set attempts = %s", (FAILING_AFTER - 1,))
        (claim,) = await claim_all(conn, destination=Destination.EMAIL, max_attempts=None)

        result = mails.failed(claim, Retry(code="handler_crashed", message="internal error"))
        await settle(
            conn,
            [Finished(claim=claim, result=result, seconds=0.0)],
            owner=A,
            policies={Destination.EMAIL: RULES},
        )

        assert await failing(conn) == [("email", True)]


async def test_alerts_of_every_kind_are_asked_for_in_both_channels(conn: Connection) -> None:
    for kind in sorted(set(AlertKind) - {AlertKind.CHANNEL_FAILING}):
        await raised(
            conn, alert=NewAlert(kind=kind, fingerprint=str(uuid4())), channels=ALERT_CHANNELS
        )
    asked = await owed(conn)
    assert len(asked) == 2 * (len(AlertKind) - 1)
