"""One call of Guesty's API with the fleet's token, and what its answer tells of the rate limit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypeAlias

from outbox_worker.pms import exact_json, rate_headers
from outbox_worker.pms import guesty_token_words as words
from outbox_worker.pms.exchange_answer import Content
from outbox_worker.pms.guesty_answer import Accepted, TokenRefused, Written, read, write
from outbox_worker.pms.guesty_token import Token, TokenSource
from outbox_worker.pms.http import Answered, Exchange, PmsHttp
from outbox_worker.pms.port import (
    Absent,
    Ambiguous,
    Misconfigured,
    PmsName,
    RateLimited,
    ReadFailure,
    Rejected,
    Remaining,
    Unavailable,
)

#: A token that is known costs no time at all.
_TOKEN_IN_HAND_S = 0.5
#: All that is used of the API stands under it, reservations "v3" too.
_VERSION = "v1"

ReadOutcome: TypeAlias = Content | Absent | Rejected | ReadFailure
WriteOutcome: TypeAlias = (
    Accepted | Absent | Ambiguous | Rejected | RateLimited | Unavailable | Misconfigured
)


class GuestyCalls:
    """Calls with a token, one exchange each, none tried twice.

    Args:
        api_url: Address of the API, without the version.
        tokens: Asked before every call; what it answers instead of a token is the call's outcome.
        timeout: Bounds each exchange, without the time that a token takes.
        connections: Calls at the same time; more of them wait.

    Raises:
        ValueError: The address cannot be used in HTTP.
    """

    def __init__(
        self, *, api_url: str, tokens: TokenSource, timeout: timedelta, connections: int
    ) -> None:
        self._http = PmsHttp(
            base_url=api_url,
            name=PmsName.GUESTY.display_name,
            headers={},
            timeout=timeout,
            connections=connections,
        )
        self._tokens = tokens
        self._heard: dict[timedelta, Remaining] = {}

    def heard(self) -> tuple[Remaining, ...]:
        """The least that was left of each window since this was asked last, the shortest first."""
        heard, self._heard = self._heard, {}
        return tuple(heard[length] for length in sorted(heard))

    async def ready(self) -> ReadFailure | None:
        """Have a token in hand; else why there is none."""
        token = await self._tokens.token()
        return None if isinstance(token, Token) else token

    async def read(
        self, path: tuple[str, ...], *, query: Mapping[str, str], what: str
    ) -> ReadOutcome:
        """A GET; ``what`` is what it asks for, for messages."""
        token = await self._tokens.token()
        if not isinstance(token, Token):
            return token
        answer = read(await self._exchange("GET", path, token, query=query), what=what)
        return await self._refused(token, answer) if isinstance(answer, TokenRefused) else answer

    async def write(
        self, method: str, path: tuple[str, ...], body: Mapping[str, Any], written: Written
    ) -> WriteOutcome:
        """A POST or PUT; not sent if there is no token in hand, as `ready` has seen to one.

        The caller has asked for permission to send now, not for one a time-out later.
        """
        try:
            async with asyncio.timeout(_TOKEN_IN_HAND_S):
                token = await self._tokens.token()
        except TimeoutError:
            return words.ended_before()
        if not isinstance(token, Token):
            return token
        exchange = await self._exchange(
            method, path, token, body=exact_json.encode(body).encode("ascii")
        )
        answer = write(exchange, written)
        return await self._refused(token, answer) if isinstance(answer, TokenRefused) else answer

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _refused(self, token: Token, answer: TokenRefused) -> Unavailable | Misconfigured:
        return await self._tokens.refused(token, http_status=answer.http_status)

    async def _exchange(
        self,
        method: str,
        path: tuple[str, ...],
        token: Token,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Exchange:
        headers = {"Authorization": f"Bearer {token.value}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        exchange = await self._http.exchange(
            method, (_VERSION, *path), query=query, headers=headers, body=body
        )
        if isinstance(exchange, Answered):
            for window in rate_headers.remaining(exchange.headers):
                known = self._heard.get(window.length)
                if known is None or window.left < known.left:
                    self._heard[window.length] = window
        return exchange
