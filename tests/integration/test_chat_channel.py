"""The chat's webhook as an HTTP client: what it posts, and what it makes of every answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from outbox_worker.alerts.alert import AlertId
from outbox_worker.alerts.chat import ChatWebhookChannel
from outbox_worker.alerts.port import Accepted, ChatMessage
from outbox_worker.errors import AlertChannelError
from outbox_worker.settings_types import Secret
from tests.support_hook import SECRET, Hook, hook, patience
from tests.support_mail import Answer, answer, broken, dripping, silent
from tests.support_port import kept_port

MESSAGE = ChatMessage(alert_id=AlertId(7), text="Zürich \N{LARGE RED CIRCLE}\nline &amp; two")


@pytest.fixture
async def chat() -> AsyncIterator[Hook]:
    async with hook() as running:
        yield running


@pytest.fixture
async def channel(chat: Hook) -> AsyncIterator[ChatWebhookChannel]:
    made = ChatWebhookChannel(Secret(chat.url), timeout=timedelta(seconds=5))
    yield made
    await made.aclose()


async def refusal(channel: ChatWebhookChannel) -> AlertChannelError:
    with pytest.raises(AlertChannelError) as caught:
        await channel.send(MESSAGE)
    assert SECRET not in f"{caught.value!r} {caught.value} {caught.value.hint}"
    return caught.value


async def test_a_message_is_posted_as_slack_takes_it(
    channel: ChatWebhookChannel, chat: Hook
) -> None:
    assert await channel.send(MESSAGE) == Accepted(http_status=200)

    (call,) = chat.called
    assert (call.method, call.path) == ("POST", f"/services/{SECRET}?token={SECRET}")
    assert call.headers["content-type"] == "application/json"
    assert json.loads(call.body) == {"text": MESSAGE.text}


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_any_success_that_is_no_web_page_is_taken(
    channel: ChatWebhookChannel, chat: Hook, status: int
) -> None:
    chat.script.append(answer(status, content_type="text/plain"))

    assert (await channel.send(MESSAGE)).http_status == status


@pytest.mark.parametrize(
    ("given", "code", "ambiguous", "words"),
    [
        (
            answer(404, b"no_service", content_type="text/html"),
            "chat_404",
            False,
            "webhook any more",
        ),
        (answer(404, b"no_service", content_type="text/plain"), "chat_404", False, "(no_service)"),
        (answer(403, b"action_prohibited"), "chat_403", False, "(action_prohibited)"),
        (answer(410, b"channel_is_archived"), "chat_410", False, "(channel_is_archived)"),
        (
            answer(404, b'{"message": "Unknown Webhook", "code": 10015}'),
            "chat_404",
            False,
            "(Unknown Webhook): check ALERT_CHAT_WEBHOOK_URL",
        ),
        (answer(400, b'["no", "message"]'), "chat_400", False, "the chat answered 400"),
        (answer(400, b"invalid_payload"), "chat_400", False, "answered 400 (invalid_payload)"),
        (answer(500, b"rollup_error"), "chat_500", True, "answered 500"),
        (answer(302, Location="https://elsewhere.example"), "chat_302", False, "redirect"),
        (answer(200, b"<p>log in</p>", content_type="text/html"), "chat_html", False, "web page"),
        (answer(429, b"rate_limited"), "chat_429", False, "asks for fewer messages"),
        (broken, "chat_broken", True, "broke"),
    ],
)
async def test_every_refusal_has_its_code_and_says_what_to_check(
    channel: ChatWebhookChannel,
    chat: Hook,
    given: Answer,
    code: str,
    ambiguous: bool,
    words: str,
) -> None:
    chat.script.append(given)

    error = await refusal(channel)

    assert (error.code, error.ambiguous, error.retry_after) == (code, ambiguous, None)
    assert words in str(error)
    assert len(chat.called) == 1, "it never repeats by itself"


async def test_a_chat_that_asks_for_patience_says_how_long(
    channel: ChatWebhookChannel, chat: Hook
) -> None:
    chat.script.append(patience(42))

    assert (await refusal(channel)).retry_after == timedelta(seconds=42)


async def test_an_answer_that_quotes_the_address_is_not_repeated(
    channel: ChatWebhookChannel, chat: Hook
) -> None:
    chat.script.append(answer(404, f"no hook {SECRET} here".encode(), content_type="text/plain"))

    assert str(await refusal(channel)).startswith("the chat does not know the webhook any more:")


@pytest.mark.parametrize("given", [silent, dripping])
async def test_a_chat_that_does_not_come_to_an_end_is_left_in_time(
    chat: Hook, given: Answer
) -> None:
    chat.script.append(given)
    channel = ChatWebhookChannel(Secret(chat.url), timeout=timedelta(seconds=1))

    error = await refusal(channel)

    assert (error.code, error.ambiguous) == ("chat_timeout", True)
    await channel.aclose()


async def test_a_chat_that_is_not_there_has_certainly_taken_nothing() -> None:
    channel = ChatWebhookChannel(Secret(f"http://127.0.0.1:{kept_port()}/services/{SECRET}"))

    error = await refusal(channel)

    assert (error.code, error.ambiguous) == ("chat_unreachable", False)
    await channel.aclose()
