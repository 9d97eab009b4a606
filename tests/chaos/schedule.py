"""Which faults strike when, of one seed. Pure.

The bounds are chosen so that the PMS keeps what the engine assumes of it: a write takes effect, and
is seen by look-ups, before the quiet period after its call is over. So no double is ever excused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from outbox_worker.pms.port import PmsName
from tests.chaos import rules_guesty
from tests.chaos.points import (
    AFTER_COMMIT,
    OF_A_WORKER,
    OF_THE_RECEIVER,
    OF_TOKENS,
    Action,
    Point,
    Trap,
)
from tests.chaos.scenario import dice

Rules: TypeAlias = Sequence[Mapping[str, Any]]

LEASE_S = 3.0
CALL_S = 1.0
QUIET_S = 5.0
#: How late a write takes effect, how long look-ups miss it, how slow the network is.
LATE_S = 1.6
STALE_S = 0.6
SLOW_S = 0.4
#: Past the lease, and yet short enough that a first byte sent after it is seen in time: a check
#: leaves the length of a call of the lease at least.
LONG_STOP_S = (LEASE_S + 0.05, LEASE_S + 0.25)
LONGEST_STOP_S = CALL_S + QUIET_S - LATE_S - STALE_S - SLOW_S - 0.05
SHORT_STOP_S = (0.2, 1.5)

SETTINGS = {
    "WORKER_LEASE_SECONDS": f"{LEASE_S:g}",
    "PMS_TIMEOUT_SECONDS": f"{CALL_S:g}",
    "PMS_QUIET_SECONDS": f"{QUIET_S:g}",
    "WORKER_POLL_SECONDS": "0.2",
    "WORKER_SHUTDOWN_SECONDS": "5",
    "SYNC_RETRY_BASE_SECONDS": "0.1",
    "SYNC_RETRY_CAP_SECONDS": "1",
    "SYNC_REDRIVE_MINUTES": "0.02",
    "PMS_RATE_PER_SECOND": "10000",
    "PMS_RATE_PER_MINUTE": "100000",
    "PMS_RATE_PER_HOUR": "1000000",
    # what is said there must not tell of guests either
    "LOG_LEVEL": "debug",
}


class Kind(StrEnum):
    """Faults that the harness injects itself; those of crash points are `Trap`s."""

    KILL_WORKER = "worker killed"
    STOP_WORKER = "worker stopped past its lease"
    PAUSE_WORKER = "worker stopped for a moment"
    KILL_RECEIVER = "receiver killed"
    PAUSE_RECEIVER = "receiver stopped for a moment"
    TERMINATE = "backends terminated"
    CRASH_POSTGRES = "Postgres shut down at once and restarted"
    DATABASE_CUT = "workers' database connections cut"
    DATABASE_SLOW = "workers' database connections slow"
    DATABASE_BLACK_HOLE = "workers' database connections in a black hole"
    DATABASE_MUTE = "workers' database answers swallowed"
    RECEIVER_CUT = "receiver's database connections cut"
    RECEIVER_MUTE = "receiver's database answers swallowed"
    PMS_CUT = "PMS connections cut"
    PMS_SLOW = "PMS connections slow"
    PMS_BLACK_HOLE = "PMS connections in a black hole"
    PMS_MUTE = "PMS answers swallowed"
    KILL_PMS = "PMS killed and restarted"
    LOSE_KEYS = "PMS lost its idempotency keys"
    MIXED = "PMS with every fault now and then"
    OUTAGE = "PMS down: 503 to everything"
    HANGS = "PMS hangs after the effect"
    FAILS_AFTER = "PMS answers 5xx after the effect"
    LIMITED = "PMS answers 429"
    NARROW = "PMS with a narrow window of calls"
    MISLEADING = "PMS with misleading bodies"
    REVOKE = "token revoked"
    NO_TOKEN = "token revoked, and the next request for one fails"
    WELL = "PMS well, look-ups stale"
    MAIL_BREAKS = "mail taken and not acknowledged"
    MAIL_REFUSED = "mail API answers 503"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault; ``at`` and ``lasts`` in seconds of the run, ``pick`` chooses among several."""

    at: float
    kind: Kind
    lasts: float = 0.0
    pick: int = 0


#: These come first.
ALWAYS = frozenset({Kind.KILL_WORKER, Kind.STOP_WORKER, Kind.CRASH_POSTGRES, Kind.MIXED})

