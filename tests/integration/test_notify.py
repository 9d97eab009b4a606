"""What is told to a service manager, over its real socket."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from outbox_worker.settings_types import LogFormat, LogLevel, LogSettings
from outbox_worker.systemd import ServiceManager, service_manager
from outbox_worker.telemetry import configure
from outbox_worker.worker.heartbeat import Mode
from outbox_worker.worker.liveness import Liveness
from outbox_worker.worker.systemd import Notifier
from tests.support_notify import Notifications, notifications

SOON = timedelta(milliseconds=100)
MODE = Mode(pms="guestly", sync_enabled=True, test_mode=False)


@pytest.fixture(params=["path", "abstract"])
def told(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Notifications]:
    if request.param == "abstract" and sys.platform != "linux":
        pytest.skip("Linux alone has abstract sockets")
    with notifications(tmp_path, abstract=request.param == "abstract") as found:
        yield found


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Notifications]:
    with notifications(tmp_path) as found:
        yield found


async def test_fields_arrive_together_and_one_value_is_one_line(told: Notifications) -> None:
    ServiceManager(told.address).tell(READY=1, STATUS="one\nERRNO=5")

    assert await told.next() == {"READY": "1", "STATUS": "one ERRNO=5"}


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative"])
def test_nobody_is_told_where_nobody_listens(
    address: str, capfd: pytest.CaptureFixture[str]
) -> None:
    manager = ServiceManager(address, watchdog=SOON)

    manager.tell(READY=1)

    assert (manager.listens, manager.watchdog) == (False, None)
    assert capfd.readouterr() == ("", "")


def test_a_manager_that_is_gone_is_said_once_and_harms_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = LogSettings(format=LogFormat.JSON, level=LogLevel.INFO)
    configure(log, service="test")
    manager = ServiceManager(str(tmp_path / "gone"))

    for _ in range(3):
        manager.tell(READY=1)

    (line,) = capfd.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "notify.failed"


@pytest.mark.parametrize(
    ("environ", "watchdog"),
    [
        ({"WATCHDOG_USEC": "4000000"}, timedelta(seconds=4)),
        ({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": str(os.getpid())}, timedelta(seconds=4)),
        ({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": str(os.getppid())}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_that_of_the_environment(
    environ: dict[str, str], watchdog: timedelta | None
) -> None:
    assert service_manager({"NOTIFY_SOCKET": "/nowhere", **environ}).watchdog == watchdog


async def test_a_worker_that_does_not_live_feeds_nothing_until_it_lives_again(
    here: Notifications,
) -> None:
    now = 0.0
    liveness = Liveness(timedelta(seconds=50), clock=lambda: now)
    manager = ServiceManager(here.address, watchdog=SOON)
    notifier = Notifier(manager, liveness=liveness, mode=MODE, shutdown=timedelta(seconds=20))
    running = asyncio.create_task(notifier.run())
    assert await here.first("WATCHDOG") == "1"

    now = 51.0
    await here.first("STATUS", "no claim cycle for 51 s")
    with pytest.raises(TimeoutError):
        await here.first("WATCHDOG", within=0.5)
    liveness.database_missed()

    assert await here.first("WATCHDOG") == "1", "waiting for Postgres is patience"
    running.cancel()


async def test_an_event_loop_that_hangs_feeds_nothing(here: Notifications) -> None:
    feeding = asyncio.create_task(ServiceManager(here.address, watchdog=SOON).feed())
    assert await here.next() == {"WATCHDOG": "1"}

    with pytest.raises(TimeoutError):
        here.next_while_nothing_else_runs(within=0.5)

    assert await here.next() == {"WATCHDOG": "1"}
    feeding.cancel()


async def test_a_stop_asks_for_the_time_that_our_own_settings_allow(here: Notifications) -> None:
    liveness = Liveness(timedelta(seconds=50))
    notifier = Notifier(
        ServiceManager(here.address), liveness=liveness, mode=MODE, shutdown=timedelta(minutes=2)
    )

    notifier.ready()
    notifier.stopping()

    assert (await here.next())["READY"] == "1"
    stopping = await here.next()
    assert stopping["STOPPING"] == "1"
    assert int(stopping["EXTEND_TIMEOUT_USEC"]) > 120_000_000


async def test_a_worker_that_stops_is_fed_until_it_has_stopped(here: Notifications) -> None:
    now = 0.0
    liveness = Liveness(timedelta(seconds=50), clock=lambda: now)
    manager = ServiceManager(here.address, watchdog=SOON)
    notifier = Notifier(manager, liveness=liveness, mode=MODE, shutdown=timedelta(seconds=20))
    notifier.stopping()
    now = 51.0
    running = asyncio.create_task(notifier.run())

    assert await here.first("WATCHDOG") == "1"
    running.cancel()
