"""While Guesty gives no access token: no booking pays for it, people see it, a resume ends it."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from outbox_worker.database import Connection
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Reason
from tests.support_cli import WIDTH, Ended, outbox, settings
from tests.support_engine import eventually, insert_booking
from tests.support_gate import circuit_state, count, open_alerts
from tests.support_simulator_guesty import (
    CLIENT_ID,
    CLIENT_SECRET,
    GuestySimulator,
    start_guesty,
)
from tests.support_worker import environment, worker

LOFT = "652f0000000000000000a001"
BOOKINGS = 3
DOWN: Mapping[str, Any] = {"fault": "error", "status": 503, "operation": "token"}


@pytest.fixture
def pms(tmp_path: Path) -> Iterator[GuestySimulator]:
    with start_guesty(tmp_path) as simulator:
        yield simulator


def credentials(pms: GuestySimulator) -> dict[str, str]:
    return {
        "PMS": "guesty",
        "GUESTY_API_URL": pms.url,
        "GUESTY_CLIENT_ID": CLIENT_ID,
        "GUESTY_CLIENT_SECRET": CLIENT_SECRET,
    }


async def run(database_url: str, pms: GuestySimulator, *arguments: str) -> Ended:
    more = credentials(pms) | {"GUESTLY_SYNC_ENABLED": "true", "GUESTLY_TEST_MODE": "false"}
    return await asyncio.to_thread(outbox, *arguments, environ=settings(database_url, **more))


async def owe(conn: Connection) -> None:
    """Bookings of one house, one week each, that are to be sent."""
    await conn.execute(
        "insert into outbox.listing (pms, slug, listing_id) values ('guesty', 'sea-loft', %s)",
        [LOFT],
    )
    for number in range(1, BOOKINGS + 1):
        booking = await insert_booking(
            conn,
            booking_reference=f"LA-{number}",
            check_in_date=f"2027-0{number}-01",
            check_out_date=f"2027-0{number}-05",
        )
        await store.request_sync(conn, booking, reason=Reason.STRIPE, reference=f"evt_{number}")


async def at_rest(conn: Connection) -> bool:
    """Whether the circuit is open, and no booking is in the hands of a worker."""
    return await circuit_state(conn) == "open" and await count(conn, "owner is not null") == 0


async def all_sent(conn: Connection) -> bool:
    where = "destination = 'guestly' and delivered = requested"
    return await count(conn, where) == BOOKINGS


async def requests(conn: Connection) -> int:
    """How many tokens were requested, as the fleet has it on record."""
    cursor = await conn.execute(
        "select cardinality(auth_requests) as n from outbox.destination"
        " where destination = 'guestly'"
    )
    return int((await cursor.fetchone() or {"n": -1})["n"])


async def outcomes(conn: Connection) -> set[str]:
    cursor = await conn.execute("select distinct outcome from outbox.attempt")
    return {row["outcome"] for row in await cursor.fetchall()}


def said(ended: Ended) -> str:
    """The output without its line breaks; every line fits."""
    assert [line for line in ended.out.splitlines() if len(line) > WIDTH] == []
    return " ".join(ended.out.split())


@pytest.mark.parametrize(
    "fault",
    [
        DOWN,
        {"fault": "rate_limit", "retry_after": 1800, "operation": "token"},
        {"fault": "break", "operation": "token"},
        {"fault": "timeout", "seconds": 30, "operation": "token"},
    ],
    ids=["503", "429", "break", "silence"],
)
async def test_no_attempt_is_charged_nothing_fails_and_a_resume_sends_all_of_them_at_once(
    conn: Connection,
    database_url: str,
    pms: GuestySimulator,
    tmp_path: Path,
    fault: Mapping[str, Any],
) -> None:
    await owe(conn)
    pms.faults(fault)
    environ = environment(database_url, None, **credentials(pms))
    with worker(tmp_path / "worker.log", environ):
        await eventually(lambda: at_rest(conn), "a shut gate", within=20)
        bookings = "destination = 'guestly'"
        assert await count(conn, f"{bookings} and attempts = 0") == BOOKINGS
        assert await count(conn, f"{bookings} and failed_at is null") == BOOKINGS
        assert await count(conn, f"{bookings} and due_at <= now()") == BOOKINGS
        assert await outcomes(conn) <= {"waiting"}
        pms.clear_faults()

        await run(database_url, pms, "resume", "guestly")
        await eventually(lambda: all_sent(conn), "everything sent", within=20)

    assert await outcomes(conn) <= {"waiting", "held"}
    cursor = await conn.execute("select distinct guestly_sync_attempts as n from bookings")
    assert [row["n"] for row in await cursor.fetchall()] == [1]
    assert await requests(conn) <= 4


async def test_it_is_told_shown_and_ended_by_a_resume_that_says_what_is_left(
    conn: Connection, database_url: str, pms: GuestySimulator, tmp_path: Path
) -> None:
    await owe(conn)
    pms.faults(DOWN)
    environ = environment(database_url, None, **credentials(pms))
    with worker(tmp_path / "worker.log", environ) as process:

        async def told() -> bool:
            return await open_alerts(conn) == ["circuit_open"] and await at_rest(conn)

        await eventually(told, "the alert of the first failed probe", within=20)
        assert await requests(conn) == 2
        opened = await process.logged("circuit.opened")
        assert "Guesty gives no access token" in opened["message"]

        status, shown, listed = [
            await run(database_url, pms, *arguments)
            for arguments in (["status"], ["show", "LA-1"], ["destinations"])
        ]
        next_at = (
            r"no access token can be had \(http_503\); the next one is requested at"
            r" [0-9-]{10} \d\d:\d\d:\d\d UTC, or after `outbox resume guestly`"
        )
        assert status.code == 5
        assert re.search(f"guestly is held: {next_at}", said(status))
        assert "      why: Guesty gives no access token (token_unavailable)" in status.out
        assert "           outbox resume guestly" in status.out.splitlines()
        assert re.search(f"why {next_at}", said(shown))
        assert "     outbox resume guestly" in shown.out.splitlines()
        assert re.search(
            r"no access token can be had \(http_503\) since .* UTC;"
            r" the next is requested at .* UTC",
            said(listed),
        )
        assert listed.out.splitlines()[-1] == "next: outbox resume guestly"
        for_programs = (await run(database_url, pms, "destinations", "--json")).data()
        assert for_programs[0]["next_token_at"] is not None

        pms.clear_faults()
        resumed = await run(database_url, pms, "resume", "guestly")
        await eventually(lambda: all_sent(conn), "everything sent", within=20)

        async def solved() -> bool:
            return await open_alerts(conn) == []

        await eventually(solved, "the end of the alert")
    assert resumed.code == 0
    assert "3 of the 5 requests of these 24 hours are left." in said(resumed)
    assert await requests(conn) == 3
    assert "no access token" not in said(await run(database_url, pms, "status"))


async def test_a_person_who_sends_one_booking_is_told_at_once_and_it_costs_nothing(
    conn: Connection, database_url: str, pms: GuestySimulator
) -> None:
    await owe(conn)
    pms.faults(DOWN)

    try:
        sent = await run(database_url, pms, "sync", "LA-1")
    except subprocess.TimeoutExpired:
        raise AssertionError("it goes on trying") from None

    assert sent.code == 1, sent.out + sent.err
    assert "Guesty gave no access token (http_503)" in " ".join(sent.err.split())
    assert sent.err.count("attempt ") == 1
    assert await count(conn, "destination = 'guestly' and attempts = 0") == BOOKINGS
    assert await circuit_state(conn) == "open"


async def test_resume_says_that_the_last_request_is_all_that_is_left_and_refuses_nothing(
    conn: Connection, database_url: str, pms: GuestySimulator
) -> None:
    await owe(conn)
    pms.faults(DOWN)
    left = []
    for _ in range(6):
        await run(database_url, pms, "sync", "LA-1")
        resumed = await run(database_url, pms, "resume", "guestly")
        assert resumed.code == 0
        left += re.findall(r"(\d|All 5) (?:of the 5 )?requests", said(resumed))

    assert left == ["4", "3", "2", "1", "All 5", "All 5"]
    assert await requests(conn) == 5
