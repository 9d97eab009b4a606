"""After a write of unknown outcome no write leaves before the quiet period is over."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support_pms import QUIET_S
from tests.support_pms_crash import Moment
from tests.support_pms_stage import Stage

#: The stand-in's log has milliseconds, cut off.
_BLUR = timedelta(milliseconds=2)
QUIET = timedelta(seconds=QUIET_S)


def gap(stage: Stage, since: int) -> timedelta:
    """Between the first write from a number on and the next one."""
    first, second = (datetime.fromisoformat(one["at"]) for one in stage.rig.sent()[since:][:2])
    return second - first


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("fault", "fields"),
    [("break", {}), ("error", {"status": 503})],
)
@pytest.mark.parametrize("life", ["create", "change", "cancel"])
async def test_nothing_is_written_before_the_quiet_period_is_over(
    stage: Stage, life: str, fault: str, fields: dict[str, Any], when: str
) -> None:
    stage.rig.simulator.switch(availability=False)
    if life != "create":
        await stage.sync()
        await stage.set(**({"status": "cancelled"} if life == "cancel" else {"adults": 4}))
    since = len(stage.rig.sent())
    stage.rig.simulator.once(fault, operation=life, when=when, **fields)

    await stage.in_step(await stage.sync())

    adopted = life == "create" and when == "after"  # found, it is not unknown any more
    if len(stage.rig.sent()) - since > 1 and not adopted:
        assert gap(stage, since) >= QUIET - _BLUR
    assert stage.rig.writes().count("create") == 1


async def test_a_change_in_doubt_is_not_followed_by_a_newer_one_before_that(stage: Stage) -> None:
    await stage.sync()
    await stage.set(adults=4)
    since = len(stage.rig.sent())
    await stage.crash(Moment.AFTER_WRITE, 1)
    await stage.set(adults=1, children=0)
    await stage.in_step(await stage.sync("heir"))
    assert gap(stage, since) >= QUIET - _BLUR


async def test_an_effect_that_comes_late_is_waited_for(stage: Stage) -> None:
    stage.rig.simulator.switch(availability=False)
    stage.rig.simulator.once("late", operation="create", seconds=1.3)
    await stage.in_step(await stage.sync(PMS_TIMEOUT_SECONDS="1", PMS_QUIET_SECONDS="2.5"))
    assert stage.rig.writes().count("create") == 1


async def test_a_change_that_comes_late_does_not_undo_a_newer_one(stage: Stage) -> None:
    await stage.sync()
    await stage.set(adults=4)
    stage.rig.simulator.once("late", operation="change", seconds=1.3)
    await stage.sync(PMS_TIMEOUT_SECONDS="1", PMS_QUIET_SECONDS="2.5")
    await stage.set(adults=1, children=0)
    await stage.in_step(await stage.sync(PMS_TIMEOUT_SECONDS="1", PMS_QUIET_SECONDS="2.5"))
