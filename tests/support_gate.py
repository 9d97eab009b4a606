"""Loops whose destination has a gate, and a PMS that is switched between moods."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from enum import Enum, auto
from typing import Any

from outbox_worker.database import Connection
from outbox_worker.gate.rate import Window
from outbox_worker.handlers.effect import Result
from outbox_worker.handlers.protocol import Deadline, Handler
from outbox_worker.metrics import Metrics
from outbox_worker.outbox.delivery import Claim, DeliveryId, Destination, WorkerId
from outbox_worker.outbox.outcome import AttemptOutcome, Done, Park, Retry, Wait
from outbox_worker.outbox.retry import RetryPolicy
from outbox_worker.pms.port import Remaining
from outbox_worker.worker.gatekeeper import Gatekeeper, GateRules
from outbox_worker.worker.loop import Loop
from outbox_worker.worker.report import Reporter
from outbox_worker.worker.wakeup import Wakeup
from tests.support_engine import POLICY, Scripted, eventually, owe

LEASE = timedelta(seconds=30)


class Mood(Enum):
    """How the stand-in for the PMS answers."""

    WELL = auto()
    DOWN = auto()
    REFUSES_KEY = auto()
    REFUSES_BOOKING = auto()
    TOO_MANY = auto()


class Destined:
    """A destination that answers by its mood, and remembers who called when.

    Args:
        broken: Keys that bring it down whatever its mood.
    """

    def __init__(self, mood: Mood = Mood.WELL, *, broken: frozenset[str] = frozenset()) -> None:
        self.mood = mood
        self.calls: list[Claim] = []
        self.retry_after = timedelta(seconds=30)
        self._broken = broken
        #: Probes wait for it.
        self.release = asyncio.Event()
        self.release.set()

    def handler(self, rules: RetryPolicy = POLICY) -> Scripted:
        return Scripted(self._run, destination=Destination.GUESTLY, rules=rules)

    async def _run(self, claim: Claim, deadline: Deadline) -> Result:
        deadline.reads()
        self.calls.append(claim)
        if claim.probe:
            await self.release.wait()
        mood = Mood.DOWN if claim.key in self._broken else self.mood
        match mood:
            case Mood.WELL:
                return Result(outcome=Done(http_status=200))
            case Mood.DOWN:
                return Result(outcome=Retry(code="http_503", message="down", outage=True))
            case Mood.REFUSES_KEY:
                return Result(
                    outcome=_wait(AttemptOutcome.MISCONFIGURED, "unauthorized", everybodys=True)
                )
            case Mood.REFUSES_BOOKING:
                return Result(outcome=Park(code="invalid", message="no", http_status=422))
            case Mood.TOO_MANY:
                limited = _wait(AttemptOutcome.RATE_LIMITED, "rate_limited", self.retry_after)
                return Result(outcome=limited)


def _wait(
    record: AttemptOutcome,
    code: str,
    due_in: timedelta = timedelta(0),
    *,
    everybodys: bool = False,
) -> Wait:
    return Wait(due_in=due_in, record=record, code=code, message=code, everybodys=everybodys)


def keeper_of(
    owner: str,
    *,
    windows: tuple[Window, ...] = (),
    failures: int = 5,
    calls_per_claim: int = 1,
    heard: Callable[[], Sequence[Remaining]] = tuple,
) -> Gatekeeper:
    worker = WorkerId(owner)
    rules = GateRules(
        circuit_failures=failures,
        windows=windows,
        calls_per_claim=calls_per_claim,
        quiet=timedelta(seconds=30),
        name="guestly",
        heard=heard,
    )
    return Gatekeeper({Destination.GUESTLY: rules}, owner=worker, lease=LEASE)


def gated_loop(
    url: str,
    *handlers: Handler[Any],
    owner: str = "worker-a",
    windows: tuple[Window, ...] = (),
    failures: int = 5,
    slots: int = 3,
    calls_per_claim: int = 1,
    heard: Callable[[], Sequence[Remaining]] = tuple,
) -> Loop:
    return Loop(
        handlers={handler.destination: handler for handler in handlers},
        slots=dict.fromkeys(Destination, slots),
        owner=WorkerId(owner),
        lease=LEASE,
        poll=timedelta(milliseconds=50),
        wakeup=Wakeup(url, name=owner),
        gatekeeper=keeper_of(
            owner,
            windows=windows,
            failures=failures,
            calls_per_claim=calls_per_claim,
            heard=heard,
        ),
        reporter=Reporter(Metrics()),
    )


async def owe_bookings(conn: Connection, count: int) -> list[DeliveryId]:
    """Deliveries ``b0``, ``b1``… of the gated destination, oldest first."""
    rows = [await owe(conn, f"b{number}", Destination.GUESTLY) for number in range(count)]
    await conn.execute(
        "update outbox.delivery set due_at = now() - interval '1 minute' + id * interval '1 ms'"
    )
    return rows


async def gate(conn: Connection) -> dict[str, Any]:
    cursor = await conn.execute(
        "select *, xmin::text as written, now() as now from outbox.destination"
        " where destination = 'guestly'"
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


async def circuit_state(conn: Connection) -> str:
    return str((await gate(conn))["circuit"])


async def open_circuit(conn: Connection, *, cause: str = "outage", rest: str = "1 hour") -> None:
    await conn.execute(
        "update outbox.destination set circuit = 'open', circuit_cause = %(cause)s,"
        " circuit_opens = 1, circuit_opened_at = now(), circuit_until = now() + %(rest)s::interval"
        " where destination = 'guestly'",
        {"cause": cause, "rest": rest},
    )


async def allow_probe(conn: Connection) -> None:
    await conn.execute("update outbox.destination set circuit_until = now() where circuit = 'open'")


async def probed(conn: Connection, opens: int) -> dict[str, Any]:
    """The gate when it has opened so many times in a row, and nobody is at work behind it."""

    async def over() -> bool:
        seen = await gate(conn)
        at_work = await count(conn, "owner is not null")
        return (seen["circuit"], seen["circuit_opens"], at_work) == ("open", opens, 0)

    await eventually(over, f"opened {opens} times")
    return await gate(conn)


async def count(conn: Connection, where: str) -> int:
    cursor = await conn.execute(f"select count(*) as n from outbox.delivery where {where}")
    row = await cursor.fetchone()
    assert row is not None
    return int(row["n"])


async def open_alerts(conn: Connection) -> list[str]:
    cursor = await conn.execute(
        "select kind from outbox.alert where resolved_at is null order by id"
    )
    return [row["kind"] for row in await cursor.fetchall()]
