"""The worker's unit under a real systemd: see run.sh."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import pytest

from outbox_worker.database import Connection
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Reason
from tests.support_engine import booking_row, eventually, insert_booking
from tests.support_port import kept_port
from tests.support_simulator import API_KEY, LISTING, Simulator, start_simulator
from tests.support_systemd import WORKER, Chat, Machine, chat, machine, needs_systemd
from tests.support_worker import environment, forwarder

pytestmark = needs_systemd

ALERT = "outbox-alert@outbox-worker.service"
ALERTS = "outbox-alert@outbox-worker*"
#: Twice the longest silence of a worker with a lease of 5 s, and the watchdog of the test.
BEYOND_PATIENCE_S = 45


@pytest.fixture
def pms(tmp_path: Path) -> Iterator[Simulator]:
    with start_simulator(tmp_path / "pms") as simulator:
        yield simulator


@pytest.fixture
def hook() -> Iterator[Chat]:
    with chat() as found:
        yield found


@pytest.fixture
async def listed(conn: Connection) -> Connection:
    await conn.execute(
        "insert into outbox.listing (pms, slug, listing_id) values ('guestly', 'sea-loft', %s)",
        [LISTING],
    )
    return conn


@pytest.fixture
def unit() -> Iterator[Machine]:
    with machine() as found:
        yield found


def configure(
    unit: Machine,
    database_url: str,
    pms: Simulator | None,
    credentials: Mapping[str, str] | None = None,
    **settings: str,
) -> None:
    """Write what an operator would: secrets as credentials, the rest as settings."""
    environ = environment(database_url, pms, **settings)
    for name in ("PATH", "DATABASE_URL", "GUESTLY_API_KEY"):
        del environ[name]
    secrets = {"DATABASE_URL": database_url, "GUESTLY_API_KEY": API_KEY, **(credentials or {})}
    unit.configure(secrets, environ)


async def confirmed(conn: Connection, **values: object) -> UUID:
    booking = await insert_booking(conn, **values)
    await store.request_sync(conn, booking, reason=Reason.STRIPE, reference="evt_1")
    return booking


async def synced(conn: Connection, booking: UUID, *, within: float = 30) -> None:
    async def done() -> bool:
        return bool((await booking_row(conn, booking))["guestly_sync_status"] == "synced")

    await eventually(done, "the sync", within=within)


async def shows(unit: Machine, name: str, *values: str, within: float = 30) -> None:
    """Wait until a property of the worker's unit has one of some values."""

    async def there() -> bool:
        return unit.shown(WORKER, name) in values

    await eventually(there, f"{name} in {values}", within=within)


async def says(unit: Machine, text: str, *, within: float = 30) -> str:
    """Wait until `systemctl status` shows a text in the status line; the line."""
    lines: list[str] = []

    async def there() -> bool:
        told = unit.systemctl("status", WORKER, check=False).stdout.splitlines()
        lines[:] = [line.strip() for line in told if line.strip().startswith("Status:")]
        return any(text in line for line in lines)

    try:
        await eventually(there, f"{text!r} in the status line", within=within)
    except AssertionError as error:
        raise AssertionError(f"{error}: {lines} {unit.journal(WORKER)}") from None
    return lines[0]


async def calling(pms: Simulator, count: int = 1) -> None:
    async def there() -> bool:
        creates = [each for each in pms.requests() if each.get("operation") == "create"]
        return len(creates) >= count

    await eventually(there, "a create under way", within=30)


async def test_it_starts_with_its_secrets_as_credentials_and_says_how_it_is(
    unit: Machine, listed: Connection, database_url: str, pms: Simulator
) -> None:
    configure(unit, database_url, pms)

    unit.systemctl("start", WORKER)

    await says(unit, "nothing owed; guestly ok; no sync yet")
    await synced(listed, await confirmed(listed))
    await says(unit, "nothing owed; guestly ok; last sync ")
    pid = unit.shown(WORKER, "MainPID")
    told = unit.run("cat", f"/proc/{pid}/environ").stdout + unit.systemctl("show", WORKER).stdout
    assert "GUESTLY_TEST_MODE=false" in told
    assert API_KEY not in told
    assert (urlsplit(database_url).password or "-") not in told
    assert "CREDENTIALS_DIRECTORY" in told
    # what was not given is there all the same, and blank
    secrets = unit.run("sh", "-c", f"cd /run/credentials/{WORKER} && wc -c *").stdout
    assert " 1 SMTP_URL" in secrets
    assert unit.run("stat", "-c", "%u", f"/proc/{pid}").stdout.strip() != "0"
    await listed.execute("update outbox.destination set paused_at = now(), paused_by = 'a test'")
    await says(unit, "nothing owed; guestly paused; chat paused; email paused; inbox paused; last")


