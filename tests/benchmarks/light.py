"""What an installation takes while it works, while it idles, and when it starts."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from outbox_worker.demo.postgres import Cluster
from tests.benchmarks import postgres, process, receiver_load
from tests.benchmarks.figure import Figure
from tests.benchmarks.options import Options, WrongCountError
from tests.benchmarks.rounds import Rounds
from tests.support_simulator import API_KEY, LISTING, start_simulator

_CHUNK = 2500
#: Of work in one process; a machine that is slower does less.
_LONGEST_S = 600.0
_STATISTICS = {"shared_preload_libraries": "pg_stat_statements"}
_STARTS = 5

_OWE = """
update public.bookings set status = 'confirmed', payment_status = 'completed';
insert into outbox.delivery (destination, key, due_at)
select 'guestly', id::text, now() from public.bookings;
insert into outbox.request (delivery_id, version, reason)
select id, 1, 'stripe' from outbox.delivery;
insert into outbox.listing (pms, slug, listing_id)
select 'guestly', slug, '{listing}' from properties;
"""


def measure(options: Options) -> list[Figure]:
    """Memory, idle cost and start-up."""
    seen = Rounds("light")
    first, more = (500, 2_000) if options.quick else (10_000, 100_000)
    with (
        tempfile.TemporaryDirectory(prefix="light-") as name,
        postgres.durable(_STATISTICS) as server,
    ):
        folder = Path(name)
        receiver_more = _receiver(seen, server, folder, first, more)
        _worker_live(seen, server, folder, first)
        worker_more = _worker_long(seen, server, folder, first, more)
        with postgres.migrated(server, "idle") as url:
            postgres.run(url, "create extension pg_stat_statements")
            for _ in range(options.rounds):
                _idle(seen, url, folder, 8.0 if options.quick else 20.0)
                _starts(seen, url, folder)
    within = "growth after the first tenth"
    return [
        seen.figure("worker, resident", "MiB", most=60, note=f"{first:,} bookings, live, one run"),
        seen.figure("receiver, resident", "MiB", most=80, note=f"{first:,} webhooks, one run"),
        seen.figure(
            "worker, growth", "MiB", most=2, note=f"{worker_more:,} bookings in test mode; {within}"
        ),
        seen.figure(
            "receiver, growth", "MiB", most=2, note=f"{receiver_more:,} webhooks; {within}"
        ),
        seen.figure("idle worker, statements", "/s", most=2, note="poll of 1 s, the default"),
        seen.figure("idle worker, processor", "%", most=0.5, note="of one core"),
        seen.figure(
            "outbox status, wall", "ms", most=500, note="start-up included, little to tell"
        ),
        seen.figure("receiver, cold start to its first 200", "ms", most=1000),
    ]


def _receiver(seen: Rounds, server: Cluster, folder: Path, first: int, more: int) -> int:
    with postgres.migrated(server, "receiver") as url:
        receiver_load.remember(url)
        receiver_load.seed(url, 1, more)
        postgres.settled(url)
        with process.receiver(url, folder / "receiver.log") as running:
            done, resident, began = 0, 0.0, time.monotonic()
            while done < first or (done < more and time.monotonic() < began + _LONGEST_S):
                size = min(_CHUNK, (first if done < first else more) - done)
                requests = [
                    receiver_load.request(receiver_load.body(done + 1 + n)) for n in range(size)
                ]
                asyncio.run(receiver_load.load(running.url, requests, clients=16))
                done += size
                if done == first:
                    resident = running.resident_mib
            seen.note("receiver, resident", resident)
            seen.note("receiver, growth", running.resident_mib - resident)
        return done


@contextmanager
def _worker(url: str, log: Path, **settings: str) -> Iterator[process.Running]:
    environ = {
        "DATABASE_URL": url,
        "GUESTLY_SYNC_ENABLED": "true",
        "METRICS_ADDRESS": "",
        "LOG_FORMAT": "json",
        "PMS_RATE_PER_SECOND": "0",
        "PMS_RATE_PER_MINUTE": "0",
        "PMS_RATE_PER_HOUR": "0",
        **settings,
    }
    command: list[str | Path] = [process.program("outbox"), "worker", "run"]
    with process.started(command, environ, log) as running:
        yield running


def _owe(url: str, count: int) -> None:
    receiver_load.seed(url, 1, count)
    postgres.run(url, _OWE.format(listing=LISTING))
    postgres.settled(url)


def _worker_live(seen: Rounds, server: Cluster, folder: Path, count: int) -> None:
    with postgres.migrated(server, "live") as url, start_simulator(folder / "pms") as pms:
        pms.switch(availability=False)
        _owe(url, count)
        live = {
            "GUESTLY_TEST_MODE": "false",
            "GUESTLY_API_URL": pms.url,
            "GUESTLY_API_KEY": API_KEY,
        }
        with _worker(url, folder / "worker.log", **live) as running:
            _synced(url, count, within=_LONGEST_S)
            seen.note("worker, resident", running.resident_mib)
        made = len({line["reference"] for line in pms.effects() if line["op"] == "create"})
        if made != count or len(pms.effects()) != count:
            raise WrongCountError(f"{len(pms.effects())} reservations of {count} bookings")


def _worker_long(seen: Rounds, server: Cluster, folder: Path, first: int, more: int) -> int:
    with postgres.migrated(server, "long") as url:
        _owe(url, more)
        with _worker(url, folder / "worker.log", GUESTLY_TEST_MODE="true") as running:
            _synced(url, first, within=_LONGEST_S)
            resident, began = running.resident_mib, time.monotonic()
            while (done := _count(url)) < more and time.monotonic() < began + _LONGEST_S:
                time.sleep(0.5)
            seen.note("worker, growth", running.resident_mib - resident)
        return done


def _count(url: str) -> int:
    return int(postgres.number(url, "select count(*) from outbox.delivery where delivered = 1"))


def _synced(url: str, count: int, *, within: float) -> None:
    deadline = time.monotonic() + within
    while _count(url) < count:
        if time.monotonic() > deadline:
            raise WrongCountError(f"{_count(url)} bookings of {count} within {within:.0f} s")
        time.sleep(0.5)


def _idle(seen: Rounds, url: str, folder: Path, seconds: float) -> None:
    """A worker that has nothing to do, after it has settled down."""
    log = folder / "idle.log"
    with _worker(url, log, GUESTLY_TEST_MODE="true") as running:
        deadline = time.monotonic() + 30
        while "listen.restored" not in log.read_text(encoding="utf-8"):
            if time.monotonic() > deadline:
                raise WrongCountError("the worker does not listen")
            time.sleep(0.1)
        time.sleep(3)
        statements, spent, began = _statements(url), running.cpu_s, time.monotonic()
        time.sleep(seconds)
        # the question itself is one of them
        statements = _statements(url) - statements - 1
        spent, length = running.cpu_s - spent, time.monotonic() - began
    seen.note("idle worker, statements", statements / length)
    seen.note("idle worker, processor", spent / length * 100)


def _statements(url: str) -> float:
    return postgres.number(
        url,
        "select coalesce(sum(s.calls), 0) from pg_stat_statements s join pg_database d"
        " on d.oid = s.dbid where d.datname = current_database() and s.toplevel",
    )


def _starts(seen: Rounds, url: str, folder: Path) -> None:
    times = []
    for _ in range(_STARTS):
        began = time.perf_counter()
        done = subprocess.run(
            [process.program("outbox"), "status"],
            env={"PATH": os.environ["PATH"], "DATABASE_URL": url},
            capture_output=True,
            check=False,
            timeout=60,
        )
        times.append(time.perf_counter() - began)
        if b"inbox" not in done.stdout:
            raise WrongCountError(f"outbox status answered {done.stdout[:200]!r}")
    seen.note("outbox status, wall", sorted(times)[_STARTS // 2] * 1000)
    ready = []
    for _ in range(_STARTS):
        with process.receiver(url, folder / "start.log") as running:
            ready.append(running.ready_s)
    seen.note("receiver, cold start to its first 200", sorted(ready)[_STARTS // 2] * 1000)
