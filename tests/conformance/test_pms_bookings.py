"""One booking, one reservation, whatever the PMS: from its first sync to its end."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from outbox_worker.pms.port import PmsName
from tests.support_engine import eventually
from tests.support_pms import SECOND, Rig, completed
from tests.support_pms_crash import Moment
from tests.support_pms_stage import Stage
from tests.support_token import pass_time

#: How the first write that a PMS gets can go wrong after it has taken effect.
AFTER: list[tuple[str, dict[str, Any]]] = [
    ("timeout", {"seconds": 30}),
    ("break", {}),
    ("error", {"status": 500}),
    ("error", {"status": 503}),
    ("html", {}),
]


def calls_of_a_create(rig: Rig) -> list[str]:
    return ["create", "notes"] if rig.name is PmsName.GUESTY else ["create"]


async def test_a_booking_becomes_one_reservation_as_it_is(stage: Stage) -> None:
    row = await stage.sync()
    await stage.in_step(row)
    assert stage.rig.writes() == calls_of_a_create(stage.rig)
    (held,) = stage.rig.simulator.reservations()
    assert held["money"] == {"fareAccommodation": 1240.5, "currency": "EUR"}
    assert row.snapshot.attempts <= 1


async def test_a_request_that_changes_nothing_sends_nothing(stage: Stage) -> None:
    await stage.sync()
    requests = len(stage.rig.simulator.requests())
    await stage.in_step(await stage.sync())
    assert len(stage.rig.simulator.requests()) == requests


@pytest.mark.parametrize(
    ("columns", "steps"),
    [
        ({"check_in_date": "2027-05-02", "check_out_date": "2027-05-09"}, ("dates",)),
        ({"adults": 4}, ("guests",)),
        ({"special_requests": "A cot, please"}, ("notes",)),
        ({"adults": 4, "special_requests": "A cot, please"}, ("guests", "notes")),
    ],
)
async def test_only_what_was_changed_is_written(
    stage: Stage, columns: dict[str, Any], steps: tuple[str, ...]
) -> None:
    await stage.sync()
    before = len(stage.rig.writes())
    await stage.set(**columns)
    await stage.in_step(await stage.sync())
    assert stage.rig.writes()[before:] == stage.rig.calls(*steps)


async def test_a_booking_moved_to_another_property_is_moved(stage: Stage) -> None:
    await stage.sync()
    await stage.move()
    await stage.in_step(await stage.sync(), listing_id=SECOND)


async def test_a_cancelled_booking_is_cancelled_once(stage: Stage) -> None:
    await stage.sync()
    await stage.set(status="cancelled")
    for _ in range(2):
        await stage.in_step(await stage.sync())
    assert stage.rig.writes() == [*calls_of_a_create(stage.rig), "cancel"]


async def test_a_booking_cancelled_before_it_was_sent_is_never_sent(stage: Stage) -> None:
    await stage.set(status="cancelled")
    row = await stage.sync()
    assert row.snapshot.delivered == row.snapshot.requested
    assert stage.rig.simulator.requests() == []


async def test_a_booking_confirmed_again_revives_its_own_reservation(stage: Stage) -> None:
    await stage.sync()
    await stage.set(status="cancelled")
    await stage.sync()
    await stage.set(status="confirmed", adults=4)
    await stage.in_step(await stage.sync())
    assert stage.rig.writes().count("create") == 1


async def test_a_cancellation_of_a_reservation_that_is_gone_is_done(stage: Stage) -> None:
    await stage.sync()
    (held,) = stage.rig.simulator.reservations()
    stage.rig.simulator.delete(held["_id"])
    await stage.set(status="cancelled")
    row = await stage.sync()
    assert row.snapshot.delivered == row.snapshot.requested
    assert stage.rig.states() == []


async def test_a_change_of_a_reservation_that_is_gone_is_a_persons_turn(stage: Stage) -> None:
    await stage.sync()
    (held,) = stage.rig.simulator.reservations()
    stage.rig.simulator.delete(held["_id"])
    await stage.set(adults=4)
    row = await stage.sync()
    assert row.last_error_code == "reservation_gone"
    assert await stage.alerts() == ["sync_rejected"]
    assert stage.rig.states() == [], "never created a second time by itself"


@pytest.mark.parametrize(("fault", "fields"), AFTER)
async def test_a_create_that_took_effect_without_saying_so_is_not_repeated(
    stage: Stage, fault: str, fields: dict[str, Any]
) -> None:
    stage.rig.simulator.switch(availability=False)  # a double would show
    stage.rig.simulator.once(fault, operation="create", when="after", **fields)
    # short only where it passes: whatever comes before that call has to succeed within it
    row = await stage.sync(PMS_TIMEOUT_SECONDS="2" if fault == "timeout" else "5")
    await stage.in_step(row)
    assert stage.rig.writes().count("create") == 1
    assert (await stage.outcomes(row))[0] == "ambiguous"


@pytest.mark.parametrize(("fault", "fields"), [("break", {}), ("error", {"status": 500})])
async def test_a_create_that_took_no_effect_is_repeated_once(
    stage: Stage, fault: str, fields: dict[str, Any]
) -> None:
    stage.rig.simulator.switch(availability=False)
    stage.rig.simulator.once(fault, operation="create", **fields)
    await stage.in_step(await stage.sync())
    assert stage.rig.writes() == calls_of_a_create(stage.rig)


@pytest.mark.parametrize("fault", ["break", "error"])
async def test_a_create_that_a_look_up_does_not_show_yet_is_waited_for(
    stage: Stage, fault: str
) -> None:
    stage.rig.simulator.switch(availability=False)
    stage.rig.simulator.faults(
        {"fault": fault, "operation": "create", "when": "after", "times": 1},
        # the one before any create, and the one at once
        {"fault": "stale", "operation": "find", "seconds": 600, "times": 2},
    )
    row = await stage.sync()
    await stage.in_step(row)
    assert "waiting" in await stage.outcomes(row), "the look-up found nothing at first"
    assert stage.rig.writes().count("create") == 1


async def test_dates_taken_by_our_own_first_write_are_no_rejection(stage: Stage) -> None:
    stage.rig.simulator.faults(
        {"fault": "break", "operation": "create", "when": "after", "times": 1},
        # the one before any create, the one at once, and the one after the quiet period
        {"fault": "stale", "operation": "find", "seconds": 600, "times": 3},
    )
    row = await stage.sync()
    await stage.in_step(row)
    assert stage.rig.writes().count("create") == 1
    assert len([one for one in stage.rig.sent() if one["operation"] == "create"]) == 2


async def test_dates_taken_by_somebody_else_are_a_persons_turn(stage: Stage) -> None:
    wanted = await stage.wanted()
    async with stage.hired() as (pms, _):
        stranger = stage.rig.stay(
            reference="LA2026-99", check_in=wanted.check_in, check_out=wanted.check_out
        )
        await completed(pms, stranger)
    row = await stage.sync()
    assert row.snapshot.failed_at is not None
    assert await stage.alerts() == ["sync_rejected"]
    assert stage.rig.states() == [stage.rig.shows(stranger)]


async def test_somebody_elses_stay_under_our_reference_is_left_alone(stage: Stage) -> None:
    reference = (await stage.wanted()).reference
    stage.rig.enter_by_hand(reference)
    before = stage.rig.states()
    row = await stage.sync()
    assert row.last_error_code == "foreign_reservation"
    assert await stage.alerts() == ["sync_rejected"]
    assert stage.rig.states() == before
    assert await stage.record() is None


async def test_of_several_of_ours_the_oldest_is_kept_and_none_is_touched(stage: Stage) -> None:
    stage.rig.simulator.switch(availability=False)
    wanted = await stage.wanted()
    async with stage.hired() as (pms, _):
        ids = [(await completed(pms, wanted, key=f"k{n}")).reservation_id for n in range(2)]
    before = stage.rig.writes()
    row = await stage.sync()
    assert row.last_error_code == "several_reservations"
    assert await stage.alerts() == ["sync_rejected"]
    assert stage.rig.writes() == before
    record = await stage.record()
    assert record is not None
    assert record["reservation_id"] == ids[0]


@pytest.mark.parametrize(
    ("columns", "steps"),
    [
        ({}, ()),
        ({"adults": 4, "special_requests": "A cot, please"}, ("guests", "notes")),
        ({"check_out_date": "2027-05-09"}, ("dates",)),
    ],
)
async def test_a_reservation_that_a_restored_backup_forgot_is_adopted_and_brought_up_to_date(
    stage: Stage, columns: dict[str, Any], steps: tuple[str, ...]
) -> None:
    await stage.sync()
    await stage.forget()
    await stage.set(**columns)
    before = len(stage.rig.writes())
    row = await stage.sync()
    await stage.in_step(row)
    again = stage.rig.writes()[before:]
    # no read shows the notes of every PMS, and to write them again changes nothing else
    assert [call for call in again if call != "notes"] == [
        call for call in stage.rig.calls(*steps) if call != "notes"
    ]
    assert "create" not in again


async def test_a_booking_changed_while_it_is_sent_arrives_as_it_is_now(stage: Stage) -> None:
    stage.rig.simulator.once("latency", operation="create", seconds=0.5)
    sending = asyncio.create_task(stage.sync())

    async def looked_up() -> bool:
        return any(one["operation"] == "find" for one in stage.rig.simulator.requests())

    await eventually(looked_up, "the look-up before the create")
    await stage.set(adults=4)
    await sending
    await stage.in_step(await stage.sync())
    assert stage.rig.writes().count("create") == 1


@pytest.mark.parametrize("moment", [Moment.BEFORE_WRITE, Moment.AFTER_WRITE])
async def test_a_booking_cancelled_while_its_create_is_unknown_holds_no_dates(
    stage: Stage, moment: Moment
) -> None:
    await stage.crash(moment, 1)
    await stage.set(status="cancelled")
    row = await stage.sync("heir")
    assert row.snapshot.delivered == row.snapshot.requested
    statuses = [state["status"] for state in stage.rig.states()]
    assert statuses == ([] if moment is Moment.BEFORE_WRITE else ["canceled"])


async def test_a_booking_deleted_before_it_was_sent_is_settled_in_silence(stage: Stage) -> None:
    delivery = await stage.ask()
    await stage.conn.execute("delete from bookings where id = %s", [stage.booking])
    row = await stage.sync(asked=delivery)
    assert row.snapshot.delivered == row.snapshot.requested
    assert stage.rig.simulator.requests() == []


async def test_a_booking_deleted_after_it_was_sent_is_a_persons_turn(stage: Stage) -> None:
    row = await stage.sync()
    before = stage.rig.states()
    await stage.set(adults=4)
    delivery = await stage.ask()
    await stage.conn.execute("delete from bookings where id = %s", [stage.booking])
    row = await stage.sync(asked=delivery)
    assert row.last_error_code == "booking_gone"
    assert await stage.alerts() == ["sync_rejected"]
    assert stage.rig.states() == before, "never cancelled by itself"


async def test_a_refused_key_fails_no_booking_and_tells_once(stage: Stage) -> None:
    row = await stage.sync(wrong=True)
    assert (row.snapshot.attempts, row.snapshot.failed_at) == (0, None)
    assert await stage.alerts() == ["misconfigured"]
    assert stage.rig.states() == []


@pytest.mark.parametrize("process", [PmsName.GUESTY], indirect=True)
async def test_a_token_that_ends_between_two_steps_costs_one_more_and_no_booking(
    stage: Stage,
) -> None:
    simulator: Any = stage.rig.simulator
    await stage.sync()
    spent = simulator.tokens()["requests"]
    await pass_time(stage.conn, timedelta(hours=2))  # it is not new any more
    simulator.revoke_tokens()
    await stage.set(adults=4, special_requests="A cot, please")
    await stage.in_step(await stage.sync())
    assert simulator.tokens()["requests"] == spent + 1
