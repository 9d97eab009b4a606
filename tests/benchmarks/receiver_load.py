"""Stripe at full speed: keep-alive connections that send the next event when they are answered.

The client is made to cost little, as it shares the cores with what it measures: requests are made
and signed beforehand, and an answer is read as far as its status and its length.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID

import psycopg

from tests.benchmarks.options import WrongCountError
from tests.support_stripe import encoded, event, intent, sign

#: The answer to an event that changed its booking.
APPLIED = b'"outcome":"applied"'
#: A request that costs HTTP and nothing else.
HEALTHZ = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
#: What surrounds the fields that are read, in an event of a usual size.
_USUAL = {
    "amount_capturable": 0,
    "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
    "capture_method": "automatic_async",
    "client_secret": None,
    "confirmation_method": "automatic",
    "description": "Stay of four nights",
    "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
    "payment_method_types": ["card", "link", "sepa_debit", "paypal", "klarna", "bancontact"],
    "statement_descriptor_suffix": None,
    "padding": "x" * 1000,
}

#: What a site of some months holds: tables that are empty the planner reads from end to end.
_HISTORY = """
insert into outbox.delivery (destination, key, delivered, attempts, claimed_at, delivered_at)
select 'guestly', md5('old' || i)::uuid::text, 1, 1, now(), now() from generate_series(1, 20000) i;
insert into outbox.request (delivery_id, version, reason)
select id, 1, 'stripe' from outbox.delivery;
insert into outbox.inbox_event (source, id, type, outcome, payment_intent_id, received_at)
select 'stripe', 'evt_old_' || i, 'payment_intent.succeeded', 'applied', 'pi_old_' || i,
       now() - interval '1 hour' * i
from generate_series(1, 20000) i
"""

_SEED = """
insert into properties (id, slug, name)
select md5('property' || i)::uuid, 'house-' || i, 'House ' || i from generate_series(0, 49) i
on conflict do nothing;
insert into bookings (
  id, booking_reference, property_id, guest_first_name, guest_last_name, guest_email,
  check_in_date, check_out_date, adults, children, total, status, payment_status,
  stripe_payment_intent_id)
select md5('booking' || i)::uuid, 'LA-' || i, md5('property' || i % 50)::uuid, 'Guest',
       'Number ' || i, 'guest-' || i || '@example.com', current_date + i % 300,
       current_date + i % 300 + 4, 2, 0, 500, 'pending', 'pending', 'pi_' || i
from generate_series({first}, {last}) i
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the clients saw.

    Args:
        seconds: From the first request to the last answer.
        latencies: Of each answer, in seconds, in no order.
    """

    seconds: float
    latencies: tuple[float, ...]

    def percentile(self, of_100: float) -> float:
        """A latency in milliseconds, by nearest rank."""
        ordered = sorted(self.latencies)
        return ordered[max(0, math.ceil(len(ordered) * of_100 / 100) - 1)] * 1000

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds


def seed(url: str, first: int, count: int) -> None:
    """Insert pending bookings ``first`` and following, which nobody has paid yet."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(_SEED.format(first=first, last=first + count - 1).encode())


def remember(url: str) -> None:
    """Insert what came before the measurement."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(_HISTORY)


def booking_id(number: int) -> str:
    """Id of a seeded booking."""
    return str(UUID(hashlib.md5(f"booking{number}".encode(), usedforsecurity=False).hexdigest()))


def body(number: int) -> bytes:
    """A fresh event that says that this booking has been paid."""
    metadata = {"booking_id": booking_id(number), "booking_reference": f"LA-{number}"}
    paid = intent(f"pi_{number}", amount=50000, metadata=metadata, **_USUAL)
    return encoded(event("payment_intent.succeeded", paid, id=f"evt_{number}"))


def request(content: bytes) -> bytes:
    """The bytes of one signed request."""
    return (
        b"POST /webhooks/stripe HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        b"content-type: application/json; charset=utf-8\r\nuser-agent: Stripe/1.0\r\n"
        + f"stripe-signature: {sign(content)}\r\ncontent-length: {len(content)}\r\n\r\n".encode()
        + content
    )


async def load(
    url: str, requests: Sequence[bytes], *, clients: int, expected: bytes = APPLIED
) -> Load:
    """Send every request once.

    Args:
        url: The receiver's.
        requests: Of `request`; not older than Stripe's five minutes.
        clients: Connections, each with one request under way.
        expected: What every answer says.

    Raises:
        WrongCountError: An answer was another one, or a connection was closed.
    """
    target = urlsplit(url)
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    rest = iter(requests)
    latencies: list[float] = []

    def make() -> _Client:
        return _Client(rest, latencies, len(requests), over, expected)

    opened = [
        await loop.create_connection(make, target.hostname or "", target.port or 0)
        for _ in range(clients)
    ]
    began = time.perf_counter()
    try:
        for _, client in opened:
            client.next()
        async with asyncio.timeout(200):
            await over
        return Load(seconds=time.perf_counter() - began, latencies=tuple(latencies))
    finally:
        for transport, _ in opened:
            transport.close()


class _Client(asyncio.Protocol):
    def __init__(
        self,
        requests: Iterator[bytes],
        latencies: list[float],
        wanted: int,
        over: asyncio.Future[None],
        expected: bytes,
    ) -> None:
        self._requests = requests
        self._latencies = latencies
        self._wanted = wanted
        self._over = over
        self._expected = expected
        self._transport: asyncio.Transport | None = None
        self._read = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if not self._over.done():
            self._over.set_exception(WrongCountError("the receiver closed a connection"))

    def next(self) -> None:
        request = next(self._requests, None)
        if request is None or self._transport is None:
            return
        self._sent = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, content = self._read.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or (length and len(content) < int(length[1])):
            return
        self._latencies.append(time.perf_counter() - self._sent)
        answer, self._read = self._read, b""
        if not self._over.done():
            if not answer.startswith(b"HTTP/1.1 200") or self._expected not in content:
                self._over.set_exception(WrongCountError(f"an answer was {answer[:200]!r}"))
            elif len(self._latencies) == self._wanted:
                self._over.set_result(None)
        self.next()
