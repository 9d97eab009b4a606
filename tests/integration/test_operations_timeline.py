"""The timeline of one subject: everything that happened, in order, without guest data."""

from __future__ import annotations

from typing import Any

from outbox_worker.alerts import store as alerts
from outbox_worker.alerts.alert import AlertKind, NewAlert
from outbox_worker.cli.reply import jsonable
from outbox_worker.database import Connection
from outbox_worker.handlers.effect import Result
from outbox_worker.operations.fleet import Fleet, SyncMode, read_fleet
from outbox_worker.operations.plan import Failed, PmsView, plan
from outbox_worker.operations.refs import resolve
from outbox_worker.operations.requeue import Request, apply
from outbox_worker.operations.timeline import EntryKind, Timeline, read_timeline
from outbox_worker.outbox.delivery import Destination, State
from outbox_worker.outbox.outcome import Park
from outbox_worker.pms.port import PmsName
from outbox_worker.worker.execute import Finished
from outbox_worker.worker.settle import settle
from tests.support_engine import A, claim_all, insert_booking, owe, policy

ON = SyncMode(enabled=True, test_mode=False, pms=PmsName.GUESTLY)
GUEST = ("Zoë", "Canary-Guest", "zoe.canary", "example.com", "+1555", "quiet room")


async def timeline(conn: Connection, ref: str, mode: SyncMode = ON) -> Timeline:
    fleet: Fleet = await read_fleet(conn, mode)
    return await read_timeline(conn, await resolve(conn, ref), fleet)


async def refused_and_requeued(conn: Connection) -> None:
    """A booking that was paid, requested, refused with an alert, and asked for again."""
    booking = await insert_booking(
        conn,
        booking_reference="LA-1",
        stripe_payment_intent_id="pi_1",
        guest_phone="+1555",
        special_requests="quiet room",
        created_at="2026-11-20T10:00:00Z",
        confirmed_at="2026-11-20T10:02:00Z",
    )
    await conn.execute(
        "insert into outbox.inbox_event (source, id, type, outcome, booking_id, received_at)"
        " values ('stripe', 'evt_1', 'payment_intent.succeeded', 'applied', %s,"
        " '2026-11-20T10:02:00Z')",
        [booking],
    )
    await conn.execute("select outbox.request_sync(%s, 'stripe', 'evt_1')", [booking])
    [claim] = await claim_all(conn, destination=Destination.GUESTLY)
    outcome = Park(code="listing_missing", message="no listing for sea-loft")
    await settle(
        conn,
        [Finished(claim=claim, result=Result(outcome=outcome, booking_id=booking), seconds=0.1)],
        owner=A,
        policies=dict.fromkeys(Destination, policy()),
    )
    async with conn.transaction():
        await alerts.raise_alert(
            conn,
            NewAlert(kind=AlertKind.SYNC_REJECTED, fingerprint="guestly:listing_missing"),
            deliveries=[claim.id],
            channels=[Destination.EMAIL],
        )
    await conn.execute(
        "insert into outbox.alert_told (alert_id, channel, messages, told_at)"
        " select a.id, c.channel, c.messages, clock_timestamp() from outbox.alert a,"
        " (values ('email', 1), ('chat', 2)) as c (channel, messages)"
    )
    items = await plan(conn, Failed(), view=PmsView(pms=PmsName.GUESTLY, currency="EUR"))
    await apply(conn, items, Request(actor="anna", target="LA-1", reason="listing was set"))


async def test_everything_that_happened_stands_in_order(conn: Connection) -> None:
    await refused_and_requeued(conn)

    told = await timeline(conn, "LA-1")

    assert [(entry.kind.value, entry.text) for entry in told.entries] == [
        ("booking", "created on the site"),
        ("booking", "confirmed"),
        ("event", "payment_intent.succeeded evt_1 received, applied"),
        ("request", "version 1 requested by stripe (evt_1)"),
        (
            "attempt",
            "attempt 1 of round 1 rejected listing_missing: no listing for sea-loft",
        ),
        ("alert", "alert 1 (sync_rejected) raised"),
        ("alert", "alert 1 (sync_rejected) mailed"),
        ("alert", "alert 1 (sync_rejected) told in the chat, message 2"),
        ("request", "version 2 requested by operator (anna)"),
        ("action", "requeue by anna: listing was set"),
        ("alert", "alert 1 (sync_rejected) resolved"),
    ]
    assert told.delivery is not None
    assert (told.delivery.state, told.delivery.round) == (State.WAITING, 2)
    attempt = next(entry for entry in told.entries if entry.kind is EntryKind.ATTEMPT)
    assert attempt.took is not None


async def test_no_guest_data_is_in_a_timeline(conn: Connection) -> None:
    await refused_and_requeued(conn)

    text = str(jsonable(await timeline(conn, "LA-1")))

    assert "LA-1" in text
    assert [word for word in GUEST if word in text] == []


async def test_a_booking_that_was_never_requested_has_its_own_history(conn: Connection) -> None:
    await insert_booking(conn, booking_reference="LA-1", confirmed_at="2026-11-20T10:02:00Z")

    told = await timeline(conn, "LA-1")

    assert told.delivery is None
    assert {entry.text for entry in told.entries} == {"created on the site", "confirmed"}


