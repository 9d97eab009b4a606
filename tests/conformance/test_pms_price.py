"""A PMS that sets prices of its own: who is told, how often, and until when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from outbox_worker.alerts import pending
from outbox_worker.alerts.alert import AlertId, Incident
from outbox_worker.alerts.store import lock, mark_told
from outbox_worker.operations.link import Linked, link
from outbox_worker.operations.plan import PmsView
from outbox_worker.operations.refs import Subject, Target
from outbox_worker.operations.slices import Request
from outbox_worker.outbox.delivery import Destination
from outbox_worker.pms.port import Pms, PmsName
from tests.support_pms_crash import Moment
from tests.support_pms_stage import Stage

pytestmark = pytest.mark.parametrize("process", [PmsName.GUESTY], indirect=True)

LATER = "2027-05-07"


async def incidents(stage: Stage) -> list[dict[str, Any]]:
    cursor = await stage.conn.execute(
        "select id, count, resolved_at is null as open,"
        " (select sum(d.requested)::int from outbox.delivery d"
        "  where d.destination = 'email' and d.key = a.id::text) as asked"
        " from outbox.alert a where kind = 'reported' order by id"
    )
    return await cursor.fetchall()


async def incident_of(stage: Stage) -> dict[str, Any]:
    """The one there is."""
    found = await incidents(stage)
    assert len(found) == 1
    return found[0]


async def told(stage: Stage) -> Incident:
    """The e-mail about the one incident goes out; what it was made of."""
    alert = await incident_of(stage)
    alert_id = AlertId(alert["id"])
    async with stage.conn.transaction():
        await pending.plan(stage.conn, {alert_id: True}, channel=Destination.EMAIL)
        found = await pending.read(stage.conn, [alert_id], channel=Destination.EMAIL)
        incident = found[alert_id]
        await lock(stage.conn, ids=[alert_id])
        await mark_told(
            stage.conn,
            alert_id,
            channel=Destination.EMAIL,
            told_to=incident.named_to,
            resolved_told=incident.resolved_at is not None,
        )
    return incident


async def linked(stage: Stage, pms: Pms) -> Linked:
    (held,) = stage.rig.simulator.reservations()
    return await link(
        stage.conn,
        Target(subject=Subject.BOOKING, key=str(stage.booking), name="LA-1"),
        held["_id"],
        pms=pms,
        view=PmsView(pms=PmsName.GUESTY, currency="EUR"),
        quiet=timedelta(0),
        request=Request(actor="anna", target="LA-1", reason=None),
    )


async def test_a_create_its_notes_and_a_cancellation_tell_nobody(stage: Stage) -> None:
    await stage.sync()
    await stage.set(special_requests="A cot, please")
    await stage.sync()
    await stage.set(status="cancelled")
    await stage.sync()
    assert await incidents(stage) == []


async def test_a_change_of_several_parts_is_told_once(stage: Stage) -> None:
    await stage.sync()
    await stage.set(check_out_date=LATER, adults=3, special_requests="A cot, please")
    await stage.in_step(await stage.sync())
    alert = await incident_of(stage)
    assert (alert["open"], alert["count"], alert["asked"]) == (True, 2, 1)
    assert (await told(stage)).has_news


async def test_the_next_change_is_told_again_and_its_notes_are_not(stage: Stage) -> None:
    await stage.sync()
    await stage.set(adults=3)
    await stage.sync()
    await told(stage)
    await stage.set(special_requests="A cot, please")
    await stage.sync()
    before = await incident_of(stage)
    assert before["asked"] == 1

    await stage.set(adults=4)
    await stage.sync()

    after = await incident_of(stage)
    assert (after["id"], after["open"], after["asked"]) == (before["id"], True, 2)
    assert (await told(stage)).has_news


async def test_a_change_whose_answer_is_lost_is_told_by_whoever_finds_it_done(
    stage: Stage,
) -> None:
    await stage.sync()
    await stage.set(check_out_date=LATER)
    delivery = await stage.crash(Moment.AFTER_WRITE, 1)
    assert await incidents(stage) == []
    await stage.sync("heir", asked=delivery)
    alert = await incident_of(stage)
    assert alert["open"]


async def test_a_cancellation_ends_it_and_who_confirms_the_stay_again_is_told_again(
    stage: Stage,
) -> None:
    await stage.sync()
    await stage.set(adults=3)
    await stage.sync()
    await told(stage)
    await stage.set(status="cancelled")
    await stage.sync()
    alert = await incident_of(stage)
    assert not alert["open"]
    assert (await told(stage)).has_news, "that it is solved"

    await stage.set(status="confirmed")
    await stage.sync()

    alert = await incident_of(stage)
    assert alert["open"], "the same one: it is back within five minutes"
    assert (await told(stage)).has_news


async def test_a_person_who_has_compared_ends_it_and_nothing_is_written(
    stage: Stage, pms: Pms
) -> None:
    await stage.sync()
    await stage.set(adults=3)
    await stage.sync()
    sent = len(stage.rig.sent())

    done = await linked(stage, pms)

    assert (done.confirms, done.vouched) == (True, True)
    alert = await incident_of(stage)
    assert not alert["open"]
    await stage.in_step(await stage.sync())
    assert len(stage.rig.sent()) == sent
    await stage.set(total="2000.00")
    row = await stage.sync()
    assert row.last_error_code == "fare_fixed", "it is known again"
    await stage.set(total="1240.50", adults=4)
    await stage.sync()
    assert "reported" in await stage.alerts(), "the next change is told"


async def test_a_reservation_that_was_found_is_told_once_it_is_changed(
    stage: Stage,
) -> None:
    await stage.crash(Moment.AFTER_WRITE, 1)
    await stage.sync("heir")
    assert await incidents(stage) == []
    await stage.set(check_out_date=LATER)
    await stage.sync()
    alert = await incident_of(stage)
    assert alert["open"]