#: Tracks run side by side; the faults of one follow each other.
_TRACKS: Mapping[str, tuple[Kind, ...]] = {
    "processes": (
        Kind.KILL_WORKER, Kind.KILL_WORKER, Kind.STOP_WORKER, Kind.KILL_RECEIVER,
        Kind.PAUSE_WORKER, Kind.STOP_WORKER, Kind.PAUSE_RECEIVER,
    ),
    "network": (
        Kind.TERMINATE, Kind.DATABASE_CUT, Kind.CRASH_POSTGRES, Kind.PMS_CUT, Kind.RECEIVER_CUT,
        Kind.DATABASE_BLACK_HOLE, Kind.PMS_MUTE, Kind.TERMINATE, Kind.DATABASE_SLOW,
        Kind.PMS_BLACK_HOLE, Kind.RECEIVER_MUTE, Kind.DATABASE_MUTE, Kind.PMS_SLOW,
    ),
    "pms": (
        Kind.MIXED, Kind.LOSE_KEYS, Kind.HANGS, Kind.MIXED, Kind.OUTAGE, Kind.MIXED,
        Kind.FAILS_AFTER, Kind.KILL_PMS, Kind.MIXED, Kind.LIMITED, Kind.WELL, Kind.LOSE_KEYS,
    ),
    "mail": (Kind.MAIL_BREAKS, Kind.MAIL_REFUSED),
}  # fmt: skip

#: In place of, and beside, those of a PMS that has keys and no tokens.
_OF_GUESTY: Mapping[str, tuple[Kind, ...]] = {
    "pms": (
        Kind.MIXED, Kind.MISLEADING, Kind.HANGS, Kind.MIXED, Kind.OUTAGE, Kind.MISLEADING,
        Kind.FAILS_AFTER, Kind.KILL_PMS, Kind.MIXED, Kind.LIMITED, Kind.WELL, Kind.NARROW,
    ),
    "tokens": (Kind.REVOKE, Kind.NO_TOKEN),
}  # fmt: skip
#: What never strikes a PMS.
FOREIGN: Mapping[PmsName, frozenset[Kind]] = {
    PmsName.GUESTLY: frozenset({Kind.NARROW, Kind.MISLEADING, Kind.REVOKE, Kind.NO_TOKEN}),
    PmsName.GUESTY: frozenset({Kind.LOSE_KEYS}),
}

#: After these the token is not good any more.
ENDS_TOKENS = frozenset({Kind.REVOKE, Kind.NO_TOKEN})

_LASTS: Mapping[Kind, tuple[float, float]] = {
    Kind.STOP_WORKER: LONG_STOP_S,
    Kind.PAUSE_WORKER: SHORT_STOP_S,
    Kind.PAUSE_RECEIVER: SHORT_STOP_S,
    Kind.CRASH_POSTGRES: (0.1, 0.8),
    Kind.DATABASE_SLOW: (0.5, 1.5),
    Kind.DATABASE_BLACK_HOLE: (0.6, 2.0),
    Kind.DATABASE_MUTE: (0.3, 1.0),
    Kind.RECEIVER_MUTE: (0.3, 1.0),
    Kind.PMS_SLOW: (0.5, 1.5),
    Kind.PMS_BLACK_HOLE: (0.6, 1.5),
    Kind.PMS_MUTE: (0.4, 1.2),
    Kind.KILL_PMS: (0.0, 0.3),
    Kind.MIXED: (2.0, 4.0),
    Kind.OUTAGE: (0.8, 1.4),
    Kind.HANGS: (1.0, 2.0),
    Kind.FAILS_AFTER: (0.8, 1.6),
    Kind.LIMITED: (0.5, 1.0),
    Kind.NARROW: (1.0, 2.0),
    Kind.MISLEADING: (2.0, 4.0),
    Kind.WELL: (1.0, 2.0),
}
_PAUSE: Mapping[str, tuple[float, float]] = {
    "processes": (0.7, 1.9),
    "network": (0.5, 1.6),
    "pms": (0.2, 1.0),
    # mails are few, and each fault doubles the wait of one
    "mail": (2.0, 5.0),
    "tokens": (3.0, 5.0),
}


def tracks(seed: int, pms: PmsName, *, seconds: float) -> tuple[tuple[Fault, ...], ...]:
    """The faults of one seed; those of one track follow each other."""
    decks = {**_TRACKS, **(_OF_GUESTY if pms is PmsName.GUESTY else {})}
    return tuple(tuple(_track(seed, name, kinds, seconds)) for name, kinds in decks.items())


