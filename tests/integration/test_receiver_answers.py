"""Every answer of the receiver, over real HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from outbox_worker.database import Connection
from outbox_worker.settings import Secret
from tests.support_receiver import WEBHOOK, Receiver, receiver_in_thread
from tests.support_stripe import (
    SECRET,
    booking_row,
    encoded,
    event,
    event_row,
    every,
    insert_booking,
    intent,
    new_id,
    sign,
)
from webhook_receiver.app import Limits

KIB = 1024
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"
PING = event("payout.paid", {"id": "po_1"})


@pytest.fixture(scope="module")
def without_postgres() -> Iterator[Receiver]:
    """A receiver without a database: what it still answers, it answers without asking one."""
    with receiver_in_thread(NOWHERE) as running:
        yield running


async def raw(receiver: Receiver, *chunks: bytes, pause: float = 0, within: float = 15) -> bytes:
    """What the receiver answers to bytes, sent with a pause between them."""
    host, port = receiver.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(within):
            for chunk in chunks:
                writer.write(chunk)
                await writer.drain()
                await asyncio.sleep(pause)
            return await reader.read(KIB)
    finally:
        writer.close()


async def kept(conn: Connection) -> list[str]:
    return [row["id"] for row in await every(conn, "select id from outbox.inbox_event")]


async def test_an_event_is_answered_once_it_is_committed(
    receiver: Receiver, conn: Connection
) -> None:
    answer = await receiver.deliver(PING)

    assert answer.status_code == 200
    assert (await event_row(conn, PING["id"]))["outcome"] == "ignored"


async def test_the_same_event_again_is_answered_alike_and_kept_once(
    receiver: Receiver, conn: Connection
) -> None:
    answers = [await receiver.deliver(PING) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert [answer.json()["outcome"] for answer in answers] == ["ignored", "duplicate", "duplicate"]
    assert await kept(conn) == [PING["id"]]


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param("", id="empty"),
        pytest.param("nonsense", id="malformed"),
        pytest.param(f"t=1,v1={'0' * 64}", id="wrong"),
        pytest.param(sign(encoded(PING), secret="whsec_of_somebody_else"), id="other secret"),
        pytest.param(sign(encoded(PING), at=time.time() - 400), id="too old"),
        pytest.param(sign(encoded(PING), at=time.time() + 86_400), id="from the future"),
        pytest.param("t=1,v1=" + "0" * 5000, id="too long"),
        pytest.param("t=1" + ",v1=0" * 20, id="too many"),
        pytest.param("t=1,v1=\xe9", id="not ASCII"),
    ],
)
async def test_a_body_that_stripe_has_not_signed_is_refused_without_detail(
    without_postgres: Receiver, signature: str
) -> None:
    async with without_postgres.client() as client:
        answer = await client.post(
            WEBHOOK,
            content=encoded(PING),
            headers=[(b"Stripe-Signature", signature.encode("latin-1"))],
        )

    assert (answer.status_code, answer.content) == (400, b"")


async def test_a_refused_body_is_not_kept(receiver: Receiver, conn: Connection) -> None:
    unsigned = await receiver.deliver(PING, stripe_signature="")
    forged = await receiver.deliver(PING, stripe_signature=sign(b"{}"))

    assert (unsigned.status_code, forged.status_code) == (400, 400)
    assert await kept(conn) == []


async def test_a_body_without_a_signature_is_refused(without_postgres: Receiver) -> None:
    async with without_postgres.client() as client:
        answer = await client.post(WEBHOOK, content=encoded(PING))

    assert (answer.status_code, answer.content) == (400, b"")


async def test_a_signed_body_that_is_not_utf8_is_refused(without_postgres: Receiver) -> None:
    assert (await without_postgres.deliver(b"\xff\xfe")).status_code == 400


async def test_a_signed_body_that_is_no_event_is_kept_and_told(
    receiver: Receiver, conn: Connection
) -> None:
    bodies = [b"[1]", b"{}", b"{", b'{"id": "evt_1"}', b"[" * 100_000]

    answers = [await receiver.deliver(body) for body in bodies]

    assert [answer.status_code for answer in answers] == [200] * 5
    assert [answer.json() for answer in answers] == [{"outcome": "malformed"}] * 5
    rows = await every(conn, "select * from outbox.inbox_event order by received_at")
    assert [bytes(row["body"]) for row in rows] == bodies
    alerts = await every(conn, "select kind, fingerprint from outbox.alert order by id")
    assert [alert["fingerprint"] for alert in alerts] == [row["id"] for row in rows]
    assert {alert["kind"] for alert in alerts} == {"event_malformed"}


async def test_the_largest_body_is_taken_and_a_larger_one_is_not(
    receiver: Receiver, conn: Connection
) -> None:
    room = 256 * KIB - len(encoded({**PING, "pad": ""}))
    largest = encoded({**PING, "pad": "x" * room})
    larger = encoded({**PING, "pad": "x" * (room + 1)})

    assert len(largest) == 256 * KIB
    assert (await receiver.deliver(larger)).status_code == 413
    assert await kept(conn) == []
    assert (await receiver.deliver(largest)).status_code == 200
    assert await kept(conn) == [PING["id"]]


async def test_a_body_of_unknown_length_is_counted_while_it_is_read(
    without_postgres: Receiver,
) -> None:
    head = f"POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunk = b"%x\r\n%s\r\n" % (64 * KIB, b"x" * 64 * KIB)

    assert b" 413 " in await raw(without_postgres, head, chunk * 5)


@pytest.mark.parametrize("encoding", ["gzip", "identity", "br"])
async def test_any_content_encoding_is_refused(without_postgres: Receiver, encoding: str) -> None:
    answer = await without_postgres.deliver(PING, content_encoding=encoding)

    assert answer.status_code == 415


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
async def test_only_post_is_taken(without_postgres: Receiver, method: str) -> None:
    async with without_postgres.client() as client:
        answer = await client.request(method, WEBHOOK)

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("path", ["/", "/webhooks", f"{WEBHOOK}/", "/docs", "/webhooks/pms"])
async def test_other_paths_are_not_found_and_never_redirected(
    without_postgres: Receiver, path: str
) -> None:
    async with without_postgres.client() as client:
        answer = await client.post(path, content=b"{}")

    assert answer.status_code == 404


async def test_a_body_that_does_not_end_is_given_up() -> None:
    head = f"POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n".encode()

    with receiver_in_thread(NOWHERE, limits=Limits(body=timedelta(seconds=0.3))) as hasty:
        assert b" 408 " in await raw(hasty, head, b"{")


async def test_the_process_is_healthy_and_not_ready_without_postgres(
    without_postgres: Receiver,
) -> None:
    began = time.monotonic()
    healthy = await without_postgres.get("/healthz")
    ready = await without_postgres.get("/readyz")
    event_of_now = await without_postgres.deliver(PING)

    assert healthy.status_code == 200
    assert (ready.status_code, ready.json()["reason"]) == (503, "database_unreachable")
    assert (event_of_now.status_code, event_of_now.headers["retry-after"]) == (503, "5")
    assert time.monotonic() - began < 6


async def test_what_is_not_http_is_refused(without_postgres: Receiver) -> None:
    assert b" 400 " in await raw(without_postgres, b"\x16\x03\x01\x02\x00\x01\r\n\r\n")


async def test_headers_without_end_are_refused(without_postgres: Receiver) -> None:
    head = f"POST {WEBHOOK} HTTP/1.1\r\n".encode() + b"X-More: y\r\n" * 10_000

    assert b" 400 " in await raw(without_postgres, head[: 90 * KIB])


async def test_health_and_readiness_are_told(receiver: Receiver) -> None:
    healthy, ready = await receiver.get("/healthz"), await receiver.get("/readyz")

    assert (healthy.status_code, healthy.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "reason": "ready"})


async def test_either_secret_is_taken_while_one_is_replaced(
    database_url: str, conn: Connection
) -> None:
    both = (Secret("whsec_the_next_one"), Secret(SECRET))
    other = event("payout.paid", {"id": "po_2"})
    with receiver_in_thread(database_url, webhook_secrets=both) as receiver:
        old = await receiver.deliver(PING)
        new = await receiver.deliver(
            other, stripe_signature=sign(encoded(other), secret="whsec_the_next_one")
        )

    assert (old.status_code, new.status_code) == (200, 200)
    assert sorted(await kept(conn)) == sorted([PING["id"], other["id"]])


async def test_an_event_of_the_other_mode_is_kept_and_changes_nothing(
    database_url: str, conn: Connection
) -> None:
    intent_id = new_id("pi")
    booking_id = await insert_booking(conn, stripe_payment_intent_id=intent_id)
    test_event = event("payment_intent.succeeded", intent(intent_id, amount=50000))

    with receiver_in_thread(database_url, livemode=True) as receiver:
        answer = await receiver.deliver(test_event)

    assert answer.json() == {"outcome": "ignored"}
    assert (await booking_row(conn, booking_id))["status"] == "pending"
