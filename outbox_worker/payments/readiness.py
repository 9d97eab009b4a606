"""Whether events can be taken now, and if not, why."""

from __future__ import annotations

from enum import StrEnum

from outbox_worker.bookings.visibility import blinded_tables
from outbox_worker.database import Connection, translated
from outbox_worker.errors import DecodeError
from outbox_worker.sql import query


class Readiness(StrEnum):
    """What stands between an event and its booking."""

    READY = "ready"
    STARTING = "starting"
    UNREACHABLE = "database_unreachable"
    READ_ONLY = "database_read_only"
    NOT_MIGRATED = "not_migrated"
    BLINDED = "row_level_security"


async def check(conn: Connection) -> Readiness:
    """Ask Postgres.

    Raises:
        DatabaseError: It could not be asked.
    """
    with translated():
        row = await (await conn.execute(query("inbox_readiness"))).fetchone()
        if row is None:
            raise DecodeError("query inbox_readiness answered no row")
        if not row["migrated"]:
            return Readiness.NOT_MIGRATED
        # Where rows are hidden every booking looks as if it did not exist, and every payment as if
        # it were somebody else's: without an error, so nobody would ever know.
        if await blinded_tables(conn):
            return Readiness.BLINDED
    return Readiness.READ_ONLY if row["read_only"] else Readiness.READY
