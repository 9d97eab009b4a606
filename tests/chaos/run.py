"""One seed: bookings and faults side by side, then calm, then the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from outbox_worker.database import connection
from outbox_worker.demo.process import child_environment
from outbox_worker.errors import DatabaseError
from tests.chaos import evidence, trace
from tests.chaos.checker import Violation, check
from tests.chaos.history import Ack, History
from tests.chaos.life import Life
from tests.chaos.points import sprung
from tests.chaos.scenario import Plot, dice, plots
from tests.chaos.schedule import LEASE_S, LONG_STOP_S, LONGEST_STOP_S, QUIET_S, tracks, traps
from tests.chaos.stage import Casting, Stage, stage
from tests.chaos.stripe import Stripe
from tests.chaos.tally import Tally, from_database, from_files
from tests.support_mail import Posted
from tests.support_source import ROOT

WORKERS = 3
#: From the end of the faults until nothing may be owed any more.
BOUND = timedelta(seconds=2 * LEASE_S + QUIET_S + 30)
_LOOK_EVERY_S = 0.2
_TRACED = 3
_COMMAND_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one seed.

    Args:
        violations: None: it passed.
        traces: The stories of the bookings at fault, some of them.
        lag_s: How long the harness itself was kept from running: on a busy machine faults last
            longer than they were meant to.
        folder: Where its logs are; only of a seed that failed.
    """

    seed: int
    bookings: int
    violations: tuple[Violation, ...]
    traces: tuple[str, ...]
    tally: Tally
    drained_in: timedelta | None
    seconds: float
    lag_s: float
    folder: Path | None


def settings_of(seed: int) -> tuple[Mapping[str, str], Mapping[str, object]]:
    """How the engine and the PMS are set up: by turns, so that a run has seen every combination."""
    # an open circuit keeps everything quiet for a while, so not all seeds have a sensitive one
    engine = {"PMS_CIRCUIT_FAILURES": "5" if seed % 2 else "50"}
    simulator: dict[str, object] = {
        # with it, the calendar refuses a double; without it, a double stands
        "availability": seed % 4 == 0,
        "idempotency": ("ignore", "honour", "refuse")[seed % 3],
    }
    return engine, simulator


async def run(seed: int, *, bookings: int, seconds: float) -> Verdict:
    """Play one seed to its end.

    Args:
        seed: Of everything that chance decides.
        bookings: How many.
        seconds: How long bookings begin and faults strike.
    """
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix=f"booking-outbox-chaos-{seed}-"))
    engine, switches = settings_of(seed)
    cast = plots(seed, bookings, seconds=seconds * 0.9)
    async with (
        _lag() as lag,
        stage(_casting(seed, folder, engine)) as playing,
    ):
        await playing.nemesis.switch(**switches)
        stripe = Stripe(port=playing.receiver_port, chance=dice(seed, "stripe"))
        drained_in, owed, requeued = await _play(playing, stripe, cast, seed, seconds)
        tally = Tally()
        for member in (*playing.workers, playing.receiver):
            code = await member.stop()
            if code != 0:
                tally.paths[f"{member.name.rstrip('123456789')} did not stop cleanly"] += 1
        history = await history_of(playing, stripe.acks, drained_in=drained_in, owed=owed)
        violations = check(history)
        traces = await _traces(playing, violations)
        tally.add(await _tally(playing, stripe, history))
        tally.paths["rows repeated by an operator"] += requeued
    if not violations:
        shutil.rmtree(folder, ignore_errors=True)
    return Verdict(
        seed=seed,
        bookings=bookings,
        violations=violations,
        traces=traces,
        tally=tally,
        drained_in=drained_in,
        seconds=time.monotonic() - began,
        lag_s=lag[0],
        folder=folder if violations else None,
    )


def _casting(seed: int, folder: Path, engine: Mapping[str, str]) -> Casting:
    deck = traps(seed, "workers")
    frozen = dice(seed, "frozen")
    return Casting(
        seed=seed,
        folder=folder,
        workers=(deck,) * WORKERS,
        receiver=traps(seed, "receiver"),
        settings=engine,
        patience=lambda: frozen.uniform(*LONG_STOP_S),
        longest_stop=LONGEST_STOP_S,
    )


