"""From the webhook to the reservation: real receiver, worker and PMS stand-in, loopback between."""

from __future__ import annotations

import asyncio
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import psycopg

from outbox_worker.demo.postgres import Cluster
from tests.benchmarks import postgres, process, receiver_load
from tests.benchmarks.figure import Figure
from tests.benchmarks.options import Options, WrongCountError
from tests.benchmarks.rounds import Rounds
from tests.support_simulator import API_KEY, LISTING, Simulator, start_simulator

_PER_SECOND = 20
_ANSWER_S = 0.15
_CONCURRENCY = 10
_UNLIMITED = {
    "PMS_RATE_PER_SECOND": "0",
    "PMS_RATE_PER_MINUTE": "0",
    "PMS_RATE_PER_HOUR": "0",
}
_MINUTE_S = 60.0
#: Each booking is looked up, then created.
_CALLS = 2
_PATIENCE_S = 200.0
_MOMENTS = """
select b.booking_reference, e.received_at, d.claimed_at
from outbox.inbox_event e join bookings b on b.id = e.booking_id
join outbox.delivery d on d.destination = 'guestly' and d.key = b.id::text
"""


def measure(options: Options) -> list[Figure]:
    """Latency at a steady pace, the pace of a burst, and what the default limit makes of it."""
    seen = Rounds("whole way")
    with postgres.durable() as server:
        for number in range(options.rounds):
            whole, parts = _steady(server, f"steady{number}", 40 if options.quick else 400)
            seen.note("p50 at 20 payments a second", _percentile(whole, 50) * 1000)
            seen.note("p99 at 20 payments a second", _percentile(whole, 99) * 1000)
            for part, lengths in parts.items():
                seen.note(f"p50, {part}", _percentile(lengths, 50) * 1000)
        size = 100 if options.quick else 2000
        pace, taken = _burst(server, "burst", size)
        limited = _limited(server, "limited", 20 if options.quick else 150)
    ideal = _CONCURRENCY / (_CALLS * _ANSWER_S)
    seen.note("burst, bookings a second", pace)
    seen.note("burst, of what concurrency allows", pace / ideal)
    seen.note("burst, webhooks taken a second", taken)
    seen.note("default limit, calls in the first minute", limited)
    seen.note("default limit, minutes for 2,000 bookings", 2000 * _CALLS / 120)
    note = "one worker, PMS_RATE_* 0, two calls a booking"
    return [
        seen.figure("p50 at 20 payments a second", "ms", most=15, note=note),
        seen.figure("p99 at 20 payments a second", "ms", most=60, note=note),
        *(seen.figure(part, "ms") for part in seen.names if part.startswith("p50, ")),
        seen.figure("burst, bookings a second", "/s", note=f"{size} webhooks, 150 ms an answer"),
        seen.figure(
            "burst, of what concurrency allows",
            "x",
            least=0.9,
            note=f"{_CONCURRENCY} / ({_CALLS} x 150 ms) = {ideal:.1f} a second; one round",
        ),
        seen.figure("burst, webhooks taken a second", "/s", note="64 clients, worker running"),
        seen.figure("default limit, calls in the first minute", "", note="120 are allowed"),
        seen.figure("default limit, minutes for 2,000 bookings", "min", note="computed"),
    ]


@contextmanager
def _stack(
    server: Cluster, name: str, size: int, **settings: str
) -> Iterator[tuple[str, process.Running, Simulator]]:
    """URL of the database, the receiver and the stand-in; a worker runs."""
    with ExitStack() as opened:
        url = opened.enter_context(postgres.migrated(server, name))
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="whole-way-")))
        receiver_load.remember(url)
        receiver_load.seed(url, 1, size)
        postgres.run(
            url,
            "insert into outbox.listing (pms, slug, listing_id)"
            f" select 'guestly', slug, '{LISTING}' from properties",
        )
        postgres.settled(url)
        pms = opened.enter_context(start_simulator(folder / "pms"))
        # all bookings are of one listing
        pms.switch(availability=False)
        receiver = opened.enter_context(process.receiver(url, folder / "receiver.log"))
        environ = {
            "DATABASE_URL": url,
            "GUESTLY_SYNC_ENABLED": "true",
            "GUESTLY_TEST_MODE": "false",
            "GUESTLY_API_URL": pms.url,
            "GUESTLY_API_KEY": API_KEY,
            "METRICS_ADDRESS": "",
            "LOG_FORMAT": "json",
            **settings,
        }
        log = folder / "worker.log"
        command: list[str | Path] = [process.program("outbox"), "worker", "run"]
        opened.enter_context(process.started(command, environ, log))
        _wait(lambda: "listen.restored" in log.read_text(encoding="utf-8"), "a worker that listens")
        yield url, receiver, pms


