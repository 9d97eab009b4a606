"""Removing what is finished and old: event bodies, and history. In small batches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from outbox_worker.database import Connection, Row
from outbox_worker.errors import DecodeError
from outbox_worker.operations.actions import record_action
from outbox_worker.settings_types import RetentionSettings
from outbox_worker.sql import query

#: Rows that one statement looks at.
BATCH = 500

_FIRST_MOMENT = datetime(1, 1, 2, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """How many rows of each kind; a delivery takes its requests with it.

    Args:
        bodies: Of events; the events themselves stay.
        attempts: With their deliveries, and old ones of deliveries that stay.
        alerts: Resolved ones.
        workers: That stopped, or were last seen, long ago.
    """

    bodies: int = 0
    deliveries: int = 0
    attempts: int = 0
    alerts: int = 0
    actions: int = 0
    workers: int = 0

    @property
    def total(self) -> int:
        """All of them together."""
        rows = self.deliveries + self.attempts + self.alerts + self.actions + self.workers
        return self.bodies + rows

    def __add__(self, other: Removed) -> Removed:
        return Removed(
            bodies=self.bodies + other.bodies,
            deliveries=self.deliveries + other.deliveries,
            attempts=self.attempts + other.attempts,
            alerts=self.alerts + other.alerts,
            actions=self.actions + other.actions,
            workers=self.workers + other.workers,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunePlan:
    """What would be removed; frozen by its two moments, however long it takes.

    Args:
        bodies_before: Bodies of events that were received before it.
        history_before: What was finished before it.
        counts: How many rows that is at present.
        removes_actions: Whether our role may remove what operators did; ``deploy/grants.sql`` keeps
            that from it.
        actions_kept: Old actions that stay for that reason.
    """

    bodies_before: datetime
    history_before: datetime
    counts: Removed
    removes_actions: bool
    actions_kept: int


async def plan_prune(conn: Connection, keep: RetentionSettings) -> PrunePlan:
    """Count what is old enough, by the database's clock; only reads."""
    before = await _one(conn, "prune_before", {"bodies": keep.body_days, "history": keep.days})
    counts = await _one(
        conn, "prune_count", {"bodies": before["bodies"], "history": before["history"]}
    )
    may = counts["may_remove_actions"]
    return PrunePlan(
        bodies_before=before["bodies"],
        history_before=before["history"],
        counts=Removed(
            bodies=counts["bodies"],
            deliveries=counts["deliveries"],
            attempts=counts["attempts"],
            alerts=counts["alerts"],
            actions=counts["actions"] if may else 0,
            workers=counts["workers"],
        ),
        removes_actions=may,
        actions_kept=0 if may else counts["actions"],
    )


async def prune(conn: Connection, plan: PrunePlan, *, batch: int = BATCH) -> AsyncIterator[Removed]:
    """Remove it batch by batch; each is a transaction of its own, and waits for nobody.

    Whatever is locked, or was asked for since, stays. It may be ended between two batches, and
    begun again.

    Args:
        conn: In autocommit mode.
        plan: What is old.
        batch: Rows that one statement looks at.

    Yields:
        What each batch removed.
    """
    before = plan.history_before
    # first the alerts: what they name may go after that
    async for row in _along(conn, "prune_alerts", before, batch):
        yield Removed(alerts=row["removed"])
    async for row in _along(conn, "prune_deliveries", before, batch):
        yield Removed(deliveries=row["removed"], attempts=row["attempts"])
    async for row in _bodies(conn, plan.bodies_before, batch):
        yield Removed(bodies=row["removed"])
    if plan.removes_actions:
        async for row in _along(conn, "prune_actions", before, batch):
            yield Removed(actions=row["removed"])
    cursor = await conn.execute(query("prune_workers"), {"before": before})
    yield Removed(workers=len(await cursor.fetchall()))


async def record_prune(
    conn: Connection, plan: PrunePlan, removed: Removed, *, actor: str, reason: str | None = None
) -> None:
    """Write into the history what was removed from it."""
    await record_action(
        conn,
        actor=actor,
        action="prune",
        target=f"bodies before {plan.bodies_before:%Y-%m-%d},"
        f" history before {plan.history_before:%Y-%m-%d}",
        affected=removed.total,
        reason=reason,
    )


async def _along(conn: Connection, name: str, before: datetime, batch: int) -> AsyncIterator[Row]:
    """Pages along a primary key, to its end."""
    after: int | None = 0
    while True:
        row = await _one(conn, name, {"after": after, "before": before, "limit": batch})
        if row["after"] is None:
            return
        after = row["after"]
        yield row


async def _bodies(conn: Connection, before: datetime, batch: int) -> AsyncIterator[Row]:
    at, source, event_id = _FIRST_MOMENT, "", ""
    while True:
        cursor = await conn.execute(
            query("prune_bodies"),
            {"at": at, "source": source, "id": event_id, "before": before, "limit": batch},
        )
        row = await cursor.fetchone()
        if row is None:
            return
        at, source, event_id = row["at"], row["source"], row["id"]
        yield row


async def _one(conn: Connection, name: str, parameters: dict[str, Any]) -> Row:
    cursor = await conn.execute(query(name), parameters)
    row = await cursor.fetchone()
    if row is None:
        raise DecodeError(f"query {name} answered no row")
    return row
