"""Who is working, and which destinations take nothing at present."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from outbox_worker.database import Connection, Row
from outbox_worker.errors import DecodeError
from outbox_worker.gate import store as gate_store
from outbox_worker.gate import token as tokens
from outbox_worker.gate.circuit import Cause, State
from outbox_worker.gate.store import Gate
from outbox_worker.gate.token_state import UNFINISHED
from outbox_worker.operations.moments import moment
from outbox_worker.outbox.delivery import Destination
from outbox_worker.pms import guesty_token
from outbox_worker.pms.guesty_token import Outlook
from outbox_worker.pms.guesty_token_words import QUOTA_SPENT, REFUSED_ACCESS
from outbox_worker.pms.port import PmsName
from outbox_worker.settings_types import SyncSettings
from outbox_worker.sql import query

#: A worker whose heartbeat is older than this is not counted as running.
ALIVE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker that has been seen lately.

    Args:
        test_mode: How it handles bookings; says nothing where ``sync_enabled`` is false.
        listening: Whether it hears notifications; else it polls.
        in_flight: Calls under way at its last heartbeat.
        seen_ago: Since its last heartbeat, by the database's clock.
    """

    id: str
    host: str
    pid: int
    version: str
    pms: str
    sync_enabled: bool
    test_mode: bool
    listening: bool
    in_flight: int
    started_at: datetime
    seen_ago: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncMode:
    """Whether bookings are sent, and to whom, as one process's settings say."""

    enabled: bool
    test_mode: bool
    pms: PmsName

    @classmethod
    def of(cls, sync: SyncSettings) -> SyncMode:
        """What the settings say."""
        return cls(enabled=sync.enabled, test_mode=sync.test_mode, pms=PmsName(sync.pms))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The running workers and the gates that all of them share.

    Args:
        workers: Seen lately, oldest first.
        mode: How the running workers handle bookings; with none running, as our own settings say.
        closed: Why a destination takes nothing, one sentence each; open ones are absent.
        held: Those among them that a person holds back: paused, or switched off.
        no_token: Whether Guesty is called and no access token can be had at present: then nobody
            sends a booking past the gate either.
        now: The database's clock, aware UTC.
    """

    workers: tuple[Worker, ...]
    mode: SyncMode
    closed: Mapping[Destination, str]
    now: datetime
    held: frozenset[Destination] = frozenset()
    no_token: bool = False

    @property
    def pms(self) -> str:
        """The PMS as sentences call it."""
        return self.mode.pms.display_name


def worker_facts(row: Row) -> dict[str, Any]:
    """The fields of a `Worker`, of a row of ``outbox.worker`` with ``seen_ago``."""
    return {field.name: row[field.name] for field in fields(Worker)}


async def read_fleet(conn: Connection, ours: SyncMode) -> Fleet:
    """Workers and gates.

    Args:
        conn: Any connection; only reads.
        ours: What our own environment says; used while no worker is running.
    """
    cursor = await conn.execute(query("live_workers"), {"alive": ALIVE})
    workers = tuple(Worker(**worker_facts(row)) for row in await cursor.fetchall())
    # one that sends is enough for bookings to be sent, and for them to be real
    senders = [worker for worker in workers if worker.sync_enabled]
    mode = (
        SyncMode(
            enabled=bool(senders),
            test_mode=all(w.test_mode for w in senders or workers),
            pms=_pms(senders or workers, ours),
        )
        if workers
        else ours
    )
    gates = await gate_store.read_all(conn)
    ahead = await outlook_of(conn)
    closed = {gate.destination: reason(gate, ahead) for gate in gates if not gate.open}
    held = {gate.destination for gate in gates if gate.pause is not None}
    if not mode.enabled:
        closed[Destination.GUESTLY] = disabled(mode.pms)
        held.add(Destination.GUESTLY)
    return Fleet(
        workers=workers,
        mode=mode,
        closed=closed,
        now=gates[0].now,
        held=frozenset(held),
        no_token=mode.pms is PmsName.GUESTY and ahead.waits_until is not None,
    )


async def outlook_of(conn: Connection) -> Outlook:
    """What the next call of Guesty meets; only reads."""
    try:
        return guesty_token.outlook(await tokens.read_hidden(conn, Destination.GUESTLY))
    except DecodeError:
        return Outlook()  # somebody has removed the row, and workers make it anew


def _pms(workers: Sequence[Worker], ours: SyncMode) -> PmsName:
    """The one PMS of all of them; where they differ, our own."""
    named = {worker.pms for worker in workers}
    found = [name for name in PmsName if name in named]
    return found[0] if len(found) == 1 else ours.pms


def disabled(pms: PmsName) -> str:
    """Why bookings are held while nobody is to send any."""
    return f"{pms.display_name} sync is disabled (GUESTLY_SYNC_ENABLED=false)"


def still_testing(fleet: Fleet, ours: SyncMode) -> str | None:
    """Say that running workers test what our own settings send, after a forgotten restart.

    Args:
        fleet: As read before or after.
        ours: What our own environment says.

    Returns:
        A sentence that ends with what to do; None: no worker differs so.
    """
    stale = [each.id for each in fleet.workers if each.sync_enabled and each.test_mode]
    if ours.test_mode or not stale:
        return None
    which = f"worker {stale[0]}" if len(stale) == 1 else f"workers {', '.join(stale)}"
    verb, them = ("has", "it") if len(stale) == 1 else ("have", "them")
    return (
        f"the running {which} still {verb} GUESTLY_TEST_MODE=true,"
        f" your settings say false: restart {them}"
    )


def reason(gate: Gate, ahead: Outlook) -> str:
    """Why a gate that is not open takes nothing, in words that follow "it is held: ".

    Args:
        gate: Not open.
        ahead: What the next call of Guesty meets.
    """
    if gate.pause is not None:
        until = "until resumed" if gate.pause.until is None else f"until {moment(gate.pause.until)}"
        why = f": {gate.pause.reason}" if gate.pause.reason else ""
        return f"paused by {gate.pause.by} {until}{why}"
    circuit = gate.circuit
    if gate.lacks_token:
        return f"{no_token(gate)}; {next_one(gate)} {_next_token(gate)}"
    if circuit.state is not State.CLOSED:
        code = f" ({circuit.code})" if circuit.code else ""
        if circuit.cause is Cause.MISCONFIGURED:
            at = next_access_at(gate, ahead)
            then = _next_probe(gate) if at is None else next_access(gate, moment(at))
            return f"{refused(gate)}{code}; {then}"
        return f"its last calls all failed{code}; {_next_probe(gate)}"
    return f"it asked to be left alone until {gate.hold.until and moment(gate.hold.until)}"


def no_token(gate: Gate) -> str:
    """With `Gate.lacks_token`: what is the matter."""
    if gate.token_code == UNFINISHED:
        return "an access token is being requested"
    return f"no access token can be had ({gate.token_code or gate.circuit.code})"


def next_one(gate: Gate) -> str:
    """With `Gate.lacks_token`: what precedes the moment of the next request."""
    if gate.token_code == UNFINISHED:
        return "if that brings none, the next one is requested"
    return "the next one is requested"


def refused(gate: Gate) -> str:
    """What is refused by a destination that refuses our access."""
    return REFUSED_ACCESS.get(gate.circuit.code or "", "our key or address is refused")


def next_access_at(gate: Gate, ahead: Outlook) -> datetime | None:
    """When access that was refused is asked for again, where probes before that ask nobody.

    Args:
        gate: Any.
        ahead: What the next call of Guesty meets.

    Returns:
        Aware UTC; None: the next probe asks.
    """
    known = gate.circuit.state is not State.CLOSED and gate.circuit.code in REFUSED_ACCESS
    return ahead.waits_until if known else None


def next_access(gate: Gate, at: str) -> str:
    """The sentence about the moment of `next_access_at`."""
    if gate.circuit.code == QUOTA_SPENT:
        return f"the next one is possible at {at}"
    return f"tried again at {at}, or after `outbox resume {gate.destination}`"


def _next_token(gate: Gate) -> str:
    at = gate.next_token_at
    if at is None:
        return "with the next call"
    return f"at {moment(at)}, or after `outbox resume {gate.destination}`"


def _next_probe(gate: Gate) -> str:
    if gate.circuit.state is State.HALF_OPEN:
        return "one call is under way to see whether it works again"
    if gate.circuit.until is None or gate.circuit.until <= gate.now:
        return "the next call is tried as soon as there is one to make"
    return f"one call is tried at {moment(gate.circuit.until)}"
