"""A token endpoint that counts, and workers that share what it gives."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

from outbox_worker.database import Connection, connection
from outbox_worker.gate.token_state import Identity, identity
from outbox_worker.pms.guesty_token import Token
from outbox_worker.pms.guesty_token_source import FleetToken
from tests.support_mail import Answer, answer, listening

CLIENT = "client-1"
SECRET = "s3cret&key"
PATIENT = timedelta(seconds=20)
DAY = timedelta(hours=24)


@dataclass(slots=True)
class Endpoint:
    """Gives a token to whoever knows the secret; ``script`` holds other answers, each used once.

    Args:
        released: Answers wait for it.
    """

    url: str = ""
    forms: list[dict[str, list[str]]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    script: deque[Answer] = field(default_factory=deque)
    secrets: set[str] = field(default_factory=lambda: {SECRET})
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def requests(self) -> int:
        """How many have arrived."""
        return len(self.forms)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers["content-length"]))
        assert headers["content-type"] == "application/x-www-form-urlencoded"
        form = parse_qs(body.decode("ascii"), strict_parsing=True)
        self.paths.append(" ".join(head[0].split(" ")[:2]))
        self.forms.append(form)
        number = self.requests
        said = self.script.popleft() if self.script else self._answer(form, number)
        await self.released.wait()
        await said(writer)

    def _answer(self, form: dict[str, list[str]], number: int) -> Answer:
        if form["client_secret"][0] not in self.secrets:
            return answer(401, b'{"error": "invalid_client"}')
        token = {
            "token_type": "Bearer",
            "expires_in": round(DAY.total_seconds()),
            "access_token": f"token-{number}",
            "scope": "open-api",
        }
        return answer(200, json.dumps(token).encode())


@contextlib.asynccontextmanager
async def endpoint() -> AsyncIterator[Endpoint]:
    """One that answers at once."""
    made = Endpoint()
    made.released.set()
    async with listening(made.serve) as port:
        made.url = f"http://127.0.0.1:{port}"
        yield made


class Seam:
    """Connections of one worker; ``before`` and ``leaving`` happen at the one with that number."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.opened = 0
        self.closed = 0
        self.before: dict[int, Callable[[], object]] = {}
        self.leaving: dict[int, Callable[[], object]] = {}

    def connect(self) -> AbstractAsyncContextManager[Connection]:
        return self._connected()

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        self.opened += 1
        number = self.opened
        await _done(self.before.get(number))
        async with connection(self.url, application_name="outbox token seam") as conn:
            yield conn
        self.closed += 1
        await _done(self.leaving.get(number))


async def _done(step: Callable[[], object] | None) -> None:
    if step is not None:
        made = step()
        if asyncio.iscoroutine(made):
            await made


def source(
    database_url: str,
    url: str,
    *,
    client_id: str = CLIENT,
    secret: str = SECRET,
    timeout: timedelta = PATIENT,
    **more: Any,
) -> FleetToken:
    """One worker's source, with connections of its own."""
    settings = {
        "connect": lambda: connection(database_url, application_name="outbox token"),
        **more,
    }
    return FleetToken(
        api_url=url, client_id=client_id, client_secret=secret, timeout=timeout, **settings
    )


@contextlib.asynccontextmanager
async def fleet(
    database_url: str, url: str, count: int, **settings: Any
) -> AsyncIterator[Sequence[FleetToken]]:
    """Several workers."""
    async with contextlib.AsyncExitStack() as stack:
        made = [source(database_url, url, **settings) for _ in range(count)]
        for each in made:
            stack.push_async_callback(each.aclose)
        yield made


def ours(endpoint: Endpoint, *, client_id: str = CLIENT, secret: str = SECRET) -> Identity:
    return identity(api_url=endpoint.url, client_id=client_id, client_secret=secret)


async def got(worker: FleetToken) -> Token:
    """The token that it must have."""
    answered = await worker.token()
    assert isinstance(answered, Token), answered
    return answered


async def row_of(conn: Connection) -> dict[str, Any]:
    cursor = await conn.execute(
        "select *, now() as now from outbox.destination where destination = 'guestly'"
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


async def pass_time(conn: Connection, length: timedelta) -> None:
    """Let everything on record be older."""
    await conn.execute(
        """update outbox.destination set
          token_since = token_since - %(by)s::interval,
          token_expires_at = token_expires_at - %(by)s::interval,
          token_refused_at = token_refused_at - %(by)s::interval,
          auth_not_before = auth_not_before - %(by)s::interval,
          auth_requests = array(select at - %(by)s::interval from unnest(auth_requests) as r (at))
        where destination = 'guestly'""",
        {"by": length},
    )