async def _play(
    playing: Stage, stripe: Stripe, cast: tuple[Plot, ...], seed: int, seconds: float
) -> tuple[timedelta | None, list[str], int]:
    """The faults with the bookings, and the calm after them.

    Returns:
        How long it took until nothing was owed; what was still owed; how many rows were repeated
        by an operator.
    """
    playing.start()
    watching = asyncio.create_task(playing.site.watch())
    began = time.monotonic()
    lives = (
        Life(plot=plot, site=playing.site, stripe=stripe, nemesis=playing.nemesis, began=began)
        for plot in cast
    )
    plotting = asyncio.gather(*(life.run() for life in lives))
    try:
        await playing.nemesis.run(tracks(seed, seconds=seconds), began=began)
        playing.disarm()
        await playing.nemesis.calm()
        calm = time.monotonic()
        ends = calm + BOUND.total_seconds()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(plotting), ends - time.monotonic())
        owed, parked = await _settled(playing, ends)
        if not owed and parked:
            await asyncio.to_thread(_requeue, playing)
            owed, still = await _settled(playing, ends)
            owed += still
        drained = timedelta(seconds=time.monotonic() - calm)
        return (drained if not owed and plotting.done() else None), owed, len(parked)
    finally:
        watching.cancel()
        plotting.cancel()
        await asyncio.gather(watching, plotting, return_exceptions=True)


async def _settled(playing: Stage, ends: float) -> tuple[list[str], list[str]]:
    """Wait until nothing is owed but what waits for a person; then, or in the end, what is."""
    owed: list[str] = ["everything"]
    parked: list[str] = []
    while owed and time.monotonic() < ends:
        with contextlib.suppress(DatabaseError):
            async with connection(playing.database.url, application_name="chaos look") as conn:
                while owed and time.monotonic() < ends:
                    owed, parked = await evidence.owed(conn, taken(playing))
                    if owed:
                        await asyncio.sleep(_LOOK_EVERY_S)
    return owed, parked


def _requeue(playing: Stage) -> None:
    """What an operator does with rows that wait for a person."""
    subprocess.run(
        [sys.executable, "-m", "outbox_worker.cli", "requeue", "--failed", "--yes"],
        env=child_environment(playing.settings),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_COMMAND_S,
        check=True,
    )


def taken(playing: Stage) -> list[Posted]:
    """Mails that may have been taken: all but those that were refused."""
    refused = {id(mail) for mail in playing.nemesis.refused_mails}
    return [mail for mail in playing.mail.posted if id(mail) not in refused]


async def history_of(
    playing: Stage, acks: list[Ack], *, drained_in: timedelta | None, owed: list[str]
) -> History:
    """What the run has left behind, now that nothing runs any more."""
    async with connection(playing.database.url, application_name="chaos look") as conn:
        return await evidence.history(
            conn,
            effects=playing.effects,
            logs=[*playing.logs, playing.effects, playing.requests],
            acks=acks,
            posted=taken(playing),
            drained_in=drained_in,
            bound=BOUND,
            still_owed=owed,
        )


async def _traces(playing: Stage, violations: tuple[Violation, ...]) -> tuple[str, ...]:
    references = list(dict.fromkeys(v.reference for v in violations if v.reference))[:_TRACED]
    if not references:
        return ()
    requests, effects = evidence.lines(playing.requests), evidence.lines(playing.effects)
    told = []
    async with connection(playing.database.url, application_name="chaos look") as conn:
        for reference in references:
            story = await trace.of_booking(
                conn,
                reference,
                requests=requests,
                effects=effects,
                struck=playing.nemesis.struck,
                sprung=sprung(playing.journal),
            )
            told.append("\n".join([f"--- {reference}", *story]))
    return tuple(told)


async def _tally(playing: Stage, stripe: Stripe, history: History) -> Tally:
    async with connection(playing.database.url, application_name="chaos look") as conn:
        tally = await from_database(conn)
    tally.add(from_files(playing.requests, playing.logs, sprung(playing.journal), history))
    for fault in playing.nemesis.struck:
        tally.faults[fault.kind.value] += 1
    for member, name in (
        *((w, "workers") for w in playing.workers),
        (playing.receiver, "receivers"),
    ):
        for what, count in member.counts.items():
            tally.paths[f"{name} {what}"] += count
    again = sum(stripe.counts.values()) - len(stripe.acks)
    tally.paths["events delivered again until they were taken"] += again
    tally.paths["events answered with a 2xx"] += len(stripe.acks)
    tally.paths["bookings edited"] += playing.site.edits
    tally.paths["bookings cancelled"] += playing.site.cancellations
    if history.drained_in is not None:
        tally.drains.append(history.drained_in.total_seconds())
    return tally


@contextlib.asynccontextmanager
async def _lag() -> AsyncIterator[list[float]]:
    """The longest time for which this process's own loop did not run."""
    worst = [0.0]

    async def watch() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            worst[0] = max(worst[0], time.monotonic() - before - 0.01)

    task = asyncio.create_task(watch())
    try:
        yield worst
    finally:
        task.cancel()
