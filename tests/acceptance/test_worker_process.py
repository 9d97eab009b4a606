"""Real worker processes against a real Postgres and the simulator: signals, crashes, sentences."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

from outbox_worker.database import Connection
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import Destination, Reason
from tests.support_engine import booking_row, end_lease, eventually, insert_booking, owe
from tests.support_simulator import LISTING, LISTINGS, Simulator
from tests.support_wire import Wire
from tests.support_worker import environment, worker

#: A cycle may take a third of it before Postgres counts as lost, and with it a line of the log.
UNHURRIED = {"WORKER_LEASE_SECONDS": "30"}
SENTENCE_UUID = "[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"


async def listed(conn: Connection) -> None:
    """A property for each listing of the simulator."""
    for number, listing in enumerate(LISTINGS):
        await conn.execute(
            "insert into outbox.listing (pms, slug, listing_id) values ('guestly', %s, %s)",
            [f"house-{number}", listing],
        )


async def confirmed(conn: Connection, number: int = 0, **values: object) -> UUID:
    """A booking of its own week, with its sync requested."""
    month, week = 1 + (number // 3) % 12, number % 3
    booking = await insert_booking(
        conn,
        slug=f"house-{week}",
        check_in_date=f"2027-{month:02d}-{1 + (number // 36) * 9:02d}",
        check_out_date=f"2027-{month:02d}-{5 + (number // 36) * 9:02d}",
        **values,
    )
    await store.request_sync(conn, booking, reason=Reason.STRIPE, reference=f"evt_{number}")
    return booking


async def count(conn: Connection, status: str) -> int:
    cursor = await conn.execute(
        "select count(*) as n from bookings where guestly_sync_status = %s", [status]
    )
    return int((await cursor.fetchone() or {"n": -1})["n"])


async def test_the_four_sentences_are_in_a_real_workers_output_letter_by_letter(
    conn: Connection, database_url: str, pms: Simulator, tmp_path: Path
) -> None:
    await listed(conn)
    pms.faults({"fault": "error", "status": 503, "operation": "lookup", "reference": "LA-BAD"})
    good = await confirmed(conn, 1)
    bad = await confirmed(conn, 2, booking_reference="LA-BAD")

    async def both() -> bool:
        return (await count(conn, "synced"), await count(conn, "failed")) == (1, 1)

    with worker(tmp_path / "w.log", environment(database_url, pms, **UNHURRIED)) as process:
        await eventually(both, "one synced and one failed booking", within=20)
        await process.logged("booking.failed")
        process.send(signal.SIGTERM)
        assert await process.ended() == 0
    messages = process.messages()
    held = pms.reservations()[0]["_id"]
    assert f"✓ Guestly sync successful for booking {good}: reservation {held}" in messages
    error = (await booking_row(conn, bad))["guestly_sync_error"]
    for number in (1, 2, 3):
        assert f"Sync attempt {number} failed for booking {bad}: {error}" in messages
    assert f"✗ Guestly sync failed for booking {bad}: {error}" in messages
    waits = [text for text in messages if re.fullmatch(r"Waiting \d+ms before retry\.\.\.", text)]
    assert len(waits) == 2, "a wait after each failed attempt but the last"
    assert "canary" not in process.text.casefold(), "guest data in the log"


async def test_the_seeds_waits_are_the_defaults(
    conn: Connection, database_url: str, pms: Simulator, tmp_path: Path
) -> None:
    await listed(conn)
    pms.faults({"fault": "error", "status": 503, "operation": "lookup"})
    await confirmed(conn)
    environ = environment(database_url, pms, **UNHURRIED)
    del environ["SYNC_RETRY_BASE_SECONDS"]
    with worker(tmp_path / "w.log", environ) as process:
        await process.logged("booking.failed")
        waits = [line["wait_ms"] for line in process.events("retry.scheduled")]
    assert 1000 <= waits[0] <= 1250
    assert 2000 <= waits[1] <= 2500


async def test_sigterm_lets_a_call_that_has_begun_finish_and_claims_nothing_more(
    conn: Connection, database_url: str, pms: Simulator, tmp_path: Path
) -> None:
    await listed(conn)
    pms.faults({"fault": "latency", "seconds": 1.0, "operation": "create"})
    for number in range(12):
        await confirmed(conn, number)
    environ = environment(database_url, pms, WORKER_CONCURRENCY="2")
    with worker(tmp_path / "w.log", environ) as process:

        async def creating() -> bool:
            return len(pms.requests()) >= 2

        await eventually(creating, "two calls under way")
        process.send(signal.SIGTERM)
        assert await process.ended() == 0
    cursor = await conn.execute(
        "select count(*) filter (where delivered = requested) as done,"
        " count(*) filter (where owner is not null) as held,"
        " sum(attempts) filter (where delivered < requested) as charged from outbox.delivery"
    )
    row = await cursor.fetchone()
    assert row is not None
    assert row["held"] == 0, "a row was left leased"
    assert (row["charged"] or 0) == 0, "an attempt was charged for nothing"
    assert row["done"] == len(pms.reservations()) < 12, "it went on claiming"


async def test_a_second_signal_cuts_off_and_the_call_is_settled_as_ambiguous(
    conn: Connection, database_url: str, pms: Simulator, tmp_path: Path
) -> None:
    await listed(conn)
    pms.once("timeout", when="after", seconds=30, operation="create")
    await confirmed(conn)
    environ = environment(
        database_url, pms, PMS_TIMEOUT_SECONDS="20", WORKER_LEASE_SECONDS="40",
        WORKER_SHUTDOWN_SECONDS="30",
    )  # fmt: skip
    with worker(tmp_path / "w.log", environ) as process:

        async def created() -> bool:
            return bool(pms.effects())

        await eventually(created, "the effect")
        process.send(signal.SIGTERM)
        await process.logged("service.draining")
        began = time.monotonic()
        process.send(signal.SIGTERM)
        assert await process.ended(within=12) == 0
        assert time.monotonic() - began < 10
    cursor = await conn.execute("select owner, uncertain_at, last_error_code from outbox.delivery")
    row = await cursor.fetchone()
    assert row is not None
    assert (row["owner"], row["last_error_code"]) == (None, "interrupted")
    assert row["uncertain_at"] is not None


async def test_a_worker_killed_after_the_effect_leaves_exactly_one_reservation(
    conn: Connection, database_url: str, pms: Simulator, tmp_path: Path
) -> None:
    await listed(conn)
    pms.switch(idempotency="ignore", availability=False)
    pms.once("timeout", when="after", seconds=20, operation="create")
    booking = await confirmed(conn)
    delivery = await store.find(conn, destination=Destination.GUESTLY, key=str(booking))
    assert delivery is not None
    environ = environment(
        database_url, pms, WORKER_LEASE_SECONDS="30", PMS_TIMEOUT_SECONDS="12",
        PMS_QUIET_SECONDS="0.5",
    )  # fmt: skip
    with worker(tmp_path / "first.log", environ) as first:

        async def created() -> bool:
            return bool(pms.effects())

        await eventually(created, "the effect")
        first.send(signal.SIGKILL)
        await first.ended()
    await end_lease(conn, delivery)

    async def synced() -> bool:
        return bool((await booking_row(conn, booking))["guestly_sync_status"] == "synced")

    with worker(tmp_path / "second.log", environ) as second:
        await eventually(synced, "the take-over")
        lost = await second.logged("delivery.lost")
    assert lost["level"] == "warning"
    assert [effect["op"] for effect in pms.effects()] == ["create"]
    assert len(pms.reservations()) == 1


async def test_two_workers_share_the_work_and_double_nothing(
    conn: Connection, database_url: str, pms: Simulator, tmp_path: Path
) -> None:
    await listed(conn)
    for number in range(40):
        await confirmed(conn, number)
    environ = environment(database_url, pms, **UNHURRIED)

    async def done() -> bool:
        return await count(conn, "synced") == 40

    with (
        worker(tmp_path / "a.log", environ) as one,
        worker(tmp_path / "b.log", environ) as two,
    ):
        await eventually(done, "forty synced bookings", within=30)

        async def told() -> bool:
            return sum(len(each.events("booking.synced")) for each in (one, two)) >= 40

        await eventually(told, "a line for each of them")  # written after the commit
        shares = [len(each.events("booking.synced")) for each in (one, two)]
    references = [held["confirmationCode"] for held in pms.reservations()]
    assert len(references) == len(set(references)) == 40
    assert sum(shares) == 40


async def test_every_connection_cut_at_once_is_survived(
    session: Connection, direct_url: str, pms: Simulator, tmp_path: Path
) -> None:
    await listed(session)
    with worker(tmp_path / "w.log", environment(direct_url, pms)) as process:
        await process.logged("listen.restored")

        async def beats() -> bool:
            cursor = await session.execute("select count(*) as n from outbox.worker")
            return bool(((await cursor.fetchone()) or {})["n"])

        # the listener may be up before the loop has its connection, which is the one to be cut
        await eventually(beats, "the loop's first cycle")
        await session.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        booking = await confirmed(session)

        async def synced() -> bool:
            return bool((await booking_row(session, booking))["guestly_sync_status"] == "synced")

        await eventually(synced, "the sync after the cut", within=20)
        await process.logged("database.restored")


async def test_a_missing_database_is_waited_for_and_told_once(
    conn: Connection, database_url: str, pms: Simulator, tmp_path: Path
) -> None:
    await listed(conn)
    booking = await confirmed(conn)
    async with Wire(database_url) as wire:
        await wire.cut()
        with worker(tmp_path / "w.log", environment(wire.url, pms, **UNHURRIED)) as process:
            await process.logged("database.lost")

            async def synced() -> bool:
                return bool((await booking_row(conn, booking))["guestly_sync_status"] == "synced")

            await wire.mend()
            await eventually(synced, "the sync once Postgres is there", within=30)
            await process.logged("database.restored")
            assert len(process.events("database.lost")) == 1


async def test_stopping_without_a_database_takes_bounded_time(
    tmp_path: Path,
) -> None:
    environ = environment("postgresql://nobody@127.0.0.1:9/none", None)
    with worker(tmp_path / "w.log", environ) as process:
        await process.logged("database.lost")
        began = time.monotonic()
        process.send(signal.SIGTERM)
        assert await process.ended(within=12) == 0
        assert time.monotonic() - began < 10, "shutdown time plus the last settle"


async def test_disabled_holds_bookings_and_goes_on_with_the_rest(
    conn: Connection, database_url: str, pms: Simulator, tmp_path: Path
) -> None:
    await listed(conn)
    booking = await confirmed(conn)
    mail = await owe(conn, "999", Destination.EMAIL)
    environ = environment(database_url, pms, GUESTLY_SYNC_ENABLED="false")
    with worker(tmp_path / "w.log", environ) as process:

        async def mailed() -> bool:
            row = await store.read(conn, mail)
            return row is not None and row.snapshot.delivered == row.snapshot.requested

        await eventually(mailed, "the other destination's delivery")
    text = "Guestly sync is disabled (GUESTLY_SYNC_ENABLED=false)"
    assert any(text in message for message in process.messages())
    assert pms.requests() == []
    assert (await booking_row(conn, booking))["guestly_sync_status"] == "pending"


async def test_test_mode_marks_bookings_as_tested_without_a_network(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    await conn.execute(
        "insert into outbox.listing (pms, slug, listing_id) values ('guestly', 'house-0', %s)",
        [LISTING],
    )
    booking = await confirmed(conn)
    environ = environment(database_url, None, GUESTLY_TEST_MODE="true", **UNHURRIED)
    with worker(tmp_path / "w.log", environ, "--drain") as process:
        assert await process.ended() == 0
    row = await booking_row(conn, booking)
    assert row["guestly_reservation_id"] == "test-reservation-id"
    assert row["guestly_sync_status"] == "synced"
    (told,) = process.events("booking.tested")
    assert told["message"].startswith("TEST MODE")
    assert "canary" not in process.text.casefold()


async def test_drain_ends_when_nothing_is_due(
    conn: Connection, database_url: str, pms: Simulator, tmp_path: Path
) -> None:
    await listed(conn)
    for number in range(15):
        await confirmed(conn, number)
    with worker(tmp_path / "w.log", environment(database_url, pms), "--drain") as process:
        assert await process.ended() == 0
    assert await count(conn, "synced") == 15


async def test_a_role_that_row_level_security_blinds_is_told_and_settles_nothing(
    conn: Connection, database_url: str, pms: Simulator, tmp_path: Path
) -> None:
    await listed(conn)
    await confirmed(conn)
    role = f"blind_{int(time.time() * 1000)}"
    await conn.execute(f"create role {role} login password 'pw'")
    try:
        await conn.execute(
            f"grant usage on schema outbox, public to {role};"
            f" grant all on all tables in schema outbox, public to {role};"
            f" grant all on all sequences in schema outbox to {role};"
            f" grant execute on all functions in schema outbox to {role};"
            " alter table bookings enable row level security;"
        )
        await conn.execute(
            "do $$ declare t regclass; begin for t in select oid::regclass from pg_class"
            " where relnamespace = 'outbox'::regnamespace and relkind = 'r' loop"
            f" execute format('create policy ours on %s to {role} using (true) with check (true)',"
            " t); end loop; end $$"
        )
        parts = urlsplit(database_url)
        url = urlunsplit(parts._replace(netloc=f"{role}:pw@{parts.hostname}:{parts.port}"))
        with worker(tmp_path / "w.log", environment(url, pms)) as process:
            told = await process.logged("service.failed")
            process.send(signal.SIGTERM)
            assert await process.ended() == 0
        assert "row level security" in told["message"]
        cursor = await conn.execute("select delivered, attempts, owner from outbox.delivery")
        assert await cursor.fetchone() == {"delivered": 0, "attempts": 0, "owner": None}
    finally:
        await conn.execute(f"drop owned by {role}; drop role {role}")
