"""Gates in Postgres. The caller owns the connection, and the transaction where one is needed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from outbox_worker.database import Connection, Row
from outbox_worker.errors import DecodeError
from outbox_worker.gate import rate
from outbox_worker.gate.circuit import Cause, Circuit, State
from outbox_worker.gate.hold import Hold
from outbox_worker.gate.rate import Taken, Usage, Window
from outbox_worker.gate.token_state import NO_TOKEN
from outbox_worker.outbox.delivery import DeliveryId, Destination, WorkerId
from outbox_worker.sql import query


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A person keeps a destination shut.

    Args:
        until: None: until it is resumed.
    """

    since: datetime
    until: datetime | None
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One destination's gate.

    Args:
        pause: None: not paused, or the pause is over.
        hold: The rest that the destination asked for.
        usage: Calls of all workers lately.
        token_code: How the last request for an access token failed; None: it did not.
        token_from: None is requested before; None: no such wait is on record.
        now: The database's clock when it was read, aware UTC.
    """

    destination: Destination
    pause: Pause | None
    circuit: Circuit
    hold: Hold
    usage: Usage
    now: datetime
    token_code: str | None = None
    token_from: datetime | None = None

    @property
    def held(self) -> bool:
        """Whether the destination asked to be left alone, and the time is not over."""
        return self.hold.until is not None and self.hold.until > self.now

    @property
    def lacks_token(self) -> bool:
        """Whether its circuit is not closed because no access token can be had."""
        return self.circuit.state is not State.CLOSED and self.circuit.code == NO_TOKEN

    @property
    def next_token_at(self) -> datetime | None:
        """With `lacks_token`: when the next one is requested; None: by the next call."""
        probing = self.circuit.state is State.HALF_OPEN
        waits = (self.token_from, None if probing else self.circuit.until)
        at = max(filter(None, waits), default=self.now)
        return at if self.lacks_token and at > self.now else None

    @property
    def open(self) -> bool:
        """Whether its deliveries are claimed at present."""
        return self.pause is None and self.circuit.state is State.CLOSED and not self.held


async def lock(conn: Connection, destination: Destination) -> Gate:
    """One gate, locked until the caller's transaction ends; waits for others only shortly.

    Raises:
        psycopg.errors.LockNotAvailable: Somebody else holds it.
    """
    await conn.execute(query("gate_begin"))
    row = await _read(conn, destination)
    if row is None:
        # somebody has removed it: results must be recorded all the same
        await conn.execute(query("gate_insert"), {"destination": destination})
        row = await _read(conn, destination)
    return _gate(_found(row, destination))


async def read_all(conn: Connection) -> tuple[Gate, ...]:
    """Every gate, by name; locks nothing."""
    cursor = await conn.execute(query("gate_read_all"))
    return tuple(_gate(row) for row in await cursor.fetchall())


async def write_circuit(
    conn: Connection,
    destination: Destination,
    circuit: Circuit,
    hold: Hold,
    *,
    redrive_before: datetime | None = None,
) -> None:
    """Record what was learnt about a destination.

    Args:
        conn: Inside the transaction that has locked the gate.
        destination: Whose.
        circuit: As it is now.
        hold: The rest that it asked for.
        redrive_before: Try rows again that were given up before that.
    """
    await conn.execute(
        query("gate_write_circuit"),
        {
            "destination": destination,
            "circuit": circuit.state,
            "failures": circuit.failures,
            "row": circuit.row,
            "several": circuit.several,
            "opens": circuit.opens,
            "until": circuit.until,
            "cause": circuit.cause,
            "code": circuit.code,
            "opened_at": circuit.opened_at,
            "probe_owner": circuit.probe_owner,
            "probe_until": circuit.probe_until,
            "held_until": hold.until,
            "held_since": hold.since,
            "redrive_before": redrive_before,
        },
    )


async def take_calls(
    conn: Connection,
    destination: Destination,
    windows: Sequence[Window],
    *,
    want: int,
    least: int,
) -> Taken:
    """Take calls of the fleet's common limit; see `rate.take`. A transaction of its own."""
    async with conn.transaction():
        gate = await lock(conn, destination)
        taken = rate.take(gate.usage, windows, now=gate.now, want=want, least=least)
        if taken.granted:
            await _write_usage(conn, destination, taken.usage)
    return taken


async def heard(
    conn: Connection, destination: Destination, windows: Sequence[Window], left: Mapping[str, int]
) -> bool:
    """Count what others have made of the limit; see `rate.told`. A transaction of its own.

    Returns:
        Whether there was anything to count.
    """
    async with conn.transaction():
        gate = await lock(conn, destination)
        usage = rate.told(gate.usage, windows, left, now=gate.now)
        if usage is not None:
            await _write_usage(conn, destination, usage)
    return usage is not None


async def give_back_calls(
    conn: Connection,
    destination: Destination,
    windows: Sequence[Window],
    *,
    count: int,
    taken_at: datetime,
) -> None:
    """Return calls that were taken and not made; see `rate.give_back`. A transaction of its own."""
    async with conn.transaction():
        gate = await lock(conn, destination)
        await _write_usage(
            conn, destination, rate.give_back(gate.usage, windows, count=count, taken_at=taken_at)
        )


