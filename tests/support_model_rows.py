"""Outbox rows as the database holds them, in the words of `support_model`; and time that passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from outbox_worker.database import Connection, Row
from outbox_worker.operations.plan import Item
from outbox_worker.outbox.delivery import DeliveryId, Destination
from tests import support_model as model
from tests.support_model import TICK

_TIMES = {
    "due": "due_at",
    "failed": "failed_at",
    "discarded": "discarded_at",
    "uncertain": "uncertain_at",
    "lease": "lease_until",
}
_MORE_TIMES = ("claimed_at", "requested_at", "delivered_at")
_EMPTY = (
    "truncate outbox.delivery, outbox.request, outbox.attempt, outbox.alert, outbox.alert_delivery,"
    " outbox.operator_action, bookings cascade"
)
# What is nearer than a tenth of a tick counts as now, a wait that is shorter than a tick as one.
_IN_TICKS = ", ".join(
    f"ceil(extract(epoch from d.{column} - now()) / {TICK.total_seconds()} - 0.1)::int as {name}"
    for name, column in _TIMES.items()
)
_READ = f"""
select d.*, {_IN_TICKS}, b.guestly_sync_status as status,
  (select count(*) from outbox.request r where r.delivery_id = d.id) as asked,
  exists (select from outbox.alert_delivery x where x.delivery_id = d.id and x.healed_at is null)
    as named,
  (select coalesce(sum(a.count), 0)::int from outbox.alert a where a.fingerprint = d.key) as told,
  array(select row_to_json(a) from outbox.attempt a where a.delivery_id = d.id order by a.fence)
    as history
from outbox.delivery d join bookings b on b.id::text = d.key
"""
_PASS = "update outbox.delivery set " + ", ".join(
    f"{column} = {column} - %(time)s::interval" for column in (*_TIMES.values(), *_MORE_TIMES)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A row of the database.

    Args:
        as_model: What the model would call it.
        raw: Its columns.
    """

    as_model: model.Row
    raw: Row


async def empty(conn: Connection) -> None:
    """Forget every booking and all that was owed for one."""
    await conn.execute(_EMPTY)


async def let_pass(conn: Connection, ticks: int) -> None:
    """Move everything that the rows hold of time into the past."""
    await conn.execute(_PASS.encode(), {"time": TICK * ticks})


async def read(conn: Connection, now: int) -> dict[UUID, Found]:
    """All rows, by booking.

    Args:
        conn: Any connection.
        now: The model's clock, in ticks.
    """
    cursor = await conn.execute(_READ.encode())
    found = {}
    for raw in await cursor.fetchall():
        row = _row(raw, now)
        assert raw["asked"] == row.requested, "a request is not on record"
        assert raw["status"] == row.status, "the site is shown something else"
        found[UUID(raw["key"])] = Found(as_model=row, raw=raw)
    return found


def item(booking: UUID, raw: Row, *, changed: bool) -> Item:
    """What an operator is shown of the row; ``changed``: as it was before its last request."""
    return Item(
        name=str(booking),
        destination=Destination.GUESTLY,
        key=str(booking),
        delivery_id=DeliveryId(raw["id"]),
        booking_id=booking,
        booking_status=None,
        check_in=None,
        state=None,
        error_code=raw["last_error_code"],
        requested=raw["requested"] - (1 if changed else 0),
        delivered=raw["delivered"],
        failed_at=raw["failed_at"],
        discarded_at=raw["discarded_at"],
        skip=None,
    )


def _row(raw: Row, now: int) -> model.Row:
    times: dict[str, Any] = {
        name: None if raw[name] is None else raw[name] + now for name in _TIMES
    }
    same = ("requested", "delivered", "attempts", "round", "owner", "fence", "named", "told")
    return model.Row(
        **{name: raw[name] for name in same},
        **times,
        code=raw["last_error_code"],
        history=tuple(_attempt(line) for line in raw["history"]),
    )


def _attempt(line: dict[str, Any]) -> model.Attempt:
    same = ("fence", "round", "number", "version", "worker", "outcome")
    return model.Attempt(**{name: line[name] for name in same}, code=line["error_code"])
