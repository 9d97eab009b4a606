"""Other queues beside this one, in one run: rounds interleaved, on the same server."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from outbox_worker.demo.postgres import Cluster
from tests.benchmarks.options import Options, WrongCountError
from tests.benchmarks.shared_driver import FINISHED, SEED, UNFINISHED

#: Ours with its best setting; what it is called in the answers.
OURS = "ours:SLOTS=1000"
#: Settings of pgqueuer of which the better one counts, in each round.
PGQUEUER = ("pgqueuer:BATCH=100", "pgqueuer:BATCH=500")
GRAPHILE = "gw:CONC=100:LQ=1000"
_PYTHON = ("pgqueuer", "oban", "chancy")
_LIMIT_S = 600


def installed(options: Options) -> bool:
    """Whether there is anything to be compared with."""
    return options.peers is not None and bool(_present(options, ("proto", "pgqueuer")))


def drained(options: Options) -> tuple[str, ...]:
    """Whom a backlog is drained beside."""
    return (*PGQUEUER, *([GRAPHILE] if (options.work / "node/gw/node_modules").exists() else []))


def python_peers(options: Options) -> tuple[str, ...]:
    """The installed ones in the same language."""
    return tuple(name for name in _PYTHON if _present(options, (name,)))


def run(
    options: Options, server: Cluster, systems: Sequence[str], measures: Sequence[str], jobs: int
) -> Iterator[dict[str, Any]]:
    """One round of each system; what its driver answers, with ``sys`` and ``m``.

    Raises:
        WrongCountError: A system lost or doubled a job, or its driver failed.
    """
    assert options.peers is not None
    for folder in ("out", "logs"):
        (options.work / folder).mkdir(parents=True, exist_ok=True)
    python = options.work / "venvs" / "proto" / "bin" / "python"
    done = subprocess.run(
        [
            *(str(python), str(options.peers / "bench.py"), ",".join(systems), ",".join(measures)),
            *("--reps", "1", "--n", str(jobs)),
        ],
        env={
            **os.environ,
            "PGBASE": server.url.removesuffix("/postgres"),
            "BENCH_WORK": str(options.work),
            "PYTHONPATH": str(Path.cwd()),
            "BENCH_OURS": shlex.join([sys.executable, "-m", "tests.benchmarks.shared_driver"]),
            "BENCH_OURS_FIN": FINISHED,
            "BENCH_OURS_UNF": UNFINISHED,
            "BENCH_OURS_SEED": SEED,
        },
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise WrongCountError(done.stderr[-1000:])
    for line in done.stdout.splitlines():
        answer = json.loads(line)
        if "error" in answer or answer.get("timeout") or answer.get("exact", True) is not True:
            raise WrongCountError(f"{answer['sys']} {answer['m']}: {line[:600]}")
        if answer.get("missing") or answer.get("dup"):
            raise WrongCountError(f"{answer['sys']} {answer['m']}: {line[:600]}")
        yield answer


def _present(options: Options, names: Sequence[str]) -> bool:
    return all((options.work / "venvs" / name / "bin" / "python").exists() for name in names)
