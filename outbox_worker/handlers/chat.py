"""(chat, <alert id>): alerts in a chat, in few lines."""

from __future__ import annotations

from functools import partial

from outbox_worker.alerts import render_chat
from outbox_worker.alerts.port import AlertChannel, ChatMessage
from outbox_worker.handlers.alert import AlertHandler, Telling
from outbox_worker.outbox.delivery import Destination
from outbox_worker.outbox.retry import RetryPolicy
from outbox_worker.pms.port import PmsName


class ChatHandler(AlertHandler[ChatMessage]):
    """Posts alerts into a chat.

    Args:
        channel: Where messages are handed in; None: there is no chat, which nobody has to be told.
        policy: Without a limit of attempts.
        pms: Whom bookings go to, for the words.
    """

    def __init__(
        self, channel: AlertChannel[ChatMessage] | None, *, policy: RetryPolicy, pms: PmsName
    ) -> None:
        telling = Telling(
            destination=Destination.CHAT,
            channel=channel,
            compose=partial(render_chat.message, pms=pms),
            page=render_chat.PAGE,
            alone=False,
        )
        super().__init__(telling, policy=policy)
