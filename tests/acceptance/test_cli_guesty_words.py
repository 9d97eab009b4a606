"""Whom sentences name with ``PMS=guesty``: Guesty, whatever settings, columns and commands say."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from outbox_worker.alerts import report
from outbox_worker.database import Connection
from outbox_worker.outbox.delivery import Destination
from tests.acceptance.test_cli_guesty import LOFT, environ, the_one
from tests.support_cli import Ended, outbox, settings
from tests.support_doubt import in_doubt
from tests.support_engine import eventually, insert_booking
from tests.support_mail import mail_api
from tests.support_requeue import given_up
from tests.support_simulator_guesty import start_guesty
from tests.support_worker import environment, worker

#: Settings, columns and the destination are written otherwise.
OTHER = "Guestly"


def told(*arguments: str, ours: dict[str, str], codes: tuple[int, ...] = (0,)) -> str:
    """What a command says, in one line; it does not name the other PMS."""
    ended = outbox(*arguments, environ=ours)
    assert ended.code in codes, ended
    assert_names_no_other(ended, " ".join(arguments))
    return " ".join(f"{ended.out} {ended.err}".split())


def assert_names_no_other(ended: Ended, what: str) -> None:
    assert OTHER not in ended.out, f"{what}: {ended.out}"
    assert OTHER not in ended.err, f"{what}: {ended.err}"


async def test_no_command_names_another_pms_on_a_bookings_way(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    booking = await insert_booking(conn, booking_reference="LA-1", total=480)
    with start_guesty(tmp_path) as pms:
        ours = environ(database_url, pms)
        assert "Not in Guesty: nobody has asked" in told("show", "LA-1", ours=ours)
        assert "Guesty holds nothing" in told("check", "LA-1", ours=ours, codes=(0, 5))
        assert "Guesty has no reservation" in told("link", "LA-1", "x1", ours=ours, codes=(7,))
        for command in ("listings list", "listings set sea-loft " + LOFT, "listings check"):
            told(*command.split(), ours=ours)
        assert "Guesty sync is disabled" in told("sync", "LA-1", ours=ours)
        reservation = the_one(pms)["_id"]
        assert f"In Guesty as {reservation}" in told("show", "LA-1", ours=ours)
        assert "Guesty holds it" in told("check", "LA-1", ours=ours)
        await conn.execute("update bookings set check_out_date = check_out_date + 1")
        assert "In Guesty as" in told("show", "LA-1", ours=ours)
        assert "in Guesty" in told("check", "LA-1", ours=ours, codes=(0, 5))
        await in_doubt(conn, booking, since=timedelta(hours=1))
        doubt = told("show", "LA-1", ours=ours | {"GUESTLY_SYNC_ENABLED": "true"})
        assert "Ask what Guesty holds" in doubt
        discarded = told("discard", "LA-1", "--reason", "trial", ours=ours)
        assert "Guesty still holds" in discarded
        assert "so Guesty may hold it" in discarded
        for command in ("resume guestly", "pause guestly --reason trial", "destinations", "list"):
            told(*command.split(), ours=ours)


async def test_no_overview_names_another_pms(conn: Connection, database_url: str) -> None:
    await given_up(conn, booking_reference="LA-1")
    await insert_booking(conn, booking_reference="LA-2", check_in_date="2027-06-01")
    off = settings(database_url, PMS="guesty")
    assert "Guesty sync is disabled" in told("status", ours=off, codes=(5,))
    assert "Guesty sync is disabled" in told("destinations", ours=off)
    assert "Guesty sync is disabled" in told("requeue", "LA-1", "--dry-run", ours=off)
    test = off | {"GUESTLY_SYNC_ENABLED": "true", "GUESTLY_TEST_MODE": "true"}
    assert "nothing is sent to Guesty" in told("status", ours=test, codes=(5,))
    assert "nothing reaches Guesty" in told("requeue", "LA-1", "--dry-run", ours=test)
    assert "Guesty was not asked" in told("link", "LA-2", "x1", "--unverified", ours=off)
    for command in (
        "list",
        "stats",
        "worker list",
        "alerts list",
        "events list",
        "config show",
        "prune",
    ):
        told(*command.split(), ours=off)
    assert "Guesty sync is disabled" in told("worker", "run", "--drain", ours=off)


@pytest.mark.parametrize(
    "code",
    [
        "any_other",
        "booking_gone",
        "foreign_reservation",
        "listing_missing",
        "listing_not_available",
        "reservation_gone",
        "several_reservations",
        "takeover_reservation_id",
    ],
)
async def test_what_mends_a_refusal_names_no_other_pms(
    conn: Connection, database_url: str, code: str
) -> None:
    await given_up(conn, code=code, booking_reference="LA-1")

    shown = told("show", "LA-1", ours=settings(database_url, PMS="guesty"))

    assert shown.startswith("LA-1 rejected Not in Guesty: it is not tried again")


async def test_a_reservation_of_the_other_pms_is_said_to_be_there(
    conn: Connection, database_url: str
) -> None:
    booking = await insert_booking(conn, booking_reference="LA-1")
    await conn.execute(
        "insert into outbox.reservation (booking_id, pms, reservation_id)"
        " values (%(id)s, 'guestly', 'res-1')",
        {"id": booking},
    )

    shown = outbox("show", "LA-1", environ=settings(database_url, PMS="guesty"))

    assert "In Guestly as res-1" in shown.out


def test_what_no_setting_can_change_names_no_pms(database_url: str) -> None:
    ours = settings(database_url)
    for command in ("", "check", "discard", "link", "listings", "listings check", "listings list",
                    "pause", "prune", "requeue", "resume", "show", "status", "sync"):  # fmt: skip
        told(*command.split(), "--help", ours=ours)


@pytest.mark.parametrize("name", ["guesty", "guestly"])
async def test_a_mail_about_a_failure_that_names_no_pms_names_that_of_the_worker(
    conn: Connection, database_url: str, tmp_path: Path, name: str
) -> None:
    booking = await insert_booking(conn, booking_reference="LA-1")
    async with conn.transaction():
        await report.sync_failure(
            conn, booking, "it was not sent", channels=[Destination.EMAIL, Destination.CHAT]
        )
    async with mail_api() as api:
        environ = environment(
            database_url,
            None,
            PMS=name,
            GUESTY_CLIENT_ID="client",
            GUESTY_CLIENT_SECRET="secret",
            ADMIN_ALERT_EMAIL="ops@example.com",
            EMAIL_FROM="alerts@example.com",
            EMAIL_API_ENDPOINT=api.url,
            EMAIL_API_KEY="key",
        )

        async def mailed() -> bool:
            return bool(api.accepted)

        with worker(tmp_path / "worker.log", environ):
            await eventually(mailed, "the mail", within=20)
        (mail,) = api.accepted
    subject = mail.json["subject"]
    texts = [str(part["value"]) for part in mail.json["content"]]

    assert subject.startswith(f"[Action] Booking LA-1 is paid but not in {name.capitalize()}")
    for text in (subject, *texts):
        assert name.capitalize() in text
        assert ("Guestly" in text) == (name == "guestly")
