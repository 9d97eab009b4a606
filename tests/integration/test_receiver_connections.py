"""Connections that say nothing, say it slowly or never end: none of them may stay."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.support_receiver import WEBHOOK, Receiver, receiver_in_thread
from tests.support_stripe import encoded, event, sign
from webhook_receiver.protocol import BoundedProtocol

POST = f"POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\n".encode()
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


class Impatient(BoundedProtocol):
    patience_s = 0.4


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiver_in_thread("postgresql://nobody@127.0.0.1:1/none", protocol=Impatient) as running:
        yield running


async def opened(receiver: Receiver) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = receiver.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def lives_for(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    *,
    since: float,
    dripping: bytes = b"",
) -> tuple[float, bytes]:
    """Seconds until the receiver ends the connection, and what it said until then."""
    said = b""
    async with asyncio.timeout(10):
        while True:
            try:
                if dripping:
                    writer.write(dripping)
                async with asyncio.timeout(0.05):
                    data = await reader.read(4096)
            except TimeoutError:
                continue
            except ConnectionError:
                data = b""
            if not data:
                writer.transport.abort()
                return time.monotonic() - since, said
            said += data


async def test_a_connection_without_a_byte_is_ended(receiver: Receiver) -> None:
    began = time.monotonic()
    seconds, said = await lives_for(*await opened(receiver), since=began)

    assert (0.2 < seconds < 5, said) == (True, b"")


async def test_headers_that_come_slowly_are_ended(receiver: Receiver) -> None:
    began = time.monotonic()
    reader, writer = await opened(receiver)
    writer.write(POST)

    seconds, said = await lives_for(reader, writer, since=began, dripping=b"X-More: y\r\n")

    assert (0.2 < seconds < 5, said) == (True, b"")


async def test_a_body_that_is_not_read_any_more_is_skipped_and_then_ended(
    receiver: Receiver,
) -> None:
    began = time.monotonic()
    reader, writer = await opened(receiver)
    writer.write(POST + b"Content-Length: 900000\r\n\r\n")

    seconds, said = await lives_for(reader, writer, since=began, dripping=b"x" * 1000)

    assert b" 413 " in said
    assert 0.2 < seconds < 5


async def test_a_kept_connection_takes_one_request_after_the_other(receiver: Receiver) -> None:
    reader, writer = await opened(receiver)
    for _ in range(3):
        writer.write(HEALTH)
        assert b" 200 " in await reader.readuntil(b"}")
        # longer than the patience with headers: an idle connection is kept for a while
        await asyncio.sleep(0.3)
    began = time.monotonic()
    writer.write(HEALTH[:10])

    seconds, _ = await lives_for(reader, writer, since=began)

    assert 0.2 < seconds < 5


async def test_requests_sent_in_one_go_are_all_answered(receiver: Receiver) -> None:
    reader, writer = await opened(receiver)
    writer.write(HEALTH * 5)

    for _ in range(5):
        assert b" 200 " in await reader.readuntil(b"}")
    writer.transport.abort()


async def test_a_body_may_take_longer_than_the_headers(receiver: Receiver) -> None:
    body = encoded(event("payout.paid", {"id": "po_1"}))
    head = f"Stripe-Signature: {sign(body)}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    reader, writer = await opened(receiver)
    writer.write(POST + head)
    for start in range(0, len(body), 50):
        writer.write(body[start : start + 50])
        await asyncio.sleep(0.6 * 50 / len(body))

    # the signature was right, and there is no database
    assert b" 503 " in await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()
