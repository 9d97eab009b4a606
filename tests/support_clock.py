"""Clocks that are wrong: a process's wall clock, and Postgres's own."""

from __future__ import annotations

from datetime import timedelta

from psycopg import sql

from outbox_worker.database import Connection

_PROGRAM = """
import datetime, time

BY = {seconds!r}
real, clock, clock_ns, any_clock = (
    datetime.datetime, time.time, time.time_ns, time.clock_gettime)


class Kind(type):
    def __instancecheck__(cls, value):
        return isinstance(value, real)

    def __subclasscheck__(cls, kind):
        return issubclass(kind, real)


class Wrong(real, metaclass=Kind):
    def __new__(cls, *values, **named):
        return real(*values, **named)

    @classmethod
    def now(cls, tz=None):
        return real.now(tz) + datetime.timedelta(seconds=BY)

    @classmethod
    def utcnow(cls):
        return cls.now(datetime.timezone.utc).replace(tzinfo=None)

    @classmethod
    def today(cls):
        return cls.now()


datetime.datetime = Wrong
time.time = lambda: clock() + BY
time.time_ns = lambda: clock_ns() + int(BY * 1e9)
time.clock_gettime = lambda kind: any_clock(kind) + (BY if kind == time.CLOCK_REALTIME else 0)
"""


def wrong_clock(by: timedelta) -> str:
    """Statements that a process runs first, as `support_worker.worker` takes them.

    The clocks that count from the start of the machine stay as they are, as they do where somebody
    sets the time or a virtual machine wakes up with an old one.

    Args:
        by: How far its wall clock is ahead; below zero: behind.
    """
    return _PROGRAM.format(seconds=by.total_seconds())


async def jump(conn: Connection, by: timedelta) -> None:
    """Let Postgres's clock jump ahead, or back: all moments on record are moved the other way.

    What it makes of them is the same, as the engine compares moments on record with its clock and
    never two clocks with each other.
    """
    cursor = await conn.execute(
        "select table_name as name, array_agg(column_name::text) as columns"
        " from information_schema.columns"
        " where table_schema = 'outbox' and data_type = 'timestamp with time zone'"
        " and table_name not like '%%view' group by table_name order by table_name"
    )
    async with conn.transaction():
        for table in await cursor.fetchall():
            changes = sql.SQL(", ").join(
                sql.SQL("{0} = {0} - {1}").format(sql.Identifier(column), by)
                for column in table["columns"]
            )
            await conn.execute(
                sql.SQL("update outbox.{} set {}").format(sql.Identifier(table["name"]), changes)
            )
