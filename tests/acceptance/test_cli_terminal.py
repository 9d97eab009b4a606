"""Commands on a terminal: asking, declining, interrupting, and lines that fit."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

from outbox_worker.database import Connection
from tests.support_cli import PATIENCE_S, outbox, settings, terminal, too_wide
from tests.support_engine import booking_row, eventually, insert_booking
from tests.support_simulator import LISTING, start_simulator
from tests.support_worker import environment, worker


async def missing(conn: Connection, count: int) -> None:
    for number in range(count):
        await insert_booking(conn, booking_reference=f"LA-{number:03}")


async def requested(conn: Connection) -> int:
    cursor = await conn.execute("select count(*) as n from outbox.delivery")
    [row] = await cursor.fetchall()
    return int(row["n"])


async def test_a_bulk_action_shows_its_list_and_asks(conn: Connection, database_url: str) -> None:
    await missing(conn, 2)

    def declined() -> tuple[int, str]:
        with terminal(["requeue", "--missing"], environ=settings(database_url)) as screen:
            screen.shows("Send 2 bookings? [y/N] ")
            screen.type("n\n")
            return screen.ended(), screen.text

    code, text = await asyncio.to_thread(declined)

    assert code == 3
    assert "To be sent: 2" in text
    assert "LA-000" in text
    assert "error: declined, nothing was changed." in text
    assert await requested(conn) == 0


async def test_the_end_of_input_is_a_no(conn: Connection, database_url: str) -> None:
    await missing(conn, 1)

    def ended() -> int:
        with terminal(["requeue", "--missing"], environ=settings(database_url)) as screen:
            screen.shows("[y/N] ")
            screen.type("\x04")
            return screen.ended()

    assert await asyncio.to_thread(ended) == 3


async def test_ctrl_c_at_the_prompt_changes_nothing(conn: Connection, database_url: str) -> None:
    await missing(conn, 1)

    def interrupted() -> tuple[int, str]:
        with terminal(["requeue", "--missing"], environ=settings(database_url)) as screen:
            screen.shows("[y/N] ")
            screen.type("\x03")
            return screen.ended(), screen.text

    code, text = await asyncio.to_thread(interrupted)

    assert code == 130
    assert "Traceback" not in text
    assert await requested(conn) == 0


async def test_a_yes_sends_the_list_that_was_shown(conn: Connection, database_url: str) -> None:
    await missing(conn, 2)

    def agreed() -> tuple[int, str]:
        with terminal(["requeue", "--missing"], environ=settings(database_url)) as screen:
            screen.shows("[y/N] ")
            asyncio.run_coroutine_threadsafe(
                insert_booking(conn, booking_reference="LA-later"), loop
            ).result(PATIENCE_S)
            screen.type("y\n")
            return screen.ended(), screen.text

    loop = asyncio.get_running_loop()
    code, text = await asyncio.to_thread(agreed)

    assert code == 0
    assert "Asked for again: 2 (LA-000, LA-001)" in text
    cursor = await conn.execute(
        "select count(*) as n from outbox.delivery d join bookings b on b.id::text = d.key"
        " where b.booking_reference = 'LA-later'"
    )
    assert await cursor.fetchall() == [{"n": 0}]


async def test_a_long_action_can_be_interrupted_and_goes_on_where_it_was(
    conn: Connection, database_url: str
) -> None:
    await missing(conn, 60)
    # one in ten seconds after the first six: time to see the bar, and to interrupt
    slow = settings(database_url, PMS_RATE_PER_MINUTE="6")

    def interrupted() -> tuple[int, str]:
        with terminal(["requeue", "--missing", "--yes"], environ=slow) as screen:
            screen.shows(" 6/60")
            screen.type("\x03")
            return screen.ended(), screen.text

    code, text = await asyncio.to_thread(interrupted)

    assert code == 130
    done = await requested(conn)
    assert 6 <= done < 60
    assert f"Interrupted: {60 - done} rows not reached." in text
    again = await asyncio.to_thread(
        outbox, "requeue", "--missing", "--yes", "--json", environ=settings(database_url)
    )
    assert again.code == 0
    assert len(again.data()["requeued"]) == 60 - done
    assert await requested(conn) == 60


async def test_progress_off_a_terminal_is_a_line_for_each_tenth(
    conn: Connection, database_url: str
) -> None:
    await missing(conn, 60)

    ended = await asyncio.to_thread(
        outbox, "requeue", "--missing", "--yes", environ=settings(database_url)
    )

    assert ended.code == 0
    assert ended.err.splitlines() == ["requeue: 50 of 60", "requeue: 60 of 60"]


async def test_what_was_repaired_is_sent_and_its_result_told(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    booking = await insert_booking(conn, booking_reference="LA-1")
    await conn.execute("select outbox.request_sync(%s, 'stripe')", [booking])
    with start_simulator(tmp_path / "pms") as pms:
        environ = {**settings(database_url), **environment(database_url, pms)}
        with worker(tmp_path / "worker.log", environ):

            async def refused() -> bool:
                return bool((await booking_row(conn, booking))["guestly_sync_status"] == "failed")

            await eventually(refused, "the refusal", within=PATIENCE_S)
            shown = await asyncio.to_thread(outbox, "show", "LA-1", environ=environ)
            assert "outbox listings set sea-loft LISTING_ID" in shown.out
            for arguments in (("listings", "set", "sea-loft", LISTING), ("listings", "check")):
                assert (await asyncio.to_thread(outbox, *arguments, environ=environ)).code == 0
            sent = await asyncio.to_thread(
                outbox, "requeue", "LA-1", "--wait", "--json", environ=environ
            )
            again = await asyncio.to_thread(outbox, "requeue", "LA-1", environ=environ)
            status = await asyncio.to_thread(outbox, "status", environ=environ)
        [reservation] = pms.reservations()

    assert sent.code == 0
    [settled] = sent.data()["settled"]
    assert (settled["state"], settled["reservation_id"]) == ("synced", reservation["_id"])
    assert again.code == 7
    assert "LA-1  already as wanted" in again.out
    assert "Nothing needs you." in status.out
    assert "1 worker running" in status.out
    assert "LIVE" in status.out


async def test_ctrl_c_while_waiting_tells_what_was_asked_for(
    conn: Connection, database_url: str
) -> None:
    await missing(conn, 1)
    await conn.execute(
        "insert into outbox.worker (id, host, pid, version, pms, sync_enabled, test_mode)"
        " values ('w', 'h', 1, '0.1.0', 'guestly', true, false)"
    )

    def interrupted(process: Any) -> tuple[int, str]:
        with process as screen:
            ends = asyncio.run_coroutine_threadsafe(
                eventually(asked, "the request", within=PATIENCE_S), loop
            )
            ends.result(PATIENCE_S)
            screen.type("\x03")
            return screen.ended(), screen.text

    async def asked() -> bool:
        return await requested(conn) == 1

    loop = asyncio.get_running_loop()
    command = ["requeue", "LA-000", "--wait"]
    code, text = await asyncio.to_thread(
        interrupted, terminal(command, environ=settings(database_url))
    )

    assert code == 130
    assert "Asked for again: 1 (LA-000)" in text


async def test_every_answer_fits_eighty_columns(conn: Connection, database_url: str) -> None:
    await missing(conn, 30)
    long = "LA-" + "9" * 60
    booking = await insert_booking(
        conn, booking_reference=long, slug="a-property-with-a-rather-long-slug-of-its-own"
    )
    await conn.execute("select outbox.request_sync(%s, 'stripe')", [booking])
    await conn.execute(
        "update outbox.delivery set failed_at = now(), due_at = null, last_error = %s,"
        " last_error_code = 'a_code_that_is_longer_than_any_code_of_ours'",
        ["Could not map property to Guestly listing, and some more words to fill a line " * 3],
    )
    environ = settings(database_url)

    for arguments in (
        ("status",),
        ("show", "LA-000"),
        ("show", str(booking), "--payload"),
        ("requeue", "--missing", "--dry-run"),
        ("requeue", "--failed", "--dry-run"),
        ("listings", "list"),
        ("migrate",),
    ):
        ended = await asyncio.to_thread(outbox, *arguments, environ=environ)
        assert ended.out, arguments
        # a name that cannot be broken, and a command that is to be copied, stand as they are
        wide = [
            line for line in too_wide(ended.out) if long not in line and str(booking) not in line
        ]
        assert wide == [], arguments


async def test_a_reader_who_has_seen_enough_is_not_an_error(
    conn: Connection, database_url: str
) -> None:
    await missing(conn, 1)
    process = await asyncio.create_subprocess_shell(
        f'"{sys.executable}" -m outbox_worker.cli requeue --missing --dry-run --json | head -1',
        env=settings(database_url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)

    assert (out, err) == (b"{\n", b"")


async def test_a_worker_and_a_simulator_end_at_sigterm_with_one_object(
    database_url: str, tmp_path: Path
) -> None:
    environ = settings(database_url, METRICS_ADDRESS="", LOG_FORMAT="json")
    for arguments, ready in (
        (("worker", "run", "--json"), b"service.started"),
        (("simulator", "serve", "--port", "0", "--state", str(tmp_path), "--json"), b'{"url"'),
    ):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "outbox_worker.cli",
            *arguments,
            env=environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        async with asyncio.timeout(PATIENCE_S):
            while ready not in (line := await process.stderr.readline()):
                assert line, arguments
        process.send_signal(signal.SIGTERM)
        out, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        assert process.returncode == 0, arguments
        assert b'"schema": "outbox/1"' in out
        assert out.startswith(b"{\n")


async def test_an_error_fits_the_terminal_that_it_is_read_on(database_url: str) -> None:
    """Standard output may go elsewhere meanwhile."""

    def shown() -> str:
        environ = {**settings(database_url), "COLUMNS": ""}
        with terminal(["show", "NOSUCH"], environ=environ, out="/dev/null", width=50) as screen:
            screen.ended()
            return screen.text

    text = await asyncio.to_thread(shown)

    said, *hint = text.splitlines()
    assert said == "error: nothing is known under 'NOSUCH'."
    assert [line[:5] for line in hint] == ["fix: ", *["     "] * (len(hint) - 1)]
    assert max(map(len, hint)) <= 50
    piped = await asyncio.to_thread(outbox, "show", "NOSUCH", environ=settings(database_url))
    assert len(piped.err.splitlines()) == 2
