"""A PMS that sets prices of its own: who is told, how often, and until when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from outbox_worker.alerts import pending
from outbox_worker.alerts.alert import AlertId, Incident
from outbox_worker.alerts.store import lock, mark_told
from outbox_worker.operations.check import Finding, Settlement, check
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


async def told(stage: Stage, *, meanwhile: int | None = None) -> Incident:
    """The e-mail about the one incident goes out; what it was made of.

    Args:
        stage: Where.
        meanwhile: So many adults are put on the booking while it is under way.
    """
    alert = await incident_of(stage)
    alert_id = AlertId(alert["id"])
    async with stage.conn.transaction():
        await pending.plan(stage.conn, {alert_id: True}, channel=Destination.EMAIL)
        found = await pending.read(stage.conn, [alert_id], channel=Destination.EMAIL)
        incident = found[alert_id]
    if meanwhile is not None:
        await stage.set(adults=meanwhile)
        await stage.sync()
    async with stage.conn.transaction():
        await lock(stage.conn, ids=[alert_id])
        await mark_told(
            stage.conn,
            alert_id,
            channel=Destination.EMAIL,
            told_to=incident.named_to,
            count=incident.count,
            resolved_told=incident.resolved_at is not None,
        )
    return incident


def target(stage: Stage) -> Target:
    return Target(subject=Subject.BOOKING, key=str(stage.booking), name="LA-1")


async def linked(stage: Stage, pms: Pms | None, *, of: PmsName = PmsName.GUESTY) -> Linked:
    (held,) = stage.rig.simulator.reservations()
    return await link(
        stage.conn,
        target(stage),
        held["_id"],
        pms=pms,
        view=PmsView(pms=of, currency="EUR"),
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


async def test_a_price_that_was_set_by_a_lost_call_is_told_if_only_a_persons_part_is_left(
    stage: Stage,
) -> None:
    await stage.sync()
    await stage.set(check_out_date=LATER, guest_email="zoe@example.com")
    delivery = await stage.crash(Moment.AFTER_WRITE, 1)
    row = await stage.sync("heir", asked=delivery)
    assert row.last_error_code == "contact_fixed"
    alert = await incident_of(stage)
    assert alert["open"]
    record = await stage.record()
    assert record is not None
    assert "fare" not in record["parts"]


async def test_a_change_after_one_that_stopped_half_way_is_told_again(stage: Stage) -> None:
    await stage.sync()
    await stage.set(check_out_date=LATER, adults=3)
    await stage.crash(Moment.AFTER_SETTLE, 1)
    await told(stage)
    before = await incident_of(stage)
    assert (before["open"], before["asked"]) == (True, 1)

    await stage.set(adults=4)
    await stage.sync()

    after = await incident_of(stage)
    assert (after["id"], after["asked"]) == (before["id"], 2)
    assert (await told(stage)).has_news


async def test_a_change_that_is_settled_while_the_mail_is_under_way_gets_a_mail_of_its_own(
    stage: Stage,
) -> None:
    await stage.sync()
    await stage.set(adults=3)
    await stage.sync()
    alert_id = AlertId((await incident_of(stage))["id"])
    read = await told(stage, meanwhile=4)
    assert read.has_news
    alert = await incident_of(stage)
    assert (alert["id"], alert["asked"]) == (alert_id, 2)
    assert (await told(stage)).has_news
    found = await pending.read(stage.conn, [alert_id], channel=Destination.EMAIL)
    assert not found[alert_id].has_news


async def test_a_cancellation_that_a_person_has_found_ends_it(stage: Stage, pms: Pms) -> None:
    stage.rig.simulator.switch(status_lag_s=0)
    await stage.sync()
    await stage.set(adults=3)
    await stage.sync()
    await stage.set(status="cancelled")
    await stage.crash(Moment.AFTER_WRITE, 1)
    assert (await incident_of(stage))["open"]

    found = await check(
        stage.conn,
        target(stage),
        pms=pms,
        view=PmsView(pms=PmsName.GUESTY, currency="EUR"),
        quiet=timedelta(0),
        actor="anna",
    )

    assert (found.finding, found.settlement) == (Finding.AS_WANTED, Settlement.ENDED)
    assert not (await incident_of(stage))["open"]


async def test_a_cancellation_that_needs_no_call_ends_it(stage: Stage) -> None:
    await stage.sync()
    await stage.set(adults=3)
    await stage.sync()
    await stage.set(status="cancelled")
    await stage.sync()
    # as if somebody had put it on record as cancelled, and no call of ours had done it
    await stage.conn.execute("update outbox.alert set resolved_at = null")

    row = await stage.sync()

    assert (await stage.outcomes(row))[-1] == "nothing"
    assert not (await incident_of(stage))["open"]


@pytest.mark.parametrize("of", list(PmsName))
@pytest.mark.parametrize("status", ["confirmed", "cancelled"])
async def test_naming_the_reservation_ends_it_whatever_is_vouched_for(
    stage: Stage, of: PmsName, status: str
) -> None:
    await stage.sync()
    await stage.set(adults=3)
    await stage.sync()
    await stage.set(status=status)

    await linked(stage, None, of=of)

    assert not (await incident_of(stage))["open"]
