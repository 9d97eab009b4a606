"""Named crash points: where a process kills, stops or cuts off itself, decided from outside.

Production code knows nothing of them: `worker_main` and `receiver_main` wrap the functions between
which they lie. A trap is set by the harness in the environment of one process and springs once.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

TRAPS, JOURNAL, CALM = "CHAOS_TRAPS", "CHAOS_JOURNAL", "CHAOS_CALM"


class Point(StrEnum):
    """Where, in the order in which one delivery passes them."""

    AFTER_CLAIM = "after the claim was committed"
    BEFORE_LOOK_UP = "before the look-up"
    AFTER_LOOK_UP = "after the look-up"
    BEFORE_FIRST_BYTE = "between the last lease check and the first byte of a write"
    AFTER_ANSWER = "after the write's answer"
    BEFORE_SETTLE = "before settle"
    SETTLE_BEFORE_COMMIT = "inside settle, before COMMIT"
    SETTLE_AFTER_COMMIT = "after settle's COMMIT, before anything else"
    BEFORE_MAIL = "before a mail is handed in"
    AFTER_MAIL = "after a mail was accepted, before that is recorded"
    BEFORE_TOKEN = "before a request for a token that is on record"
    AFTER_TOKEN = "after a token was granted, before it is stored"
    RECEIVE_BEFORE_COMMIT = "receiver, before COMMIT"
    RECEIVE_AFTER_COMMIT = "receiver, after COMMIT, before the answer"


OF_THE_RECEIVER = (Point.RECEIVE_BEFORE_COMMIT, Point.RECEIVE_AFTER_COMMIT)
#: Only where the PMS gives tokens.
OF_TOKENS = (Point.BEFORE_TOKEN, Point.AFTER_TOKEN)
OF_A_WORKER = tuple(point for point in Point if point not in {*OF_THE_RECEIVER, *OF_TOKENS})
#: After these the answer to COMMIT can get lost although the process lives on.
AFTER_COMMIT = (Point.SETTLE_AFTER_COMMIT, Point.RECEIVE_AFTER_COMMIT)


class Action(StrEnum):
    """What happens there. ``LOSE``: the connection breaks before the answer to COMMIT is read."""

    KILL = "kill"
    STOP = "stop"
    LOSE = "lose"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trap:
    """One crash point of one process; it springs at the ``passes``-th time it is reached."""

    point: Point
    action: Action
    passes: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sprung:
    """A trap that sprang; ``boot`` in seconds on the clock that counts suspension."""

    at: float
    boot: float
    pid: int
    point: Point
    action: Action


def told(traps: Iterable[Trap], *, journal: Path, calm: Path) -> dict[str, str]:
    """The environment of a process with these traps.

    Args:
        traps: Each springs once.
        journal: Where a trap is written down before it springs.
        calm: No trap springs once this file exists.
    """
    rows = [[trap.point.name, trap.action.value, trap.passes] for trap in traps]
    return {TRAPS: json.dumps(rows), JOURNAL: str(journal), CALM: str(calm)}


def sprung(journal: Path) -> list[Sprung]:
    """What sprang so far, in order."""
    lines = journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []
    return [
        Sprung(
            at=line["at"],
            boot=line["boot"],
            pid=line["pid"],
            point=Point[line["point"]],
            action=Action(line["action"]),
        )
        for line in map(json.loads, lines)
    ]


class Fuse:
    """The traps of this process.

    Args:
        environ: With what `told` has put there.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        rows = json.loads(environ[TRAPS])
        self._traps = [Trap(point=Point[p], action=Action(a), passes=n) for p, a, n in rows]
        self._journal = Path(environ[JOURNAL])
        self._calm = Path(environ[CALM])
        self._passes: Counter[Point] = Counter()

    def reached(self, point: Point) -> bool:
        """Pass a point, unless it kills or stops the process.

        Returns:
            Whether the connection must be lost here; only after a COMMIT.
        """
        self._passes[point] += 1
        for trap in self._traps:
            if trap.point is point and trap.passes <= self._passes[point]:
                break
        else:
            return False
        self._traps.remove(trap)
        if self._calm.exists():
            return False
        self._write_down(trap)
        match trap.action:
            case Action.KILL:
                os.kill(os.getpid(), signal.SIGKILL)
            case Action.STOP:
                os.kill(os.getpid(), signal.SIGSTOP)
            case Action.LOSE:
                return True
        return False

    def _write_down(self, trap: Trap) -> None:
        line = {
            "at": time.time(),
            "boot": time.clock_gettime(time.CLOCK_BOOTTIME),
            "pid": os.getpid(),
            "point": trap.point.name,
            "action": trap.action.value,
        }
        # one write, which a kill of this process cannot take back
        with self._journal.open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(line) + "\n")
