"""Real workers whose wall clock is a day off, beside ones whose clock is right.

Leases, due times, the quiet period and every time that a person is told are the database's.
"""

from __future__ import annotations

import signal
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, LiteralString

import pytest

from outbox_worker.database import Connection
from outbox_worker.outbox.delivery import Destination
from tests.support_clock import wrong_clock
from tests.support_engine import (
    attempts_of,
    booking_row,
    end_lease,
    eventually,
    is_synced,
    owe,
    row_of,
)
from tests.support_mail import mail_server
from tests.support_races import owed_booking
from tests.support_simulator import Simulator
from tests.support_worker import WorkerProcess, at_work, environment, worker

pytestmark = pytest.mark.timeout(120)

DAY = timedelta(days=1)
OFF = pytest.mark.parametrize("by", [DAY, -DAY], ids=["a day ahead", "a day behind"])
#: Far more than anything here takes, far less than the clocks are off.
SOON = timedelta(minutes=10)
SLACK = timedelta(seconds=30)


@pytest.fixture
def pms(pms: Simulator) -> Simulator:
    """Only the engine's own rules keep a booking from being doubled."""
    pms.switch(idempotency="ignore", availability=False)
    return pms


async def one(conn: Connection, sql: LiteralString) -> dict[str, Any]:
    row = await (await conn.execute(sql)).fetchone()
    assert row is not None
    return row


async def now_of(conn: Connection) -> datetime:
    now = (await one(conn, "select clock_timestamp() as now"))["now"]
    assert isinstance(now, datetime)
    return now


async def polled(conn: Connection, key: str) -> None:
    """See everybody's loop go round: the mail of an alert that there is not is claimed and done."""
    mail = await owe(conn, key, Destination.EMAIL)

    async def done() -> bool:
        return bool((await row_of(conn, mail))["delivered"])

    await eventually(done, "a delivery of something else")


def is_off(process: WorkerProcess, now: datetime, by: timedelta) -> bool:
    """Whether the lines of its log are dated by such a clock."""
    dated = datetime.fromisoformat(process.lines()[0]["ts"])
    return abs(dated - now - by) < SOON


@pytest.mark.usefixtures("listed")
@OFF
@pytest.mark.parametrize("holder", ["right", "wrong"])
async def test_a_lease_is_neither_stolen_nor_eternal_whoevers_clock_is_wrong(
    conn: Connection,
    database_url: str,
    pms: Simulator,
    tmp_path: Path,
    by: timedelta,
    holder: str,
) -> None:
    environ = environment(
        database_url,
        pms,
        WORKER_LEASE_SECONDS="60",
        PMS_TIMEOUT_SECONDS="20",
        PMS_QUIET_SECONDS="0.5",
    )
    pms.once("timeout", when="after", seconds=30, operation="create")
    with (
        worker(tmp_path / "right.log", environ) as right,
        worker(tmp_path / "wrong.log", environ, fault=wrong_clock(by)) as wrong,
    ):
        await at_work(conn, 2)
        assert is_off(wrong, await now_of(conn), by)
        first, second = (right, wrong) if holder == "right" else (wrong, right)
        second.send(signal.SIGSTOP)
        booking, delivery = await owed_booking(conn)
        await eventually(lambda: created(pms), "the create")
        held = await row_of(conn, delivery)

        # whoever looks for work now sees the row, and that it is taken
        first.send(signal.SIGSTOP)
        second.send(signal.SIGCONT)
        await polled(conn, "while the lease lives")
        await polled(conn, "again")
        assert (await row_of(conn, delivery))["owner"] == held["owner"]
        first.send(signal.SIGKILL)
        await end_lease(conn, delivery)
        await eventually(lambda: is_synced(conn, booking), "the take-over")

    assert held["lease_until"] - held["claimed_at"] == timedelta(minutes=1)
    lost, *later = await attempts_of(conn, delivery)
    assert (lost["outcome"], lost["worker"]) == ("lost", held["owner"])
    assert [each["worker"] == held["owner"] for each in later] == [False] * len(later)
    assert min(each["started_at"] for each in later) >= lost["finished_at"]
    assert [effect["op"] for effect in pms.effects()] == ["create"]


async def created(pms: Simulator) -> bool:
    return bool(pms.effects())


@pytest.mark.usefixtures("listed")
@OFF
async def test_what_is_due_and_what_is_not_is_the_databases_to_say(
    conn: Connection,
    database_url: str,
    pms: Simulator,
    tmp_path: Path,
    by: timedelta,
) -> None:
    _, later = await owed_booking(conn)
    await conn.execute("update outbox.delivery set due_at = now() + interval '1 hour'")
    pms.once("error", status=503, operation="create")
    environ = environment(
        database_url, pms, SYNC_RETRY_BASE_SECONDS="600", SYNC_RETRY_CAP_SECONDS="600"
    )
    with worker(tmp_path / "wrong.log", environ, fault=wrong_clock(by)) as wrong:
        _, failing = await owed_booking(
            conn, check_in_date="2027-06-01", check_out_date="2027-06-05"
        )

        async def failed() -> bool:
            return bool((await row_of(conn, failing))["last_error_code"] == "http_503")

        await eventually(failed, "the failed attempt")
        row = await row_of(conn, failing)
        booking, _ = await owed_booking(
            conn, check_in_date="2027-07-01", check_out_date="2027-07-05"
        )
        await eventually(lambda: is_synced(conn, booking), "a booking that is due")
        await polled(conn, "one more look")
        assert is_off(wrong, row["now"], by)

    wait = row["due_at"] - row["uncertain_at"]
    # a quarter at most comes on top, and the time from the call's end until that was on record
    assert timedelta(minutes=10) <= wait <= timedelta(minutes=12, seconds=30) + SLACK
    assert abs(row["uncertain_at"] - row["now"]) < SOON
    assert len(await attempts_of(conn, failing)) == 1
    assert await attempts_of(conn, later) == []
    at = await booking_row(conn, booking)
    assert abs(at["guestly_synced_at"] - await now_of(conn)) < SOON


