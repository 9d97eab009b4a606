"""What the receiver is measured beside, in the same run and on the same server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from outbox_worker.demo.postgres import Cluster
from tests.benchmarks import postgres
from tests.benchmarks.options import Options

Rate: TypeAlias = Callable[[Cluster], float]
Rates: TypeAlias = Callable[[Cluster, int], dict[str, float]]


def pgqueuer(options: Options) -> Rate | None:
    """Measures pgqueuer's enqueue of one row a transaction, 8 at a time; None: not installed."""
    python = options.work / "venvs" / "pgqueuer" / "bin" / "python"
    if options.peers is None or not python.exists():
        return None
    for folder in ("out", "logs"):
        (options.work / folder).mkdir(parents=True, exist_ok=True)
    command = [str(python), str(options.peers / "bench.py"), "pgqueuer", "enq1", "--reps", "1"]

    def rate(server: Cluster) -> float:
        done = subprocess.run(
            command,
            env={
                **os.environ,
                "PGBASE": server.url.removesuffix("/postgres"),
                "BENCH_WORK": str(options.work),
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return float(json.loads(done.stdout.splitlines()[-1])["rate"])

    return rate


def pgbench(options: Options) -> Rates | None:
    """Measures pgbench's webhook transaction, without and with NOTIFY; None: it is not there."""
    program = _program("pgbench")
    if options.peers is None or program is None:
        return None
    scripts = options.peers / "pgb"

    def rates(server: Cluster, seconds: int) -> dict[str, float]:
        found = {}
        for name in ("web", "web_notify"):
            with postgres.empty(server, "pgbench") as url:
                postgres.run(url, (scripts / "schema.sql").read_text(encoding="utf-8"))
                postgres.settled(url)
                done = subprocess.run(
                    [
                        *(program, "-n", "-M", "prepared", "-f", str(scripts / f"{name}.sql")),
                        *("-c", "8", "-j", "1", "-T", str(seconds), url),
                    ],
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=True,
                )
                told = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
                assert told is not None, done.stdout
                found[name] = float(told[1])
        return found

    return rates


def _program(name: str) -> str | None:
    on_path = shutil.which(name)
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else on_path
