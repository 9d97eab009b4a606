"""The receiver's units under a real systemd: see run.sh."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from outbox_worker.database import Connection
from tests.support_engine import eventually
from tests.support_receiver import Receiver
from tests.support_stripe import SECRET, event, one
from tests.support_systemd import RECEIVER, SOCKET, Machine, machine, needs_systemd

pytestmark = needs_systemd

#: The socket unit's own address; nobody else is in the container's network.
ADDRESS = "http://127.0.0.1:8080"
SENDERS = 8
RESTARTS = 4


@pytest.fixture
def unit() -> Iterator[Machine]:
    with machine() as found:
        yield found


def configure(unit: Machine, database_url: str, **settings: str) -> None:
    unit.configure({"DATABASE_URL": database_url, "STRIPE_WEBHOOK_SECRET": SECRET}, settings)


async def recorded(conn: Connection) -> int:
    return int((await one(conn, "select count(*) as n from outbox.inbox_event"))["n"])


def ping(name: str) -> dict[str, object]:
    return event("payout.paid", {"id": name})


async def test_the_first_connection_starts_it_and_it_says_that_it_takes_events(
    unit: Machine, conn: Connection, database_url: str
) -> None:
    configure(unit, database_url)
    unit.systemctl("start", SOCKET)
    assert unit.shown(RECEIVER, "ActiveState") == "inactive"

    answer = await Receiver(ADDRESS).deliver(ping("po_1"))

    assert (answer.status_code, await recorded(conn)) == (200, 1)

    async def told() -> bool:
        return unit.shown(RECEIVER, "StatusText") == "events are taken"

    await eventually(told, "the word that events are taken")
    pid = unit.shown(RECEIVER, "MainPID")
    assert SECRET not in unit.run("cat", f"/proc/{pid}/environ").stdout
    unit.systemctl("stop", RECEIVER, SOCKET)
    assert unit.shown(RECEIVER, "Result") == "success"


async def test_restarts_under_load_lose_no_request(
    unit: Machine, conn: Connection, database_url: str
) -> None:
    configure(unit, database_url)
    unit.systemctl("start", SOCKET, RECEIVER)
    receiver = Receiver(ADDRESS)
    answers: list[int] = []
    over = asyncio.Event()

    async def send(name: str) -> None:
        # a connection for each request, as most proxies make them
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(base_url=ADDRESS, timeout=30, limits=limits) as client:
            while not over.is_set():
                answer = await receiver.deliver_with(client, ping(f"po_{name}_{len(answers)}"))
                answers.append(answer.status_code)

    pids = {unit.shown(RECEIVER, "MainPID")}
    async with asyncio.TaskGroup() as senders:
        for number in range(SENDERS):
            senders.create_task(send(str(number)))
        for _ in range(RESTARTS):
            so_far = len(answers)

            async def busy(so_far: int = so_far) -> bool:
                return len(answers) > so_far + 5 * SENDERS

            await eventually(busy, "requests between two restarts", within=30)
            await asyncio.to_thread(unit.systemctl, "restart", RECEIVER)
            pids.add(await asyncio.to_thread(unit.shown, RECEIVER, "MainPID"))
        over.set()
    assert len(pids) == RESTARTS + 1
    assert set(answers) == {200}
    assert await recorded(conn) == len(answers)


async def test_a_hung_receiver_is_replaced_and_the_request_that_waited_is_answered(
    unit: Machine, conn: Connection, database_url: str
) -> None:
    unit.drop_in(RECEIVER, WatchdogSec="4")
    configure(unit, database_url)
    unit.systemctl("start", SOCKET, RECEIVER)
    unit.systemctl("kill", "--signal=SIGSTOP", RECEIVER)

    async with httpx.AsyncClient(base_url=ADDRESS, timeout=60) as client:
        answer = await Receiver(ADDRESS).deliver_with(client, ping("po_1"))

    assert (answer.status_code, await recorded(conn)) == (200, 1)
    assert unit.shown(RECEIVER, "NRestarts") == "1"
    assert "Watchdog timeout" in unit.journal(RECEIVER)


async def test_wrong_settings_are_not_tried_again_and_mending_them_is_enough(
    unit: Machine, conn: Connection, database_url: str
) -> None:
    configure(unit, database_url, STRIPE_LIVEMODE="perhaps")

    assert unit.systemctl("start", RECEIVER, check=False).returncode != 0

    assert unit.shown(RECEIVER, "ExecMainStatus") == "2"
    assert unit.shown(RECEIVER, "NRestarts") == "0"
    assert "STRIPE_LIVEMODE" in unit.journal(RECEIVER)
    with pytest.raises(httpx.HTTPError):  # Stripe comes back later
        await Receiver(ADDRESS).deliver(ping("po_1"))
    configure(unit, database_url)
    unit.systemctl("start", RECEIVER)
    assert (await Receiver(ADDRESS).deliver(ping("po_2"))).status_code == 200
    assert await recorded(conn) == 1
