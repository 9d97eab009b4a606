"""The composition root's part for alerts: settings in, the handlers of both channels out."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from outbox_worker.alerts.port import AlertChannel, AlertMessage, ChatMessage
from outbox_worker.handlers.chat import ChatHandler
from outbox_worker.handlers.email import EmailHandler
from outbox_worker.handlers.protocol import Handler
from outbox_worker.outbox.delivery import Destination
from outbox_worker.outbox.retry import RetryPolicy
from outbox_worker.pms.port import PmsName
from outbox_worker.settings_types import AlertSettings, SyncSettings

#: Messages at once of each channel; a chat takes about one in a second.
CHANNEL_SLOTS = {Destination.EMAIL: 2, Destination.CHAT: 1}

#: Longest time of one message.
_TIMEOUT = timedelta(seconds=15)

#: A message is never given up: an alert that nobody hears of is none.
CHANNEL_POLICY = RetryPolicy(
    max_attempts=None,
    base=timedelta(seconds=1),
    cap=timedelta(seconds=300),
    redrive_every=None,
    redrive_for=timedelta(0),
)


@contextlib.asynccontextmanager
async def open_channels(
    alerts: AlertSettings, *, lease: timedelta, sync: SyncSettings
) -> AsyncIterator[tuple[Handler[Any], ...]]:
    """The handlers of mail and chat, also of a channel that is not set up: it settles its rows.

    A message is bounded by half a lease: one that could outlive its lease is never begun.
    """
    longest, pms = min(_TIMEOUT, lease / 2), PmsName(sync.pms)
    async with _open_mail(alerts, longest) as mail, _open_chat(alerts, longest) as chat:
        yield (
            EmailHandler(
                mail,
                policy=CHANNEL_POLICY,
                currency=sync.currency,
                pms=pms,
                alone=chat is None,
            ),
            ChatHandler(chat, policy=CHANNEL_POLICY, pms=pms),
        )


@contextlib.asynccontextmanager
async def _open_mail(
    alerts: AlertSettings, longest: timedelta
) -> AsyncIterator[AlertChannel[AlertMessage] | None]:
    """SMTP where ``SMTP_URL`` is set, else the HTTP API; None: nobody to write to, or no way."""
    if not alerts.recipients or alerts.sender is None:
        yield None
    elif alerts.smtp_url is not None:
        from outbox_worker.alerts.smtp import SmtpChannel, parse_url

        yield SmtpChannel(
            parse_url(alerts.smtp_url),
            sender=alerts.sender,
            recipients=alerts.recipients,
            timeout=longest,
        )
    elif alerts.api_key is not None:
        from outbox_worker.alerts.email import EmailApiChannel

        channel = EmailApiChannel(
            alerts.api_endpoint,
            api_key=alerts.api_key,
            sender=alerts.sender,
            recipients=alerts.recipients,
            timeout=longest,
        )
        try:
            yield channel
        finally:
            await channel.aclose()
    else:
        yield None


@contextlib.asynccontextmanager
async def _open_chat(
    alerts: AlertSettings, longest: timedelta
) -> AsyncIterator[AlertChannel[ChatMessage] | None]:
    """The webhook; None: there is no chat."""
    if alerts.chat_webhook_url is None:
        yield None
        return
    from outbox_worker.alerts.chat import ChatWebhookChannel

    channel = ChatWebhookChannel(alerts.chat_webhook_url, timeout=longest)
    try:
        yield channel
    finally:
        await channel.aclose()
