"""What happened in a run, counted: faults, rare paths, times.

A path that was never taken proves nothing, so a whole run has to take them all.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from outbox_worker.database import Connection
from outbox_worker.pms.port import PmsName
from tests.chaos.evidence import lines
from tests.chaos.history import History
from tests.chaos.points import AFTER_COMMIT, OF_TOKENS, Action, Point, Sprung
from tests.chaos.schedule import FOREIGN, Kind
from tests.chaos.statements import rows

#: Log lines that tell of a path that leaves no row.
_LOGGED: Mapping[tuple[str, str], str] = {
    ("event", "settle.refused"): "settles refused, the row was no longer ours",
    ("event", "settle.deferred"): "settles deferred, the booking was held",
    ("event", "settle.failed"): "settles that Postgres refused",
    ("event", "database.lost"): "workers that lost Postgres",
    ("event", "listen.lost"): "listeners that lost Postgres",
    ("event", "handler.crashed"): "handlers that crashed",
    ("event", "webhook.crashed"): "events that crashed the receiver",
    ("event", "event.failed"): "events that could not be applied",
    ("event", "token.renewed"): "tokens granted",
    ("event", "token.failed"): "requests for a token that failed",
    ("error_code", "token_expired"): "calls with a token that had ended",
    ("error_code", "parts_left"): "reservations written in parts",
    ("error_code", "quiet_period"): "waits for the quiet period",
    ("error_code", "lease_too_short"): "calls not begun, too late in the lease",
    ("error_code", "not_read"): "claims given back unread",
    ("outcome", "duplicate"): "duplicate webhooks absorbed",
}


@dataclass(slots=True)
class Tally:
    """Counts and times of one run, or of several.

    Args:
        takeovers: Seconds from the end of a lost worker's lease to the next claim.
        recoveries: Seconds from the first attempt that went wrong to success.
        drains: Seconds from the end of the faults until nothing was owed.
    """

    faults: Counter[str] = field(default_factory=Counter)
    paths: Counter[str] = field(default_factory=Counter)
    takeovers: list[float] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)
    drains: list[float] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count another run too."""
        self.faults.update(other.faults)
        self.paths.update(other.paths)
        self.takeovers += other.takeovers
        self.recoveries += other.recoveries
        self.drains += other.drains

    def missing(self, wanted: Iterable[str]) -> list[str]:
        """What should have happened at least once, and did not."""
        return [name for name in wanted if not (self.faults[name] or self.paths[name])]


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that ``share`` of all do not exceed; None of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def name_of(point: Point, action: Action) -> str:
    """How a sprung trap is counted."""
    words = {Action.KILL: "killed", Action.STOP: "stopped", Action.LOSE: "lost the answer"}
    return f"{words[action]} {point}"


async def from_database(conn: Connection) -> Tally:
    """What the database tells."""
    tally = Tally()
    for name in ("attempts", "paths"):
        for row in await rows(conn, name):
            tally.paths[row["what"]] += row["n"]
    tally.takeovers += [row["seconds"] for row in await rows(conn, "takeovers")]
    tally.recoveries += [row["seconds"] for row in await rows(conn, "recoveries")]
    return tally


def from_files(
    requests: Path, logs: Iterable[Path], sprung: Iterable[Sprung], history: History
) -> Tally:
    """What the simulator, the processes' logs and the mails tell."""
    tally = Tally()
    for request in lines(requests):
        if request["fault"]:
            when = "after" if request["effect"] else "without"
            tally.faults[f"PMS: {request['fault']}, {when} the effect"] += 1
        if request["repeated"]:
            tally.paths["writes answered by their idempotency key"] += 1
        if request["code"] in {"LISTING_NOT_AVAILABLE", "LISTING_IS_NOT_AVAILABLE"}:
            tally.paths["creates refused: dates taken"] += 1
    for log in logs:
        tally.paths.update(_logged(log))
    for trap in sprung:
        tally.faults[name_of(trap.point, trap.action)] += 1
    tally.paths["effects"] += len(history.effects)
    tally.paths["effects later than their call"] += sum(e.fault == "late" for e in history.effects)
    ids = Counter(mail.message_id for mail in history.mails)
    tally.paths["mails"] += len(ids)
    tally.paths["mails repeated under the same Message-ID"] += sum(n - 1 for n in ids.values())
    return tally


