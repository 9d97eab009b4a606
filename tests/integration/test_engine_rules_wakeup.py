"""Rules of the wake-up that nothing else pins down: what is looked at, and whether LISTEN works."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from outbox_worker.database import Connection
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Destination
from outbox_worker.worker import wakeup as waking
from outbox_worker.worker.wakeup import Wakeup
from tests.support_deaf import deaf_line
from tests.support_engine import Scripted, eventually, owe
from tests.support_loop import loop_of, running, said, settled, until
from tests.support_wire import Wire


def names(logs: Sequence[Mapping[str, Any]]) -> list[str]:
    return [entry["event"] for entry in logs]


@contextlib.asynccontextmanager
async def listening(wakeup: Wakeup) -> AsyncIterator[None]:
    """The listener of a worker, for the length of a block."""
    task = asyncio.create_task(wakeup.listen())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.needs_listen(reason="the loop is woken between two polls")
async def test_a_full_destination_is_not_forgotten_when_another_one_is_looked_at(
    conn: Connection, database_url: str, listen_url: str
) -> None:
    gate = asyncio.Event()
    events, mails = Scripted(until(gate)), Scripted(destination=Destination.EMAIL)
    loop, wakeup = loop_of(listen_url, events, mails, slots=2, poll=60)
    async with listening(wakeup), running(loop, database_url):
        await eventually(lambda: said(wakeup.listening), "LISTEN")
        for number in range(4):
            await owe(conn, f"k{number}")
        await store.notify(conn)
        await eventually(lambda: said(events.running == 2), "two calls under way")
        await owe(conn, "mail", Destination.EMAIL)
        await store.notify(conn)
        await eventually(lambda: said(mails.claims), "the mail")
        gate.set()
        await eventually(lambda: settled(conn, 5), "delivery of what had no slot")


@pytest.mark.needs_listen(reason="LISTEN begins to deliver")
async def test_what_was_asked_for_before_listen_began_is_not_left_to_the_next_poll(
    conn: Connection, database_url: str, listen_url: str
) -> None:
    loop, wakeup = loop_of(listen_url, Scripted(), poll=60)
    await loop.cycle(conn)  # the first look finds nothing
    await owe(conn)
    await store.notify(conn)  # and nobody listens yet
    async with running(loop, database_url), listening(wakeup):
        await eventually(lambda: settled(conn, 1), "delivery")


async def test_a_listen_that_delivers_nothing_is_told_and_polling_goes_on(
    conn: Connection, database_url: str, direct_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waking, "PROBE_WITHIN", timedelta(seconds=0.3))
    async with deaf_line(direct_url) as line:
        wakeup = Wakeup(line.url, name="test")
        with capture_logs() as logs:
            async with listening(wakeup):
                await eventually(lambda: said(line.swallowed), "the first probe")
                await eventually(lambda: said("listen.lost" in names(logs)), "a word about it")
                assert "listen.restored" not in names(logs)
                assert not wakeup.listening, "LISTEN was believed without a proof"
    loop, _ = loop_of(database_url, Scripted(), poll=0.1)
    await owe(conn)
    async with running(loop, database_url):
        await eventually(lambda: settled(conn, 1), "delivery")


async def test_a_listen_that_goes_deaf_later_is_noticed(
    direct_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waking, "PROBE_EVERY", timedelta(seconds=0.2))
    monkeypatch.setattr(waking, "PROBE_WITHIN", timedelta(seconds=1))
    async with deaf_line(direct_url) as line:
        line.deaf = False
        wakeup = Wakeup(line.url, name="test")
        async with listening(wakeup):
            await eventually(lambda: said(wakeup.listening), "LISTEN")
            line.deaf = True
            await eventually(lambda: said(not wakeup.listening), "the loss of LISTEN")


async def test_a_probe_that_cannot_be_sent_does_not_end_a_listen_that_delivers(
    conn: Connection, direct_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waking, "PROBE_EVERY", timedelta(seconds=0.1))
    monkeypatch.setattr(waking, "_RECONNECT_AFTER", timedelta(seconds=0.1))
    async with Wire(direct_url) as wire:
        wakeup = Wakeup(wire.url, name="test")
        with capture_logs() as logs:
            async with listening(wakeup):
                await eventually(lambda: said(wakeup.listening), "LISTEN")
                wire.refuse_new()
                await eventually(lambda: said(len(logs) > 1), "a word about the probe")
                wakeup.take_request()
                await store.notify(conn)
                await eventually(lambda: said(wakeup.take_request()), "the notification")
                assert wakeup.listening
                await wire.mend()
                await eventually(lambda: said(len(logs) > 2), "the next probe")
    told = [(entry["event"], entry["log_level"]) for entry in logs]
    assert told == [
        ("listen.restored", "info"),
        ("listen.unproved", "warning"),
        ("listen.restored", "info"),
    ]
    assert "no probe of it can be sent" in logs[1]["message"]
