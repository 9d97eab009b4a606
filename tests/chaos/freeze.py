"""Workers frozen between their last lease check and the first byte, too long to be made good.

Nothing on this side can keep a process from sending what it was about to send when it was frozen.
A PMS that honours the idempotency key, or whose calendar refuses what overlaps, makes no second
reservation of it. One that does neither makes exactly one for each frozen worker, and the checker
has to find every one of them.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from outbox_worker.database import connection
from outbox_worker.pms.port import PmsName
from tests.chaos import evidence
from tests.chaos.calm import Calm
from tests.chaos.checker import Rule, Violation, check
from tests.chaos.history import History
from tests.chaos.points import Action, Point, Trap, sprung
from tests.chaos.run import history_of
from tests.chaos.scenario import Plot, plots
from tests.chaos.stage import NO_TRAPS, Casting, Stage, stage

FROZEN = 3
_PATIENCE_S = 30.0
_LOOK_EVERY_S = 0.05
_TAKEN = "LISTING_IS_NOT_AVAILABLE"
_SHORT = {
    # they start one after the other on a busy machine, and none is to take over from another
    "WORKER_LEASE_SECONDS": "3",
    "PMS_TIMEOUT_SECONDS": "1.5",
    "PMS_QUIET_SECONDS": "0.5",
    "WORKER_POLL_SECONDS": "0.1",
    "WORKER_CONCURRENCY": "1",
}


class NothingFrozenError(Exception):
    """The situation did not come about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thaw:
    """What came of the frozen workers.

    Args:
        guard: What may keep the PMS from making a second reservation.
        guarded: Whether it did.
        created: Reservations that were created.
        repeated: Writes that the PMS answered by their key or refused, without an effect.
        violations: What the checker found.
    """

    guard: str
    guarded: bool
    bookings: int
    created: int
    repeated: int
    violations: tuple[Violation, ...]

    @property
    def as_expected(self) -> bool:
        """No double with the guard; without it one for each frozen worker, every one found."""
        if self.guarded:
            return not self.violations and self.created == self.bookings and self.repeated == FROZEN
        doubled = {one.reference for one in self.violations if one.rule is Rule.DOUBLED}
        return (
            self.created == self.bookings + FROZEN
            and len(doubled) == self.bookings
            and len(self.violations) == self.bookings
        )

    def figures(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "guard": self.guard,
            "guarded": self.guarded,
            "bookings": self.bookings,
            "created": self.created,
            "repeated": self.repeated,
            "doubled": [one.reference for one in self.violations if one.rule is Rule.DOUBLED],
        }

    def __str__(self) -> str:
        on = "on" if self.guarded else "off"
        return (
            f"{FROZEN} workers frozen before their first byte, {self.guard} {on}:"
            f" {self.bookings} bookings, {self.created} reservations created,"
            f" {self.repeated} writes without an effect,"
            f" {len(self.violations)} doubles found by the checker"
        )


async def freeze(pms: PmsName, *, guarded: bool) -> Thaw:
    """Freeze as many workers as there are bookings, let another one take over, and thaw them.

    Args:
        pms: What the simulator stands in for.
        guarded: Whether it refuses to make a second reservation.
    """
    folder = Path(tempfile.mkdtemp(prefix="booking-outbox-chaos-freeze-"))
    cast = plots(0, FROZEN, seconds=0)
    trap = Trap(point=Point.BEFORE_FIRST_BYTE, action=Action.STOP)
    casting = Casting(
        pms=pms,
        seed=0,
        folder=folder,
        workers=(*(itertools.repeat((trap,)) for _ in range(FROZEN)), NO_TRAPS),
        receiver=NO_TRAPS,
        settings=_SHORT,
        patience=lambda: 10 * _PATIENCE_S,
        longest_stop=20 * _PATIENCE_S,
    )
    try:
        async with stage(casting) as playing:
            await playing.nemesis.set_up(_switches(pms, guarded=guarded))
            await playing.nemesis.calm()
            history = await _thawed(playing, cast)
            requests = evidence.lines(playing.requests)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Thaw(
        guard="calendar check" if pms is PmsName.GUESTY else "idempotency key",
        guarded=guarded,
        bookings=len(cast),
        created=sum(effect.op == "create" for effect in history.effects),
        repeated=sum(request["repeated"] or request["code"] == _TAKEN for request in requests),
        violations=check(history),
    )


def _switches(pms: PmsName, *, guarded: bool) -> Mapping[str, object]:
    if pms is PmsName.GUESTY:
        return {"availability": guarded}
    return {"idempotency": "honour" if guarded else "ignore", "availability": False}


async def _thawed(playing: Stage, cast: tuple[Plot, ...]) -> History:
    *frozen, rescuer = playing.workers
    for plot in cast:
        await playing.site.insert(plot)
        await playing.site.confirm(plot)
    for worker in frozen:
        worker.start()
    await _until(lambda: len(sprung(playing.journal)) == len(frozen), "a worker to freeze")
    rescuer.start()
    async with connection(playing.database.url, application_name="chaos look") as conn:
        deadline = time.monotonic() + _PATIENCE_S
        while (await evidence.owed(conn, playing.taken()))[0]:
            if time.monotonic() > deadline:
                raise NothingFrozenError("the other worker did not take over")
            await asyncio.sleep(_LOOK_EVERY_S)
    for worker in frozen:
        worker.resume()
    await _until(lambda: _writes(playing) == len(cast) + len(frozen), "the late writes")
    calm = Calm(taken_in=None, drained_in=timedelta(0), owed=(), last=(), repeated=0)
    return await history_of(playing, calm, acks=())


def _writes(playing: Stage) -> int:
    return sum(request["operation"] == "create" for request in evidence.lines(playing.requests))


async def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise NothingFrozenError(f"waited in vain for {what}")
        await asyncio.sleep(_LOOK_EVERY_S)
