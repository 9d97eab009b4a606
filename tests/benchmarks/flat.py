"""How the cost of the engine's statements grows with the tables: small site, large site."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg

from outbox_worker.sql import query
from tests.benchmarks import postgres, process
from tests.benchmarks.figure import Figure
from tests.benchmarks.flat_site import load
from tests.benchmarks.options import Options, WrongCountError
from tests.benchmarks.rounds import Rounds
from tests.plans.measure import Connection, connect
from tests.plans.measure import measure as cost_of

_SMALL = 1_000
_LARGE = 1_000_000
_LEASE = timedelta(minutes=5)
#: Of each statement, in one round.
_TIMES = 31
#: Rows that one claim takes, and one settle gives back.
_BATCH = 10
_BOUND = 1.2
_BOUND_PINNED = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cost:
    """One execution, as the server tells it.

    Args:
        buffers: Pages touched.
        ms: Time of the execution.
    """

    buffers: float
    ms: float


def measure(options: Options) -> list[Figure]:
    """Claim, request, settle and ``status`` on both, and claims while a snapshot is pinned."""
    seen = Rounds("flat")
    large = _LARGE // 20 if options.quick else _LARGE
    with (
        postgres.durable({"autovacuum": "off"}) as server,
        postgres.migrated(server, "small") as little,
        postgres.migrated(server, "large") as much,
    ):
        load(little, _SMALL)
        load(much, large)
        with connect(little) as one, connect(much) as other:
            for turn in range(options.rounds + 1):
                for name in _STATEMENTS:
                    few, many = _costs((one, other), name)
                    if turn:
                        _note(seen, name, few, many)
        for _ in range(options.rounds):
            seen.note("outbox status, wall, small", _status_s(little) * 1000)
            seen.note("outbox status, wall, large", _status_s(much) * 1000)
        before, after = _pinned(much, 100 if options.quick else 600)
        seen.note("claim beside a pinned snapshot, of the first claims", after / before)
    note = f"{large:,} delivered against {_SMALL:,}"
    figures = [_figure(seen, name, note) for name in seen.names if "pinned" not in name]
    figures.append(
        seen.figure(
            "claim beside a pinned snapshot, of the first claims",
            "x",
            most=_BOUND_PINNED,
            note="time of a claim of ten at the end of the run; one round",
        )
    )
    return figures


def _figure(seen: Rounds, name: str, note: str) -> Figure:
    unit = (
        "x" if name.endswith("large / small") else "ms" if "wall" in name or "time" in name else ""
    )
    return seen.figure(name, unit, most=_BOUND if unit == "x" else None, note=note)


def _note(seen: Rounds, name: str, few: _Cost, many: _Cost) -> None:
    seen.note(f"{name}, time, large", many.ms)
    seen.note(f"{name}, time, large / small", many.ms / few.ms)
    seen.note(f"{name}, buffers, large", many.buffers)
    seen.note(f"{name}, buffers, large / small", many.buffers / few.buffers)


def _values(conn: Connection, name: str) -> Mapping[str, Any]:
    """Parameters of a statement; settle is about rows that are claimed."""
    match name:
        case "claim":
            return {
                "destinations": ["guestly", "inbox", "email", "chat"],
                "limits": [_BATCH] * 4,
                "max_attempts": [8] * 4,
                "owner": "worker-2",
                "lease": _LEASE,
            }
        case "request":
            return {
                "destination": "inbox",
                "key": f"evt_{time.monotonic_ns()}",
                "reason": "stripe",
                "reference": None,
                "traceparent": None,
            }
        case _:
            rows = conn.execute(
                "select id, fence from outbox.delivery where owner = 'worker-1' order by id"
            ).fetchall()
            conn.rollback()
            if len(rows) != _BATCH:
                raise WrongCountError(f"{len(rows)} claimed rows of {_BATCH}")
            each = {"versions": 1, "rounds": 1, "numbers": 1, "outcomes": "held"}
            return {
                "ids": [row["id"] for row in rows],
                "fences": [row["fence"] for row in rows],
                "owner": "worker-1",
                "http_statuses": [200] * _BATCH,
                **{key: [value] * _BATCH for key, value in each.items()},
            }


_STATEMENTS = {"claim": "claim", "request": "request", "settle": "settle_held"}


def _costs(sites: Sequence[Connection], name: str) -> list[_Cost]:
    """Medians over several executions at each site, in turn and undone."""
    turns = [
        [cost_of(conn, _STATEMENTS[name], _values(conn, name)) for conn in sites]
        for _ in range(_TIMES)
    ]
    return [
        _Cost(
            buffers=statistics.median(cost.buffers for cost in costs),
            ms=statistics.median(cost.ms for cost in costs),
        )
        for costs in zip(*turns, strict=True)
    ]


def _status_s(url: str) -> float:
    """Wall time of ``outbox status --json``, start-up included."""
    began = time.perf_counter()
    done = subprocess.run(
        [process.program("outbox"), "status", "--json"],
        env={"PATH": os.environ["PATH"], "DATABASE_URL": url},
        capture_output=True,
        check=False,
        timeout=60,
    )
    wall = time.perf_counter() - began
    answer = json.loads(done.stdout)
    if answer.get("schema") != "outbox/1" or "data" not in answer:
        raise WrongCountError(f"outbox status answered {done.stdout[:200]!r}")
    return wall


def _pinned(url: str, turns: int) -> tuple[float, float]:
    """Seconds of a claim at the beginning and at the end, while old row versions must be kept.

    Rows are claimed, settled and asked for again, so each turn leaves dead versions behind; vacuum
    runs now and then and may remove none of them.
    """
    with _snapshot(url), psycopg.connect(url, autocommit=True) as conn:
        times = []
        for turn in range(turns):
            began = time.perf_counter()
            rows = conn.execute(query("claim"), _PINNED_CLAIM).fetchall()
            times.append(time.perf_counter() - began)
            taken = [row for row in rows if row[7] is not None]
            if len(taken) != _BATCH:
                raise WrongCountError(f"{len(taken)} rows claimed of {_BATCH}")
            conn.execute(_AGAIN, {"owner": "pinned"})
            if turn % 100 == 99:
                conn.execute("vacuum outbox.delivery")
    tenth = max(turns // 10, 5)
    return statistics.median(times[2:tenth]), statistics.median(times[-tenth:])


@contextmanager
def _snapshot(url: str) -> Iterator[None]:
    """A transaction that looks at the past for the length of a block, such as a dump."""
    with psycopg.connect(url) as conn:
        conn.execute("set transaction isolation level repeatable read")
        conn.execute("select count(*) from outbox.listing")
        yield


_PINNED_CLAIM = {
    "destinations": ["inbox"],
    "limits": [_BATCH],
    "max_attempts": [8],
    "owner": "pinned",
    "lease": _LEASE,
}
#: What a delivery and a later request leave: the row is due again, at the end of the queue.
_AGAIN = """
update outbox.delivery set owner = null, fence = 0, lease_until = null, attempts = 0, due_at = now()
where owner = %(owner)s
"""
