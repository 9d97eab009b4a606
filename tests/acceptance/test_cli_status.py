"""``outbox status`` in a terminal of eighty columns, when much has gone wrong at once."""

from __future__ import annotations

import asyncio

from outbox_worker.alerts import store as alerts
from outbox_worker.alerts.alert import AlertKind, NewAlert
from outbox_worker.database import Connection
from outbox_worker.outbox.delivery import Destination
from tests.support_cli import WIDTH, Ended, outbox, settings
from tests.support_engine import insert_booking, owe
from tests.support_status import running_worker


async def status(database_url: str, *arguments: str) -> Ended:
    environ = settings(database_url, GUESTLY_SYNC_ENABLED="true")
    return await asyncio.to_thread(outbox, "status", *arguments, environ=environ)


async def trouble(conn: Connection) -> None:
    """Mail that is refused, a live payment in test mode, a booking that has waited for an hour."""
    await owe(conn, "1", Destination.EMAIL)
    await conn.execute(
        "update outbox.delivery set attempts = 9, last_error_code = 'email_api_401', last_error ="
        " 'the mail API refused the key or the sender: check EMAIL_API_KEY and EMAIL_FROM'"
    )
    late = await insert_booking(conn, booking_reference="LA-LATE")
    await conn.execute("select outbox.request_sync(%s, 'stripe')", [late])
    await conn.execute(
        "update outbox.delivery set requested_at = now() - interval '61 minutes' where key = %s",
        [str(late)],
    )
    tested = await insert_booking(conn, booking_reference="LA-TEST")
    await conn.execute(
        "insert into outbox.reservation (booking_id, pms, reservation_id, mode)"
        " values (%s, 'guestly', 'test-reservation-id', 'test')",
        [tested],
    )
    await conn.execute(
        "insert into outbox.inbox_event (source, id, type, livemode, outcome, booking_id)"
        " values ('stripe', 'evt_1', 'payment_intent.succeeded', true, 'applied', %s)",
        [tested],
    )


async def test_every_trouble_is_told_with_what_to_do(conn: Connection, database_url: str) -> None:
    await trouble(conn)

    ended = await status(database_url)

    assert ended.code == 5
    needs = ended.out.partition("\n\n")[0]
    for line in (
        "  1 alert cannot be mailed, since ",
        "    why: the mail API refused the key or the sender: check EMAIL_API_KEY and",
        "    fix: check ADMIN_ALERT_EMAIL, EMAIL_FROM and EMAIL_API_KEY or SMTP_URL,",
        "  1 live payment was handled in test mode: not in Guestly",
        "         outbox requeue --test-mode",
        "  guestly has been owed something for 61 min",
        "    fix: outbox show LA-LATE",
        "  no worker is running",
        "    fix: outbox worker run (or: systemctl start outbox-worker)",
    ):
        assert line in needs
    assert [line for line in ended.out.splitlines() if len(line) > WIDTH] == []


async def test_events_and_alerts_with_long_names_fit_the_terminal(
    conn: Connection, database_url: str
) -> None:
    event_id, type_ = "evt_3QabcDEFghiJKLmnoPQRstuV", "checkout.session.async_payment_succeeded"
    await conn.execute(
        "insert into outbox.inbox_event (source, id, type, outcome, received_at)"
        " values ('stripe', %s, %s, 'waiting', now() - interval '1 hour')",
        [event_id, type_],
    )
    await owe(conn, event_id, Destination.INBOX)
    reference = "LA-" + "9" * 33
    booking = await insert_booking(conn, booking_reference=reference)
    kind = AlertKind.CANCELED_AFTER_CONFIRMATION
    alert = NewAlert(kind=kind, fingerprint="x", booking_id=booking)
    async with conn.transaction():
        await alerts.raise_alert(conn, alert, channels=[])

    ended = await status(database_url)

    said = " ".join(ended.out.split())
    assert f"{event_id} waiting, {type_}, since 20" in said
    assert f"{kind} about {reference}, since 20" in said
    assert [line for line in ended.out.splitlines() if len(line) > WIDTH] == []


async def test_a_program_reads_the_same(conn: Connection, database_url: str) -> None:
    await trouble(conn)
    await running_worker(conn)

    ended = await status(database_url, "--json")

    assert ended.code == 5
    assert ended.data()["needs"] == [
        "1 alert cannot be mailed",
        "1 live payment was handled in test mode only",
        "guestly has been owed LA-LATE for 61 minutes",
    ]
    found = ended.data()["trouble"]
    assert (found["live_tested"], found["overdue"]["name"]) == (1, "LA-LATE")
    assert [each["channel"] for each in found["channels"]] == ["email"]
    (worker,) = ended.data()["fleet"]["workers"]
    assert worker["listening"] is False


async def test_a_worker_s_row_says_how_it_is_woken(conn: Connection, database_url: str) -> None:
    await running_worker(conn)
    assert "polling" in (await status(database_url)).out
    await conn.execute("update outbox.worker set listening = true")
    assert "listening" in (await status(database_url)).out


async def test_a_token_problem_is_told_with_what_mends_just_that(
    conn: Connection, database_url: str
) -> None:
    for code in ("token_quota", "credentials_refused", "http_401"):
        alert = NewAlert(kind=AlertKind.MISCONFIGURED, fingerprint=code, facts={"code": code})
        async with conn.transaction():
            await alerts.raise_alert(conn, alert, channels=[])
    environ = settings(database_url, PMS="guesty")

    ended = await asyncio.to_thread(outbox, "status", environ=environ)

    assert "      why: Guesty grants no more access tokens today (token_quota)" in ended.out
    assert "give it one of its own" in " ".join(ended.out.split())
    assert "           outbox resume guestly" in ended.out.splitlines()
    assert ended.out.count("GUESTY_CLIENT_SECRET / GUESTY_CLIENT_ID") == 1
    assert "(http_401)" in ended.out
    assert [line for line in ended.out.splitlines() if len(line) > WIDTH] == []