def _track(seed: int, name: str, kinds: Sequence[Kind], seconds: float) -> Iterator[Fault]:
    chance = dice(seed, "track", name)
    now = chance.uniform(*_PAUSE[name]) if name == "tokens" else chance.uniform(0.2, 0.8)
    deck: list[Kind] = []
    while now < seconds:
        if not deck:
            deck = list(kinds)
            chance.shuffle(deck)
            # however short a run is, it has these
            deck.sort(key=lambda kind: kind in ALWAYS)
        kind = deck.pop()
        lasts = chance.uniform(*_LASTS.get(kind, (0.0, 0.0)))
        yield Fault(at=now, kind=kind, lasts=lasts, pick=chance.randrange(1 << 16))
        # a frozen process is waited for by its own task
        now += chance.uniform(*_PAUSE[name]) + (0.0 if name == "processes" else lasts)


def traps(seed: int, who: str, pms: PmsName) -> Iterator[tuple[Trap, ...]]:
    """The traps of each start of the workers, or of the receiver, without end."""
    chance = dice(seed, "traps", who)
    points = OF_THE_RECEIVER if who == "receiver" else OF_A_WORKER
    tokens = who != "receiver" and pms is PmsName.GUESTY
    kills = [(point, Action.KILL) for point in points]
    stops = [(point, Action.STOP) for point in points if who != "receiver"]
    losses = [(point, Action.LOSE) for point in points if point in AFTER_COMMIT]
    deck: list[tuple[Point, Action]] = []
    while True:
        if len(deck) < 2:
            deck = [*kills, *chance.sample(stops, len(stops) // 2), *losses, *losses]
            if tokens:
                # one: after two lost requests in a row everybody waits for a minute
                deck.append((chance.choice(OF_TOKENS), Action.KILL))
            chance.shuffle(deck)
        chosen = [deck.pop() for _ in range(chance.choice((1, 2)))]
        # mails and tokens are rare: theirs would never spring if it had to wait
        yield tuple(
            Trap(
                point=point,
                action=action,
                passes=1
                if point in {Point.BEFORE_MAIL, Point.AFTER_MAIL, *OF_TOKENS}
                else chance.randrange(1, 9),
            )
            for point, action in chosen
        )


def rules(kind: Kind, pms: PmsName) -> Rules:
    """The simulator's standing rules of a mood of the PMS; none: it is no mood."""
    stale = {"fault": "stale", "seconds": STALE_S, "probability": 0.5}
    match kind:
        case Kind.MIXED:
            more = rules_guesty.MIXED if pms is PmsName.GUESTY else ()
            return (*_MIXED, *more, stale)
        case Kind.MISLEADING:
            return (*rules_guesty.MISLEADING, stale)
        case Kind.OUTAGE:
            return ({"fault": "error", "status": 503},)
        case Kind.HANGS:
            return (
                {"fault": "timeout", "when": "after", "seconds": 2.0, "operation": "write",
                 "probability": 0.4},
                {"fault": "late", "seconds": LATE_S, "operation": "write", "probability": 0.4},
                stale,
            )  # fmt: skip
        case Kind.FAILS_AFTER:
            return (
                {"fault": "error", "when": "after", "operation": "write", "probability": 0.5},
                {"fault": "error", "status": 502, "when": "after", "operation": "write",
                 "probability": 0.5},
                stale,
            )  # fmt: skip
        case Kind.LIMITED:
            return ({"fault": "rate_limit", "retry_after": 1, "probability": 0.7},)
        case Kind.WELL | Kind.NARROW:
            return (stale,)
        case _:
            return ()


_MIXED: Rules = (
    {"fault": "error", "operation": "write", "probability": 0.06},
    {"fault": "error", "when": "after", "operation": "write", "probability": 0.06},
    {"fault": "error", "status": 503, "operation": "write", "probability": 0.04},
    {"fault": "error", "status": 504, "when": "after", "operation": "write", "probability": 0.04},
    {"fault": "timeout", "seconds": 2.0, "operation": "write", "probability": 0.03},
    {"fault": "timeout", "when": "after", "seconds": 2.0, "operation": "write",
     "probability": 0.04},
    {"fault": "break", "operation": "write", "probability": 0.03, "reset": True},
    {"fault": "break", "when": "after", "operation": "write", "probability": 0.05},
    {"fault": "cut", "operation": "write", "probability": 0.03},
    {"fault": "late", "seconds": 1.3, "operation": "write", "probability": 0.12},
    {"fault": "no_id", "operation": "write", "probability": 0.02},
    {"fault": "foreign", "operation": "write", "probability": 0.02},
    {"fault": "rate_limit", "retry_after": 1, "probability": 0.03},
    {"fault": "error", "status": 503, "operation": "lookup", "probability": 0.05},
    {"fault": "timeout", "seconds": 2.0, "operation": "lookup", "probability": 0.02},
    {"fault": "unfiltered", "operation": "lookup", "probability": 0.02},
    {"fault": "latency", "seconds": 0.0, "jitter_s": 0.3, "probability": 0.3},
)  # fmt: skip
