"""Real workers, killed at each write in turn, for either PMS: one reservation, as wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from outbox_worker.pms.port import PmsName
from tests.support_engine import booking_row, eventually
from tests.support_pms_crash import Moment
from tests.support_pms_stage import Stage
from tests.support_worker import worker

_KILL = "from tests.support_pms_crash import killing; killing({moment!r}, {number})"


@pytest.mark.parametrize("moment", [Moment.BEFORE_WRITE, Moment.AFTER_WRITE])
async def test_workers_killed_at_every_write_leave_one_reservation_as_wanted(
    stage: Stage, tmp_path: Path, moment: Moment
) -> None:
    stage.rig.simulator.switch(availability=False)  # a double would show
    delivery = await stage.ask()
    environ = stage.rig.environ(stage.database_url, SYNC_MAX_ATTEMPTS="9")
    writes = 2 if stage.rig.name is PmsName.GUESTY else 1
    for number in range(writes):
        # what a worker before had written is not written again: the next dies at its own first one
        own = number + 1 if moment is Moment.BEFORE_WRITE else 1
        fault = _KILL.format(moment=moment.value, number=own)
        with worker(tmp_path / f"{number}.log", environ, fault=fault) as lost:
            assert await lost.ended() == -9
        await stage.conn.execute(
            "update outbox.delivery set claimed_at = now() - interval '1 minute',"
            " lease_until = now() where id = %s and owner is not null",
            [delivery],
        )

    async def synced() -> bool:
        row = await booking_row(stage.conn, stage.booking)
        return bool(row["guestly_sync_status"] == "synced")

    with worker(tmp_path / "heir.log", environ) as heir:
        await eventually(synced, "the take-over", within=20)
        await heir.logged("booking.synced")
    await stage.in_step(await stage.sync())
    assert stage.rig.writes().count("create") == 1
