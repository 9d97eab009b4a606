"""What each answer of Guesty's token endpoint means."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from httpx import codes

from outbox_worker.pms import refusal
from outbox_worker.pms.guesty_token_words import CREDENTIALS_REFUSED, TOKEN_ADDRESS, TOKEN_LIMITED
from outbox_worker.pms.http import Answered, Broken, Exchange, NotSent
from outbox_worker.pms.retry_after import retry_after

_LONGEST_TOKEN = 16_384
#: What Guesty documents; assumed where an answer does not say.
_LIFE = timedelta(hours=24)
#: One that is said to live longer is renewed all the same.
_LONGEST_LIFE = timedelta(days=7)
_SHORTEST_LIFE = timedelta(seconds=1)

_CREDENTIALS = frozenset({codes.BAD_REQUEST, codes.UNAUTHORIZED, codes.FORBIDDEN})
_NOWHERE = frozenset({codes.NOT_FOUND, codes.METHOD_NOT_ALLOWED, codes.GONE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Minted:
    """A new token.

    Args:
        value: Secret.
        life: From its request on.
    """

    value: str = field(repr=False)
    life: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class NotMinted:
    """No token.

    Args:
        code: Why; stable and snake_case.
        sent: False: nothing has left this machine.
        retry_after: The rest that the endpoint asks for.
    """

    code: str
    sent: bool = True
    retry_after: timedelta = timedelta(0)
    http_status: int | None = None


def read(exchange: Exchange) -> Minted | NotMinted:
    """What a request for a token has brought. Never quotes the answer."""
    match exchange:
        case NotSent():
            return NotMinted(code=exchange.code, sent=False)
        case Broken():
            return NotMinted(code=exchange.code, http_status=exchange.status)
        case Answered():
            pass
    status = exchange.status
    if codes.is_success(status):
        return _token(exchange)
    page = refusal.is_markup(exchange.body)
    if status in _CREDENTIALS and not page:
        return NotMinted(code=CREDENTIALS_REFUSED, http_status=status)
    if status == codes.TOO_MANY_REQUESTS:
        wait = retry_after(exchange.headers, now=datetime.now(UTC))
        return NotMinted(code=TOKEN_LIMITED, retry_after=wait or timedelta(0), http_status=status)
    if codes.is_redirect(status) or status in _NOWHERE:
        return NotMinted(code=TOKEN_ADDRESS, http_status=status)
    return NotMinted(code=f"http_{status}", http_status=status)


def _token(answer: Answered) -> Minted | NotMinted:
    try:
        body: Any = json.loads(answer.body) if answer.whole else None
    except (ValueError, RecursionError):
        body = None
        if refusal.is_markup(answer.body):
            return NotMinted(code=TOKEN_ADDRESS, http_status=answer.status)
    value = body.get("access_token") if isinstance(body, dict) else None
    if isinstance(value, str) and 0 < len(value) <= _LONGEST_TOKEN and _sendable(value):
        life = _life(body.get("expires_in"))
        if life is not None:
            return Minted(value=value, life=life)
    return NotMinted(code="unreadable_answer", http_status=answer.status)


def _sendable(value: str) -> bool:
    """Whether it can stand in a header."""
    return value.isascii() and value.isprintable() and " " not in value


def _life(seconds: object) -> timedelta | None:
    if seconds is None:
        return _LIFE
    if isinstance(seconds, str) and seconds.isascii() and seconds.isdigit():
        seconds = int(seconds[:12])
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    if not seconds >= _SHORTEST_LIFE.total_seconds():  # no number at all is not less either
        return None
    return timedelta(seconds=float(min(seconds, _LONGEST_LIFE.total_seconds())))
