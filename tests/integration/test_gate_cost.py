"""What a shut gate costs: nothing that grows with what waits behind it."""

from __future__ import annotations

import json
from datetime import timedelta

from outbox_worker.database import Connection
from outbox_worker.sql import query
from tests.support_engine import A
from tests.support_gate import open_circuit


async def pages_of_a_claim(conn: Connection) -> int:
    """Pages that one claim of the gated destination touches."""
    cursor = await conn.execute(
        "explain (analyze, buffers, format json) " + query("claim"),
        {
            "destinations": ["guestly"],
            "limits": [10],
            "max_attempts": [3],
            "owner": A,
            "lease": timedelta(seconds=30),
        },
    )
    (row,) = await cursor.fetchall()
    (plan,) = (
        json.loads(row["QUERY PLAN"]) if isinstance(row["QUERY PLAN"], str) else row["QUERY PLAN"]
    )
    return int(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])


async def test_ten_thousand_due_rows_behind_an_open_circuit_cost_a_claim_nothing(
    conn: Connection,
) -> None:
    await open_circuit(conn)
    await pages_of_a_claim(conn)
    without = await pages_of_a_claim(conn)
    await conn.execute(
        "insert into outbox.delivery (destination, key, due_at)"
        " select 'guestly', 'k' || n, now() from generate_series(1, 10000) n"
    )
    await conn.execute("vacuum analyze outbox.delivery")
    # the first time it may look up anew what the catalogue says of the table
    behind = min([await pages_of_a_claim(conn) for _ in range(2)])
    assert behind <= without
    await conn.execute(
        "update outbox.destination set circuit = 'closed', circuit_cause = null"
        " where destination = 'guestly'"
    )
    assert await pages_of_a_claim(conn) > behind, "an open gate does look at them"