async def take_probe(
    conn: Connection,
    destination: Destination,
    *,
    owner: WorkerId,
    lease: timedelta,
    quiet: timedelta,
) -> DeliveryId | None:
    """Become the one who probes, if it is time to and there is a row to probe with.

    Args:
        conn: In autocommit mode.
        destination: Whose circuit is not closed.
        owner: Who probes.
        lease: How long the others wait for the result.
        quiet: A row whose write is unknown is no probe for so long: it would send nothing.

    Raises:
        psycopg.errors.LockNotAvailable: Somebody else holds the gate.

    Returns:
        The row to probe with, not claimed yet. None: somebody else probes, or it is too early.
    """
    values = {"destination": destination, "owner": owner, "lease": lease, "quiet": quiet}
    async with conn.transaction():
        await conn.execute(query("gate_begin"))
        cursor = await conn.execute(query("gate_take_probe"), values)
        if await cursor.fetchone() is None:
            return None
        cursor = await conn.execute(
            query("gate_probe_row"), {"destination": destination, "quiet": quiet}
        )
        row = await cursor.fetchone()
    return None if row is None or row["id"] is None else DeliveryId(row["id"])


async def allow_probe(
    conn: Connection, destination: Destination, *, cause: Cause | None = None
) -> bool:
    """Let the next probe of an open circuit through at once; whether it had to wait.

    Args:
        conn: Any connection.
        destination: Whose circuit.
        cause: Only if it is open for this cause; None: whatever the cause.
    """
    async with conn.transaction():
        await conn.execute(query("gate_begin"))
        cursor = await conn.execute(
            query("gate_allow_probe"), {"destination": destination, "cause": cause}
        )
        return await cursor.fetchone() is not None


async def pause(
    conn: Connection, destination: Destination, *, by: str, reason: str, length: timedelta | None
) -> Gate:
    """Keep a destination shut for ``length``, or until it is resumed; again: anew from now on."""
    async with conn.transaction():
        await conn.execute(
            query("gate_pause"),
            {"destination": destination, "by": by, "reason": reason, "length": length},
        )
        return _gate(_found(await _read(conn, destination), destination))


async def resume(conn: Connection, destination: Destination) -> None:
    """End a pause and a wait, and let the next probe of an open circuit through at once."""
    await conn.execute(query("gate_resume"), {"destination": destination})


async def redrive(
    conn: Connection, destination: Destination, *, before: datetime, limit: int
) -> tuple[DeliveryId, ...]:
    """Make some rows due that were given up and not tried since ``before``.

    Returns:
        The rows; fewer than ``limit``: there are no more, and that is recorded.
    """
    cursor = await conn.execute(
        query("redrive_given_up"),
        {"destination": destination, "before": before, "limit": limit},
    )
    rows = tuple(DeliveryId(row["id"]) for row in await cursor.fetchall())
    if len(rows) < limit:
        async with conn.transaction():
            await conn.execute(query("gate_begin"))
            await conn.execute(
                query("gate_redriven"), {"destination": destination, "before": before}
            )
    return rows


async def _write_usage(conn: Connection, destination: Destination, usage: Usage) -> None:
    await conn.execute(
        query("gate_write_rate"), {"destination": destination, "usage": json.dumps(usage)}
    )


async def _read(conn: Connection, destination: Destination) -> Row | None:
    """The row as it is now, locked until the transaction ends."""
    cursor = await conn.execute(query("gate_lock"), {"destination": destination})
    return await cursor.fetchone()


def _found(row: Row | None, destination: Destination) -> Row:
    if row is None:
        raise DecodeError(f"outbox.destination has no row of {destination}")
    return row


def _gate(row: Row) -> Gate:
    paused = row["paused_at"] is not None and (
        row["paused_until"] is None or row["paused_until"] > row["now"]
    )
    pause = (
        Pause(
            since=row["paused_at"],
            until=row["paused_until"],
            by=row["paused_by"] or "an operator",
            reason=row["pause_reason"] or "",
        )
        if paused
        else None
    )
    return Gate(
        destination=Destination(row["destination"]),
        pause=pause,
        circuit=Circuit(
            state=State(row["circuit"]),
            failures=row["circuit_failures"],
            row=None if row["circuit_row"] is None else DeliveryId(row["circuit_row"]),
            several=row["circuit_rows"],
            opens=row["circuit_opens"],
            until=row["circuit_until"],
            cause=None if row["circuit_cause"] is None else Cause(row["circuit_cause"]),
            code=row["circuit_code"],
            opened_at=row["circuit_opened_at"],
            probe_owner=None if row["probe_owner"] is None else WorkerId(row["probe_owner"]),
            probe_until=row["probe_until"],
        ),
        hold=Hold(since=row["held_since"], until=row["held_until"]),
        usage=row["rate_tokens"],
        now=row["now"],
        token_code=row["auth_code"],
        token_from=row["auth_not_before"],
    )
