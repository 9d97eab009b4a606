"""The receiver: verify, one transaction, answer. Over HTTP, and its database part alone."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path

from outbox_worker.demo.postgres import Cluster
from outbox_worker.payments import inbox, stripe_event
from outbox_worker.payments.inbox import InboxRules
from tests.benchmarks import postgres, process, receiver_load, receiver_peer
from tests.benchmarks.figure import Figure
from tests.benchmarks.options import Options, WrongCountError
from tests.benchmarks.rounds import Rounds, not_measured
from tests.support_stripe import SECRET, sign
from webhook_receiver.pool import Pool
from webhook_receiver.signature import refusal

CLIENTS = (8, 64)
#: In the place of the wake-up: nothing is ever sent.
_SILENT = (
    "from webhook_receiver.wakeup import Wakeup;"
    " Wakeup.request = lambda self: None; Wakeup.take = lambda self: False"
)
_SYNC_US = 1000


def measure(options: Options) -> list[Figure]:
    """Everything about one webhook."""
    with tempfile.TemporaryDirectory(prefix="receiver-") as folder:
        return [*_plain(options, Path(folder)), *_slow_disk(options, Path(folder))]


def _plain(options: Options, folder: Path) -> Iterator[Figure]:
    size = 200 if options.quick else 1500
    seen, numbers = Rounds("receiver"), count(1)
    peer = receiver_peer.pgqueuer(options)
    with postgres.durable() as server, postgres.migrated(server, "receiver") as url:
        receiver_load.remember(url)
        receiver_load.seed(url, 1, size * (len(CLIENTS) + 5) * (options.rounds + 1))
        postgres.settled(url)
        log = folder / "receiver.log"
        for turn in range(options.rounds + 1):
            with process.receiver(url, log) as running:
                loads = {n: _load(running, numbers, size, n) for n in CLIENTS}
                parts = _parts(running, server, numbers, size)
            with process.receiver(url, log, LOG_LEVEL="warning") as running:
                quiet = _load(running, numbers, size, 8).rate
            waking = {}
            # beside each other and in turn: the machine's noise is larger than the difference
            for silent in (False, True) if turn % 2 else (True, False):
                with process.receiver(url, log, change=_SILENT if silent else "") as running:
                    waking[silent] = _load(running, numbers, size, 8).rate
            alone = asyncio.run(_alone(url, numbers, size))
            beside = peer(server) if peer else None
            if turn == 0:
                continue  # caches, and the pages that are written whole after a checkpoint
            for clients, load in loads.items():
                seen.note(f"requests, {clients} clients", load.rate)
                seen.note(f"p50, {clients} clients", load.percentile(50))
                seen.note(f"p99, {clients} clients", load.percentile(99))
                seen.note(
                    f"p99 / p50, {clients} clients", load.percentile(99) / load.percentile(50)
                )
                if beside:
                    seen.note(f"of pgqueuer's enqueue, {clients} clients", load.rate / beside)
            if beside:
                seen.note("pgqueuer's one-row enqueue, 8 clients", beside)
                seen.note("database part alone, of pgqueuer's enqueue", alone / beside)
            seen.note("database part alone, 8 connections", alone)
            seen.note("8 clients, LOG_LEVEL=warning", quiet)
            seen.note("8 clients, no wake-up", waking[True])
            seen.note("cost of the wake-up", (1 - waking[False] / waking[True]) * 100)
            for name, value in parts.items():
                seen.note(name, value)
        _check(url, next(numbers) - 1)
    yield from _figures(seen)


def _figures(seen: Rounds) -> Iterator[Figure]:
    for clients in CLIENTS:
        yield seen.figure(f"requests, {clients} clients", "/s")
        yield seen.figure(f"p50, {clients} clients", "ms")
        yield seen.figure(f"p99, {clients} clients", "ms")
        yield seen.figure(f"p99 / p50, {clients} clients", "x", most=5)
        if f"of pgqueuer's enqueue, {clients} clients" in seen.names:
            yield seen.figure(f"of pgqueuer's enqueue, {clients} clients", "x", least=0.5)
    yield seen.figure("database part alone, 8 connections", "/s")
    if "pgqueuer's one-row enqueue, 8 clients" in seen.names:
        yield seen.figure("database part alone, of pgqueuer's enqueue", "x", least=1.0)
        yield seen.figure("pgqueuer's one-row enqueue, 8 clients", "/s")
    yield seen.figure("8 clients, LOG_LEVEL=warning", "/s", note="what info costs")
    yield seen.figure("8 clients, no wake-up", "/s")
    yield seen.figure("cost of the wake-up", "%", most=5)
    for name in seen.names:
        if name.startswith("processor time"):
            yield seen.figure(name, "us")


def _load(
    running: process.Running, numbers: Iterator[int], size: int, clients: int
) -> receiver_load.Load:
    requests = [receiver_load.request(receiver_load.body(next(numbers))) for _ in range(size)]
    return asyncio.run(receiver_load.load(running.url, requests, clients=clients))


def _parts(
    running: process.Running, server: Cluster, numbers: Iterator[int], size: int
) -> dict[str, float]:
    """Processor time of one request by what it is spent on, in microseconds."""
    requests = [receiver_load.request(receiver_load.body(next(numbers))) for _ in range(size)]
    ours, theirs = running.cpu_s, process.cpu_of_family(server.pid)
    asyncio.run(receiver_load.load(running.url, requests, clients=8))
    ours, theirs = running.cpu_s - ours, process.cpu_of_family(server.pid) - theirs
    before = running.cpu_s
    asyncio.run(
        receiver_load.load(
            running.url, [receiver_load.HEALTHZ] * size, clients=8, expected=b'"status":"ok"'
        )
    )
    http = (running.cpu_s - before) / size
    body = receiver_load.body(0)
    header = sign(body)
    began = time.process_time()
    for _ in range(size):
        if refusal(body, [header], secrets=[SECRET], now=time.time()) is not None:
            raise WrongCountError("a signature of ours was refused")
        stripe_event.read(body)
    verify = (time.process_time() - began) / size
    own = ours / size
    return {
        "processor time, HTTP": http * 1e6,
        "processor time, verify and read": verify * 1e6,
        "processor time, the rest of Python": max(0.0, own - http - verify) * 1e6,
        "processor time, Postgres": theirs / size * 1e6,
    }


async def _alone(url: str, numbers: Iterator[int], size: int) -> float:
    """Transactions per second of `inbox.receive` through eight connections, without HTTP."""
    bodies = [receiver_load.body(next(numbers)) for _ in range(size)]
    events = iter([(stripe_event.read(body), body) for body in bodies])
    rules = InboxRules(currency="EUR")
    pool = Pool(url)
    await pool.open()

    async def one() -> None:
        for event, body in events:
            async with pool.connection(within=timedelta(seconds=10)) as conn:
                receipt = await inbox.receive(conn, event, body, rules=rules)
            if not receipt.wake:
                raise WrongCountError(f"an event was not applied: {receipt.detail}")

    began = time.perf_counter()
    try:
        await asyncio.gather(*(one() for _ in range(8)))
        return size / (time.perf_counter() - began)
    finally:
        await pool.close()


def _check(url: str, sent: int) -> None:
    """Every event is kept, applied, and owed once.

    Raises:
        WrongCountError: Something was lost or doubled.
    """
    for what, rows in {
        "events": "outbox.inbox_event where outcome = 'applied' and body is not null",
        "bookings": "public.bookings where status = 'confirmed'",
        "deliveries": "outbox.delivery where delivered = 0 and requested = 1",
    }.items():
        found = postgres.number(url, f"select count(*) from {rows}")
        if found != sent:
            raise WrongCountError(f"{found:.0f} {what} of {sent}")


def _slow_disk(options: Options, folder: Path) -> Iterator[Figure]:
    """On a disk with a millisecond per sync, beside pgbench's webhook transaction."""
    size = 200 if options.quick else 1500
    pgbench = receiver_peer.pgbench(options)
    if postgres.compiler() is None:
        yield not_measured("receiver: slow disk", ">= 0.8 x", "no C compiler (cc)")
        return
    seen, numbers = Rounds("receiver"), count(1)
    with (
        postgres.durable(sync_us=_SYNC_US) as server,
        postgres.migrated(server, "receiver") as url,
    ):
        receiver_load.remember(url)
        receiver_load.seed(url, 1, size * 3 * (options.rounds + 1))
        postgres.settled(url)
        for turn in range(options.rounds + 1):
            with process.receiver(url, folder / "receiver.log") as running:
                rates = {n: _load(running, numbers, size, n).rate for n in CLIENTS}
            alone = asyncio.run(_alone(url, numbers, size))
            limit = pgbench(server, 1 if options.quick else 3) if pgbench else {}
            if turn == 0:
                continue
            for clients, rate in rates.items():
                seen.note(f"slow disk, {clients} clients", rate)
            seen.note("slow disk, database part alone, 8 connections", alone)
            for name, rate in limit.items():
                seen.note(f"slow disk, pgbench {name}, 8 clients", rate)
            if "web" in limit:
                seen.note(
                    "slow disk, 8 clients, of pgbench without NOTIFY", rates[8] / limit["web"]
                )
                seen.note(
                    "slow disk, database part alone, of pgbench without NOTIFY",
                    alone / limit["web"],
                )
        _check(url, next(numbers) - 1)
    for name in seen.names:
        ratio = name.endswith("of pgbench without NOTIFY")
        least = 0.8 if ratio and "alone" in name else None
        yield seen.figure(
            name, "x" if ratio else "/s", least=least, note="every sync takes 1 ms longer"
        )
