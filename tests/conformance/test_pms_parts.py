"""A PMS written part by part: what it hides, does not find yet, or takes no change of."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from decimal import Decimal

import pytest

from outbox_worker.operations.check import Settlement, check
from outbox_worker.operations.plan import PmsView
from outbox_worker.operations.refs import Subject, Target
from outbox_worker.pms.port import Ambiguous, Pms, PmsName
from tests.support_pms import REFERENCE, SECOND, completed, update
from tests.support_pms_crash import Moment
from tests.support_pms_stage import Stage

pytestmark = pytest.mark.parametrize("process", [PmsName.GUESTY], indirect=True)

#: A few claims of at most four calls each; far below what an endless loop makes in a second.
_BOUNDED = 20


@pytest.mark.parametrize("when", ["before", "after"])
async def test_doubt_about_the_notes_writes_nothing_again_that_a_read_hides(
    stage: Stage, when: str
) -> None:
    stage.rig.simulator.switch(units=True)
    stage.rig.simulator.once("error", operation="notes", status=504, when=when)
    await stage.in_step(await stage.sync())
    assert set(stage.rig.writes()) == {"create", "notes"}
    assert len(stage.rig.sent()) == 3
    assert len(stage.rig.simulator.requests()) <= _BOUNDED
    (held,) = stage.rig.simulator.reservations()
    assert held["money"]["fareAccommodation"] == 1240.5


@pytest.mark.parametrize("when", ["before", "after"])
async def test_doubt_about_a_part_that_a_read_hides_writes_it_once_more(
    stage: Stage, when: str
) -> None:
    stage.rig.simulator.switch(units=True)
    await stage.sync()
    since = len(stage.rig.sent())
    await stage.set(adults=4, special_requests="A cot, please")
    stage.rig.simulator.once("error", operation="guests", status=504, when=when)
    await stage.in_step(await stage.sync())
    steps = [one["operation"] for one in stage.rig.sent()[since:]]
    assert steps == ["guests", "guests", "notes"]


async def test_a_reservation_of_which_a_read_hides_parts_is_adopted_and_completed(
    stage: Stage,
) -> None:
    stage.rig.simulator.switch(units=True, availability=False)
    await stage.crash(Moment.AFTER_WRITE, 1)
    await stage.in_step(await stage.sync("heir"))
    assert sorted(stage.rig.writes()) == ["create", "guests", "notes", "relocate"]
    assert len(stage.rig.simulator.requests()) <= _BOUNDED


async def test_a_move_of_unknown_outcome_that_is_called_off_is_undone_though_no_read_shows_it(
    stage: Stage,
) -> None:
    stage.rig.simulator.switch(units=True)
    await stage.sync()
    await stage.move()
    await stage.crash(Moment.AFTER_WRITE, 1)
    await stage.conn.execute(
        "update bookings set property_id = (select id from properties where slug = 'sea-loft')"
        " where id = %s",
        [stage.booking],
    )
    (held,) = stage.rig.simulator.reservations()
    assert held["listingId"] == SECOND
    await stage.in_step(await stage.sync("heir"))


async def test_a_change_that_is_not_found_right_after_the_create_is_tried_again(
    stage: Stage, pms: Pms
) -> None:
    stage.rig.simulator.switch(change_lag_s=3600)
    row = await stage.sync()
    assert row.last_error_code == "not_settled_yet", "never that it is gone"
    (held,) = stage.rig.simulator.reservations()
    answer = await pms.cancel(held["_id"], reference=held["confirmationCode"], idempotency_key="k1")
    assert isinstance(answer, Ambiguous)
    assert answer.code == "not_settled_yet"
    stage.rig.simulator.switch(change_lag_s=0)
    row = await stage.sync()
    assert row.snapshot.delivered == row.snapshot.requested
    assert stage.rig.states() == [stage.rig.shows(await stage.wanted())]
    assert stage.rig.writes() == ["create", "notes"]


async def test_a_booking_that_is_cancelled_right_after_its_create_is_cancelled_in_the_end(
    stage: Stage,
) -> None:
    await stage.sync()
    await stage.set(status="cancelled")
    stage.rig.simulator.switch(change_lag_s=3600)
    row = await stage.sync()
    assert row.snapshot.delivered < row.snapshot.requested
    stage.rig.simulator.switch(change_lag_s=0)
    row = await stage.sync()
    assert row.snapshot.delivered == row.snapshot.requested
    assert [each["status"] for each in stage.rig.states()] == ["canceled"]


async def test_a_booking_that_is_confirmed_again_at_another_price_is_a_persons_turn(
    stage: Stage,
) -> None:
    await stage.sync()
    await stage.set(status="cancelled")
    await stage.sync()
    await stage.set(status="confirmed", total="2000.00")
    row = await stage.sync()
    assert row.last_error_code == "fare_fixed"
    assert set(stage.rig.writes()) == {"create", "notes", "cancel", "status"}


async def test_a_price_that_is_only_split_up_otherwise_needs_nobody(pms: Pms, stage: Stage) -> None:
    stay = stage.rig.stay(reference=REFERENCE)
    held = await completed(pms, stay)
    assert stay.detail is not None
    split = dataclasses.replace(stay.detail, cleaning_fee=Decimal(50))
    since = len(stage.rig.sent())
    answer = await update(pms, held.reservation_id, stage.rig.stay(detail=split), held=held.parts)
    assert answer.more is False
    assert len(stage.rig.sent()) == since


async def test_a_reservation_that_was_found_after_a_lost_answer_is_to_be_compared(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.crash(Moment.AFTER_WRITE, 1)
    await stage.set(total="2000.00")
    await stage.in_step(await stage.sync("heir"))
    assert "Guesty was seen to hold it" in caplog.text


async def test_a_price_stays_known_when_a_person_ends_a_doubt(stage: Stage, pms: Pms) -> None:
    await stage.sync()
    await stage.set(special_requests="A cot, please")
    await stage.crash(Moment.AFTER_WRITE, 1)
    checked = await check(
        stage.conn,
        Target(subject=Subject.BOOKING, key=str(stage.booking), name="LA-1"),
        pms=pms,
        view=PmsView(pms=PmsName.GUESTY, currency="EUR"),
        quiet=timedelta(0),
        actor="anna",
    )
    assert checked.settlement is Settlement.ENDED
    await stage.set(total="2000.00")
    row = await stage.sync("heir")
    assert row.last_error_code == "fare_fixed"
