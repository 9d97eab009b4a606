"""What real processes tell a service manager, without one: tests/systemd has a real one."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

from outbox_worker.database import Connection
from tests.support_engine import eventually
from tests.support_notify import notifications
from tests.support_receiver import environment as receiver_environment
from tests.support_receiver import receiver_process
from tests.support_stripe import encoded, event, sign
from tests.support_worker import environment, worker

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"
PING = event("payout.paid", {"id": "po_1"})


async def test_a_worker_is_ready_without_postgres_lives_and_says_that_it_stops(
    tmp_path: Path,
) -> None:
    with notifications(tmp_path) as told:
        environ = environment(NOWHERE, None, NOTIFY_SOCKET=told.address, WATCHDOG_USEC="200000")
        with worker(tmp_path / "w.log", environ) as process:
            assert await told.first("READY", within=20) == "1"
            assert await told.first("WATCHDOG") == "1"
            assert await told.first("STATUS", "waiting for Postgres since ")
            process.send(signal.SIGTERM)
            assert await told.first("STOPPING") == "1"
            assert await process.ended() == 0


async def test_a_worker_says_how_it_is_once_it_reaches_postgres(
    database_url: str, tmp_path: Path
) -> None:
    with notifications(tmp_path) as told:
        environ = environment(database_url, None, NOTIFY_SOCKET=told.address)
        with worker(tmp_path / "w.log", environ):
            assert await told.first("STATUS", "guestly ok", within=30)


async def test_a_receiver_is_ready_when_it_listens_lives_and_says_whether_it_takes_events(
    database_url: str, tmp_path: Path
) -> None:
    with notifications(tmp_path) as told:
        environ = receiver_environment(
            database_url, NOTIFY_SOCKET=told.address, WATCHDOG_USEC="200000"
        )
        with receiver_process(environ) as receiver:
            assert await told.first("READY") == "1"
            assert await told.first("STATUS", "events are taken")
            assert await told.first("WATCHDOG") == "1"
            receiver.process.terminate()
            assert await told.first("STOPPING") == "1"


async def test_a_request_on_its_way_when_a_receiver_stops_is_answered(
    database_url: str, conn: Connection
) -> None:
    with receiver_process(receiver_environment(database_url)) as receiver:
        receiver.wait_until_ready()
        there = urlsplit(receiver.url)
        # both are connected, one has begun its headers; a later request shows that they are known
        reader, writer = await asyncio.open_connection(there.hostname, there.port)
        begun_reader, begun = await asyncio.open_connection(there.hostname, there.port)
        begun.write(b"POST /webhooks/stripe HTTP/1.1\r\n")
        assert (await receiver.get("/healthz")).status_code == 200

        receiver.process.terminate()
        await refused(there.hostname, there.port)
        writer.write(b"POST /webhooks/stripe HTTP/1.1\r\n" + request())
        begun.write(request())

        for each in (reader, begun_reader):
            assert (await each.readline()).split()[1] == b"200"
            await each.read()  # and the connection ends
        writer.close()
        begun.close()
        assert receiver.process.wait(20) == 0
        # nothing had to be cut off
        assert not [each for each in receiver.rest() if each["event"].startswith("library.")]
    cursor = await conn.execute("select count(*) as n from outbox.inbox_event")
    assert await cursor.fetchone() == {"n": 1}


def request() -> bytes:
    body = encoded(PING)
    head = f"Host: x\r\nStripe-Signature: {sign(body)}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def refused(host: str | None, port: int | None) -> None:
    """Wait until nobody listens any more."""

    async def closed() -> bool:
        try:
            with socket.create_connection((host or "", port or 0)):
                return False
        except ConnectionError:
            return True

    await eventually(closed, "the end of listening")
