"""Finding a payment event by its id alone uses its primary key (source, id), on every Postgres."""

from __future__ import annotations

from typing import Any

import pytest

from outbox_worker.database import Connection
from outbox_worker.sql import query


@pytest.fixture
async def many_events(conn: Connection) -> Connection:
    """Twenty thousand applied events and one that waits, with an alert that names it."""
    for statement in (
        (
            "insert into outbox.inbox_event (source, id, type, outcome)"
            " select 'stripe', 'evt_' || i, 'payment_intent.succeeded', 'applied'"
            " from generate_series(1, 20000) i"
        ),
        (
            "insert into outbox.delivery (destination, key, delivered, due_at)"
            " select 'inbox', 'evt_' || i, (i > 1)::int, case when i = 1 then now() end"
            " from generate_series(1, 20000) i"
        ),
        "insert into outbox.alert (kind, fingerprint) values ('event_failed', 'evt_1')",
        (
            "insert into outbox.alert_delivery (alert_id, delivery_id, failed_at, mail)"
            " select a.id, d.id, now(), 1 from outbox.alert a"
            " join outbox.delivery d on d.key = 'evt_1'"
        ),
        "analyze outbox.inbox_event",
        "analyze outbox.delivery",
        "analyze outbox.alert",
        "analyze outbox.alert_delivery",
    ):
        await conn.execute(statement)
    return conn


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("list_waiting_events", {"limit": 5}),
        ("alert_read_named", {"ids": [1], "channel": "email", "page": 500}),
        ("timeline_events", {"booking_id": None, "payment_intent_id": None, "event_id": "evt_7"}),
    ],
)
async def test_an_event_is_found_by_its_key(
    many_events: Connection, name: str, parameters: dict[str, Any]
) -> None:
    cursor = await many_events.execute("explain " + query(name), parameters)
    plan = "\n".join(row["QUERY PLAN"] for row in await cursor.fetchall())

    assert "Seq Scan on inbox_event" not in plan
    assert "inbox_event_pkey" in plan
    # a condition on the source: without it Postgres 14 to 17 read the whole index
    assert "source = ANY" in plan
