"""The dead man's switch: called while cycles complete, and never in the way of the loop."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from outbox_worker.settings_types import Secret
from outbox_worker.worker.deadman import DeadMan
from tests.support_engine import eventually
from tests.support_hook import SECRET, Hook, hook
from tests.support_mail import Answer, answer, broken, silent
from tests.support_port import kept_port

HOUR = timedelta(hours=1)
AT_ONCE = timedelta(0)


@pytest.fixture
async def watcher() -> AsyncIterator[Hook]:
    async with hook() as running:
        yield running


async def called(watcher: Hook, times: int) -> None:
    async def there() -> bool:
        return len(watcher.called) >= times

    await eventually(there, f"{times} calls")


def ours(caplog: pytest.LogCaptureFixture) -> str:
    """What this project has logged; its libraries' lines are switched off in every process."""
    return "\n".join(each.getMessage() for each in caplog.records if each.name == "outbox")


async def test_the_first_cycle_calls_and_the_next_ones_only_when_it_is_time(watcher: Hook) -> None:
    deadman = DeadMan(Secret(watcher.url), every=HOUR)
    for _ in range(100):
        deadman.cycle_ended()
    await deadman.aclose()

    (call,) = watcher.called
    assert (call.method, call.path) == ("GET", f"/services/{SECRET}?token={SECRET}")
    assert call.body == b""


async def test_no_call_begins_while_one_is_under_way(watcher: Hook) -> None:
    watcher.script.append(silent)
    deadman = DeadMan(Secret(watcher.url), every=AT_ONCE, timeout=timedelta(seconds=30))
    deadman.cycle_ended()
    await called(watcher, 1)

    for _ in range(100):
        deadman.cycle_ended()

    assert len(watcher.called) == 1
    await deadman.aclose()


async def test_a_call_that_hangs_is_over_in_time_and_the_next_cycle_calls_again(
    watcher: Hook,
) -> None:
    watcher.script.append(silent)
    deadman = DeadMan(Secret(watcher.url), every=AT_ONCE, timeout=timedelta(milliseconds=300))

    async def answered() -> bool:
        deadman.cycle_ended()
        return bool(watcher.taken)

    await eventually(answered, "the next call")
    assert len(watcher.called) > len(watcher.taken)
    await deadman.aclose()


async def test_without_an_address_nothing_is_called() -> None:
    deadman = DeadMan(None, every=AT_ONCE)
    deadman.cycle_ended()
    await deadman.aclose()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (answer(404), "answered 404"),
        (answer(500), "answered 500"),
        (answer(301, Location="https://elsewhere.example"), "answered 301"),
        (broken, "cannot be called"),
    ],
)
async def test_a_failure_is_told_once_and_its_end_once_and_the_address_never(
    watcher: Hook, caplog: pytest.LogCaptureFixture, fault: Answer, words: str
) -> None:
    caplog.set_level(logging.INFO, logger="outbox")
    deadman = DeadMan(Secret(watcher.url), every=AT_ONCE)
    watcher.script.extend([fault, fault])

    async def answered_four_times() -> bool:
        deadman.cycle_ended()
        return len(watcher.called) >= 4

    await eventually(answered_four_times, "four calls")
    await deadman.aclose()
    said = ours(caplog)
    assert said.count("heartbeat.lost") == 1
    assert words in said
    assert said.count("heartbeat.restored") == 1
    assert said.index("heartbeat.lost") < said.index("heartbeat.restored")
    assert SECRET not in said


async def test_an_address_where_nobody_listens_is_a_failure_like_any_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    deadman = DeadMan(Secret(f"http://127.0.0.1:{kept_port()}/{SECRET}"))
    deadman.cycle_ended()
    await deadman.aclose()

    said = ours(caplog)
    assert "cannot be called: ConnectError" in said
    assert SECRET not in said
