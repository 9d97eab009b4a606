"""What the planner believes of the table of deliveries, whatever it holds.

Autovacuum analyzes when it likes: before an outage, in the middle of it, or never so far. Each
state is put in place over the same data.
"""

from __future__ import annotations

from enum import StrEnum

from tests.plans.measure import Connection

#: Rows of the tables that stand in for another past; what is kept of them are fractions.
_SAMPLE = 20_000


class State(StrEnum):
    """When the statistics were taken."""

    BACKLOG = "A, as the rows are"
    IDLE = "B, while nothing was due"
    HALF = "C, while half of all rows were due"
    NONE = "D, never"


class Belief:
    """The statistics of one database.

    Args:
        conn: An idle connection of a superuser.
    """

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._state: State | None = None
        _prepare(conn)

    def put(self, state: State) -> None:
        """Let the planner believe this, of a table clean of what was measured and undone."""
        if state is self._state:
            return
        self._conn.autocommit = True
        self._conn.execute("vacuum analyze")
        self._conn.autocommit = False
        match state:
            case State.BACKLOG:
                pass
            case State.IDLE | State.HALF:
                _copy(self._conn, f"plan_shadow.{state.name.lower()}")
            case State.NONE:
                _forget(self._conn)
        self._conn.commit()
        self._state = state


def _prepare(conn: Connection) -> None:
    """Make the tables that the statistics of the states B and C are taken from."""
    conn.execute("create schema plan_shadow")
    for state, due in (("idle", "false"), ("half", "i %% 2 = 0")):
        # with its indexes: how many entries a partial index had is known of it, too
        conn.execute(f"create table plan_shadow.{state} (like outbox.delivery including indexes)")
        conn.execute(
            f"""insert into plan_shadow.{state} (id, destination, key, requested, delivered, due_at,
                  attempts, round, fence, requested_at)
                select i, case when i %% 5 < 3 then 'guestly' else 'inbox' end, i::text, 1,
                       case when {due} then 0 else 1 end,
                       case when {due} then now() - interval '1 hour' * i / {_SAMPLE} end,
                       1, 1, 0, now() - interval '1 day' * i / {_SAMPLE}
                from generate_series(1, {_SAMPLE}) i""",
            {},
        )
        conn.execute(f"analyze plan_shadow.{state}")
    conn.commit()


def _forget(conn: Connection) -> None:
    conn.execute("delete from pg_statistic where starelid >= 16384")
    conn.execute(
        "update pg_class set reltuples = -1, relpages = 0, relallvisible = 0"
        " where relnamespace in ('public'::regnamespace, 'outbox'::regnamespace)"
        " and relkind in ('r', 'i')"
    )


def _copy(conn: Connection, shadow: str) -> None:
    columns = conn.execute(
        "select string_agg(quote_ident(attname), ', ' order by attnum) as names"
        " from pg_attribute where attrelid = 'pg_statistic'::regclass and attnum > 1"
    ).fetchone()
    assert columns is not None
    names = columns["names"]
    conn.execute("delete from pg_statistic where starelid = 'outbox.delivery'::regclass")
    conn.execute(
        f"insert into pg_statistic (starelid, {names})"
        f" select 'outbox.delivery'::regclass, {names} from pg_statistic"
        f" where starelid = '{shadow}'::regclass"
    )
    # the indexes of both tables were made in the same order
    conn.execute(
        f"""with ours as (
              select indexrelid as id, row_number() over (order by indexrelid) as n
              from pg_index where indrelid = 'outbox.delivery'::regclass),
            theirs as (
              select indexrelid as id, row_number() over (order by indexrelid) as n
              from pg_index where indrelid = '{shadow}'::regclass)
            update pg_class c set relpages = s.relpages, reltuples = s.reltuples
            from ours join theirs using (n) join pg_class s on s.oid = theirs.id
            where c.oid = ours.id"""
    )
