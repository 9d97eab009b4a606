"""The commands that look: as real processes, with their exit codes, one object, and 80 columns."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest

from outbox_worker.database import Connection
from outbox_worker.payments.inbox import InboxRules, receive
from outbox_worker.payments.stripe_event import read
from outbox_worker.settings_reference import environment_example
from tests.support_cli import Ended, outbox, settings, too_wide
from tests.support_mail import mail_api
from tests.support_requeue import given_up, requested, synced
from tests.support_stripe import encoded, event, insert_booking, intent, new_id
from tests.support_worker import PATIENCE_S, environment, worker

LOOKING = (
    ("list",),
    ("destinations",),
    ("events", "list"),
    ("alerts", "list"),
    ("worker", "list"),
    ("stats",),
)
GUEST = ("Zoë", "Canary-Guest", "zoe.canary@example.com")


async def run(database_url: str, *arguments: str, **environ: str) -> Ended:
    return await asyncio.to_thread(outbox, *arguments, environ=settings(database_url, **environ))


async def waiting_event(conn: Connection, reference: str) -> str:
    """A payment that names a booking which does not exist yet."""
    thing = intent(
        new_id("pi"), amount=50000, metadata={"booking_reference": reference},
        receipt_email=GUEST[2],
    )  # fmt: skip
    body = encoded(event("payment_intent.succeeded", thing))
    await receive(conn, read(body), body, rules=InboxRules(currency="EUR"))
    return read(body).id


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("list",), "Nothing is owed, and nothing was given up."),
        (("list", "--state", "failed"), "Nothing fits."),
        (("destinations",), "never"),
        (("events", "list"), "No event has come in yet."),
        (("events", "list", "--outcome", "failed"), "No event fits."),
        (("alerts", "list"), "No alert is open."),
        (("alerts", "list", "--all"), "There never was an alert."),
        (("worker", "list"), "No worker is running."),
        (("stats",), "nothing was synced or given up"),
        (("stats", "--since", "7d"), "nothing to measure"),
    ],
)
async def test_an_empty_database_reads_well(
    database_url: str, arguments: tuple[str, ...], says: str
) -> None:
    ended = await run(database_url, *arguments)

    assert (ended.code, ended.err) == (0, "")
    assert says in ended.out
    assert ended.out.splitlines()[-1].startswith("next: ")


@pytest.mark.parametrize("arguments", LOOKING)
async def test_each_answers_with_one_object_and_fits_eighty_columns(
    conn: Connection, database_url: str, arguments: tuple[str, ...]
) -> None:
    for number in range(3):
        await given_up(conn, booking_reference=f"LA2026-4821{number}", redrive=number == 1)
        await requested(conn, booking_reference=f"LA2026-4831{number}")
        await synced(conn, booking_reference=f"LA2026-4841{number}", mode="test")
        await waiting_event(conn, f"LA2026-4851{number}")
    await conn.execute(
        "update outbox.inbox_event set type = 'checkout.session.async_payment_succeeded'"
    )
    await conn.execute(
        "insert into outbox.worker (id, host, pid, version, pms, sync_enabled, test_mode)"
        " values ('vm-f52fa76921f4', 'vm', 1, '0.1.0', 'guestly', true, true)"
    )

    people = await run(database_url, *arguments)
    programs = await run(database_url, *arguments, "--json")

    assert (people.code, programs.code) == (0, 0)
    document = programs.json()
    assert (document["schema"], document["ok"]) == ("outbox/1", True)
    assert document["data"]
    assert too_wide(people.out) == []
    assert people.out.splitlines()[-1].startswith("next: outbox ")
    for word in GUEST:
        assert word not in people.out + programs.out


@pytest.mark.parametrize(
    "arguments",
    [*LOOKING, ("events", "show", "evt_1"), ("events", "replay", "evt_1"), ("alerts", "test")],
)
def test_4_when_the_database_is_unreachable(arguments: tuple[str, ...]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nowhere = f"postgresql://nobody@127.0.0.1:{taken.getsockname()[1]}/nothing"
        ended = outbox(*arguments, "--json", environ=settings(nowhere))

    assert ended.code == 4
    assert ended.json()["error"]["code"] == "unreachable"
    assert "\nfix: " in ended.err


async def test_what_does_not_fit_eighty_columns_is_broken_and_no_id_or_code_is_cut(
    conn: Connection, database_url: str
) -> None:
    long, code = "LA-" + "9" * 60, "a_code_that_is_longer_than_any_code_of_ours"
    await given_up(conn, code=code, booking_reference=long)

    listed = await run(database_url, "list", "--destination", "guestly")
    alerts = await run(database_url, "alerts", "list")

    assert too_wide(listed.out.rpartition("next: ")[0]) == []
    assert long in listed.out.splitlines()
    assert listed.out.splitlines()[-2].strip() == code
    assert [line for line in too_wide(alerts.out) if long not in line] == []


async def test_a_list_of_events_is_shown_on_a_terminal_that_is_narrower_than_its_heading(
    conn: Connection, database_url: str
) -> None:
    event_id = await waiting_event(conn, "LA-1")

    listed = await run(database_url, "events", "list", COLUMNS="30")

    assert (listed.code, listed.err) == (0, "")
    assert listed.out.split()[:4] == ["RECEIVED", "(UTC)", "OUTCOME", "BOOKING"]
    assert f"  {event_id}" in listed.out.splitlines()
    assert [
        line for line in listed.out.splitlines() if len(line) > 30 and "next:" not in line
    ] == []


async def test_a_solved_alert_that_was_reported_often_fits_eighty_columns(
    conn: Connection, database_url: str
) -> None:
    await given_up(conn, code="fare_and_contact_fixed")
    await conn.execute("update outbox.alert set count = 1234, resolved_at = now()")

    listed = await run(database_url, "alerts", "list", "--all")

    assert "reported 1,234 times, solved 20" in " ".join(listed.out.split())
    assert too_wide(listed.out) == []


async def test_a_list_that_begins_with_what_is_held_leads_to_what_holds_it(
    conn: Connection, database_url: str
) -> None:
    await requested(conn)

    held = await run(database_url, "list")
    owed = await run(database_url, "list", GUESTLY_SYNC_ENABLED="true")

    assert "held" in held.out
    assert held.out.splitlines()[-1] == "next: outbox destinations"
    assert owed.out.splitlines()[-1].startswith("next: outbox show LA2026-")
    shown = await run(database_url, "destinations")
    assert "Guestly sync is disabled (GUESTLY_SYNC_ENABLED=false)" in shown.out


async def test_the_command_for_the_next_page_shows_the_next_page(
    conn: Connection, database_url: str
) -> None:
    for number in range(5):
        await given_up(
            conn, booking_reference=f"LA-{number}", check_in_date=f"2027-02-0{number + 1}"
        )
    chosen = ("--state", "rejected", "--destination", "guestly", "--error", "http_503")

    first = await run(database_url, "list", *chosen, "--since", "1h", "--limit", "2")

    assert "and 3 more:" in first.out
    typed = first.out.partition("outbox list ")[2].partition("\nnext: ")[0]
    # as a shell reads it
    words = typed.replace("\\\n", "").split()
    assert "--after" in words
    second = await run(database_url, "list", *words, "--json")
    assert [row["ref"] for row in second.data()["rows"]] == ["LA-2", "LA-3"], "as long a page"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("list", "--after", "nowhere"), 2, "is no place"),
        (("list", "--state", "sinking"), 2, "is not one of"),
        (("list", "--limit", "0"), 2, "0 is not in the range"),
        (("events", "list", "--after", "evt_1"), 6, "no page ends with event 'evt_1'"),
        (("events", "list", "--outcome", "lost"), 2, "is not one of"),
        (("events", "show", "evt_1"), 6, "no event is known as 'evt_1'"),
        (("events", "replay", "evt_1"), 6, "no event is known as 'evt_1'"),
        (("events", "replay"), 2, "Missing argument"),
        (("alerts", "test", "--timeout", "0"), 2, "0 is not in the range"),
        (("stats", "--since", "later"), 2, "is no time"),
    ],
)
async def test_what_cannot_be_meant_is_refused(
    database_url: str, arguments: tuple[str, ...], code: int, says: str
) -> None:
    ended = await run(database_url, *arguments)

    assert (ended.code, ended.out) == (code, "")
    assert says in ended.err
    assert "fix: " in ended.err


async def test_the_facts_of_an_event_are_shown_without_its_body_until_that_is_asked_for(
    conn: Connection, database_url: str
) -> None:
    event_id = await waiting_event(conn, "LA-1")

    facts = await run(database_url, "events", "show", event_id[:12])
    whole = await run(database_url, "events", "show", event_id, "--body")
    programs = await run(database_url, "events", "show", event_id, "--json")
    body = await run(database_url, "events", "show", event_id, "--body", "--json")

    assert event_id in facts.out
    assert GUEST[2] not in facts.out + programs.out
    assert "it may hold guest data" in whole.out
    assert GUEST[2] in whole.out
    assert programs.data()["body"] is None
    assert json.loads(body.data()["body"])["id"] == event_id
    assert f"next: outbox events replay {event_id}" in facts.out


async def test_an_event_is_applied_again_by_the_worker_and_then_not_any_more(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    event_id = await waiting_event(conn, "LA-1")
    await conn.execute(
        "update outbox.delivery set due_at = null, failed_at = now() where destination = 'inbox'"
    )
    await insert_booking(conn, booking_reference="LA-1")
    environ = environment(database_url, None, GUESTLY_SYNC_ENABLED="false")

    with worker(tmp_path / "worker.log", environ):
        replayed = await run(database_url, "events", "replay", event_id, "--wait", "--reason", "x")
    again = await run(database_url, "events", "replay", event_id)

    assert replayed.code == 0, replayed
    assert "applied, booking LA-1" in replayed.out
    assert again.code == 7
    assert "applied already; to send its booking again: outbox requeue" in again.out
    assert "Nothing changed." in again.out
    cursor = await conn.execute("select actor, reason from outbox.operator_action")
    assert await cursor.fetchall() == [{"actor": "anna", "reason": "x"}]


async def test_a_part_that_cannot_be_applied_again_is_code_8(
    conn: Connection, database_url: str
) -> None:
    waiting = await waiting_event(conn, "LA-1")
    body = encoded(event("customer.created", {"id": "cus_1", "object": "customer"}))
    await receive(conn, read(body), body, rules=InboxRules(currency="EUR"))

    ended = await run(database_url, "events", "replay", waiting, read(body).id, "--json")

    assert ended.code == 8
    assert [each["name"] for each in ended.data()["requested"]] == [waiting]
    assert [each["name"] for each in ended.data()["skipped"]] == [read(body).id]
    assert ended.data()["notes"] == ["no worker is running: it is applied as soon as one does"]


async def test_a_test_alert_arrives_and_the_command_says_so(
    database_url: str, tmp_path: Path
) -> None:
    async with mail_api() as api:
        environ = environment(
            database_url,
            None,
            ADMIN_ALERT_EMAIL="ops@example.com",
            EMAIL_FROM="alerts@example.com",
            EMAIL_API_ENDPOINT=api.url,
            EMAIL_API_KEY="key",
        )
        with worker(tmp_path / "worker.log", environ):
            ended = await asyncio.to_thread(
                outbox, "alerts", "test", "--wait", "--json",
                environ={**settings(database_url), **environ}, within=2 * PATIENCE_S,
            )  # fmt: skip
            listed = await run(database_url, "alerts", "list", "--all")

    assert ended.code == 0, ended
    became = {each["channel"]: each["became"] for each in ended.data()["results"]}
    assert became == {"email": "accepted", "chat": "not_configured"}
    assert ended.data()["configured"] == {
        "email": "1 recipient through a mail API", "chat": None,
    }  # fmt: skip
    assert len(api.accepted) == 1
    assert "TEST" in api.accepted[0].json["subject"].upper()
    assert "told nobody: this channel is not set up" in listed.out
    assert "1 message so far" in listed.out


async def test_a_test_alert_that_nobody_would_hear_of_is_code_1(
    database_url: str, tmp_path: Path
) -> None:
    unconfigured = await run(database_url, "alerts", "test")
    with worker(tmp_path / "worker.log", environment(database_url, None)):
        ended = await run(database_url, "alerts", "test", "--wait")

    assert unconfigured.code == 0
    assert "warning: this environment sets no channel up" in unconfigured.out
    assert ended.code == 1
    assert "Nobody would be told." in ended.out


def test_settings_are_shown_with_their_source_and_without_secrets(tmp_path: Path) -> None:
    file = tmp_path / "outbox.env"
    file.write_text("DATABASE_URL=postgresql://app:hunter2@db.example.com/site\nLOG_LEVEL=debug\n")
    environ = settings("", LOG_LEVEL="error", GUESTLY_API_KEY="hunter2")
    del environ["DATABASE_URL"]

    ended = outbox("config", "show", "--env-file", str(file), environ=environ)
    programs = outbox("config", "show", "--env-file", str(file), "--json", environ=environ)

    assert (ended.code, ended.err) == (0, "")
    assert "hunter2" not in ended.out + programs.out
    rows = {
        line.split()[0]: line.split(maxsplit=2)[1:]
        for line in ended.out.splitlines()
        if line[:2] == "  "
    }
    assert rows["DATABASE_URL"] == ["env-file", "set, database site on"]
    assert "  db.example.com:5432\n" in ended.out
    assert rows["LOG_LEVEL"] == ["environment", "error"]
    assert rows["PMS"] == ["default", "guestly"]
    assert too_wide(ended.out) == []
    assert programs.data()["faults"] == []


def test_wrong_settings_are_all_told_and_code_2() -> None:
    environ = settings("", GUESTLY_TEST_MODE="maybe", WORKER_LEASE_SECONDS="long")

    ended = outbox("config", "show", environ=environ)
    programs = outbox("config", "show", "--json", environ=environ)

    assert (ended.code, programs.code) == (2, 2)
    assert "3 settings are wrong:" in ended.out
    named = [fault.partition(" ")[0] for fault in programs.data()["faults"]]
    assert named == ["DATABASE_URL", "GUESTLY_TEST_MODE", "WORKER_LEASE_SECONDS"]
    assert programs.json()["ok"] is False


def test_the_example_of_settings_can_be_used_as_it_is(tmp_path: Path) -> None:
    ended = outbox("config", "example", environ=settings(""))
    (tmp_path / "outbox.env").write_text(ended.out)

    read_back = outbox(
        "config", "show", "--env-file", str(tmp_path / "outbox.env"), "--json",
        environ=settings("postgresql://app@db.example.com/site"),
    )  # fmt: skip

    assert (ended.code, ended.out) == (0, environment_example())
    assert read_back.code == 0
