"""Alerts through a chat's incoming webhook, as Slack takes them; others take the same."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta

import httpx

from outbox_worker.alerts import shown
from outbox_worker.alerts.port import Accepted, ChatMessage
from outbox_worker.errors import AlertChannelError
from outbox_worker.pms.retry_after import retry_after
from outbox_worker.settings_types import Secret

_TIMEOUT = timedelta(seconds=10)
#: An answer is read for its status and a few words.
_BODY_LIMIT = 4 * 1024
_WORDS_LIMIT = 80
_TOO_MANY = 429
#: Nothing of the request has left, whatever follows.
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)
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
        self._timeout = timeout
        self._client = httpx.AsyncClient(
            timeout=timeout.total_seconds(), trust_env=False, follow_redirects=False
        )

    @property
    def timeout(self) -> timedelta:
        """Longest time of one `send`."""
        return self._timeout

    async def send(self, message: ChatMessage) -> Accepted:
        """Post one message.

        Raises:
            AlertChannelError: Not reached, refused, or no answer in time.
        """
        try:
            # httpx bounds each read; a server that answers byte by byte would hold us for ever
            async with asyncio.timeout(self._timeout.total_seconds()):
                return await self._post(message)
        except TimeoutError as error:
            raise AlertChannelError(
                "chat_timeout", "the chat did not answer in time", ambiguous=True
            ) from error
        except _NOT_SENT as error:
            raise AlertChannelError(
                "chat_unreachable", f"the chat cannot be reached: {_name(error)}"
            ) from error
        except httpx.HTTPError as error:
            raise AlertChannelError(
                "chat_broken", f"the connection to the chat broke: {_name(error)}", ambiguous=True
            ) from error

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _post(self, message: ChatMessage) -> Accepted:
        async with self._client.stream(
            "POST",
            self._url.reveal(),
            content=json.dumps({"text": message.text}).encode(),
            headers={"Content-Type": "application/json"},
        ) as response:
            said = _words(response, await _beginning(response))
            # nothing stops a server from quoting the address that was asked
            quoted = any(part in said for part in _PARTS.findall(self._url.reveal()))
            return _accepted(response, said="" if quoted else said)


async def _beginning(response: httpx.Response) -> bytes:
    read = b""
    async for chunk in response.aiter_bytes():
        read += chunk
        if len(read) >= _BODY_LIMIT:
            break
    return read[:_BODY_LIMIT]


def _accepted(response: httpx.Response, *, said: str) -> Accepted:
    status = response.status_code
    if response.is_success and not _is_page(response):
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


def _is_page(response: httpx.Response) -> bool:
    return "html" in response.headers.get("content-type", "")


def _words(response: httpx.Response, body: bytes) -> str:
    """What the chat says of its refusal, such as ``channel_is_archived``; empty for a page."""
    text = body.decode("utf-8", "replace")
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
    return "" if _is_page(response) else shown.clean(text, _WORDS_LIMIT)


def _name(error: Exception) -> str:
    # the text of the error may quote the address, which is the key
    return type(error).__name__