@pytest.mark.usefixtures("listed")
@OFF
async def test_the_quiet_period_is_the_databases_and_a_late_effect_is_waited_for(
    conn: Connection,
    database_url: str,
    pms: Simulator,
    tmp_path: Path,
    by: timedelta,
) -> None:
    pms.once("late", operation="create", seconds=3)
    environ = environment(
        database_url, pms, PMS_TIMEOUT_SECONDS="1", PMS_QUIET_SECONDS="4", WORKER_LEASE_SECONDS="5"
    )
    late, _ = await owed_booking(conn)
    with (
        worker(tmp_path / "one.log", environ, fault=wrong_clock(by)),
        worker(tmp_path / "other.log", environ, fault=wrong_clock(-by / 2)),
    ):
        await eventually(lambda: is_synced(conn, late), "the booking whose create came late")
        pms.once("timeout", operation="create")
        never, delivery = await owed_booking(
            conn, check_in_date="2027-06-01", check_out_date="2027-06-05"
        )
        doubts = []

        async def settled() -> bool:
            row = await row_of(conn, delivery)
            if row["uncertain_at"] is not None:
                doubts.append(row["uncertain_at"])
            return await is_synced(conn, never)

        await eventually(settled, "the booking whose create never came", within=20)

    assert [effect["op"] for effect in pms.effects()] == ["create", "create"]
    made = datetime.fromisoformat(pms.effects()[-1]["at"])
    assert made - max(doubts) >= timedelta(seconds=4)


@OFF
async def test_a_person_is_told_by_the_databases_clock(
    conn: Connection, database_url: str, pms: Simulator, tmp_path: Path, by: timedelta
) -> None:
    # a stay whose dates, which the mail names, are not those of the wrong clock
    stay = {"check_in_date": "2099-05-01", "check_out_date": "2099-05-05"}
    _, delivery = await owed_booking(conn, slug="no-listing", **stay)
    async with mail_server() as server:
        environ = environment(
            database_url,
            pms,
            ADMIN_ALERT_EMAIL="ops@example.com",
            EMAIL_FROM="alerts@example.com",
            SMTP_URL=f"smtp://127.0.0.1:{server.port}",
        )
        with worker(tmp_path / "wrong.log", environ, fault=wrong_clock(by)) as wrong:

            async def told() -> bool:
                return bool(server.taken)

            await eventually(told, "the mail")
            now = await now_of(conn)
            assert is_off(wrong, now, by)

    (taken,) = server.taken
    assert abs(parsedate_to_datetime(taken.mail["Date"]) - now) < SOON
    text = str(next(taken.mail.iter_parts()).get_content())
    row = await row_of(conn, delivery)
    assert f"{row['failed_at']:%d %b %Y}" in text
    assert f"{row['failed_at'] + by:%d %b %Y}" not in text
    alert = await one(conn, "select first_seen_at, last_seen_at from outbox.alert")
    (attempt,) = await attempts_of(conn, delivery)
    seen = await one(conn, "select started_at, seen_at from outbox.worker")
    for moment in (
        row["failed_at"], *alert.values(), attempt["started_at"], attempt["finished_at"],
        *seen.values(),
    ):  # fmt: skip
        assert abs(moment - now) < SOON


@pytest.mark.usefixtures("listed")
@OFF
async def test_an_outage_that_such_a_worker_meets_ends_for_everybody_by_the_databases_clock(
    conn: Connection,
    database_url: str,
    pms: Simulator,
    tmp_path: Path,
    by: timedelta,
) -> None:
    bookings = [
        (
            await owed_booking(
                conn, check_in_date=f"2027-06-{day:02}", check_out_date=f"2027-06-{day + 1:02}"
            )
        )[0]
        for day in range(1, 7)
    ]
    pms.faults({"fault": "error", "status": 503})
    environ = environment(database_url, pms, SYNC_RETRY_CAP_SECONDS="1")
    with worker(tmp_path / "wrong.log", environ, fault=wrong_clock(by)):

        async def opened() -> bool:
            gate = await one(
                conn, "select circuit from outbox.destination where destination = 'guestly'"
            )
            return bool(gate["circuit"] == "open")

        await eventually(opened, "the circuit")
        gate = await one(conn, "select * from outbox.destination where destination = 'guestly'")
        pms.clear_faults()
        with worker(tmp_path / "right.log", environ):

            async def all_synced() -> bool:
                return all([await is_synced(conn, booking) for booking in bookings])

            await eventually(all_synced, "the end of the outage", within=40)

    assert abs(gate["circuit_opened_at"] - await now_of(conn)) < SOON
    rest = gate["circuit_until"] - gate["circuit_opened_at"]
    assert timedelta(0) < rest <= timedelta(minutes=2)
    references = [held["confirmationCode"] for held in pms.reservations()]
    assert len(references) == len(set(references)) == len(bookings)
