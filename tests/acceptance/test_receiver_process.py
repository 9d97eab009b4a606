"""``webhook-receiver`` as the process that users start, stop and read the log of."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from outbox_worker import __version__
from outbox_worker.database import Connection, connect
from tests.support_receiver import environment, receiver_process
from tests.support_stripe import (
    SECRET,
    booking_row,
    event,
    event_row,
    insert_booking,
    intent,
    new_id,
    session,
)
from tests.support_wire import Wire

PROGRAM = Path(sys.executable).with_name("webhook-receiver")
PING = event("payout.paid", {"id": "po_1"})


def started(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PROGRAM), *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_it_refuses_to_start_and_names_every_fault_at_once_but_no_value() -> None:
    environ = environment(
        "mysql://somebody:pass-word@nowhere/x",
        STRIPE_WEBHOOK_SECRET="",
        STRIPE_LIVEMODE="perhaps",
        RECEIVER_ADDRESS="here",
        STRIPE_WEBHOOK_SECRT=SECRET,
    )

    done = started(environ)

    assert (done.returncode, done.stdout) == (2, "")
    for name in (
        "DATABASE_URL", "STRIPE_WEBHOOK_SECRET", "STRIPE_LIVEMODE", "RECEIVER_ADDRESS",
        "STRIPE_WEBHOOK_SECRT",
    ):  # fmt: skip
        assert name in done.stderr
    assert "pass-word" not in done.stderr
    assert SECRET not in done.stderr


def test_it_tells_how_it_is_used_and_refuses_what_it_does_not_know() -> None:
    assert "STRIPE_WEBHOOK_SECRET" in started({}, "--help").stdout
    assert started({}, "--port", "1").returncode == 2
    assert started({}, "--version").stdout == f"webhook-receiver {__version__}\n"


def test_settings_come_from_a_file_too_and_the_environment_wins(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        given = environment("postgresql://127.0.0.1:1/none", RECEIVER_ADDRESS=address)
        file = tmp_path / "settings.env"
        lines = [f"{name}={value}" for name, value in given.items() if name != "PATH"]
        file.write_text("\n".join(lines), encoding="utf-8")

        read = started({}, "--env-file", str(file))
        overridden = started({"RECEIVER_ADDRESS": "here"}, "--env-file", str(file))

    assert (read.returncode, address in read.stdout) == (1, True)
    assert (overridden.returncode, "RECEIVER_ADDRESS" in overridden.stderr) == (2, True)


def test_a_file_that_cannot_be_used_is_told_without_its_content(tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    missing = started({}, "--env-file", str(file))
    file.write_text(f"{SECRET}\n", encoding="utf-8")
    wrong = started({}, "--env-file", str(file))

    assert (missing.returncode, "FileNotFoundError" in missing.stderr) == (2, True)
    assert (wrong.returncode, "line 1" in wrong.stderr) == (2, True)
    assert SECRET not in wrong.stderr


def test_an_address_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        environ = environment("postgresql://127.0.0.1:1/none", RECEIVER_ADDRESS=address)

        done = started(environ)

    assert done.returncode == 1
    (line,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (line["event"], address in line["message"]) == ("service.failed", True)


async def test_it_takes_a_signed_event_and_stops_cleanly(
    database_url: str, conn: Connection
) -> None:
    with receiver_process(environment(database_url)) as receiver:
        receiver.wait_until_ready()

        answer = await receiver.deliver(PING)

        assert (answer.status_code, answer.json()) == (200, {"outcome": "ignored"})
        assert (await event_row(conn, PING["id"]))["outcome"] == "ignored"
        assert receiver.stop() == 0
        events = [line["event"] for line in receiver.rest()]
        assert events[-3:] == ["webhook.received", "service.draining", "service.stopped"]


async def test_a_stop_finishes_what_is_under_way(database_url: str, conn: Connection) -> None:
    intent_id = new_id("pi")
    booking_id = await insert_booking(conn, stripe_payment_intent_id=intent_id)
    body = event("payment_intent.succeeded", intent(intent_id, amount=50000))
    async with contextlib.AsyncExitStack() as stack:
        holder = await connect(database_url, application_name="holder", autocommit=False)
        stack.push_async_callback(holder.close)
        receiver = stack.enter_context(receiver_process(environment(database_url)))
        receiver.wait_until_ready()
        await holder.execute("select from public.bookings where id = %s for update", [booking_id])
        delivery = asyncio.create_task(receiver.deliver(body))
        async with asyncio.timeout(10):
            while not await waiting(conn):
                pass

        receiver.process.terminate()
        receiver.wait_for("service.draining")
        await holder.close()

        assert (await delivery).json() == {"outcome": "applied"}
        assert receiver.process.wait(20) == 0
    assert (await booking_row(conn, booking_id))["status"] == "confirmed"


async def waiting(conn: Connection) -> bool:
    cursor = await conn.execute(
        "select from pg_stat_activity where wait_event_type = 'Lock' and datname ="
        " current_database()"
    )
    return cursor.rowcount > 0


async def test_it_starts_without_postgres_and_says_so_once(
    database_url: str, conn: Connection
) -> None:
    async with Wire(database_url) as wire:
        await wire.cut()
        with receiver_process(environment(wire.url)) as receiver:
            await asyncio.to_thread(receiver.wait_for, "database.lost")
            refused = [await receiver.deliver(PING) for _ in range(3)]
            assert [answer.status_code for answer in refused] == [503] * 3

            await wire.mend()
            began = time.monotonic()
            await asyncio.to_thread(receiver.wait_for, "database.restored", within=15)

            assert time.monotonic() - began < 10
            assert (await receiver.deliver(PING)).status_code == 200
            lines = [line["event"] for line in receiver.lines]
            assert lines.count("database.lost") == 1
            assert not [name for name in lines if name.startswith("library.")]
    assert (await event_row(conn, PING["id"]))["outcome"] == "ignored"


async def test_the_log_tells_ids_and_nothing_of_the_body(
    database_url: str, conn: Connection
) -> None:
    intent_id = new_id("pi")
    booking_id = await insert_booking(conn, stripe_payment_intent_id=intent_id)
    person = {"email": "ada@example.com", "name": "Ada Lovelace", "phone": "+49 30 5550 1234"}
    paid = event(
        "payment_intent.succeeded",
        intent(intent_id, amount=50000, receipt_email="ada@example.com", shipping=person),
    )
    wrong = event("checkout.session.completed", session(intent_id, amount=1, customer=person))
    with receiver_process(environment(database_url, LOG_LEVEL="debug")) as receiver:
        receiver.wait_until_ready()
        for body in (paid, wrong):
            assert (await receiver.deliver(body)).status_code == 200
        await receiver.deliver(paid, stripe_signature=f"t=1,v1={'ab' * 32}")
        receiver.stop()
        lines = receiver.rest()
        errors = receiver.process.stderr.read() if receiver.process.stderr else ""

    line = next(line for line in lines if line.get("event_id") == paid["id"])
    assert (line["event"], line["outcome"]) == ("webhook.received", "applied")
    assert (line["event_type"], line["object_id"]) == (paid["type"], intent_id)
    assert line["booking_id"] == str(booking_id)
    assert line["duration_ms"] > 0
    told = json.dumps(lines) + errors
    for private in (  # each too long to turn up in a random identifier
        "ada@",
        "Ada",
        "Lovelace",
        "5550 1234",
        "55501234",
        SECRET,
        "ab" * 32,
        "client_secret",
        "password",
    ):
        assert private not in told


@pytest.mark.skipif(sys.platform != "linux", reason="systemd passes sockets on Linux alone")
async def test_a_socket_that_systemd_holds_loses_no_connection_in_a_restart(
    database_url: str, conn: Connection
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held, contextlib.ExitStack() as stack:
        environ = environment(database_url, LISTEN_FDS="1", RECEIVER_ADDRESS="127.0.0.1:1")
        # systemd names the process that the sockets are for, which becomes the receiver
        become = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3);"
            " os.environ['LISTEN_PID'] = str(os.getpid()); os.execv(sys.argv[2], sys.argv[2:])"
        )
        prefix = (sys.executable, "-c", become, str(held.fileno()))
        options = {"pass_fds": (held.fileno(),)}
        first = stack.enter_context(receiver_process(environ, prefix=prefix, **options))
        assert first.url.endswith(f":{held.getsockname()[1]}")
        first.wait_until_ready()
        assert (await first.deliver(PING)).status_code == 200
        assert first.stop() == 0

        queued = asyncio.create_task(first.deliver(event("payout.paid", {"id": "po_2"})))
        second = await asyncio.to_thread(
            lambda: stack.enter_context(receiver_process(environ, prefix=prefix, **options))
        )

        assert (await queued).status_code == 200
        assert second.url == first.url
    assert (await event_row(conn, PING["id"]))["outcome"] == "ignored"
