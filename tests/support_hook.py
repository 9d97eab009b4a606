"""An address of somebody else's that is called: a chat's webhook, or what watches a heartbeat."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support_mail import Answer, answer, listening

#: In every address; nobody but the caller and the called may ever see it.
SECRET = "T0SECRET-b1f3c5d7"


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """One request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """What a chat shows."""
        said: dict[str, str] = json.loads(self.body)
        assert list(said) == ["text"]
        return said["text"]


@dataclass(slots=True)
class Hook:
    """Takes all calls with ``200 ok``; ``script`` holds other answers, each used up once."""

    url: str = ""
    called: list[Called] = field(default_factory=list)
    taken: list[Called] = field(default_factory=list)
    script: deque[Answer] = field(default_factory=deque)

    @property
    def texts(self) -> list[str]:
        """The messages that the chat shows."""
        return [call.text for call in self.taken]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        method, path, _ = head[0].split(" ")
        call = Called(method=method, path=path, headers=headers, body=body)
        self.called.append(call)
        if self.script:
            await self.script.popleft()(writer)
        else:
            self.taken.append(call)
            await answer(200, b"ok", content_type="text/plain")(writer)


def patience(seconds: int) -> Answer:
    """Too many calls: come back later."""
    headers: dict[str, Any] = {"Retry-After": str(seconds)}
    return answer(429, b"rate_limited", **headers)


@asynccontextmanager
async def hook(port: int = 0) -> AsyncIterator[Hook]:
    """One on a port of this machine, without faults at first."""
    made = Hook()
    async with listening(made.serve, port) as chosen:
        made.url = f"http://127.0.0.1:{chosen}/services/{SECRET}?token={SECRET}"
        yield made
