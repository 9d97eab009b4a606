"""More workers on one Postgres: nothing doubled or lost, no slower, and gates that hold for all."""

from __future__ import annotations

import itertools
import tempfile
import time
from pathlib import Path

from outbox_worker.demo.postgres import Cluster
from tests.benchmarks import engine_fleet, postgres
from tests.benchmarks.figure import Figure
from tests.benchmarks.options import Options, WrongCountError
from tests.benchmarks.rounds import Rounds

JOBS = 20_000
FLEETS = (1, 2, 4, 8)
_SLOTS = "1000"
#: Claims a second that another doubling of the workers may cost and still be the machine's noise.
_NOISE = 0.85
#: Calls of all workers together, in so many seconds.
_CALLS, _WINDOW_S = 120, 10
_WITHIN = 0.02
#: Unanswered calls that open the circuit, and how long after that is watched.
_FAILURES, _WATCHED_S = 10, 12.0
_HELD_SLOTS = 5


def measure(options: Options) -> list[Figure]:
    """Rates of 1, 2, 4 and 8 workers, and what 8 of them make of one limit and one circuit."""
    jobs = JOBS // 10 if options.quick else JOBS
    seen = Rounds("scale")
    with tempfile.TemporaryDirectory(prefix="scale-") as folder, postgres.durable() as server:
        with engine_fleet.backlog(server, jobs) as template:
            for _ in range(options.rounds):
                for workers in FLEETS:
                    done = engine_fleet.drain(
                        server, template, jobs, workers, Path(folder), SLOTS=_SLOTS
                    )
                    seen.note(_name(workers), done.rate)
                    seen.note(f"WAL, {_name(workers)}", done.wal)
        with engine_fleet.backlog(server, 2000) as template:
            _limited(server, template, Path(folder), seen, windows=1 if options.quick else 3)
            _shut(server, template, Path(folder), seen)
    figures = [seen.figure(_name(workers), "/s", note="each job once") for workers in FLEETS]
    figures += [seen.figure(f"WAL, {_name(workers)}", "B", most=1300) for workers in FLEETS]
    return [*figures, *_steps(seen), *_held(seen)]


def _name(workers: int) -> str:
    return f"{workers} worker{'s' if workers > 1 else ''}"


def _steps(seen: Rounds) -> list[Figure]:
    medians = {workers: seen.figure(_name(workers), "/s").value for workers in FLEETS}
    stepped = Rounds("scale")
    for fewer, more in itertools.pairwise(FLEETS):
        stepped.note(f"{more} workers, of {fewer}", medians[more] / medians[fewer])
    return [
        stepped.figure(name, "x", least=_NOISE, note="medians; the machine's noise is 15 %")
        for name in stepped.names
    ]


def _held(seen: Rounds) -> list[Figure]:
    limit = f"8 workers, {_CALLS} calls in {_WINDOW_S} s allowed"
    return [
        seen.figure("most calls in any window", "calls", most=_CALLS, note=limit),
        seen.figure("calls made, of the limit", "x", least=1 - _WITHIN, note=limit),
        seen.figure(
            "calls before the circuit opened",
            "calls",
            most=_FAILURES + 8 * _HELD_SLOTS,
            note=f"opens after {_FAILURES}; 8 workers with {_HELD_SLOTS} calls at once each",
        ),
        seen.figure(
            "calls while the circuit was open",
            "calls",
            most=2,
            note=f"8 workers, {_WATCHED_S:g} s: probes after 5 s and 10 s more, and nothing else",
        ),
    ]


def _limited(server: Cluster, template: str, folder: Path, seen: Rounds, *, windows: int) -> None:
    """From the first call of one window to the first of the last one: whole windows alone."""
    rate = f"{_CALLS}/{_WINDOW_S}"
    with engine_fleet.fleet(
        server, template, 8, folder, SLOTS="10", POLL="1", RATE=rate
    ) as running:
        running.open()
        wanted = windows * _CALLS + 1
        ends = time.monotonic() + (windows + 1) * (_WINDOW_S + 2)
        while running.count() < wanted:
            if time.monotonic() > ends:
                raise WrongCountError(f"{running.count()} calls of {wanted}")
            time.sleep(0.01)
        moments = [at for _, at in running.calls()]
    counted = [sum(at <= each < at + _WINDOW_S for each in moments) for at in moments]
    took = moments[windows * _CALLS] - moments[0]
    seen.note("most calls in any window", max(counted))
    seen.note("calls made, of the limit", windows * _CALLS / took / (_CALLS / _WINDOW_S))


def _shut(server: Cluster, template: str, folder: Path, seen: Rounds) -> None:
    """Nobody answers: all workers stop calling when the circuit opens."""
    with engine_fleet.fleet(
        server, template, 8, folder, SLOTS=str(_HELD_SLOTS), POLL="1", FAIL="1"
    ) as running:
        running.open()
        ends = time.monotonic() + 20
        while postgres.number(running.url, _OPEN) == 0:
            if time.monotonic() > ends:
                raise WrongCountError("the circuit did not open")
            time.sleep(0.01)
        time.sleep(0.5)  # what was under way ends
        before = running.count()
        time.sleep(_WATCHED_S)
        after = running.count()
    seen.note("calls before the circuit opened", before)
    seen.note("calls while the circuit was open", after - before)


_OPEN = "select count(*) from outbox.destination where circuit <> 'closed'"