async def test_a_disabled_sync_holds_what_waits(conn: Connection) -> None:
    booking = await insert_booking(conn, booking_reference="LA-1")
    await conn.execute("select outbox.request_sync(%s, 'stripe')", [booking])

    told = await timeline(
        conn, "LA-1", SyncMode(enabled=False, test_mode=True, pms=PmsName.GUESTLY)
    )

    assert told.delivery is not None
    assert told.delivery.state is State.HELD


async def test_an_event_has_a_timeline_of_its_own(conn: Connection) -> None:
    await conn.execute(
        "insert into outbox.inbox_event (source, id, type, outcome, detail)"
        " values ('stripe', 'evt_1', 'payment_intent.succeeded', 'waiting', 'no such booking')"
    )
    await owe(conn, "evt_1")

    told = await timeline(conn, "evt_1")

    assert told.booking is None
    assert told.event is not None
    assert (told.event.outcome, told.event.detail) == ("waiting", "no such booking")
    assert told.delivery is not None
    assert [entry.kind for entry in told.entries] == [EntryKind.EVENT, EntryKind.REQUEST]


async def test_a_deleted_booking_keeps_its_delivery(conn: Connection) -> None:
    booking = await insert_booking(conn)
    await conn.execute("select outbox.request_sync(%s, 'stripe')", [booking])
    await conn.execute("delete from bookings")

    told = await timeline(conn, str(booking))

    assert told.booking is None
    assert told.delivery is not None


async def _workers(conn: Connection, *rows: dict[str, Any]) -> None:
    for number, row in enumerate(rows):
        columns = {
            "id": f"worker-{number}",
            "sync_enabled": True,
            "test_mode": False,
            "seen": 1,
            "stopped": False,
            "pms": "guestly",
            **row,
        }
        await conn.execute(
            "insert into outbox.worker (id, host, pid, version, pms, sync_enabled, test_mode,"
            " seen_at, stopped_at) values (%(id)s, 'host', 1, '0.1.0', %(pms)s,"
            " %(sync_enabled)s, %(test_mode)s, now() - make_interval(secs => %(seen)s),"
            " case when %(stopped)s then now() end)",
            columns,
        )


async def test_a_running_worker_knows_the_mode_better_than_our_environment(
    conn: Connection,
) -> None:
    off = SyncMode(enabled=False, test_mode=True, pms=PmsName.GUESTLY)
    assert (await read_fleet(conn, off)).mode == off

    await _workers(conn, {"seen": 100}, {"stopped": True})
    assert (await read_fleet(conn, off)).mode == off

    await _workers(conn, {"id": "alive"})
    fleet = await read_fleet(conn, off)
    assert [worker.id for worker in fleet.workers] == ["alive"]
    assert fleet.mode == ON
    assert fleet.closed == {}


async def test_the_pms_is_that_of_the_running_workers_unless_they_differ(conn: Connection) -> None:
    await _workers(conn, {"id": "one", "pms": "guesty"})
    assert (await read_fleet(conn, ON)).pms == "Guesty"

    await _workers(conn, {"id": "two", "pms": "guesty", "sync_enabled": False})
    await _workers(conn, {"id": "of-before", "pms": "guestly", "sync_enabled": False})
    assert (await read_fleet(conn, ON)).pms == "Guesty"

    await _workers(conn, {"id": "of-today", "pms": "guestly"})
    assert (await read_fleet(conn, ON)).pms == "Guestly"
    ours = SyncMode(enabled=True, test_mode=False, pms=PmsName.GUESTY)
    assert (await read_fleet(conn, ours)).pms == "Guesty"


async def test_a_pause_and_an_open_circuit_close_a_destination(conn: Connection) -> None:
    await conn.execute(
        "update outbox.destination set paused_at = now(), paused_by = 'anna',"
        " pause_reason = 'upkeep' where destination = 'guestly'"
    )
    await conn.execute(
        "update outbox.destination set circuit = 'open', circuit_cause = 'outage',"
        " circuit_code = 'http_503', circuit_until = '2031-05-01 12:30:00+00'"
        " where destination = 'email'"
    )
    await conn.execute(
        "update outbox.destination set circuit = 'half_open', circuit_cause = 'misconfigured',"
        " probe_owner = 'w', probe_until = now() + interval '9 s' where destination = 'chat'"
    )
    await conn.execute(
        "update outbox.destination set paused_at = now() - interval '2 hours',"
        " paused_until = now() - interval '1 hour' where destination = 'inbox'"
    )

    assert (await read_fleet(conn, ON)).closed == {
        Destination.GUESTLY: "paused by anna until resumed: upkeep",
        Destination.EMAIL: "its last calls all failed (http_503);"
        " one call is tried at 2031-05-01 12:30:00 UTC",
        Destination.CHAT: "our key or address is refused;"
        " one call is under way to see whether it works again",
    }


async def test_a_call_that_took_effect_is_told_as_done(conn: Connection) -> None:
    await refused_and_requeued(conn)
    await conn.execute(
        "update outbox.attempt set outcome = 'held', error_code = null, error = null"
    )

    told = await timeline(conn, "LA-1")

    texts = [entry.text for entry in told.entries if entry.kind.value == "attempt"]
    assert texts == ["attempt 1 of round 1 done"]
