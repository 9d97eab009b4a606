"""Several worker processes on one backlog, all ready before the first of them may claim."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from outbox_worker.database import connection
from outbox_worker.demo.postgres import Cluster
from outbox_worker.gate import store as gates
from outbox_worker.outbox import store
from tests.benchmarks import engine_record, postgres, process
from tests.benchmarks.engine import DESTINATION
from tests.benchmarks.options import WrongCountError
from tests.benchmarks.shared_driver import SEED, UNFINISHED

_PATIENCE_S = 120.0
_BACKLOG = "engine_backlog"
_WORKER = ("tests.benchmarks.shared_driver", "worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """What a fleet did with a backlog.

    Args:
        rate: Jobs a second, from the first handler to the last job on record.
        wal: Bytes of WAL for each job.
        split: Jobs of each worker.
    """

    rate: float
    wal: float
    split: tuple[int, ...]


class Fleet:
    """Workers that are up, and what their handlers saw.

    Args:
        url: Their database.
        records: Of each worker.
    """

    def __init__(self, url: str, records: list[Path]) -> None:
        self.url = url
        self._records = records

    def open(self) -> None:
        """Let them claim."""
        asyncio.run(_resume(self.url))

    def calls(self) -> list[tuple[int, float]]:
        """Job and moment of every handler so far, by moment."""
        rows = [row for record in self._records for row in engine_record.rows(record)]
        return sorted(rows, key=lambda row: row[1])

    def count(self) -> int:
        """Handlers so far."""
        return sum(map(engine_record.count, self._records))

    def split(self) -> tuple[int, ...]:
        """Handlers so far, of each worker."""
        return tuple(map(engine_record.count, self._records))


@contextlib.contextmanager
def backlog(server: Cluster, jobs: int) -> Iterator[str]:
    """A database with so many jobs due and its destination paused; its name, to be copied."""
    with postgres.migrated(server, _BACKLOG) as url:
        postgres.number(url, SEED.format(n=jobs))
        asyncio.run(_pause(url))
        postgres.settled(url)
        yield _BACKLOG


@contextlib.contextmanager
def fleet(
    server: Cluster,
    template: str,
    workers: int,
    folder: Path,
    *,
    program: Sequence[str] = _WORKER,
    **environ: str,
) -> Iterator[Fleet]:
    """So many workers on a copy of a backlog, up and waiting for `Fleet.open`."""
    name = f"{template}_copy"
    postgres.run(server.url, "create database {} template {}", name, template)
    url = postgres.database(server.url, name)
    try:
        with contextlib.ExitStack() as opened:
            records = []
            for number in range(workers):
                record = folder / f"record-{number}"
                ready = Path(f"{record}.ready")
                ready.unlink(missing_ok=True)
                opened.enter_context(
                    process.started(
                        [sys.executable, "-m", *program],
                        {"DATABASE_URL": url, "REC": str(record), **environ},
                        folder / f"worker-{number}.log",
                    )
                )
                records.append(record)
            until(
                lambda: all(Path(f"{record}.ready").exists() for record in records),
                "workers that are up",
            )
            postgres.run(server.url, "checkpoint")
            yield Fleet(url, records)
    finally:
        postgres.run(server.url, "drop database if exists {} with (force)", name)


def drain(
    server: Cluster, template: str, jobs: int, workers: int, folder: Path, **environ: str
) -> Drained:
    """Drain a backlog, and see that every job was done exactly once.

    Raises:
        WrongCountError: One was lost or doubled.
    """
    with fleet(server, template, workers, folder, **environ) as running:
        before = postgres.number(running.url, _WAL)
        running.open()
        until(lambda: running.count() >= jobs, f"{jobs} jobs")
        until(lambda: postgres.number(running.url, UNFINISHED) == 0, "the last jobs on record")
        ended = time.monotonic()
        wal = postgres.number(running.url, _WAL) - before
        calls = running.calls()
        split = running.split()
        recorded = postgres.number(running.url, _RECORDED)
    if [job for job, _ in sorted(calls)] != list(range(jobs)) or recorded != jobs:
        raise WrongCountError(
            f"{workers} workers: {len(calls)} calls of {len({job for job, _ in calls})} jobs,"
            f" {recorded:.0f} attempts on record, of {jobs}"
        )
    return Drained(rate=jobs / (ended - calls[0][1]), wal=wal / jobs, split=split)


_WAL = "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"
_RECORDED = "select count(*) from outbox.attempt where outcome = 'held'"


def until(check: Callable[[], bool], what: str) -> None:
    """Wait for something, or raise WrongCountError."""
    ends = time.monotonic() + _PATIENCE_S
    while not check():
        if time.monotonic() > ends:
            raise WrongCountError(f"no {what} within {_PATIENCE_S:g} s")
        time.sleep(0.01)


async def _pause(url: str) -> None:
    async with connection(url, application_name="bench") as conn:
        await gates.pause(conn, DESTINATION, by="bench", reason="all are to begin", length=None)


async def _resume(url: str) -> None:
    async with connection(url, application_name="bench") as conn:
        await gates.resume(conn, DESTINATION)
        await store.notify(conn)
