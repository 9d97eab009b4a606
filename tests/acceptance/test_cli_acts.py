"""Commands by which a person decides: discard, link, check, sync, pause, resume, prune."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from outbox_worker.database import Connection
from tests.support_cli import Ended, outbox, settings, terminal, too_wide
from tests.support_doubt import in_guestly
from tests.support_engine import booking_row, insert_booking
from tests.support_simulator import LISTING, Simulator, start_simulator
from tests.support_worker import environment

GUEST = re.compile(r"Zoë|Zo\\u00eb|Canary-Guest|zoe\.canary")


@pytest.fixture
def pms(tmp_path: Path) -> Iterator[Simulator]:
    with start_simulator(tmp_path / "pms") as simulator:
        yield simulator


@pytest.fixture
async def booking(conn: Connection) -> UUID:
    await conn.execute(
        "insert into outbox.listing (pms, slug, listing_id) values ('guestly', 'sea-loft', %s)",
        [LISTING],
    )
    return await insert_booking(conn, booking_reference="LA-1")


async def run(command: str, database_url: str, pms: Simulator | None = None, **more: str) -> Ended:
    live = {} if pms is None else environment(database_url, pms)
    environ = {**settings(database_url), **live, **more}
    return await asyncio.to_thread(outbox, *shlex.split(command), environ=environ)


async def owed(conn: Connection, *names: str) -> list[UUID]:
    found = []
    for name in names:
        booking = await insert_booking(conn, booking_reference=name)
        await conn.execute("select outbox.request_sync(%s, 'stripe')", [booking])
        found.append(booking)
    return found


async def discarded(conn: Connection) -> set[str]:
    cursor = await conn.execute(
        "select b.booking_reference from outbox.delivery d join bookings b on b.id::text = d.key"
        " where d.discarded_at is not null"
    )
    return {row["booking_reference"] for row in await cursor.fetchall()}


async def test_one_booking_is_tried_first_while_all_others_are_held(
    conn: Connection, database_url: str, pms: Simulator, booking: UUID
) -> None:
    await owed(conn, "LA-2")
    await run("pause guestly --reason rehearsal", database_url)

    sent = await run("sync LA-1", database_url, pms, GUESTLY_SYNC_ENABLED="false")

    [held] = pms.reservations()
    assert sent.code == 0
    assert sent.out.splitlines()[0] == f"LA-1  synced, reservation {held['_id']}"
    assert sent.out.splitlines()[-1] == "next: outbox status"
    assert re.fullmatch(r"attempt 1 done \[\d\.\d s\]\n", sent.err)
    assert (await booking_row(conn, booking))["guestly_sync_status"] == "synced"
    again = await run("sync LA-1 --json", database_url, pms)
    assert (again.code, again.data()["skip"]) == (7, "already as wanted")


async def test_a_booking_that_fails_ends_with_1_and_names_the_next_command(
    conn: Connection, database_url: str, pms: Simulator, booking: UUID
) -> None:
    pms.faults({"fault": "error", "status": 503, "operation": "lookup"})

    failed = await run("sync LA-1", database_url, pms)

    assert failed.code == 1
    assert failed.err.count("http_503") == 3
    assert failed.out.splitlines()[-1] == "next: outbox show LA-1"
    assert "LA-1  failed: " in failed.out
    as_json = await run("sync LA-1 --json", database_url, pms)
    assert as_json.code == 1
    assert [each["error_code"] for each in as_json.data()["attempts"]] == ["http_503"] * 3
    assert (await booking_row(conn, booking))["guestly_sync_status"] == "failed"


@pytest.mark.usefixtures("booking")
async def test_the_key_is_needed_also_while_the_sync_is_disabled_but_not_in_test_mode(
    database_url: str,
) -> None:
    live = await run("sync LA-1 --json", database_url, GUESTLY_TEST_MODE="false")
    test = await run("sync LA-1", database_url)

    assert live.code == 2
    details = " ".join(live.json()["error"]["details"])
    assert "GUESTLY_API_URL" in details
    assert "GUESTLY_API_KEY" in details
    assert test.code == 0
    assert "LA-1  tested, nothing was sent" in test.out
    for command in ("check LA-1", "check LA-1 --json"):
        assert (await run(command, database_url)).code == 2


async def test_what_became_of_a_lost_call_is_asked_and_settled(
    conn: Connection, database_url: str, pms: Simulator, booking: UUID
) -> None:
    await conn.execute("select outbox.request_sync(%s, 'stripe')", [booking])
    await conn.execute(
        "update outbox.delivery set uncertain_at = now(), due_at = now() + interval '1 hour'"
    )
    shown = await run("show LA-1", database_url, pms)
    assert "outbox check LA-1" in shown.out
    assert shown.out.startswith("LA-1  checking")
    early = await run("check LA-1", database_url, pms, PMS_QUIET_SECONDS="3600")
    assert early.code == 0
    assert "Guestly holds nothing under its reference." in early.out
    assert early.out.splitlines()[-1] == "next: outbox check LA-1"

    held = await in_guestly(conn, pms, booking)
    found = await run("check LA-1", database_url, pms)

    assert found.code == 0
    assert f"  {held['_id']}  confirmed" in found.out
    assert "It is on record now, and the doubt is over." in found.out
    assert GUEST.search(found.out) is None


async def test_what_differs_needs_a_person_and_says_what_to_type(
    conn: Connection, database_url: str, pms: Simulator, booking: UUID
) -> None:
    await run("sync LA-1", database_url, pms)
    await conn.execute("update bookings set check_out_date = '2027-05-06' where id = %s", [booking])

    found = await run("check LA-1", database_url, pms)

    assert found.code == 5
    assert "    check-out: 06 May 2027 here, 05 May 2027 in Guestly" in found.out
    assert found.out.splitlines()[-1] == "next: outbox requeue LA-1 --wait"
    as_json = await run("check LA-1 --json", database_url, pms)
    assert (as_json.json()["ok"], as_json.data()["finding"]) == (False, "differs")
    pms.stop()
    down = await run("check LA-1", database_url, pms)
    assert down.code == 1
    assert down.err.startswith("error: the PMS did not say what it holds: ")


async def test_a_reservation_is_linked_once(
    conn: Connection, database_url: str, pms: Simulator, booking: UUID
) -> None:
    held = await in_guestly(conn, pms, booking, confirmationCode="HAND-1")

    none = await run(f"link LA-1 {'0' * 24}", database_url, pms)
    assert (none.code, none.out) == (7, "")
    assert none.err.startswith(f"error: Guestly has no reservation {'0' * 24}: nothing was changed")
    linked = await run(f"link LA-1 {held['_id']} --reason 'entered by hand'", database_url, pms)
    assert linked.code == 0
    assert linked.out.splitlines() == [
        f"LA-1: reservation {held['_id']}",
        "The booking's state is written to it next.",
        "next: outbox show LA-1",
    ]
    assert (await run(f"link LA-1 {held['_id']}", database_url, pms)).code == 7
    assert (await run("link LA-1 'a b'", database_url, pms)).code == 2
    assert (await run("sync LA-1", database_url, pms)).code == 0
    assert len(pms.reservations()) == 1
    shown = await run("show LA-1", database_url, pms)
    assert f"link to {held['_id']} by anna: entered" in " ".join(shown.out.split())


@pytest.mark.usefixtures("booking")
async def test_without_a_key_a_link_says_that_it_was_not_verified(database_url: str) -> None:
    linked = await run("link LA-1 64f1", database_url)

    assert linked.code == 0
    assert "note: not verified, GUESTLY_API_URL and GUESTLY_API_KEY are not set" in linked.out
    shown = await run("show LA-1", database_url)
    assert "Said to be in Guestly as 64f1, not verified: it is held" in " ".join(shown.out.split())
    assert "live reservation 64f1 (not verified)" in " ".join(shown.out.split())


async def test_what_a_person_calls_not_owed_is_not_sent(
    conn: Connection, database_url: str
) -> None:
    await owed(conn, "LA-1")
    await insert_booking(conn, booking_reference="LA-2", status="pending")

    for missing in ("discard LA-1", "discard LA-1 --reason ' '", "discard --reason x"):
        assert (await run(missing, database_url)).code == 2
    planned = await run("discard LA-1 LA-2 --reason x --dry-run", database_url)
    assert planned.code == 0
    assert "To be discarded: 1" in planned.out
    assert await discarded(conn) == set()
    done = await run("discard LA-1 --reason 'a test booking'", database_url)
    assert (done.code, done.out) == (0, "Discarded: 1 (LA-1)\nnext: outbox show LA-1\n")
    again = await run("discard LA-1 --reason x --json", database_url)
    assert again.code == 7
    assert again.data()["skipped"] == [{"name": "LA-1", "reason": "discarded already"}]
    shown = await run("show LA-1", database_url)
    assert "discard by anna: a test booking" in shown.out
    assert "outbox requeue LA-1 --wait" in shown.out
    assert (await run("requeue LA-1", database_url)).code == 0
    assert await discarded(conn) == set()


async def test_several_are_shown_and_asked_about_and_a_part_left_alone_is_8(
    conn: Connection, database_url: str
) -> None:
    await owed(conn, "LA-1", "LA-2")
    await insert_booking(conn, booking_reference="LA-3", status="pending")
    command = ["discard", "LA-1", "LA-2", "LA-3", "--reason", "tests"]

    unasked = await run(shlex.join(command), database_url)
    assert unasked.code == 2
    assert "fix: Repeat it with --yes." in unasked.err
    assert await discarded(conn) == set()

    def answered(keys: str) -> tuple[int, str]:
        with terminal(command, environ=settings(database_url)) as screen:
            screen.shows("Discard 2? [y/N] ")
            screen.type(keys)
            return screen.ended(), screen.text

    code, text = await asyncio.to_thread(answered, "n\n")
    assert (code, await discarded(conn)) == (3, set())
    assert "To be discarded: 2" in text
    assert re.search(r"Left alone: 1\n\s+LA-3\s+nothing is owed for it", text)
    code, text = await asyncio.to_thread(answered, "y\n")
    assert (code, await discarded(conn)) == (8, {"LA-1", "LA-2"})
    assert "Discarded: 2 (LA-1, LA-2)" in text


async def test_a_typing_error_in_one_reference_leaves_the_others_untouched(
    conn: Connection, database_url: str
) -> None:
    await owed(conn, "LA-1")

    assert (await run("discard LA-1 LA-x --reason x --yes", database_url)).code == 6
    assert await discarded(conn) == set()


async def test_pausing_and_resuming_may_be_repeated(database_url: str) -> None:
    first = await run("pause guestly --for 2h --reason 'they mend it'", database_url)
    again = await run("pause guestly --reason 'still'", database_url)
    status = await run("status", database_url, GUESTLY_SYNC_ENABLED="true")
    resumed = await run("resume guestly", database_url)
    nothing = await run("resume guestly", database_url)

    assert [each.code for each in (first, again, resumed, nothing)] == [0, 0, 0, 0]
    assert re.match(r"guestly: paused until .* UTC\.\nnext: outbox resume guestly\n", first.out)
    assert "It was paused already, by anna until " in again.out
    assert "guestly is held: paused by anna until resumed: still" in status.out
    assert resumed.out.startswith("guestly: resumed; it was paused until it is resumed.")
    assert nothing.out.startswith("guestly: was not paused, nothing to do.")
    for wrong in (
        "pause guestly",
        "pause moon --reason x",
        "pause guestly --for 0m --reason x",
        "pause guestly --for 2years --reason x",
        "resume",
    ):
        assert (await run(wrong, database_url)).code == 2, wrong


async def old_events(conn: Connection, number: int) -> None:
    await conn.execute(
        "insert into outbox.inbox_event (source, id, type, body, outcome, received_at)"
        " select 'stripe', 'evt_' || i, 'ping', 'body', 'ignored', now() - interval '40 days'"
        " from generate_series(1, %s) i",
        [number],
    )


async def bodies(conn: Connection) -> int:
    cursor = await conn.execute(
        "select count(*) as n from outbox.inbox_event where body is not null"
    )
    [row] = await cursor.fetchall()
    return int(row["n"])


async def test_old_bodies_are_pruned_after_a_yes(conn: Connection, database_url: str) -> None:
    nothing = await run("prune", database_url)
    assert (nothing.code, nothing.out.splitlines()[0][:17]) == (0, "Nothing to remove")
    await old_events(conn, 1200)
    planned = await run("prune --dry-run --json", database_url)
    assert planned.data()["plan"]["counts"]["bodies"] == 1200
    assert (await run("prune", database_url)).code == 2
    assert await bodies(conn) == 1200

    pruned = await run("prune --yes", database_url)

    assert pruned.code == 0
    assert pruned.out == (
        "Removed:\n  1,200  bodies of events (the events stay)\nnext: outbox status\n"
    )
    assert pruned.err.splitlines() == ["prune: 500 of 1200", "prune: 1000 of 1200",
                                       "prune: 1200 of 1200"]  # fmt: skip
    assert await bodies(conn) == 0
    cursor = await conn.execute("select actor, action, affected from outbox.operator_action")
    assert await cursor.fetchall() == [{"actor": "anna", "action": "prune", "affected": 1200}]
    assert (await run("prune --yes", database_url, BODY_RETENTION_DAYS="0")).code == 2


async def test_pruning_can_be_interrupted_and_goes_on_where_it_was(
    conn: Connection, database_url: str
) -> None:
    await old_events(conn, 2000)
    # two seconds a batch after the first one: time to see the bar, and to interrupt
    await conn.execute(
        "create sequence pruned;"
        "create function slow() returns trigger language plpgsql as"
        " $$ begin if nextval('pruned') > 500 then perform pg_sleep(0.004); end if;"
        " return new; end $$;"
        "create trigger slow before update on outbox.inbox_event"
        " for each row execute function slow()"
    )

    def interrupted() -> tuple[int, str]:
        with terminal(["prune", "--yes"], environ=settings(database_url)) as screen:
            screen.shows("500/2000")
            screen.type("\x03")
            return screen.ended(), screen.text

    code, text = await asyncio.to_thread(interrupted)

    left = await bodies(conn)
    assert code == 130
    assert 0 < left < 2000
    assert f"Interrupted: {2000 - left:,} rows dealt with so far." in text
    cursor = await conn.execute("select affected from outbox.operator_action")
    assert await cursor.fetchall() == [{"affected": 2000 - left}]
    await conn.execute("drop trigger slow on outbox.inbox_event")
    assert (await run("prune --yes", database_url)).code == 0
    assert await bodies(conn) == 0


async def test_every_answer_fits_eighty_columns_and_ends_with_what_to_do_next(
    conn: Connection, database_url: str, pms: Simulator, booking: UUID
) -> None:
    await owed(conn, "LA-2", "LA-3")
    await in_guestly(conn, pms, booking, listingId="652f0000000000000000a002")
    commands: list[tuple[str, dict[str, Any]]] = [
        ("check LA-1", {}),
        (
            "discard LA-2 LA-3 --yes --reason 'a reason that is so long that it has to be wrapped'",
            {},
        ),
        ("link LA-3 652f0000000000000000beef --unverified", {}),
        ("pause email --for 30m --reason x", {}),
        ("resume email", {}),
        ("prune", {}),
    ]
    for command, more in commands:
        ended = await run(command, database_url, pms, **more)
        assert too_wide(ended.out) == [], command
        assert ended.out, ended.err
        assert GUEST.search(ended.out + ended.err) is None
        if command != "prune":
            assert re.search(r"^(next: |     )outbox \w+", ended.out.splitlines()[-1]), command


@pytest.mark.parametrize(
    "command",
    [
        "discard LA-1 --reason x",
        "link LA-1 64f1",
        "check LA-1",
        "sync LA-1",
        "pause guestly --reason x",
        "resume guestly",
        "prune --yes",
    ],
)
async def test_4_when_the_database_is_unreachable(command: str) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:9/nothing"

    ended = await run(
        f"{command} --json", nowhere, GUESTLY_API_URL="http://127.0.0.1:9", GUESTLY_API_KEY="k"
    )

    assert (ended.code, json.loads(ended.out)["error"]["code"]) == (4, "unreachable")
