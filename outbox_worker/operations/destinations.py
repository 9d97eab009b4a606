"""Each destination: whether it takes anything, what it is owed, and when it last took something."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from outbox_worker.database import Connection
from outbox_worker.gate import circuit
from outbox_worker.gate import store as gates
from outbox_worker.gate.circuit import Cause
from outbox_worker.gate.store import Gate
from outbox_worker.gate.token_state import UNFINISHED
from outbox_worker.operations.fleet import (
    SyncMode,
    next_access_at,
    no_token,
    outlook_of,
    read_fleet,
    refused,
)
from outbox_worker.outbox.delivery import Destination, State
from outbox_worker.pms.guesty_token import Outlook
from outbox_worker.pms.port import PmsName
from outbox_worker.sql import query

_GIVEN_UP = frozenset({State.FAILED, State.REJECTED})
_NOT_OWED = frozenset({State.SYNCED, State.DISCARDED, *_GIVEN_UP})


class Openness(StrEnum):
    """Whether a destination takes anything; where several hold, the first of these that does."""

    DISABLED = "disabled"
    PAUSED = "paused"
    CIRCUIT_OPEN = "circuit open"
    PROBING = "probing"
    #: It asked to be left alone for a while.
    LIMITED = "limited"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedDestination:
    """One destination.

    Args:
        since: When it became so, where that is on record; aware UTC.
        until: Paused: when it opens by itself (None: when it is resumed). Circuit open: when the
            next probe may be sent. Limited: when it is asked again.
        by, reason: Who paused it, and why.
        cause, code: Why its circuit is not closed: the kind of fault and the error code.
        no_token: What it is that no access token can be had; None: that is not why.
        token_requested: With ``no_token``: whether one is being requested.
        refused: What is refused of our access; None: that is not why.
        next_token_at: With ``no_token`` or ``refused``: when the next one is requested or possible;
            None: the next call tells.
        test_mode: Whether what it is owed is handled without being sent.
        owed: Deliveries by state that will be sent without anybody's help.
        given_up: Deliveries that failed or were rejected.
        last_success_at: When something was last handed over to it; None: never. What was settled
            without that (test mode, nothing to do, not set up) does not count.
        not_set_up: Nothing was ever handed over, as it was not configured.
        now: The database's clock, aware UTC.
        pms: Whom its bookings go to; None: it takes none.
    """

    destination: Destination
    openness: Openness
    since: datetime | None
    until: datetime | None
    by: str | None
    reason: str | None
    cause: Cause | None
    code: str | None
    no_token: str | None
    token_requested: bool
    refused: str | None
    next_token_at: datetime | None
    test_mode: bool
    owed: Mapping[State, int]
    given_up: int
    last_success_at: datetime | None
    not_set_up: bool
    now: datetime
    pms: PmsName | None


async def list_destinations(conn: Connection, ours: SyncMode) -> tuple[ListedDestination, ...]:
    """Every destination.

    Args:
        conn: Any connection; only reads.
        ours: What our own environment says of the sync; used while no worker is running.
    """
    fleet = await read_fleet(conn, ours)
    found = {gate.destination: gate for gate in await gates.read_all(conn)}
    ahead = await outlook_of(conn)
    cursor = await conn.execute(
        query("count_owed"), {"closed": [str(destination) for destination in fleet.closed]}
    )
    counts: dict[Destination, dict[State, int]] = {each: {} for each in Destination}
    for row in await cursor.fetchall():
        counts[Destination(row["destination"])][State(row["state"])] = row["n"]
    cursor = await conn.execute(query("last_successes"))
    last: dict[str, datetime | None] = {}
    unset: set[str] = set()
    for row in await cursor.fetchall():
        last[row["destination"]] = row["last_success_at"]
        if row["unset"] and row["last_success_at"] is None:
            unset.add(row["destination"])
    return tuple(
        _listed(
            gate,
            ahead,
            fleet.mode,
            counts[destination],
            last.get(destination),
            not_set_up=destination in unset,
        )
        for destination in Destination
        if (gate := found.get(destination)) is not None
    )


def openness_of(gate: Gate, *, disabled: bool) -> Openness:
    """The one word for a gate; ``disabled``: by settings, whatever the gate says."""
    if disabled:
        return Openness.DISABLED
    if gate.pause is not None:
        return Openness.PAUSED
    if gate.circuit.state is circuit.State.OPEN:
        return Openness.CIRCUIT_OPEN
    if gate.circuit.state is circuit.State.HALF_OPEN:
        return Openness.PROBING
    return Openness.LIMITED if gate.held else Openness.OPEN


def _listed(
    gate: Gate,
    ahead: Outlook,
    mode: SyncMode,
    counts: Mapping[State, int],
    last: datetime | None,
    *,
    not_set_up: bool,
) -> ListedDestination:
    bookings = gate.destination is Destination.GUESTLY
    openness = openness_of(gate, disabled=bookings and not mode.enabled)
    since = until = None
    if openness is Openness.PAUSED and gate.pause is not None:
        since, until = gate.pause.since, gate.pause.until
    elif openness in {Openness.CIRCUIT_OPEN, Openness.PROBING}:
        since, until = gate.circuit.opened_at, gate.circuit.until
    elif openness is Openness.LIMITED:
        until = gate.hold.until
    return ListedDestination(
        destination=gate.destination,
        openness=openness,
        since=since,
        until=until,
        by=gate.pause.by if gate.pause else None,
        reason=gate.pause.reason if gate.pause else None,
        cause=gate.circuit.cause,
        code=gate.circuit.code,
        no_token=no_token(gate) if gate.lacks_token else None,
        token_requested=gate.lacks_token and gate.token_code == UNFINISHED,
        refused=refused(gate) if gate.circuit.cause is Cause.MISCONFIGURED else None,
        next_token_at=gate.next_token_at or next_access_at(gate, ahead),
        test_mode=bookings and mode.test_mode,
        owed={state: n for state, n in counts.items() if state not in _NOT_OWED and n},
        given_up=sum(n for state, n in counts.items() if state in _GIVEN_UP),
        last_success_at=last,
        not_set_up=not_set_up,
        now=gate.now,
        pms=mode.pms if bookings else None,
    )
