"""A worker that is lost at any write, to any PMS: the next one comes to the same end."""

from __future__ import annotations

from collections import Counter

import pytest

from outbox_worker.pms.port import PmsName
from tests.support_pms import FIRST, SECOND, Rig
from tests.support_pms_crash import Moment
from tests.support_pms_stage import Stage

#: Writes of each life, by PMS.
_WRITES = {
    PmsName.GUESTLY: {"create": 1, "change": 1, "cancel": 1},
    PmsName.GUESTY: {"create": 2, "change": 5, "cancel": 1},
}
POINTS = [
    pytest.param(name, life, number, moment, id=f"{name}-{life}-{number}-{moment.name.lower()}")
    for name, lives in _WRITES.items()
    for life, writes in lives.items()
    for number in range(1, writes + 1)
    for moment in Moment
]


async def everything_changes(stage: Stage) -> None:
    await stage.move()
    await stage.set(
        status="confirmed",
        check_in_date="2027-05-02",
        check_out_date="2027-05-09",
        adults=3,
        children=0,
        infants=1,
        special_requests="A cot, please",
        total="2000.00",
    )


def written(rig: Rig) -> Counter[str]:
    return Counter(rig.writes())


@pytest.mark.parametrize(("process", "life", "number", "moment"), POINTS, indirect=["process"])
async def test_a_worker_lost_at_any_write_leaves_the_state_that_it_would_have_made(
    stage: Stage, life: str, number: int, moment: Moment
) -> None:
    rig, listing = stage.rig, FIRST
    rig.simulator.switch(availability=False)  # a double would show
    if life == "change":
        await stage.set(status="pending")
    if life != "create":
        await stage.sync()
    before = written(rig)
    if life == "change":
        await everything_changes(stage)
        listing = SECOND
    if life == "cancel":
        await stage.set(status="cancelled")
    delivery = await stage.crash(moment, number)

    row = await stage.sync("heir", asked=delivery)

    await stage.in_step(row, listing_id=listing)
    made = written(rig) - before
    assert written(rig)["create"] == 1
    if rig.name is PmsName.GUESTY:
        _each_part_was_written_once(made, life)
        (held,) = rig.simulator.reservations()
        assert held["guesty"]["repriced"] == (3 if life == "change" else 0)
    else:
        assert made.total() <= 2
    if life == "create":
        assert held_fare(rig) == 1240.5


def held_fare(rig: Rig) -> float:
    (held,) = rig.simulator.reservations()
    fare: float = held["money"]["fareAccommodation"]
    return fare


def _each_part_was_written_once(made: Counter[str], life: str) -> None:
    """Notes change nothing but themselves, and are written again wherever there is doubt."""
    notes = made.pop("notes", 0)
    match life:
        case "create":
            assert made == {"create": 1}
            assert 1 <= notes <= 2
        case "change":
            assert made == {"relocate": 1, "dates": 1, "guests": 1, "status": 1}
            assert 1 <= notes <= 2
        case _:
            assert made == {"cancel": 1}
            assert notes == 0


@pytest.mark.parametrize("process", [PmsName.GUESTY], indirect=True)
@pytest.mark.parametrize("moment", [Moment.BEFORE_WRITE, Moment.AFTER_WRITE])
async def test_doubt_about_the_notes_never_sends_dates_again_for_they_would_set_the_price_anew(
    stage: Stage, moment: Moment
) -> None:
    await stage.sync()
    before = written(stage.rig)
    await stage.set(special_requests="A cot, please")
    delivery = await stage.crash(moment, 1)

    row = await stage.sync("heir", asked=delivery)

    await stage.in_step(row)
    assert set(written(stage.rig) - before) == {"notes"}
    assert held_fare(stage.rig) == 1240.5


async def test_a_stay_that_was_moved_while_its_create_was_in_doubt_is_not_made_twice(
    stage: Stage,
) -> None:
    """Its mark tells ours on another listing, too; without one that is for a person to say."""
    stage.rig.simulator.switch(availability=False)
    delivery = await stage.crash(Moment.AFTER_WRITE, 1)
    await stage.move()

    row = await stage.sync("heir", asked=delivery)

    if stage.rig.name is PmsName.GUESTY:
        await stage.in_step(row, listing_id=SECOND)
    else:
        assert row.last_error_code == "foreign_reservation"
    assert written(stage.rig)["create"] == 1


async def test_two_workers_lost_one_after_the_other_leave_one_reservation(stage: Stage) -> None:
    stage.rig.simulator.switch(availability=False)
    await stage.crash(Moment.AFTER_WRITE, 1)
    if stage.rig.name is PmsName.GUESTY:
        await stage.crash(Moment.BEFORE_WRITE, 1)
    row = await stage.sync("heir")
    await stage.in_step(row)
    assert written(stage.rig)["create"] == 1


@pytest.mark.parametrize("moment", Moment)
async def test_a_stay_that_was_moved_for_another_price_ends_alike_with_and_without_a_crash(
    stage: Stage, moment: Moment
) -> None:
    await stage.sync()
    await stage.set(check_in_date="2027-05-02", check_out_date="2027-05-09", total="2000.00")
    delivery = await stage.crash(moment, 1)
    row = await stage.sync("heir", asked=delivery)
    await stage.in_step(row)
