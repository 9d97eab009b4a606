"""The adapter in front of a scripted server, and the calls and answers of the tests about it."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, TypeAlias

from outbox_worker.pms import exact_json, guestly_body
from outbox_worker.pms.guestly import Guestly
from outbox_worker.pms.port import Pms
from tests.support_booking import a_reservation
from tests.support_scripted import Peer, Script, Server, answering, reply, serving

REFERENCE = "LA2026-48213"
PATIENT = timedelta(seconds=20)
#: Half of it is what connecting may take.
SHORT = timedelta(seconds=1)
HTML = b"<!DOCTYPE html><html><body>Welcome</body></html>"

Call: TypeAlias = Callable[[Pms], Awaitable[Any]]


def find(pms: Pms) -> Awaitable[Any]:
    return pms.find(REFERENCE)


def create(pms: Pms) -> Awaitable[Any]:
    return pms.create(a_reservation(), idempotency_key="k")


def update(pms: Pms) -> Awaitable[Any]:
    return pms.update("r1", a_reservation(), held={}, shown=None, idempotency_key="k")


def cancel(pms: Pms) -> Awaitable[Any]:
    return pms.cancel("r1", reference=REFERENCE, idempotency_key="k")


def listing(pms: Pms) -> Awaitable[Any]:
    return pms.listing("l1")


READS: tuple[Call, ...] = (find, listing)
WRITES: tuple[Call, ...] = (create, update, cancel)
CALLS = READS + WRITES


@contextlib.asynccontextmanager
async def guestly(
    script: Script, *, within: timedelta = PATIENT
) -> AsyncIterator[tuple[Guestly, Server]]:
    async with serving(script) as server:
        pms = Guestly(api_url=f"{server.url}/v1", api_key="key", timeout=within, connections=2)
        try:
            yield pms, server
        finally:
            await pms.aclose()


async def outcomes(call: Call, answers: Sequence[bytes]) -> list[Any]:
    """What the adapter makes of each answer to the same call."""
    async with guestly(answering(*answers)) as (pms, server):
        results = [await call(pms) for _ in answers]
        assert len(server.requests) == len(answers), "an adapter never tries again by itself"
        return results


async def outcome(call: Call, answer: bytes) -> Any:
    (result,) = await outcomes(call, [answer])
    return result


def stored(**changes: Any) -> dict[str, Any]:
    """The PMS's view of our reservation."""
    body: dict[str, Any] = json.loads(exact_json.encode(guestly_body.payload(a_reservation())))
    return {"_id": "r1", "createdAt": "2026-11-21T10:00:00.000Z", **body, **changes}


BODIES = [b"", b"{}", b'{"message": "no"}', b'"no"', b"no", HTML]


def with_every_body(statuses: Sequence[int]) -> list[tuple[int, bytes]]:
    return [
        (
            status,
            reply(status, b"" if status == 304 else body, {"Location": "https://example.com/"}),
        )
        for status, body in itertools.product(statuses, BODIES)
    ]


def breaks(how: str) -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        match how:
            case "reset":
                peer.reset()
            case "silence":
                await peer.hang()
            case "half an answer":
                await peer.send(b"HTTP/1.1 201 Created\r\nContent-Length: 500\r\n\r\n{")
            case "half an answer, then silence":
                await peer.send(b"HTTP/1.1 201 Created\r\nContent-Length: 500\r\n\r\n{")
                await peer.hang()
            case _:
                pass

    return script


HOW = ["close", "reset", "silence", "half an answer", "half an answer, then silence"]