async def test_a_hung_worker_is_killed_and_its_successor_takes_up_its_work(
    unit: Machine, listed: Connection, database_url: str, pms: Simulator, hook: Chat
) -> None:
    unit.drop_in(WORKER, WatchdogSec="4")
    configure(unit, database_url, pms, {"ALERT_CHAT_WEBHOOK_URL": hook.url})
    pms.faults({"fault": "latency", "seconds": 1.0, "operation": "create"})
    unit.systemctl("start", WORKER)
    hung = unit.shown(WORKER, "MainPID")
    under_way = await confirmed(listed)
    await calling(pms)

    unit.systemctl("kill", "--signal=SIGSTOP", WORKER)
    waiting = await confirmed(listed, check_in_date="2027-06-01", check_out_date="2027-06-05")

    await synced(listed, under_way, within=60)
    await synced(listed, waiting)
    assert unit.shown(WORKER, "MainPID") != hung
    assert int(unit.shown(WORKER, "NRestarts")) == 1
    assert len(pms.reservations()) == 2
    journal = unit.journal(WORKER)
    assert "Watchdog timeout" in journal
    assert "Failed with result 'watchdog'" in journal
    assert "Current thread" in journal, "where it hung"

    async def told() -> bool:
        return bool(hook.posts)

    await eventually(told, "a message in the chat", within=30)
    (post,) = hook.posts
    text = json.loads(post)["text"]
    assert text.startswith("outbox-worker.service on ")
    assert "failed (watchdog) and is being restarted" in text
    assert text in unit.journal(ALERTS)


async def test_it_waits_for_postgres_longer_than_its_watchdog_and_its_time_to_start(
    unit: Machine, listed: Connection, database_url: str, pms: Simulator
) -> None:
    unit.drop_in(WORKER, WatchdogSec="4", TimeoutStartSec="4")
    there = urlsplit(database_url)
    assert there.hostname is not None
    assert there.port is not None
    port = kept_port()
    netloc = f"{there.username}:{there.password}@127.0.0.1:{port}"
    configure(unit, urlunsplit(there._replace(netloc=netloc)), pms)
    booking = await confirmed(listed)

    unit.systemctl("start", WORKER)

    pid = unit.shown(WORKER, "MainPID")
    line = await says(unit, "waiting for Postgres since ")

    async def long_enough() -> bool:
        age = unit.run("ps", "-o", "etimes=", "-p", pid).stdout
        return int(age) > BEYOND_PATIENCE_S

    await eventually(long_enough, "time to pass", within=90)
    assert unit.shown(WORKER, "ActiveState") == "active"
    assert (unit.shown(WORKER, "MainPID"), unit.shown(WORKER, "NRestarts")) == (pid, "0")
    await says(unit, line)
    async with forwarder(port, there.hostname, there.port):
        await synced(listed, booking)
        await says(unit, "guestly ok")
        unit.systemctl("stop", WORKER)


async def test_a_stop_lets_a_call_end_even_if_the_settings_allow_longer_than_the_unit(
    unit: Machine, listed: Connection, database_url: str, pms: Simulator
) -> None:
    # a call of three seconds that nobody cuts off, in a unit that would be killed after one
    unit.drop_in(WORKER, TimeoutStopSec="1")
    configure(
        unit, database_url, pms, PMS_TIMEOUT_SECONDS="8", WORKER_LEASE_SECONDS="20",
        WORKER_SHUTDOWN_SECONDS="10",
    )  # fmt: skip
    pms.faults({"fault": "latency", "seconds": 3.0, "operation": "create"})
    unit.systemctl("start", WORKER)
    booking = await confirmed(listed)
    await calling(pms)

    unit.systemctl("stop", WORKER)

    assert (await booking_row(listed, booking))["guestly_sync_status"] == "synced"
    assert unit.shown(WORKER, "Result") == "success"
    assert unit.shown(WORKER, "ExecMainStatus") == "0"
    assert "service.stopped" in unit.journal(WORKER)
    assert unit.journal(ALERTS) == ""


async def test_wrong_settings_end_it_for_good_and_a_person_is_told(
    unit: Machine, listed: Connection, database_url: str, pms: Simulator, hook: Chat
) -> None:
    credentials = {"ALERT_CHAT_WEBHOOK_URL": hook.url}
    configure(unit, database_url, pms, credentials, WORKER_LEASE_SECONDS="soon")

    assert unit.systemctl("start", WORKER, check=False).returncode != 0

    await shows(unit, "ActiveState", "failed")
    assert unit.shown(WORKER, "ExecMainStatus") == "2"
    assert unit.shown(WORKER, "NRestarts") == "0"
    assert "WORKER_LEASE_SECONDS" in unit.journal(WORKER)

    async def told() -> bool:
        return bool(hook.posts)

    await eventually(told, "a message in the chat", within=30)
    (post,) = hook.posts
    text = json.loads(post)["text"]
    assert "and is NOT restarted" in text
    assert text in unit.journal(ALERT)
    configure(unit, database_url, pms, credentials)
    unit.systemctl("start", WORKER)
    await synced(listed, await confirmed(listed))


async def test_a_crash_is_followed_by_a_restart_each_time(
    unit: Machine, listed: Connection, database_url: str, pms: Simulator
) -> None:
    unit.drop_in(WORKER, RestartSec="100ms")
    configure(unit, database_url, pms)
    unit.systemctl("start", WORKER)
    for crash in range(1, 7):  # more than the five within ten seconds that systemd allows by itself
        await shows(unit, "ActiveState", "active")
        unit.systemctl("kill", "--signal=SIGKILL", WORKER)
        await shows(unit, "NRestarts", str(crash))

    await synced(listed, await confirmed(listed))
    # ExecStopPost= asked for a message each time, and was not told each time
    assert 1 <= unit.journal(ALERTS).count(" failed (signal)") <= 4
