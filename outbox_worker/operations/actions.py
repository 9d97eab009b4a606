"""The history of what operators did."""

from __future__ import annotations

from collections.abc import Sequence

from outbox_worker.database import Connection
from outbox_worker.outbox.delivery import DeliveryId
from outbox_worker.sql import query

_LONGEST = 500


async def record_action(
    conn: Connection,
    *,
    actor: str,
    action: str,
    target: str,
    affected: int,
    deliveries: Sequence[DeliveryId] = (),
    reason: str | None = None,
) -> None:
    """Write down one action, in the transaction that does it.

    Args:
        conn: Inside the caller's transaction.
        actor: Who.
        action: What, such as ``requeue``.
        target: On what, as it was asked for.
        affected: How many rows changed.
        deliveries: Which ones; they show it in their timeline.
        reason: Why, in the operator's words.
    """
    await conn.execute(
        query("record_action"),
        {
            "actor": _clean(actor),
            "action": action,
            "reason": None if reason is None else _clean(reason),
            "target": _clean(target),
            "deliveries": list(deliveries),
            "affected": affected,
        },
    )


def _clean(text: str) -> str:
    """What Postgres can store: no NUL, no lone surrogate."""
    return text.replace("\0", "").encode("utf-8", "ignore").decode()[:_LONGEST]
