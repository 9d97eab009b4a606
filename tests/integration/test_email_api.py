from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from outbox_worker.alerts.email import EmailApiChannel
from outbox_worker.errors import AlertChannelError
from outbox_worker.settings_types import Secret
from tests.support_alert import make_message
from tests.support_mail import Answer, MailApi, answer, broken, dripping, mail_api, silent
from tests.support_port import kept_port

RECIPIENTS = ("ops@example.com", "owner@example.org")


@pytest.fixture
async def api() -> AsyncIterator[MailApi]:
    async with mail_api() as running:
        yield running


@pytest.fixture
async def channel(api: MailApi) -> AsyncIterator[EmailApiChannel]:
    opened = channel_to(api.url)
    yield opened
    await opened.aclose()


def channel_to(endpoint: str, *, seconds: float = 5) -> EmailApiChannel:
    return EmailApiChannel(
        endpoint,
        api_key=Secret("key-1"),
        sender="alerts@example.com",
        recipients=RECIPIENTS,
        timeout=timedelta(seconds=seconds),
    )


async def refused(channel: EmailApiChannel) -> AlertChannelError:
    with pytest.raises(AlertChannelError) as caught:
        await channel.send(make_message())
    return caught.value


async def test_mail_is_posted_in_sendgrids_shape(api: MailApi, channel: EmailApiChannel) -> None:
    message = make_message(2, references=("<alert-7.1@booking-outbox>",))
    accepted = await channel.send(message)

    assert accepted.http_status == 202
    (posted,) = api.accepted
    assert posted.path == "/v3/mail/send"
    assert posted.headers["authorization"] == "Bearer key-1"
    assert posted.headers["content-type"] == "application/json"
    assert "idempotency-key" not in posted.headers
    body = posted.json
    assert body["personalizations"] == [{"to": [{"email": to} for to in RECIPIENTS]}]
    assert body["from"]["email"] == "alerts@example.com"
    assert body["subject"] == message.subject
    assert body["content"] == [
        {"type": "text/plain", "value": message.text},
        {"type": "text/html", "value": message.html},
    ]
    assert body["headers"]["Message-ID"] == "<alert-7.2@booking-outbox>"
    assert body["headers"]["In-Reply-To"] == "<alert-7.1@booking-outbox>"
    assert body["tracking_settings"]["open_tracking"] == {"enable": False}


async def test_mail_is_posted_in_resends_shape_where_the_path_says_so(api: MailApi) -> None:
    channel = channel_to(api.url.replace("/v3/mail/send", "/emails"))
    message = make_message()
    try:
        await channel.send(message)
        await channel.send(message)
        await channel.send(make_message(text="other numbers"))
    finally:
        await channel.aclose()

    first, second, third = api.accepted
    assert first.json["to"] == list(RECIPIENTS)
    assert first.json["from"] == "Booking outbox <alerts@example.com>"
    assert (first.json["text"], first.json["html"]) == (message.text, message.html)
    assert first.json["headers"]["Message-ID"] == message.message_id
    key = first.headers["idempotency-key"]
    assert key.startswith("alert-7.1@booking-outbox/")
    assert second.headers["idempotency-key"] == key, "a repeated mail is the same request"
    assert third.headers["idempotency-key"] != key, "the service refuses a key with another body"


@pytest.mark.parametrize(
    ("endpoint", "resend"),
    [
        ("https://api.resend.com/emails", True),
        ("https://api.resend.com/v2/send", True),
        ("https://mail.example.com/emails/", True),
        ("https://api.sendgrid.com/v3/mail/send", False),
        ("https://resend.com.example.org/send", False),
    ],
)
async def test_the_endpoint_decides_the_shape(endpoint: str, resend: bool) -> None:
    channel = channel_to(endpoint)
    assert ("to" in channel.body(make_message())) is resend
    await channel.aclose()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429])
async def test_a_refusal_is_certain_and_says_why_without_addresses(
    api: MailApi, channel: EmailApiChannel, status: int
) -> None:
    said = {"errors": [{"message": "alerts@example.com\r\nis not verified"}]}
    api.script.append(answer(status, json.dumps(said).encode()))
    error = await refused(channel)
    assert (error.code, error.http_status, error.ambiguous) == (
        f"email_api_{status}",
        status,
        False,
    )
    assert "is not verified" in str(error)
    assert "alerts@example.com" not in str(error)
    assert "\n" not in str(error)


async def test_resends_way_to_say_why_is_understood(api: MailApi, channel: EmailApiChannel) -> None:
    api.script.append(answer(422, b'{"statusCode": 422, "message": "Invalid from field"}'))
    assert "Invalid from field" in str(await refused(channel))


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"errors": []}', b"\xff" * 100_000])
async def test_a_refusal_without_a_reason_is_told_by_its_status(
    api: MailApi, channel: EmailApiChannel, body: bytes
) -> None:
    api.script.append(answer(400, body))
    assert str(await refused(channel)) == "the mail API answered 400"


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_server_error_leaves_open_whether_the_mail_is_out(
    api: MailApi, channel: EmailApiChannel, status: int
) -> None:
    api.script.append(answer(status))
    error = await refused(channel)
    assert (error.code, error.ambiguous) == (f"email_api_{status}", True)


async def test_a_redirect_is_not_followed(api: MailApi, channel: EmailApiChannel) -> None:
    api.script.append(answer(307, Location=api.url))
    error = await refused(channel)
    assert (error.code, error.ambiguous) == ("email_api_307", False)
    assert "EMAIL_API_ENDPOINT" in str(error)
    assert len(api.posted) == 1


async def test_a_web_page_is_no_acceptance(api: MailApi, channel: EmailApiChannel) -> None:
    api.script.append(answer(200, b"<html>", content_type="text/html; charset=utf-8"))
    assert (await refused(channel)).code == "email_api_html"


async def test_a_break_leaves_open_whether_the_mail_is_out(
    api: MailApi, channel: EmailApiChannel
) -> None:
    api.script.append(broken)
    error = await refused(channel)
    assert (error.code, error.ambiguous) == ("email_api_broken", True)


@pytest.mark.parametrize("fault", [silent, dripping])
async def test_a_server_that_does_not_answer_is_left_in_time(api: MailApi, fault: Answer) -> None:
    channel = channel_to(api.url, seconds=1)
    api.script.append(fault)
    try:
        async with asyncio.timeout(10):
            error = await refused(channel)
    finally:
        await channel.aclose()
    assert (error.code, error.ambiguous) == ("email_api_timeout", True)


async def test_a_server_that_is_down_is_certain_not_to_have_the_mail() -> None:
    url = f"http://127.0.0.1:{kept_port()}/v3/mail/send"
    channel = channel_to(url)
    try:
        error = await refused(channel)
    finally:
        await channel.aclose()
    assert (error.code, error.ambiguous) == ("email_api_unreachable", False)
    assert url not in str(error)


async def test_proxies_of_the_environment_are_not_used(
    api: MailApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    channel = channel_to(api.url)
    await channel.send(make_message())
    await channel.aclose()
    assert len(api.accepted) == 1