def _steady(server: Cluster, name: str, size: int) -> tuple[list[float], dict[str, list[float]]]:
    """Seconds from sending each webhook to its reservation, at a steady pace, and their parts."""
    with _stack(server, name, size, **_UNLIMITED) as (url, receiver, pms):
        sent = asyncio.run(_paced(receiver.url, size))
        _wait(lambda: len(pms.effects()) >= size, "all reservations")
        made = _made(pms.effects(), size)
        with psycopg.connect(url) as conn:
            rows = conn.execute(_MOMENTS).fetchall()
    received = {reference: at.timestamp() for reference, at, _ in rows}
    claimed = {reference: at.timestamp() for reference, _, at in rows}
    return [made[each] - at for each, at in sent.items()], {
        "sent to the begin of the receiver's transaction": [
            received[each] - at for each, at in sent.items()
        ],
        "from there to the worker's claim": [claimed[each] - received[each] for each in sent],
        "from there to the reservation": [made[each] - claimed[each] for each in sent],
    }


async def _paced(url: str, size: int) -> dict[str, float]:
    """Send one webhook after the other; the moment of each by its booking's reference."""
    sent: dict[str, float] = {}
    loads = []
    began = time.monotonic()
    for number in range(1, size + 1):
        request = receiver_load.request(receiver_load.body(number))
        await asyncio.sleep(max(0.0, began + number / _PER_SECOND - time.monotonic()))
        sent[f"LA-{number}"] = time.time()
        loads.append(asyncio.create_task(receiver_load.load(url, [request], clients=1)))
    await asyncio.gather(*loads)
    return sent


def _burst(server: Cluster, name: str, size: int) -> tuple[float, float]:
    """Bookings and webhooks a second, while the PMS takes its time."""
    with _stack(server, name, size, **_UNLIMITED) as (_, receiver, pms):
        pms.faults({"fault": "latency", "seconds": _ANSWER_S})
        requests = [receiver_load.request(receiver_load.body(n)) for n in range(1, size + 1)]
        taken = asyncio.run(receiver_load.load(receiver.url, requests, clients=64))
        _wait(lambda: len(pms.effects()) >= size, "all reservations")
        moments = sorted(_made(pms.effects(), size).values())
    return (size - 1) / (moments[-1] - moments[0]), taken.rate


def _limited(server: Cluster, name: str, size: int) -> float:
    """Calls in the minute that begins with the first one, with the limits as they come."""
    with _stack(server, name, size) as (_, receiver, pms):
        requests = [receiver_load.request(receiver_load.body(n)) for n in range(1, size + 1)]
        asyncio.run(receiver_load.load(receiver.url, requests, clients=64))
        began = time.monotonic()
        _wait(
            lambda: time.monotonic() > began + _MINUTE_S + 2 or len(pms.effects()) >= size,
            "the end of the minute",
        )
        calls = [_moment(line) for line in pms.requests()]
    return float(sum(moment < calls[0] + _MINUTE_S for moment in calls))


def _made(effects: Sequence[Mapping[str, object]], size: int) -> dict[str, float]:
    """Moment of each reservation by its booking's reference.

    Raises:
        WrongCountError: A booking has none, or several.
    """
    made = {str(line["reference"]): _moment(line) for line in effects if line["op"] == "create"}
    if len(effects) != size or len(made) != size:
        raise WrongCountError(f"{len(effects)} reservations of {size} bookings")
    return made


def _moment(line: Mapping[str, object]) -> float:
    return datetime.fromisoformat(str(line["at"])).timestamp()


def _wait(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not done():
        if time.monotonic() > deadline:
            raise WrongCountError(f"{what}: waited in vain")
        time.sleep(0.2)


def _percentile(values: Sequence[float], of_100: int) -> float:
    return sorted(values)[max(0, math.ceil(len(values) * of_100 / 100) - 1)]
