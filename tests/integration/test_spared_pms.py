"""A person's questions to the PMS come out of the limit that all workers share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import LiteralString
from uuid import UUID

import pytest

from outbox_worker.database import Connection, connect
from outbox_worker.errors import DatabaseBusyError, PmsUnansweredError
from outbox_worker.gate import rate
from outbox_worker.gate import store as gates
from outbox_worker.gate.rate import Window
from outbox_worker.operations.check import Finding
from outbox_worker.operations.listings import check_listings, list_listings
from outbox_worker.operations.spared_pms import PATIENCE, SparedPms
from outbox_worker.outbox.delivery import Destination
from outbox_worker.pms.guestly import Guestly
from outbox_worker.pms.port import Further, LookupAnswer, PmsName, uncounted
from tests.support_doubt import asked, in_guestly, linked
from tests.support_engine import booking_row
from tests.support_simulator import Simulator

A_MINUTE = Window(limit=10, length=timedelta(minutes=1))
#: So long that a slow machine still meets it used up.
FOUR_SECONDS = Window(limit=2, length=timedelta(seconds=4))
AN_HOUR = Window(limit=2, length=timedelta(hours=1))
NOW = datetime(2026, 11, 22, tzinfo=UTC)
OPEN: LiteralString = (
    "circuit = 'open', circuit_until = now() + interval '1 hour', circuit_cause = 'outage',"
    " circuit_opened_at = now()"
)


class ReadsItsHit:
    """An adapter that reads the one hit of a look-up as well, as Guesty's does."""

    def __init__(self, pms: Guestly) -> None:
        self._pms = pms
        self.name = pms.name
        self.reservation, self.listing = pms.reservation, pms.listing

    async def find(self, reference: str, *, further: Further = uncounted) -> LookupAnswer:
        further()
        return await self._pms.find(reference)


def spared(
    pms: Guestly | ReadsItsHit,
    conn: Connection,
    window: Window = A_MINUTE,
    *,
    told: list[timedelta] | None = None,
    patience: timedelta = timedelta(seconds=10),
) -> SparedPms:
    waits: list[timedelta] = [] if told is None else told
    return SparedPms(pms, conn, (window,), tell=waits.append, patience=patience)


def no_wait(wait: timedelta) -> None:
    pytest.fail(f"{wait} were to be waited for")


async def used(conn: Connection, window: Window = A_MINUTE) -> int:
    [gate] = [g for g in await gates.read_all(conn) if g.destination is Destination.GUESTLY]
    return sum(calls for _, calls in gate.usage.get(window.key, ()))


async def use_up(conn: Connection, window: Window) -> None:
    """What a busy worker takes."""
    await gates.take_calls(conn, Destination.GUESTLY, (window,), want=window.limit, least=1)


async def test_a_check_counts_the_calls_that_it_makes_and_no_more(
    conn: Connection, adapter: Guestly, booking: UUID
) -> None:
    found = await asked(conn, spared(adapter, conn), booking)

    assert found.finding is Finding.ABSENT
    assert await used(conn) == 1
    await asked(conn, spared(ReadsItsHit(adapter), conn), booking)
    assert await used(conn) == 3


async def test_a_link_counts_the_read_and_the_look_up(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    by_hand = await in_guestly(conn, pms, booking)

    await linked(conn, spared(adapter, conn), booking, by_hand["_id"])

    assert await used(conn) == 2


async def test_every_listing_that_is_checked_is_a_call(
    conn: Connection, adapter: Guestly, booking: UUID
) -> None:
    assert await booking_row(conn, booking)
    rows = await list_listings(conn, pms=PmsName.GUESTLY)

    checks = check_listings(conn, rows, pms=spared(adapter, conn), currency="EUR")

    asked_for = [each async for each in checks if each.listing_id]
    assert len(asked_for) == await used(conn) == 1


async def test_what_workers_have_used_up_is_waited_for_and_said(
    conn: Connection, adapter: Guestly, booking: UUID
) -> None:
    await use_up(conn, FOUR_SECONDS)
    told: list[timedelta] = []

    found = await asked(conn, spared(adapter, conn, FOUR_SECONDS, told=told), booking)

    assert found.finding is Finding.ABSENT
    [wait] = told
    assert timedelta(0) < wait <= FOUR_SECONDS.length * 1.1


@pytest.mark.parametrize("shut", ["paused_at = now()", OPEN])
async def test_a_pause_or_an_open_circuit_keeps_no_person_from_asking(
    conn: Connection, adapter: Guestly, booking: UUID, shut: LiteralString
) -> None:
    await conn.execute(f"update outbox.destination set {shut} where destination = 'guestly'")

    assert (await asked(conn, spared(adapter, conn), booking)).finding is Finding.ABSENT
    assert await used(conn) == 1


@pytest.mark.parametrize("calls", [1, 120])
def test_whoever_has_used_up_the_calls_of_a_minute_outwaits_it(calls: int) -> None:
    """Else the rest of a list longer than that would never be asked for."""
    minute = (Window(limit=calls, length=timedelta(minutes=1)),)
    spent = rate.take({}, minute, now=NOW, want=calls, least=calls)

    assert timedelta(minutes=1) <= rate.take(spent.usage, minute, now=NOW, want=1, least=1).wait
    assert rate.take(spent.usage, minute, now=NOW, want=1, least=1).wait <= PATIENCE


async def test_a_person_does_not_wait_for_ever_and_nothing_is_asked_then(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    by_hand = await in_guestly(conn, pms, booking)
    await use_up(conn, A_MINUTE)
    told: list[timedelta] = []
    hurried = spared(adapter, conn, told=told, patience=timedelta(seconds=1))

    with pytest.raises(PmsUnansweredError, match="nothing was asked") as gave_up:
        await linked(conn, hurried, booking, by_hand["_id"])

    assert gave_up.value.code == "no_call_left"
    assert gave_up.value.hint.startswith("Try again in ")
    assert told == []
    rows = await list_listings(conn, pms=PmsName.GUESTLY)
    checks = check_listings(conn, rows, pms=hurried, currency="EUR")
    assert {each.checked for each in [each async for each in checks] if each.listing_id} == {False}


async def test_a_long_rest_is_told_in_minutes_and_not_waited_for(
    conn: Connection, adapter: Guestly, booking: UUID
) -> None:
    await use_up(conn, AN_HOUR)

    with pytest.raises(PmsUnansweredError, match=r"used up for 6\d min, so nothing") as gave_up:
        await asked(conn, SparedPms(adapter, conn, (AN_HOUR,), tell=no_wait), booking)

    assert gave_up.value.hint.endswith(" min.")


async def test_a_gate_that_somebody_locks_for_a_moment_is_waited_for(
    conn: Connection, database_url: str, adapter: Guestly, booking: UUID
) -> None:
    other = await connect(database_url, application_name="holder")
    try:
        await other.execute("begin")
        await gates.lock(other, Destination.GUESTLY)
        with pytest.raises(DatabaseBusyError, match="somebody else was in the way"):
            await asked(conn, spared(adapter, conn, patience=timedelta(seconds=1)), booking)
        await other.rollback()
    finally:
        await other.close()

    assert (await asked(conn, spared(adapter, conn), booking)).finding is Finding.ABSENT
