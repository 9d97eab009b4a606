"""One seed: bookings and faults side by side, then calm, then the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from outbox_worker.database import connection
from outbox_worker.pms.port import PmsName
from tests.chaos import evidence, rules_guesty, trace
from tests.chaos.calm import BOUND, Calm, come_to_rest
from tests.chaos.checker import Violation, check
from tests.chaos.checker_end import check_end
from tests.chaos.history import Ack, History
from tests.chaos.life import Life
from tests.chaos.points import sprung
from tests.chaos.scenario import Plot, dice, plots
from tests.chaos.schedule import ENDS_TOKENS, LONG_STOP_S, LONGEST_STOP_S, STALE_S, tracks, traps
from tests.chaos.stage import Casting, Stage, stage
from tests.chaos.stripe import Stripe
from tests.chaos.tally import Tally, from_database, from_files

WORKERS = 3
_TRACED = 3


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
    calm: Calm
    seconds: float
    lag_s: float
    folder: Path | None


def settings_of(seed: int, pms: PmsName) -> tuple[Mapping[str, str], Mapping[str, object]]:
    """How the engine and the PMS are set up: by turns, so that a run has seen every combination."""
    # an open circuit keeps everything quiet, so few seeds have one that opens
    engine = {"PMS_CIRCUIT_FAILURES": "5" if seed % 5 == 0 else "1000"}
    if pms is PmsName.GUESTY:
        return engine, rules_guesty.switches(seed, lag_s=STALE_S)
    simulator: dict[str, object] = {
        # with it, the calendar refuses a double; without it, a double stands
        "availability": seed % 4 == 0,
        "idempotency": ("ignore", "honour", "refuse")[seed % 3],
    }
    return engine, simulator


async def run(seed: int, pms: PmsName, *, bookings: int, seconds: float) -> Verdict:
    """Play one seed to its end.

    Args:
        seed: Of everything that chance decides.
        pms: What the simulator stands in for.
        bookings: How many.
        seconds: How long bookings begin and faults strike.

    Raises:
        ProcessError: A process cannot be kept running: a fault of the set-up, not of a rule.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"booking-outbox-chaos-{seed}-"))
    keep = False
    try:
        verdict = await _run(seed, pms, folder, bookings=bookings, seconds=seconds)
        keep = bool(verdict.violations)
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    return verdict


async def _run(seed: int, pms: PmsName, folder: Path, *, bookings: int, seconds: float) -> Verdict:
    began = time.monotonic()
    engine, switches = settings_of(seed, pms)
    cast = plots(seed, bookings, seconds=seconds * 0.9)
    async with _lag() as lag, stage(_casting(seed, pms, folder, engine)) as playing:
        await playing.nemesis.set_up(switches)
        stripe = Stripe(
            port=playing.receiver_port, calm=asyncio.Event(), chance=dice(seed, "stripe")
        )
        calm = await _play(playing, stripe, cast, seed, seconds)
        history = await history_of(playing, calm, acks=stripe.acks)
        violations = (*check(history), *check_end(history))
        traces = await _traces(playing, violations)
        tally = await _tally(playing, stripe, history)
        tally.paths["rows repeated by an operator"] += calm.repeated
        tally.paths["destinations opened again by an operator"] += calm.resumed
    return Verdict(
        seed=seed,
        bookings=bookings,
        violations=violations,
        traces=traces,
        tally=tally,
        calm=calm,
        seconds=time.monotonic() - began,
        lag_s=lag[0],
        folder=folder if violations else None,
    )


def _casting(seed: int, pms: PmsName, folder: Path, engine: Mapping[str, str]) -> Casting:
    deck = traps(seed, "workers", pms)
    frozen = dice(seed, "frozen")
    return Casting(
        pms=pms,
        seed=seed,
        folder=folder,
        workers=(deck,) * WORKERS,
        receiver=traps(seed, "receiver", pms),
        settings=engine,
        patience=lambda: frozen.uniform(*LONG_STOP_S),
        longest_stop=LONGEST_STOP_S,
    )


async def _play(
    playing: Stage, stripe: Stripe, cast: tuple[Plot, ...], seed: int, seconds: float
) -> Calm:
    """The faults with the bookings, and the calm after them."""
    playing.start()
    watching = asyncio.create_task(playing.site.watch())
    began = time.monotonic()
    lives = asyncio.gather(
        *(
            Life(
                plot=plot, site=playing.site, stripe=stripe, nemesis=playing.nemesis, began=began
            ).run()
            for plot in cast
        )
    )
    try:
        await playing.nemesis.run(tracks(seed, playing.pms_name, seconds=seconds), began=began)
        stripe.calm.set()
        return await come_to_rest(playing, lives)
    finally:
        watching.cancel()
        lives.cancel()
        await asyncio.gather(watching, lives, return_exceptions=True)


async def history_of(playing: Stage, calm: Calm, *, acks: Sequence[Ack]) -> History:
    """Stop everything, and read what the run has left behind."""
    exits = {}
    for member in (*playing.workers, playing.receiver):
        if member.process is not None:
            exits[member.name] = await member.stop()
    held, requested = await playing.nemesis.held(), None
    if playing.pms_name is PmsName.GUESTY:
        requested = await playing.nemesis.token_requests()
    async with connection(playing.database.url, application_name="chaos look") as conn:
        return await evidence.history(
            conn,
            held=held,
            requested=requested,
            revoked=[one.at for one in playing.nemesis.struck if one.kind in ENDS_TOKENS],
            effects=playing.effects,
            logs=[*playing.logs, playing.effects, playing.requests],
            acks=acks,
            posted=playing.taken(),
            exits=exits,
            drained_in=calm.drained_in,
            bound=BOUND,
            still_owed=calm.owed,
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
    tally.paths["tokens"] += 0 if history.tokens is None else len(history.tokens.changes)
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
