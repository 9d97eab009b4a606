"""The calm after the faults: nothing is broken any more, and soon nothing may be owed."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import timedelta

from outbox_worker.database import connection
from outbox_worker.demo.process import child_environment
from outbox_worker.errors import DatabaseError
from tests.chaos import evidence
from tests.chaos.schedule import LEASE_S, QUIET_S
from tests.chaos.stage import Stage
from tests.chaos.statements import rows
from tests.support_source import ROOT

#: From the end of the faults until nothing may be owed any more.
BOUND = timedelta(seconds=2 * LEASE_S + QUIET_S + 30)
_LOOK_EVERY_S = 0.2
_COMMAND_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Calm:
    """How the run came to rest.

    Args:
        taken_in: From the end of the faults until every event was answered with a 2xx.
        drained_in: From the end of the faults until nothing was owed; None: not within `BOUND`.
        owed: Keys of what still was.
        last: Keys of what was owed last, when something still was.
        repeated: Rows that an operator had to repeat.
        resumed: Destinations that an operator had to open again.
    """

    taken_in: timedelta | None
    drained_in: timedelta | None
    owed: tuple[str, ...]
    last: tuple[str, ...]
    repeated: int
    resumed: int = 0


async def come_to_rest(playing: Stage, lives: asyncio.Future[list[None]]) -> Calm:
    """End the faults and wait until nothing is owed.

    Args:
        playing: With every fault struck that was to strike.
        lives: Ends when the outside world has done all that it does.

    Raises:
        ProcessError: A process cannot be kept running.
    """
    playing.disarm()
    await playing.nemesis.calm()
    resumed = await _resumed(playing)
    began = time.monotonic()
    done, _ = await asyncio.wait({lives}, timeout=BOUND.total_seconds())
    for member in (*playing.workers, playing.receiver, playing.pms):
        member.check()
    if not done:
        owed = ("events that were not taken, or not applied",)
        return Calm(taken_in=None, drained_in=None, owed=owed, last=owed, repeated=0)
    lives.result()
    taken_in = timedelta(seconds=time.monotonic() - began)
    looking = _Looking(playing, began + BOUND.total_seconds())
    await looking.until_drained()
    repeated = len(looking.parked)
    if not looking.owed and repeated:
        await asyncio.to_thread(_operate, playing, "requeue", "--failed", "--yes")
        await looking.until_drained()
        looking.owed += looking.parked
    drained_in = None if looking.owed else timedelta(seconds=time.monotonic() - began)
    return Calm(
        taken_in=taken_in,
        drained_in=drained_in,
        owed=tuple(looking.owed),
        last=tuple(looking.last),
        repeated=repeated,
        resumed=resumed,
    )


class _Looking:
    def __init__(self, playing: Stage, ends: float) -> None:
        self._playing = playing
        self._ends = ends
        self.owed: list[str] = []
        self.parked: list[str] = []
        self.last: list[str] = []

    async def until_drained(self) -> None:
        """Wait until nothing is owed but what waits for a person, or until time is up."""
        self.owed = ["nobody could look"]
        while self.owed and time.monotonic() < self._ends:
            with contextlib.suppress(DatabaseError):
                url = self._playing.database.url
                async with connection(url, application_name="chaos look") as conn:
                    while self.owed and time.monotonic() < self._ends:
                        found = await evidence.owed(conn, self._playing.taken())
                        self.owed, self.parked = found
                        self.last = self.owed or self.last
                        await asyncio.sleep(_LOOK_EVERY_S if self.owed else 0)


async def _resumed(playing: Stage) -> int:
    """End what waits minutes for a person, as after a token that was refused when it was new."""
    try:
        async with connection(playing.database.url, application_name="chaos look") as conn:
            shut = await rows(conn, "waits_for_a_person")
    except DatabaseError:
        return 0
    if shut:
        await asyncio.to_thread(_operate, playing, "resume", "guestly")
    return len(shut)


def _operate(playing: Stage, *arguments: str) -> None:
    """What an operator does."""
    subprocess.run(
        [sys.executable, "-m", "outbox_worker.cli", *arguments],
        env=child_environment(playing.settings),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_COMMAND_S,
        check=True,
    )
