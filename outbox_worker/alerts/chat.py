"""Alerts through a chat's incoming webhook, as Slack takes them; others take the same."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

from outbox_worker.alerts import shown
from outbox_worker.alerts.bounded_post import BoundedPost, Posted
from outbox_worker.alerts.port import Accepted, ChatMessage
from outbox_worker.errors import AlertChannelError
from outbox_worker.pms.retry_after import retry_after
from outbox_worker.settings_types import Secret

_TIMEOUT = timedelta(seconds=10)
#: An answer is read for its status and a few words.
_BODY_LIMIT = 4 * 1024
_WORDS_LIMIT = 80
_TOO_MANY = 429
#: Parts of an address that may be its secret.
_PARTS = re.compile(r"[^/?&=#]{6,}")
#: What the webhook itself being wrong looks like.
_GONE = frozenset({401, 403, 404, 410})


class ChatWebhookChannel:
    """Posts alerts into a chat by one HTTP request each.

    Args:
        url: The webhook; whoever knows it may post, so that no text of ours ever shows it.
        timeout: Longest time of one `send`.
    """

    def __init__(self, url: Secret, *, timeout: timedelta = _TIMEOUT) -> None:
        self._url = url
        self._post = BoundedPost(
            code="chat", name="the chat", timeout=timeout, body_limit=_BODY_LIMIT
        )

    @property
    def timeout(self) -> timedelta:
        """Longest time of one `send`."""
        return self._post.timeout

    async def send(self, message: ChatMessage) -> Accepted:
        """Post one message.

        Raises:
            AlertChannelError: Not reached, refused, or no answer in time.
        """
        posted = await self._post.send(
            self._url.reveal(),
            content=json.dumps({"text": message.text}).encode(),
            headers={"Content-Type": "application/json"},
        )
        said = _words(posted)
        # nothing stops a server from quoting the address that was asked
        quoted = any(part in said for part in _PARTS.findall(self._url.reveal()))
        return _accepted(posted, said="" if quoted else said)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._post.aclose()


def _accepted(posted: Posted, *, said: str) -> Accepted:
    response = posted.response
    status = response.status_code
    if response.is_success and not posted.is_page:
        return Accepted(http_status=status)
    wait = None
    because = f" ({said})" if said else ""
    code = f"chat_{status}"
    check = "check ALERT_CHAT_WEBHOOK_URL"
    if response.is_success:
        code, why = "chat_html", f"answered with a web page: {check}"
    elif response.is_redirect:
        why = f"answered with a redirect: {check}"
    elif status in _GONE:
        why = f"does not know the webhook any more{because}: {check}"
    elif status == _TOO_MANY:
        why = "asks for fewer messages"
        wait = retry_after(response.headers, now=datetime.now(UTC))
    else:
        why = f"answered {status}{because}"
    raise AlertChannelError(
        code,
        f"the chat {why}",
        ambiguous=response.is_server_error,
        http_status=status,
        retry_after=wait,
    )


def _words(posted: Posted) -> str:
    """What the chat says of its refusal, such as ``channel_is_archived``; empty for a page."""
    text = posted.beginning.decode("utf-8", "replace")
    try:
        said: object = json.loads(text)
    except ValueError:
        said = None
    match said:
        case {"message": str(reason)}:
            text = reason
        case dict() | list():
            text = ""
        case _:
            pass
    return "" if posted.is_page else shown.clean(text, _WORDS_LIMIT)
