"""A backlog of jobs whose destination answers at once: all that is left is the engine's cost."""

from __future__ import annotations

import tempfile
from pathlib import Path

from outbox_worker.demo.postgres import Cluster
from tests.benchmarks import engine_fleet, peers, postgres
from tests.benchmarks.figure import Figure
from tests.benchmarks.options import Options
from tests.benchmarks.rounds import Rounds, not_measured

JOBS = 20_000
_MEASURES = {"drain1": "one worker", "drain2": "two workers"}
_WORKERS = {"one worker": 1, "two workers": 2}
_SLOTS = "1000"
#: Of WAL for each delivery.
_MOST_WAL = 1300
_LEAST = 1.5


def measure(options: Options) -> list[Figure]:
    """Jobs a second alone and beside others, what the log costs, WAL for each job."""
    jobs = JOBS // 10 if options.quick else JOBS
    seen = Rounds("drain")
    compared = peers.installed(options)
    with (
        tempfile.TemporaryDirectory(prefix="drain-") as folder,
        postgres.durable() as server,
        engine_fleet.backlog(server, jobs) as template,
    ):
        for _ in range(options.rounds):
            for name, workers in _WORKERS.items():
                for level in ("warning", "info"):
                    done = engine_fleet.drain(
                        server,
                        template,
                        jobs,
                        workers,
                        Path(folder),
                        SLOTS=_SLOTS,
                        LOG_LEVEL=level,
                    )
                    seen.note(f"{name}, LOG_LEVEL={level}", done.rate)
                    if level == "warning":
                        seen.note(f"WAL, {name}", done.wal)
            if compared:
                _beside(options, server, jobs, seen)
    figures = [seen.figure(f"WAL, {name}", "B", most=_MOST_WAL) for name in _WORKERS]
    for name in _WORKERS:
        figures += [
            seen.figure(f"{name}, LOG_LEVEL={level}", "/s", note=f"{_SLOTS} slots")
            for level in ("warning", "info")
        ]
        figures += _ratios(seen, name, compared=compared)
    return figures


def _beside(options: Options, server: Cluster, jobs: int, seen: Rounds) -> None:
    rates: dict[tuple[str, str], float] = {}
    systems = (peers.OURS, *peers.drained(options))
    for answer in peers.run(options, server, systems, tuple(_MEASURES), jobs):
        rates[answer["sys"], _MEASURES[answer["m"]]] = float(answer["rate"])
    for name in _WORKERS:
        ours = rates[peers.OURS, name]
        best = max(rates[system, name] for system in peers.PGQUEUER)
        seen.note(f"ours beside others, {name}", ours)
        seen.note(f"pgqueuer, {name}", best)
        seen.note(f"of pgqueuer, {name}", ours / best)
        graphile = rates.get((peers.GRAPHILE, name))
        if graphile is not None:
            seen.note(f"graphile-worker, {name}", graphile)
            seen.note(f"of graphile-worker, {name}", ours / graphile)


def _ratios(seen: Rounds, name: str, *, compared: bool) -> list[Figure]:
    if not compared:
        return [not_measured(f"drain: of pgqueuer, {name}", f">= {_LEAST:g} x", "no peers")]
    figures = [
        seen.figure(f"ours beside others, {name}", "/s"),
        seen.figure(f"pgqueuer, {name}", "/s", note="the better of batches of 100 and of 500"),
        seen.figure(f"of pgqueuer, {name}", "x", least=_LEAST),
    ]
    if f"graphile-worker, {name}" in seen.names:
        figures += [
            seen.figure(f"graphile-worker, {name}", "/s", note="100 jobs at once, 1000 in hand"),
            seen.figure(f"of graphile-worker, {name}", "x", note="to pass it is the aim"),
        ]
    return figures
