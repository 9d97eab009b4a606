"""Alerts through a mail service's HTTP API, in SendGrid's shape (v3 mail/send) or in Resend's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from outbox_worker.alerts import shown
from outbox_worker.alerts.bounded_post import BoundedPost, Posted
from outbox_worker.alerts.mime import SENDER_NAME
from outbox_worker.alerts.port import Accepted, AlertMessage
from outbox_worker.errors import AlertChannelError
from outbox_worker.pms.retry_after import retry_after
from outbox_worker.settings_types import Secret

_TIMEOUT = timedelta(seconds=10)
#: An answer is read for its status and one sentence.
_BODY_LIMIT = 16 * 1024
_SENTENCE_LIMIT = 200
_TOO_MANY = 429


class _Shape(Enum):
    SENDGRID = auto()
    RESEND = auto()


class EmailApiChannel:
    """Mails alerts by one HTTP request each.

    Args:
        endpoint: Where mail is posted; Resend's shape is used for hosts of resend.com and for paths
            that end in ``/emails``, SendGrid's for all others.
        api_key: Sent as a bearer token.
        sender: Bare address that the service may send from.
        recipients: Bare addresses, at least one.
        timeout: Longest time of one `send`.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        api_key: Secret,
        sender: str,
        recipients: Sequence[str],
        timeout: timedelta = _TIMEOUT,
    ) -> None:
        self._endpoint = endpoint
        self._shape = _shape_of(endpoint)
        self._key = api_key
        self._sender = sender
        self._recipients = tuple(recipients)
        self._post = BoundedPost(
            code="email_api", name="the mail API", timeout=timeout, body_limit=_BODY_LIMIT
        )

    @property
    def timeout(self) -> timedelta:
        """Longest time of one `send`."""
        return self._post.timeout

    async def send(self, message: AlertMessage) -> Accepted:
        """Post one mail.

        Raises:
            AlertChannelError: Not reached, refused, or no answer in time.
        """
        body = json.dumps(self.body(message)).encode()
        headers = {
            "Authorization": f"Bearer {self._key.reveal()}",
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        if self._shape is _Shape.RESEND:
            # Resend refuses a key that comes with another body; a mail whose numbers have changed
            # since must not be refused for ever
            digest = sha256(body).hexdigest()[:32]
            headers["Idempotency-Key"] = f"{message.message_id.strip('<>')}/{digest}"
        return _accepted(await self._post.send(self._endpoint, content=body, headers=headers))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._post.aclose()

    def body(self, message: AlertMessage) -> dict[str, Any]:
        """What is posted, as JSON values."""
        match self._shape:
            case _Shape.RESEND:
                return {
                    "from": f"{SENDER_NAME} <{self._sender}>",
                    "to": list(self._recipients),
                    "subject": message.subject,
                    "text": message.text,
                    "html": message.html,
                    "headers": message.headers,
                }
            case _Shape.SENDGRID:
                untracked = {"enable": False}
                return {
                    "personalizations": [{"to": [{"email": to} for to in self._recipients]}],
                    "from": {"email": self._sender, "name": SENDER_NAME},
                    "subject": message.subject,
                    "content": [
                        {"type": "text/plain", "value": message.text},
                        {"type": "text/html", "value": message.html},
                    ],
                    "headers": message.headers,
                    "tracking_settings": {
                        "click_tracking": untracked | {"enable_text": False},
                        "open_tracking": untracked,
                    },
                }


def _shape_of(endpoint: str) -> _Shape:
    parts = urlsplit(endpoint)
    host = (parts.hostname or "").lower()
    resend = host == "resend.com" or host.endswith(".resend.com")
    return (
        _Shape.RESEND if resend or parts.path.rstrip("/").endswith("/emails") else _Shape.SENDGRID
    )


def _accepted(posted: Posted) -> Accepted:
    response = posted.response
    status = response.status_code
    if response.is_success:
        if posted.is_page:
            raise AlertChannelError(
                "email_api_html",
                "the mail API answered with a web page: check EMAIL_API_ENDPOINT",
                http_status=status,
            )
        return Accepted(http_status=status)
    if response.is_redirect:
        why = "answered with a redirect: check EMAIL_API_ENDPOINT"
    elif status in {401, 403}:
        why = (
            "refused the key or the sender: check EMAIL_API_KEY and EMAIL_FROM"
            f"{_reason(posted.beginning)}"
        )
    else:
        why = f"answered {status}{_reason(posted.beginning)}"
    raise AlertChannelError(
        f"email_api_{status}",
        f"the mail API {why}",
        ambiguous=response.is_server_error,
        http_status=status,
        retry_after=retry_after(response.headers, now=datetime.now(UTC))
        if status == _TOO_MANY
        else None,
    )


def _reason(body: bytes) -> str:
    """What the service says of its refusal, without addresses; empty where it says nothing."""
    try:
        said: object = json.loads(body)
    except ValueError:
        return ""
    match said:
        case {"errors": [{"message": str(text)}, *_]} | {"message": str(text)}:
            return f" ({shown.clean(text, _SENTENCE_LIMIT)})"
        case _:
            return ""
