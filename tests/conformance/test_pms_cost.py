"""What one claim costs: every call that the PMS sees is counted, and never more than were taken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import WorkerId
from outbox_worker.pms.port import Pms, PmsName
from outbox_worker.settings import LEAST_RATE
from outbox_worker.worker.execute import Finished, execute
from outbox_worker.worker.lease import Lease, boot_time
from tests.support_engine import LEASE, eventually
from tests.support_pms_stage import Stage
from tests.support_simulator import Json
from tests.support_worker import worker

Scene: TypeAlias = Callable[[Stage], Awaitable[object]]


async def nothing_yet(stage: Stage) -> None:
    del stage


async def refused_at_once(stage: Stage) -> None:
    stage.rig.simulator.once("reject", operation="create")


async def lost_from_the_record(stage: Stage) -> None:
    await stage.sync()
    await stage.forget()


async def lost_and_doubled(stage: Stage) -> None:
    await lost_from_the_record(stage)
    stage.rig.simulator.switch(availability=False)
    stage.rig.enter_by_hand((await stage.wanted()).reference)


async def other_notes(stage: Stage) -> None:
    await stage.sync()
    await stage.set(special_requests="Arrives by train")


async def other_notes_unseen(stage: Stage) -> None:
    """What it holds is not on record part by part, as after an adoption that showed too little."""
    await other_notes(stage)
    await stage.conn.execute("update outbox.reservation set parts = '{}', fingerprint = null")


async def other_notes_unseen_and_refused(stage: Stage) -> None:
    await other_notes_unseen(stage)
    stage.rig.simulator.once("reject", operation="change")


async def other_notes_refused(stage: Stage) -> None:
    await other_notes(stage)
    stage.rig.simulator.once("reject", operation="change")


async def changed_and_gone(stage: Stage) -> None:
    await other_notes(stage)
    (held,) = stage.rig.simulator.reservations()
    stage.rig.simulator.delete(held["_id"])


async def cancelled(stage: Stage) -> None:
    await stage.sync()
    await stage.set(status="cancelled")


async def cancelled_and_refused(stage: Stage) -> None:
    await cancelled(stage)
    stage.rig.simulator.once("reject", operation="cancel")


async def cancelled_and_gone(stage: Stage) -> None:
    await cancelled(stage)
    (held,) = stage.rig.simulator.reservations()
    stage.rig.simulator.delete(held["_id"])


async def in_doubt(stage: Stage, *, since: str = "1 hour") -> None:
    """A write of unknown outcome, and nothing on record of what it was about."""
    await stage.ask()
    await stage.conn.execute(
        "update outbox.delivery set uncertain_at = now() - %s::interval where key = %s",
        [since, str(stage.booking)],
    )


async def in_doubt_and_there(stage: Stage) -> None:
    await lost_from_the_record(stage)
    await in_doubt(stage)


async def too_early_to_create(stage: Stage) -> None:
    await in_doubt(stage, since="0 s")


async def known_and_in_doubt(stage: Stage) -> None:
    await other_notes(stage)
    await in_doubt(stage)


async def known_and_in_doubt_and_refused(stage: Stage) -> None:
    await known_and_in_doubt(stage)
    stage.rig.simulator.once("reject", operation="change")


#: What the claim that follows costs at Guestly and at Guesty.
SCENES: list[tuple[Scene, int, int]] = [
    (nothing_yet, 2, 2),
    (refused_at_once, 2, 2),
    (lost_from_the_record, 1, 2),
    (lost_and_doubled, 1, 1),
    (other_notes, 1, 1),
    (other_notes_refused, 1, 2),
    (other_notes_unseen, 1, 2),
    (other_notes_unseen_and_refused, 1, 3),
    (changed_and_gone, 1, 2),
    (cancelled, 1, 1),
    (cancelled_and_refused, 1, 2),
    (cancelled_and_gone, 1, 2),
    (in_doubt_and_there, 1, 2),
    (in_doubt, 2, 2),
    (too_early_to_create, 1, 1),
    (known_and_in_doubt, 1, 2),
    (known_and_in_doubt_and_refused, 1, 3),
]


def calls_seen(stage: Stage) -> list[Json]:
    """Requests that the stand-in has seen, without those for a token: these have a quota."""
    return [one for one in stage.rig.simulator.requests() if one["operation"] != "token"]


async def one_claim(stage: Stage) -> Finished:
    """One claim of what is owed, its result not recorded."""
    delivery = await stage.ask()
    taken_at = boot_time()
    claim = await store.claim_one(
        stage.conn, delivery, owner=WorkerId("counted"), lease=LEASE, max_attempts=9
    )
    assert claim is not None
    # longer than it takes to come here on any machine, shorter than the oldest doubt
    async with stage.hired(PMS_QUIET_SECONDS="600") as (_, handler):
        states = await handler.load(stage.conn, [claim])
        lease = Lease(taken_at=taken_at, length=LEASE)
        return await execute(claim, states[claim.id], handler, lease)


@pytest.mark.parametrize(("scene", "guestly", "guesty"), SCENES)
async def test_every_call_of_a_claim_is_counted_as_it_is_made(
    stage: Stage, scene: Scene, guestly: int, guesty: int
) -> None:
    await scene(stage)
    before = len(calls_seen(stage))

    finished = await one_claim(stage)

    seen = calls_seen(stage)[before:]
    assert len(seen) == (guesty if stage.rig.name is PmsName.GUESTY else guestly), seen
    assert finished.calls == len(seen)


def test_no_claim_takes_more_calls_than_are_taken_out_for_it(pms: Pms) -> None:
    """The dearest of them takes just as many, so that none are held back for nothing."""
    most = max(guesty if pms.name is PmsName.GUESTY else guestly for _, guestly, guesty in SCENES)
    assert pms.most_calls == most
    assert LEAST_RATE[pms.name] == most, "a lower limit would hold every booking up for good"


async def test_the_common_limit_counts_the_calls_that_were_made_and_no_others(
    stage: Stage, tmp_path: Path
) -> None:
    await lost_from_the_record(stage)
    await stage.set(special_requests="Arrives by train")
    await stage.ask()
    before = len(calls_seen(stage))
    environ = stage.rig.environ(stage.database_url, PMS_RATE_PER_HOUR="100")

    with worker(tmp_path / "worker.log", environ) as process:
        await process.logged("booking.synced")

        async def counted() -> bool:
            cursor = await stage.conn.execute(
                "select rate_tokens from outbox.destination where destination = 'guestly'"
            )
            row = await cursor.fetchone()
            slots = {} if row is None else row["rate_tokens"]
            seen = len(calls_seen(stage)) - before
            return bool(sum(calls for _, calls in slots.get("3600", ())) == seen > 1)

        await eventually(counted, "the calls that were made, and none that was not")
