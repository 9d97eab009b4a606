"""What has gone on for too long, as the status tells it."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from outbox_worker.alerts.alert import ALERT_CHANNELS, AlertKind, NewAlert
from outbox_worker.database import Connection
from outbox_worker.handlers.email import EmailHandler
from outbox_worker.operations import trouble
from outbox_worker.operations.fleet import SyncMode
from outbox_worker.operations.status import Status, read_status
from outbox_worker.outbox.delivery import Destination
from outbox_worker.pms.port import PmsName
from outbox_worker.worker.execute import Finished
from outbox_worker.worker.lease import Lease, boot_time
from outbox_worker.worker.settle import settle
from tests.support_alert import raised
from tests.support_engine import A, claim_all, insert_booking, owe, policy
from tests.support_status import running_worker

ON = SyncMode(enabled=True, test_mode=False, pms=PmsName.GUESTLY)
TRIAL = NewAlert(kind=AlertKind.TEST, fingerprint="t")


@pytest.fixture(autouse=True)
async def worker(conn: Connection) -> None:
    await running_worker(conn)


async def status(conn: Connection) -> Status:
    return await read_status(conn, ON)


async def waited(conn: Connection, key: str, minutes: float, changes: str = "") -> None:
    await conn.execute(
        "update outbox.delivery set requested_at = now() - make_interval(secs => %s)"
        f"{', ' + changes if changes else ''} where key = %s",
        [minutes * 60, key],
    )


async def test_what_is_owed_for_over_five_minutes_needs_a_person(conn: Connection) -> None:
    booking = await insert_booking(conn, booking_reference="LA-1")
    await conn.execute("select outbox.request_sync(%s, 'stripe')", [booking])
    await waited(conn, str(booking), 4)
    assert (await status(conn)).needs == ()

    await waited(conn, str(booking), 7.5, "attempts = 2")

    found = await status(conn)
    assert found.needs == ("guestly has been owed LA-1 for 7 minutes",)
    assert found.trouble.overdue is not None
    assert found.trouble.overdue.name == "LA-1"
    assert found.trouble.overdue.waited > timedelta(minutes=7)


async def test_the_oldest_is_named_and_what_was_given_up_is_told_as_that(conn: Connection) -> None:
    for key, minutes, changes in (
        ("evt_young", 6, ""),
        ("evt_old", 9, ""),
        ("evt_failed", 60, "failed_at = now(), due_at = now() + interval '1 hour'"),
    ):
        await owe(conn, key)
        await waited(conn, key, minutes, changes)

    found = await status(conn)

    assert found.trouble.overdue is not None
    assert found.trouble.overdue.name == "evt_old"


async def test_an_open_circuit_is_no_decision_of_a_person(conn: Connection) -> None:
    await owe(conn, "k", Destination.GUESTLY)
    await waited(conn, "k", 6)
    await conn.execute(
        "update outbox.destination set circuit = 'open', circuit_cause = 'outage',"
        " circuit_until = now() + interval '1 minute' where destination = 'guestly'"
    )

    assert (await status(conn)).needs == ("guestly has been owed k for 6 minutes",)


async def test_a_second_message_about_one_incident_may_wait_for_its_turn(conn: Connection) -> None:
    await owe(conn, "1", Destination.EMAIL)
    await waited(conn, "1", 6)
    assert (await status(conn)).needs == ()
    await waited(conn, "1", 11)
    assert (await status(conn)).needs == ("email has been owed 1 for 11 minutes",)


async def paid_in_test_mode(conn: Connection, *, livemode: bool) -> UUID:
    booking = await insert_booking(conn)
    await conn.execute(
        "insert into outbox.reservation (booking_id, pms, reservation_id, mode)"
        " values (%s, 'guestly', 'test-reservation-id', 'test')",
        [booking],
    )
    await conn.execute(
        "insert into outbox.inbox_event (source, id, type, livemode, outcome, booking_id)"
        " values ('stripe', %s, 'payment_intent.succeeded', %s, 'applied', %s)",
        [f"evt_{booking}", livemode, booking],
    )
    return booking


async def test_a_live_payment_that_only_test_mode_handled_needs_a_person(conn: Connection) -> None:
    await paid_in_test_mode(conn, livemode=False)
    assert (await status(conn)).needs == ()

    booking = await paid_in_test_mode(conn, livemode=True)

    found = await status(conn)
    assert (found.trouble.live_tested, found.tested) == (1, 2)
    assert found.needs == ("1 live payment was handled in test mode only",)

    await conn.execute("update bookings set status = 'cancelled' where id = %s", [booking])
    assert (await status(conn)).needs == (), "there is nothing to send"


async def test_a_live_reservation_ends_what_test_mode_had_left_open(conn: Connection) -> None:
    booking = await paid_in_test_mode(conn, livemode=True)
    await conn.execute(
        "update outbox.reservation set mode = 'live' where booking_id = %s", [booking]
    )

    assert (await status(conn)).needs == ()


@pytest.mark.parametrize(
    ("changes", "minutes", "fails"),
    [
        ("attempts = 4, last_error_code = 'email_api_503'", 1, False),
        ("attempts = 5, last_error_code = 'email_api_503'", 1, True),
        ("attempts = 0, last_error_code = 'email_api_429'", 31, True),
        ("attempts = 0, last_error_code = 'spacing'", 31, False),
        ("attempts = 9, delivered = requested, due_at = null", 31, False),
    ],
)
async def test_a_channel_fails_that_keeps_refusing(
    conn: Connection, changes: str, minutes: int, fails: bool
) -> None:
    await owe(conn, "1", Destination.EMAIL)
    await waited(conn, "1", minutes, f"{changes}, last_error = 'the mail API answered'")

    channels = await trouble.read_channels(conn, held=())

    assert [each.channel for each in channels] == ([Destination.EMAIL] if fails else [])
    assert await trouble.read_channels(conn, held=[Destination.EMAIL]) == ()


async def test_the_status_tells_what_each_channel_refuses(conn: Connection) -> None:
    for key, channel in (("1", "email"), ("2", "email"), ("2", "chat")):
        await owe(conn, key, Destination(channel))
    await conn.execute("update outbox.delivery set attempts = 6, last_error_code = destination")

    found = await status(conn)

    assert found.needs == ("1 alert does not reach the chat", "2 alerts cannot be mailed")
    assert [(each.waiting, each.error_code) for each in found.trouble.channels] == [
        (1, "chat"),
        (2, "email"),
    ]


async def test_channels_that_are_not_set_up_are_told_once_an_alert_needed_them(
    conn: Connection,
) -> None:
    assert (await status(conn)).trouble.unconfigured == ()
    await raised(conn, alert=TRIAL, channels=ALERT_CHANNELS)
    for channel in ALERT_CHANNELS:
        (claim,) = await claim_all(conn, destination=channel, max_attempts=None)
        handler = EmailHandler(
            None, policy=policy(max_attempts=None), currency="EUR", pms=PmsName.GUESTLY
        )
        state = (await handler.load(conn, [claim]))[claim.id]
        result = await handler.run(
            claim, state, Lease(taken_at=boot_time(), length=timedelta(seconds=60))
        )
        finished = [Finished(claim=claim, result=result, seconds=0.0)]
        await settle(conn, finished, owner=A, policies={channel: handler.policy})

    found = await status(conn)

    assert found.trouble.unconfigured == ALERT_CHANNELS
    assert [warning.partition(":")[0] for warning in found.warnings] == ["nobody is told of alerts"]
    assert found.needs == ()
