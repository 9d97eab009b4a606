"""Every exit code of the commands, and the one JSON object, from real processes."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
from pathlib import Path

import pytest

from outbox_worker.database import Connection
from tests.support_cli import PROGRAM, Ended, outbox, settings
from tests.support_engine import insert_booking
from tests.support_status import running_worker

COMMANDS = (
    ("status",),
    ("show", "LA-1"),
    ("requeue", "LA-1"),
    ("listings", "list"),
    ("listings", "set", "sea-loft", "1"),
    ("migrate", "--dry-run"),
)


async def run(database_url: str, *arguments: str, **environ: str) -> Ended:
    return await asyncio.to_thread(outbox, *arguments, environ=settings(database_url, **environ))


async def parked(conn: Connection, name: str = "LA-1") -> None:
    booking = await insert_booking(conn, booking_reference=name)
    await conn.execute("select outbox.request_sync(%s, 'stripe')", [booking])
    await conn.execute(
        "update outbox.delivery set failed_at = now(), due_at = null, attempts = 3,"
        " last_error_code = 'http_503', last_error = 'the PMS is down' where key = %s",
        [str(booking)],
    )


async def test_0_when_all_is_well(conn: Connection, database_url: str) -> None:
    await running_worker(conn, sync_enabled=False)

    ended = await run(database_url, "status")

    assert (ended.code, ended.err) == (0, "")
    assert "Nothing needs you." in ended.out
    assert "Guestly sync is disabled (GUESTLY_SYNC_ENABLED=false)" in ended.out


@pytest.mark.parametrize("arguments", COMMANDS)
def test_4_when_the_database_is_unreachable(arguments: tuple[str, ...]) -> None:
    with socket.socket() as taken:  # by nobody who listens
        taken.bind(("127.0.0.1", 0))
        nowhere = f"postgresql://nobody@127.0.0.1:{taken.getsockname()[1]}/nothing"
        ended = outbox(*arguments, "--json", environ=settings(nowhere))

    assert ended.code == 4
    error = ended.json()["error"]
    assert (error["exit_code"], error["code"]) == (4, "unreachable")
    assert ended.err.startswith("error: Postgres cannot be reached: ")
    assert "\nfix: " in ended.err
    assert "Traceback" not in ended.err


def test_2_with_every_fault_of_the_settings_at_once() -> None:
    environ = settings("", GUESTLY_SYNC_ENABLED="maybe", GUESTLY_TEST_MOD="1", PMS="opera")

    ended = outbox("status", "--json", environ=environ)

    assert ended.code == 2
    named = [detail.partition(" ")[0] for detail in ended.json()["error"]["details"]]
    assert named == ["DATABASE_URL", "GUESTLY_SYNC_ENABLED", "PMS", "GUESTLY_TEST_MOD"]
    assert all(f"  - {name}" in ended.err for name in named)
    assert "opera" not in ended.err


async def test_a_command_needs_only_the_settings_that_it_uses(
    conn: Connection, database_url: str
) -> None:
    await running_worker(conn)
    live = {"GUESTLY_SYNC_ENABLED": "true", "GUESTLY_TEST_MODE": "false"}

    assert (await run(database_url, "status", **live)).code == 0
    check = await run(database_url, "listings", "check", "--json", **live)
    assert check.code == 2
    details = " ".join(check.json()["error"]["details"])
    assert "GUESTLY_API_URL" in details
    assert "GUESTLY_API_KEY" in details


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Usage: outbox"),
        (("staus",), "No such command 'staus'."),
        (("status", "--jsn"), "Did you mean"),
        (("requeue",), "Give REFs, or one of"),
        (("requeue", "LA-1", "--failed"), "Give REFs, or one of"),
        (("requeue", "--missing", "--error", "x"), "go with --failed"),
        (("requeue", "--failed", "--since", "later"), "is no time"),
        (("listings", "set", "sea-loft", " "), "LISTING_ID is empty"),
        (("pause",), "'DEST'. Give one of guestly, email, chat and inbox.\n"),
        (("resume",), "'DEST'. Give one of guestly, email, chat and inbox.\n"),
        (("migrate", "--rollback", "--dry-run"), "stands alone"),
        (("--env-file", "/nowhere/at/all", "status"), "does not exist"),
    ],
)
def test_2_for_a_command_that_cannot_be_meant(arguments: tuple[str, ...], says: str) -> None:
    ended = outbox(*arguments, environ=settings("postgresql://nobody@127.0.0.1/x"))

    assert ended.code == 2
    assert ended.out == ""
    assert says in ended.err
    as_json = outbox(*arguments, "--json", environ=settings("postgresql://nobody@127.0.0.1/x"))
    assert as_json.code == 2
    assert as_json.json()["ok"] is False


async def test_2_for_a_reference_that_fits_several(conn: Connection, database_url: str) -> None:
    for name in ("LA-1", "LA-2"):
        await insert_booking(conn, booking_reference=name)

    ended = await run(database_url, "show", "LA", "--json")

    assert ended.code == 2
    assert ended.json()["error"]["details"] == ["LA-1", "LA-2"]


async def test_2_where_a_yes_is_needed_and_nobody_can_be_asked(
    conn: Connection, database_url: str
) -> None:
    await parked(conn)
    await insert_booking(conn, booking_reference="LA-missing")

    for arguments in (("requeue", "--failed"), ("requeue", "--missing"), ("migrate", "--rollback")):
        ended = await run(database_url, *arguments)
        assert ended.code == 2, arguments
        assert ended.err == (
            "error: This needs a yes, and there is no terminal to ask on.\n"
            "fix: Repeat it with --yes.\n"
        )
    cursor = await conn.execute("select count(*) as n from outbox.operator_action")
    assert await cursor.fetchall() == [{"n": 0}]


async def test_5_when_a_person_is_needed(conn: Connection, database_url: str) -> None:
    await parked(conn)

    ended = await run(database_url, "status", "--json")

    assert ended.code == 5
    assert ended.json()["ok"] is False
    assert ended.data()["needs"] == ["1 delivery was given up", "no worker is running"]
    assert ended.data()["parked"][0]["name"] == "LA-1"


async def test_6_for_a_typing_error_in_any_reference(conn: Connection, database_url: str) -> None:
    await parked(conn)

    for arguments in (("show", "LA-x"), ("requeue", "LA-1", "LA-x")):
        ended = await run(database_url, *arguments)
        assert ended.code == 6, arguments
        assert ended.err.startswith("error: nothing is known under 'LA-x'.\nfix: ")
    cursor = await conn.execute("select requested from outbox.delivery")
    assert await cursor.fetchall() == [{"requested": 1}]


async def test_7_when_nothing_changes(conn: Connection, database_url: str) -> None:
    await insert_booking(conn, booking_reference="LA-1", status="pending")

    for arguments in (
        ("requeue", "LA-1"),
        ("requeue", "--failed"),
        ("requeue", "--missing"),
        ("requeue", "--test-mode"),
    ):
        assert (await run(database_url, *arguments)).code == 7, arguments


async def test_8_when_a_part_is_left_alone(conn: Connection, database_url: str) -> None:
    await parked(conn, "LA-1")
    await insert_booking(conn, booking_reference="LA-2", status="pending")

    ended = await run(database_url, "requeue", "LA-1", "LA-2", "--json")

    assert ended.code == 8
    assert [each["name"] for each in ended.data()["requeued"]] == ["LA-1"]
    assert [each["name"] for each in ended.data()["skipped"]] == ["LA-2"]


async def test_1_when_what_was_waited_for_fails(conn: Connection, database_url: str) -> None:
    await parked(conn)

    ended = await run(database_url, "requeue", "LA-1", "--wait")

    assert ended.code == 1
    assert ended.out == (
        "LA-1  held: Guestly sync is disabled (GUESTLY_SYNC_ENABLED=false)\n"
        "next: outbox show LA-1\n"
    )


async def test_what_keeps_a_request_from_its_effect_is_said(
    conn: Connection, database_url: str
) -> None:
    await parked(conn)

    off = await run(database_url, "requeue", "LA-1")
    test = await run(database_url, "requeue", "LA-1", GUESTLY_SYNC_ENABLED="true")

    assert (off.code, test.code) == (0, 0)
    assert "note: Guestly sync is disabled (GUESTLY_SYNC_ENABLED=false)." in off.out
    assert "note: test mode is on (GUESTLY_TEST_MODE=true)" in test.out


async def test_0_when_an_alert_about_a_named_booking_is_closed(
    conn: Connection, database_url: str
) -> None:
    booking = await insert_booking(conn, booking_reference="LA-1", status="pending")
    await conn.execute(
        "insert into outbox.alert (kind, fingerprint, booking_id) values ('paid_twice', 'x', %s)",
        [booking],
    )

    shown = await run(database_url, "show", "LA-1")
    asked = await run(database_url, "status")
    closed = await run(database_url, "requeue", "LA-1")

    assert "It was paid twice" in shown.out
    assert "fix: outbox show LA-1" in asked.out
    assert closed.code == 0
    assert "1 alert closed." in closed.out
    assert (await run(database_url, "requeue", "LA-1")).code == 7


async def test_1_on_a_database_that_is_not_migrated(empty_database_url: str) -> None:
    ended = await run(empty_database_url, "status")

    assert ended.code == 1
    assert "fix: Run `outbox migrate`" in ended.err


async def test_a_dry_run_changes_nothing_and_is_well(conn: Connection, database_url: str) -> None:
    await parked(conn)

    ended = await run(database_url, "requeue", "--failed", "--dry-run", "--json")

    assert ended.code == 0
    assert [item["name"] for item in ended.data()["plan"]] == ["LA-1"]
    cursor = await conn.execute(
        "select requested, failed_at is null as healed from outbox.delivery"
    )
    assert await cursor.fetchall() == [{"requested": 1, "healed": False}]


async def test_migrating_is_idempotent_and_says_what_it_did(empty_database_url: str) -> None:
    planned = await run(empty_database_url, "migrate", "--dry-run", "--json")
    first = await run(empty_database_url, "migrate", "--json")
    second = await run(empty_database_url, "migrate")

    assert planned.data()["pending"] == first.data()["applied"] != []
    assert (first.code, second.code) == (0, 0)
    assert second.out == "Nothing to do: the database is up to date.\nnext: outbox status\n"
    trigger = ("migrate", "--with-booking-trigger")
    named = "trigger outbox_booking_changed on public.bookings"
    for arguments, became, then in (
        (("--dry-run",), f"would create {named}", "migrate --with-booking-trigger"),
        ((), f"{named} created", "status"),
        ((), f"{named} already there", "status"),
    ):
        said = (await run(empty_database_url, *trigger, *arguments)).out
        assert said == f"{became}\nnext: outbox {then}\n"
    undone = await run(empty_database_url, "migrate", "--rollback", "--yes", "--json")
    assert undone.code == 0
    assert set(undone.data()["rolled_back"]) == set(first.data()["applied"])
    assert (await run(empty_database_url, "migrate", "--rollback", "--yes")).out == (
        "Nothing to roll back.\n"
    )


async def test_listings_are_imported_whole_or_not_at_all(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    await conn.execute("insert into properties (slug, name) values ('sea-loft', 'Sea Loft')")
    bad, good = tmp_path / "bad.csv", tmp_path / "good.json"
    bad.write_text("sea-loft,1\nsea-loft,2\nold-mill,\n")
    good.write_text('\ufeff{"sea-loft": "64f1", "old-mill": "64f2"}')

    refused = await run(database_url, "listings", "import", str(bad), "--json")
    assert refused.code == 2
    assert refused.json()["error"]["details"] == [
        "line 2: sea-loft has another listing id further up",
        "line 3: slug or listing id is missing",
    ]
    assert refused.json()["error"]["fix"].startswith("Correct the lines named above")
    imported = await run(database_url, "listings", "import", str(good))
    assert imported.code == 0
    assert "warning: the site has no property 'old-mill'" in imported.out
    listed = await run(database_url, "listings", "list", "--json")
    assert {row["slug"]: row["listing_id"] for row in listed.data()} == {
        "sea-loft": "64f1",
        "old-mill": "64f2",
    }


async def test_setting_a_listing_names_the_command_for_what_it_unblocks(
    conn: Connection, database_url: str
) -> None:
    await parked(conn)
    await conn.execute("update outbox.delivery set last_error_code = 'listing_missing'")

    ended = await run(database_url, "listings", "set", "sea-loft", "64f1")

    assert ended.out == (
        "sea-loft: 64f1 (was none)\n"
        "1 booking was refused for want of a listing. Send again:\n"
        "     outbox requeue LA-1\n"
    )


async def test_settings_come_from_a_file_only_when_told(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    await running_worker(conn)
    file = tmp_path / "outbox.env"
    file.write_text(f"export DATABASE_URL='{database_url}'\nGUESTLY_SYNC_ENABLED=true\n")
    bare = {name: value for name, value in settings("").items() if name != "DATABASE_URL"}
    (tmp_path / ".env").write_text(file.read_text())

    def there(*arguments: str, **more: str) -> int:
        environ = {**bare, **more}
        return subprocess.run(
            [*PROGRAM, *arguments], env=environ, cwd=tmp_path, capture_output=True, check=False
        ).returncode

    assert there("status") == 2
    assert there("--env-file", "outbox.env", "status") == 0
    assert there("status", "--env-file", "outbox.env") == 0
    # what stands in the environment wins
    assert there("status", "--env-file", "outbox.env", GUESTLY_SYNC_ENABLED="perhaps") == 2


async def test_no_guest_data_is_shown_but_by_payload(conn: Connection, database_url: str) -> None:
    await parked(conn)
    await conn.execute(
        "insert into outbox.listing (pms, slug, listing_id) values ('guestly', 'sea-loft', '1')"
    )
    guest = re.compile(r"Zoë|Zo\\u00eb|Canary-Guest|zoe\.canary")

    for arguments in (
        ("status", "--json"),
        ("show", "LA-1"),
        ("show", "LA-1", "--json"),
        ("requeue", "LA-1", "--dry-run", "--json"),
    ):
        ended = await run(database_url, *arguments)
        assert "LA-1" in ended.out
        assert guest.search(ended.out + ended.err) is None
    shown = await run(database_url, "show", "LA-1", "--payload")
    assert 'guestName: "Zoë Canary-Guest"' in shown.out
    assert "money.fareAccommodation: 1240.50" in shown.out
    body = (await run(database_url, "show", "LA-1", "--payload", "--json")).data()["payload"]
    assert body["body"]["money"] == {"fareAccommodation": 1240.5, "currency": "EUR"}


def test_the_version_is_told() -> None:
    from outbox_worker import __version__

    ended = outbox("--version", environ=settings(""))

    assert (ended.code, ended.out) == (0, f"outbox, version {__version__}\n")
