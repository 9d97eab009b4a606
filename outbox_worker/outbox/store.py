"""The engine's statements as functions. The caller owns the transaction and the connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.rows import tuple_row

from outbox_worker.database import Connection, Row, for_rows
from outbox_worker.errors import DecodeError
from outbox_worker.outbox.delivery import (
    Claim,
    DeliveryId,
    Destination,
    Fence,
    Reason,
    Snapshot,
    WorkerId,
)
from outbox_worker.outbox.outcome import AttemptOutcome
from outbox_worker.sql import query

#: Looked up for every claim; calling the enumeration takes four times as long.
_DESTINATIONS = {str(each): each for each in Destination}
#: Columns of `claim` about the gate; those of the row that was taken follow.
_OF_GATE = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How many rows of one destination a claim may take.

    Args:
        limit: Free slots; 0 only looks.
        max_attempts: Attempts of one round; None: no limit.
    """

    destination: Destination
    limit: int
    max_attempts: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a claim saw of one destination's gate.

    Args:
        open: Whether its rows are claimed at present.
        suspect: Whether its last calls failed, though not enough of them to open its circuit.
        probe_due: Whether its circuit is not closed and somebody may probe now.
        due: With a limit of 0 and an open gate: whether there is a row to claim.
        redrive_before: Rows given up before that are to be tried again; None: none.
    """

    open: bool
    suspect: bool
    probe_due: bool
    due: bool
    redrive_before: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """The answer to a claim: rows, in no particular order, and every destination asked about."""

    claims: tuple[Claim, ...]
    looks: Mapping[Destination, Look]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """A delivery by id, with the database's clock.

    Args:
        now: The database's clock when it was read, aware UTC.
    """

    id: DeliveryId
    destination: Destination
    key: str
    snapshot: Snapshot
    last_error_code: str | None
    last_error: str | None
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Extended:
    """Claims by what became of their leases; a claim in neither is not ours any more.

    Args:
        renewed: Their leases begin anew.
        locked: Somebody else locks the row, or it is gone: nothing is known, nothing was changed.
    """

    renewed: frozenset[Fence]
    locked: frozenset[Fence]


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledHeld:
    """An accepted success; ``again``: a newer version was asked for meanwhile."""

    id: DeliveryId
    again: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledFailed:
    """An accepted failure.

    Args:
        gave_up: Whether the row is parked now.
        tell: Whether a person has to be told now.
    """

    id: DeliveryId
    gave_up: bool
    tell: bool


async def request(
    conn: Connection,
    *,
    destination: Destination,
    key: str,
    reason: Reason,
    reference: str | None = None,
    traceparent: str | None = None,
) -> int:
    """Ask that ``destination`` holds the current state of ``key``.

    Returns:
        The version asked for.
    """
    row = await _one(
        conn,
        "request",
        {
            "destination": destination,
            "key": key,
            "reason": reason,
            "reference": reference,
            "traceparent": traceparent,
        },
    )
    return int(row["version"])


async def request_sync(
    conn: Connection,
    booking_id: UUID,
    *,
    reason: Reason,
    reference: str | None = None,
    traceparent: str | None = None,
) -> int:
    """Ask that the PMS holds the booking as it is when this transaction commits.

    Locks the booking first.

    Returns:
        The version asked for.
    """
    row = await _one(
        conn,
        "request_sync",
        {
            "booking_id": booking_id,
            "reason": reason,
            "reference": reference,
            "traceparent": traceparent,
        },
    )
    return int(row["version"])


async def notify(conn: Connection) -> None:
    """Wake the workers. Send it after the commit: inside, it serialises every committer."""
    await conn.execute(query("notify"))


async def commit_and_notify(conn: Connection) -> None:
    """Commit, then wake the workers in a transaction of its own: one message, one answer.

    Args:
        conn: Inside a transaction in which no statement has failed.

    Raises:
        psycopg.Error: Of the one or of the other: committed or not. The notification is refused
            when the lock of all who notify is not free within 100 ms, or the queue is full.
    """
    # neither parameters nor a plan that is kept: either would allow one statement alone
    message = ";\n".join((query("end_transaction"), query("notify_in_time")))
    await conn.execute(message, prepare=False)


async def claim(
    conn: Connection, wanted: Sequence[Wanted], *, owner: WorkerId, lease: timedelta
) -> Claimed:
    """Take due rows of open destinations: a statement of its own, committed before any call.

    Args:
        conn: In autocommit mode.
        wanted: Destinations with their free slots.
        owner: This worker.
        lease: How long the rows are ours.
    """
    # plain tuples in binary form: a dict for each of many rows costs as much as all the rest
    cursor = conn.cursor(row_factory=tuple_row, binary=True)
    await cursor.execute(
        query("claim"),
        {
            "destinations": _array(w.destination for w in wanted),
            "limits": _array(w.limit for w in wanted),
            "max_attempts": _array(w.max_attempts for w in wanted),
            "owner": owner,
            "lease": lease,
        },
    )
    rows = await cursor.fetchall()
    # every row of a destination repeats what was seen of its gate
    gates = {_DESTINATIONS[row[0]]: row[:_OF_GATE] for row in rows}
    return Claimed(
        claims=tuple(_claim(row[_OF_GATE:]) for row in rows if row[_OF_GATE] is not None),
        looks={destination: _look(row) for destination, row in gates.items()},
    )


async def claim_one(
    conn: Connection,
    delivery_id: DeliveryId,
    *,
    owner: WorkerId,
    lease: timedelta,
    max_attempts: int | None,
    probe: bool = False,
) -> Claim | None:
    """Take one row by id if it is due and free; else None. It asks no gate.

    Args:
        conn: In autocommit mode.
        delivery_id: The row.
        owner: This worker.
        lease: How long the row is ours.
        max_attempts: Attempts of one round; None: no limit.
        probe: It is to show whether its destination works again; one that an outage gave up is
            taken before it is due.
    """
    cursor = conn.cursor(row_factory=tuple_row)
    await cursor.execute(
        query("claim_one"),
        {
            "id": delivery_id,
            "owner": owner,
            "lease": lease,
            "max_attempts": max_attempts,
            "probe": probe,
        },
    )
    row = await cursor.fetchone()
    return None if row is None else _claim(row, probe=probe)


async def extend(
    conn: Connection, claims: Sequence[Claim], *, owner: WorkerId, lease: timedelta
) -> Extended:
    """Renew leases that have not ended yet; waits for nobody."""
    cursor = await conn.execute(
        query("extend"),
        {
            "ids": [c.id for c in claims],
            "fences": [c.fence for c in claims],
            "owner": owner,
            "lease": lease,
        },
        prepare=for_rows(len(claims)),
    )
    rows = await cursor.fetchall()
    return Extended(
        renewed=frozenset(Fence(row["fence"]) for row in rows if row["renewed"]),
        locked=frozenset(Fence(row["fence"]) for row in rows if row["locked"]),
    )


async def lock(conn: Connection, ids: Sequence[DeliveryId]) -> None:
    """Lock deliveries by id, waiting for others; those that are gone are left out."""
    await conn.execute(query("lock_deliveries"), {"ids": list(ids)})


async def settle_held(
    conn: Connection, columns: Mapping[str, Any], *, owner: WorkerId
) -> list[SettledHeld]:
    """Record successes; rows whose fence or owner differ are left alone and not returned.

    Args:
        conn: Inside the settling transaction.
        columns: Equally long lists by parameter name of the query ``settle_held``.
        owner: This worker.
    """
    arrays = {name: _array(values) for name, values in columns.items()}
    rows = await _settle(conn, "settle_held", arrays, owner, count=len(columns["ids"]))
    return [SettledHeld(id=DeliveryId(row), again=again) for row, again in rows]


async def settle_failed(
    conn: Connection, columns: Mapping[str, Any], *, owner: WorkerId
) -> list[SettledFailed]:
    """Record failures; rows whose fence or owner differ are left alone and not returned."""
    rows = await _settle(conn, "settle_failed", columns, owner, count=len(columns["ids"]))
    return [
        SettledFailed(id=DeliveryId(row), gave_up=gave_up, tell=tell) for row, gave_up, tell in rows
    ]


async def release(
    conn: Connection, columns: Mapping[str, Any], *, owner: WorkerId
) -> list[DeliveryId]:
    """Give rows back uncharged; rows whose fence or owner differ are left alone, not returned."""
    rows = await _settle(conn, "release", columns, owner, count=len(columns["ids"]))
    return [DeliveryId(row) for (row,) in rows]


async def hold_reservations(conn: Connection, columns: Mapping[str, Any]) -> None:
    """Record what the PMS holds: lists by parameter name of the query ``hold_reservation``."""
    await conn.execute(query("hold_reservation"), columns)


async def read(conn: Connection, delivery_id: DeliveryId) -> DeliveryRow | None:
    """One delivery; None when it is gone."""
    cursor = await conn.execute(query("delivery_by_id"), {"id": delivery_id})
    row = await cursor.fetchone()
    if row is None:
        return None
    return DeliveryRow(
        id=DeliveryId(row["id"]),
        destination=Destination(row["destination"]),
        key=row["key"],
        snapshot=Snapshot(
            requested=row["requested"],
            delivered=row["delivered"],
            due_at=row["due_at"],
            failed_at=row["failed_at"],
            discarded_at=row["discarded_at"],
            uncertain_at=row["uncertain_at"],
            attempts=row["attempts"],
            lease_until=row["lease_until"],
        ),
        last_error_code=row["last_error_code"],
        last_error=row["last_error"],
        now=row["now"],
    )


async def find(conn: Connection, *, destination: Destination, key: str) -> DeliveryId | None:
    """The delivery of a key; None when nothing was ever requested for it."""
    cursor = await conn.execute(
        query("delivery_id_by_key"), {"destination": destination, "key": key}
    )
    row = await cursor.fetchone()
    return None if row is None else DeliveryId(row["id"])


def _array(values: Iterable[int | AttemptOutcome | Destination | None]) -> str:
    """Numbers and words as the text of an array: a list would be adapted value by value."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


async def _settle(
    conn: Connection, name: str, columns: Mapping[str, Any], owner: WorkerId, *, count: int
) -> list[tuple[Any, ...]]:
    cursor = conn.cursor(row_factory=tuple_row)
    await cursor.execute(query(name), {**columns, "owner": owner}, prepare=for_rows(count))
    return await cursor.fetchall()


async def _one(conn: Connection, name: str, parameters: Mapping[str, Any]) -> Row:
    row = await (await conn.execute(query(name), parameters)).fetchone()
    if row is None:
        raise DecodeError(f"query {name} answered no row")
    return row


def _look(row: Sequence[Any]) -> Look:
    """Of the first columns of `claim`."""
    _gate, is_open, redrive_before, suspect, probe_due, due = row
    return Look(
        open=is_open, suspect=suspect, probe_due=bool(probe_due), due=bool(due),
        redrive_before=redrive_before,
    )  # fmt: skip


def _claim(row: Sequence[Any], *, probe: bool = False) -> Claim:
    """Of the columns of `claim_one`, the last ones of `claim`, in the order of `Claim`."""
    delivery_id, destination, *rest = row
    return Claim._make((delivery_id, _DESTINATIONS[destination], *rest, probe))
