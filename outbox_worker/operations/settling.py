"""Waiting until it is known what became of requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from outbox_worker.database import Connection, Row
from outbox_worker.operations.fleet import Fleet, SyncMode, read_fleet, still_testing
from outbox_worker.operations.requeue import Requeued
from outbox_worker.operations.rows import snapshot_from
from outbox_worker.outbox.delivery import Destination, State, state_of
from outbox_worker.sql import query

#: Nothing more happens to the request soon, or by itself.
_AT_REST = frozenset({State.FAILED, State.REJECTED, State.DISCARDED, State.HELD})
_LOOK_EVERY = timedelta(seconds=0.2)
#: Without progress for so long, the reason is told.
_STALLED = timedelta(seconds=5)
#: A worker that is being restarted is waited for so long.
_WORKER_PATIENCE = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of one request.

    Args:
        state: ``synced`` when this request was fulfilled, whatever was asked for since.
        reservation_id: What the PMS is known to hold now.
        error_code, error: The last error; None when it was fulfilled.
        tested: Whether it was fulfilled by test mode, which sends nothing.
        note: Why the wait ended before it was settled; None: it is.
    """

    name: str
    state: State
    reservation_id: str | None
    error_code: str | None
    error: str | None
    tested: bool
    note: str | None


async def wait_until_settled(
    conn: Connection,
    requeued: Sequence[Requeued],
    *,
    ours: SyncMode,
    stalled: Callable[[str], None] | None = None,
    stalled_after: timedelta = _STALLED,
) -> tuple[Settled, ...]:
    """Look again and again until every request is fulfilled, given up, or cannot go on.

    Args:
        conn: In autocommit mode.
        requeued: What to wait for.
        ours: What our own environment says of the sync; used while no worker is running.
        stalled: Told why it takes so long, once for each reason.
        stalled_after: So long without one more that is settled.

    Returns:
        One for each, in the same order.
    """
    alone_since: float | None = None
    progressed_at, known, told = time.monotonic(), 0, ""
    while True:
        fleet = await read_fleet(conn, ours)
        seen = await look(conn, requeued, closed=fleet.closed)
        alone_since = None if fleet.workers else alone_since or time.monotonic()
        alone = alone_since is not None and (
            time.monotonic() - alone_since > _WORKER_PATIENCE.total_seconds()
        )
        if alone or all(_is_settled(each) for each in seen):
            return tuple(
                each if _is_settled(each) else replace(each, note="no worker is running")
                for each in seen
            )
        waiting = [each for each in seen if not _is_settled(each)]
        if len(seen) - len(waiting) > known:
            progressed_at, known = time.monotonic(), len(seen) - len(waiting)
        why = _why(waiting[0], fleet)
        late = time.monotonic() - progressed_at >= stalled_after.total_seconds()
        if late and stalled is not None and why != told:
            stalled(why)
            told = why
        await asyncio.sleep(_LOOK_EVERY.total_seconds())


def _why(waiting: Settled, fleet: Fleet) -> str:
    """What the first of those that are waited for waits for."""
    if not fleet.workers:
        return "no worker is running"
    if waiting.error_code is None:
        return f"{waiting.name} is {waiting.state}"
    return f"{waiting.error or 'no details'} ({waiting.error_code})"


def _is_settled(each: Settled) -> bool:
    return each.state is State.SYNCED or each.state in _AT_REST or each.note is not None


async def only_tested(
    conn: Connection, settled: Sequence[Settled], *, ours: SyncMode
) -> str | None:
    """Why something was only tested though our own settings send it, and what to do; None: no.

    Args:
        conn: Any connection; only reads.
        settled: What became of it.
        ours: What our own environment says.
    """
    if ours.test_mode or not any(each.tested for each in settled):
        return None
    return still_testing(await read_fleet(conn, ours), ours) or (
        "a worker still had GUESTLY_TEST_MODE=true, your settings say false: restart it"
    )


async def look(
    conn: Connection, requeued: Sequence[Requeued], *, closed: Mapping[Destination, str]
) -> list[Settled]:
    """What has become of requests so far, in the same order; what is not settled says its state.

    Args:
        conn: Any connection; only reads.
        requeued: What was asked for.
        closed: Why a destination takes nothing; its rows are held.
    """
    cursor = await conn.execute(
        query("requeue_progress"), {"ids": [each.delivery_id for each in requeued]}
    )
    rows = {row["id"]: row for row in await cursor.fetchall()}
    return [_settled(each, rows.get(each.delivery_id), closed) for each in requeued]


def _settled(requeued: Requeued, row: Row | None, closed: Mapping[Destination, str]) -> Settled:
    if row is None:
        # pruned, which happens to nothing that is owed
        return Settled(
            name=requeued.name, state=State.SYNCED, reservation_id=None,
            error_code=None, error=None, tested=False, note=None,
        )  # fmt: skip
    destination = Destination(row["destination"])
    done = row["delivered"] >= requeued.version
    held = destination in closed
    state = State.SYNCED if done else state_of(snapshot_from(row), now=row["now"], held=held)
    return Settled(
        name=requeued.name,
        state=state,
        reservation_id=row["reservation_id"],
        error_code=None if done else row["last_error_code"],
        error=None if done else row["last_error"],
        tested=done and row["tested"],
        note=closed.get(destination) if state is State.HELD else _still_waiting(row, state),
    )


def _still_waiting(row: Row, state: State) -> str | None:
    """Why an event goes on waiting, which may be for days, although it has been tried."""
    # due at once when it was asked for: only a worker that found no booking puts it off uncharged
    put_off = row["due_at"] is not None and row["due_at"] > row["now"]
    waits = row["destination"] == Destination.INBOX and state is State.WAITING and put_off
    return "its booking does not exist" if waits else None
