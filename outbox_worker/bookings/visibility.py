"""Whether row level security hides rows from us: it does so silently, so it has to be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox_worker.sql import query

if TYPE_CHECKING:
    from outbox_worker.database import Connection


async def blinded_tables(conn: Connection) -> tuple[str, ...]:
    """Tables that our role may read or change, and of which row level security hides rows from it.

    The site's ``bookings`` and ``properties``, and every table of schema outbox. A role sees all
    rows if it owns the table (unless row security is forced), has BYPASSRLS, or has a policy of
    its own (see ``deploy/grants.sql``).

    Returns:
        Qualified names, sorted; empty when nothing is hidden.
    """
    cursor = await conn.execute(query("blinded_tables"))
    return tuple(row["name"] for row in await cursor.fetchall())