def _logged(log: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    for line in _objects(log):
        for (key, value), what in _LOGGED.items():
            if line.get(key) == value:
                found[what] += 1
    return found


def _objects(log: Path) -> Iterable[dict[str, Any]]:
    marks = tuple(value.encode() for _, value in _LOGGED)
    for line in log.read_bytes().splitlines():
        if any(mark in line for mark in marks):
            try:
                yield json.loads(line)
            except ValueError:
                continue  # cut short by a kill


#: A fault of the engine's own, though its last lines of defence kept it from doing any harm.
UNHEARD_OF = (
    "settles that Postgres refused",
    "handlers that crashed",
    "events that crashed the receiver",
    "events that could not be applied",
)
#: What every seed reaches, however short it is and however busy the machine.
COMMON = (
    Kind.KILL_WORKER.value,
    Kind.STOP_WORKER.value,
    Kind.CRASH_POSTGRES.value,
    Kind.MIXED.value,
    "attempt lost",
    "claims taken over from a lost worker",
    "duplicate webhooks absorbed",
    "bookings edited",
    "bookings cancelled",
    "mails",
)
#: What a whole run has to reach, but what the other PMS alone has.
_ALL = (
    *COMMON,
    *(kind.value for kind in Kind),
    *(name_of(point, Action.KILL) for point in Point),
    *(name_of(point, Action.LOSE) for point in AFTER_COMMIT),
    name_of(Point.BEFORE_FIRST_BYTE, Action.STOP),
    "PMS: error, after the effect",
    "PMS: error, without the effect",
    "PMS: timeout, after the effect",
    "PMS: timeout, without the effect",
    "PMS: break, after the effect",
    "PMS: break, without the effect",
    "PMS: cut, after the effect",
    "PMS: late, after the effect",
    "PMS: no_id, after the effect",
    "PMS: foreign, after the effect",
    "PMS: rate_limit, without the effect",
    "PMS: reject, without the effect",
    "attempt ambiguous",
    "attempt failed",
    "attempt rate_limited",
    "attempt rejected",
    "adopted as wanted, found by look-up",
    "waits for the quiet period",
    "adopted in an older state, found by look-up",
    "effects later than their call",
    "writes answered by their idempotency key",
    "settles refused, the row was no longer ours",
    "settles deferred, the booking was held",
    "calls not begun, too late in the lease",
    "events that came before their booking",
    "events delivered again until they were taken",
    "paid after cancellation",
    "circuits opened",
    "rows given up",
    "rows given up and healed",
    "rows repeated by an operator",
    "mails repeated under the same Message-ID",
    "receivers killed",
    "workers killed",
)
_OF_GUESTY = (
    "calls with a token that had ended",
    "requests for a token that failed",
    "reservations written in parts",
)
_ONLY: Mapping[PmsName, frozenset[str]] = {
    PmsName.GUESTLY: frozenset(
        {
            "writes answered by their idempotency key",
            # of a stay that lives Guesty never shows all: the next claim writes the rest
            "adopted as wanted, found by look-up",
        }
    ),
    PmsName.GUESTY: frozenset({name_of(point, Action.KILL) for point in OF_TOKENS}),
}


def everything(pms: PmsName) -> tuple[str, ...]:
    """What a whole run has to reach."""
    foreign = {kind.value for kind in FOREIGN[pms]}
    for other, names in _ONLY.items():
        if other is not pms:
            foreign |= names
    known = tuple(name for name in _ALL if name not in foreign)
    return (*known, *_OF_GUESTY) if pms is PmsName.GUESTY else known


def summary(tally: Tally) -> dict[str, Any]:
    """All figures as JSON values."""

    def times(values: Sequence[float]) -> dict[str, float | int | None]:
        return {
            "count": len(values),
            "p50_s": _rounded(percentile(values, 0.5)),
            "p99_s": _rounded(percentile(values, 0.99)),
            "max_s": _rounded(max(values, default=None)),
        }

    return {
        "faults": dict(sorted(tally.faults.items())),
        "paths": dict(sorted(tally.paths.items())),
        "takeover_after_lease": times(tally.takeovers),
        "recovery": times(tally.recoveries),
        "drain": times(tally.drains),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def duration(value: timedelta | None) -> str:
    """Seconds for people."""
    return "never" if value is None else f"{value.total_seconds():.1f} s"
