"""Connections to Postgres: one way to open them, and the translation of psycopg's errors.

Everything works through a transaction pooler: no session state, no session locks, and no prepared
statements but where nothing stands between. LISTEN and migrations use a direct connection of their
own.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar

import psycopg
from psycopg import errors as pg
from psycopg.rows import dict_row

from outbox_worker.errors import (
    DatabaseBusyError,
    DatabaseError,
    DatabaseUnreachableError,
    SchemaError,
)
from outbox_worker.sql import query

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Generator, Iterator

Row: TypeAlias = dict[str, Any]
Connection: TypeAlias = psycopg.AsyncConnection[Row]
T = TypeVar("T")

#: libpq options for every connection: a dead peer is noticed within about 20 s, even in the middle
#: of a wait.
CONNECT_OPTIONS: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15000,
}

#: Planning is dear beside the work for so many rows at most.
_MOST_AS_PREPARED = 20
#: A first statement takes no time at all where a server has just accepted the connection.
_ANSWERS_WITHIN = timedelta(seconds=5)
#: After so long a task that was cancelled and goes on waiting is cancelled again.
_OBEYS_WITHIN_S = 1.0

#: Classes of SQLSTATE that mean the connection or the server is gone, not that a statement was
#: refused: connection exceptions, and whatever an administrator or a crash did.
_GONE = ("08", "57P")
_GONE_TOO = ("25P03", "53300")  # idle in a transaction for too long; too many connections
#: What a session says that has not prepared the statement, or not this one, or against columns that
#: have changed since.
_NOT_AS_PREPARED = (
    pg.InvalidSqlStatementName,
    pg.DuplicatePreparedStatement,
    pg.FeatureNotSupported,
    pg.ProtocolViolation,
)
#: Nothing took effect, and nothing is wrong with the statement.
_BUSY = (pg.LockNotAvailable, pg.DeadlockDetected, pg.SerializationFailure)
#: Tables of the site by their name, and by what our queries call them.
_SITE_TABLES = {
    "b": "public.bookings",
    "bookings": "public.bookings",
    "p": "public.properties",
    "s": "public.properties",
    "properties": "public.properties",
}
_MISSING_COLUMN = re.compile(
    r'column (?:(?P<alias>\w+)\.)?"?(?P<column>\w+)"?(?: of relation "(?P<relation>\w+)")?'
    r" does not exist"
)
_SCHEMA = (
    pg.UndefinedTable,
    pg.UndefinedColumn,
    pg.UndefinedFunction,
    pg.InvalidSchemaName,
    pg.InsufficientPrivilege,
)


class PreparingConnection(psycopg.AsyncConnection[Row]):
    """A connection for many executions of few statements: planned once, where that is possible.

    Planning the claim takes Postgres longer than executing it. Behind a transaction pooler the next
    statement may reach another session, which has prepared nothing: there, each is planned again.

    A prepared statement that Postgres refuses, as it would after the site has changed the type of a
    column, ends the connection. Nothing was executed, and whoever connects next prepares nothing.
    """

    #: Of this process: whether preparing has gone wrong once.
    _distrusted: ClassVar[bool] = False

    async def prepare_if_direct(self) -> None:
        """Prepare from now on what is executed twice, unless a pooler stands between.

        A pooler answers for many sessions: it tells each client a number of its own for the process
        of its session, and most of its sessions are older than the client's connection.

        Raises:
            psycopg.OperationalError: It was lost, or did not answer in time and is closed.
        """
        try:
            cursor = await bounded(self.execute(query("session_process")), within=_ANSWERS_WITHIN)
        except TimeoutError:
            await self.close()
            raise psycopg.OperationalError("a new connection does not answer") from None
        row = await cursor.fetchone()
        direct = row is not None and row["young"] and row["pid"] == self.info.backend_pid
        if direct and not PreparingConnection._distrusted:
            # everybody's psycopg counts its names from 0; should a pooler stand between all the
            # same, nobody else's statement may be met under one of ours
            self._prepared._prepared_idx = secrets.randbits(40)  # noqa: SLF001 - there is no other way
            self.prepare_threshold = 1

    @property
    def outdated(self) -> bool:
        """Whether it goes on preparing although that has gone wrong in this process since."""
        return PreparingConnection._distrusted and self.prepare_threshold is not None

    async def wait(self, gen: Generator[Any, Any, T], *args: Any, **options: Any) -> T:
        """As psycopg's; every statement passes through here.

        Raises:
            psycopg.OperationalError: Besides the usual: a prepared statement was refused.
        """
        try:
            return await super().wait(gen, *args, **options)
        except _NOT_AS_PREPARED as error:
            if self.prepare_threshold is None:
                raise
            PreparingConnection._distrusted = True
            await self.close()
            raise psycopg.OperationalError(
                f"a prepared statement was refused ({error.sqlstate}): {_first_line(error)}"
            ) from error


def for_rows(count: int) -> bool | None:
    """What to say to psycopg's ``prepare`` about a statement over so many rows.

    A plan that is kept reckons with about ten rows; over five hundred it joins them each with each.

    Returns:
        None: as the connection does; False: plan it for their number.
    """
    return None if count <= _MOST_AS_PREPARED else False


async def connect(
    url: str, *, application_name: str, autocommit: bool = True, prepares: bool = False
) -> Connection:
    """Open one connection that also works through a transaction pooler.

    Args:
        url: libpq URL or keyword string.
        application_name: Shown in pg_stat_activity.
        autocommit: False begins a transaction at the first statement.
        prepares: Whether it lives long: see `PreparingConnection`. With autocommit only.

    Raises:
        DatabaseUnreachableError: No connection within 5 s; the message names neither password nor
            URL.
    """
    with translated():
        conn = await PreparingConnection.connect(
            url,
            autocommit=autocommit,
            # the integer 0 would mean "prepare at once", which a pooler cannot serve
            prepare_threshold=None,
            row_factory=dict_row,
            application_name=application_name,
            **CONNECT_OPTIONS,
        )
        if prepares:
            try:
                await conn.prepare_if_direct()
            except BaseException:
                await conn.close()
                raise
        return conn


@contextlib.asynccontextmanager
async def connection(url: str, *, application_name: str) -> AsyncIterator[Connection]:
    """One autocommit connection for the length of a block, closed on every way out.

    Raises:
        DatabaseUnreachableError: See `connect`.
    """
    conn = await connect(url, application_name=application_name)
    try:
        with translated():
            yield conn
    finally:
        await conn.close()


async def bounded(work: Coroutine[Any, Any, T], *, within: timedelta) -> T:
    """Wait for work on a connection for so long and hardly longer, whatever Postgres does.

    `asyncio.timeout` does not do that: it cancels, and psycopg answers a cancellation by waiting
    for the server to end the statement. A network that is gone never says so.

    Raises:
        TimeoutError: The time has passed; the connection is no good any more.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task}, timeout=within.total_seconds())
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        await cancel(task)


async def cancel(task: asyncio.Task[Any]) -> None:
    """End a task that may wait for Postgres; a second cancellation is what psycopg obeys.

    Whoever cancels this waits for the end of the task all the same: it has to let go of its
    connection before that is closed.
    """
    interruption: asyncio.CancelledError | None = None
    while not task.done():
        task.cancel()
        try:
            await asyncio.wait({task}, timeout=_OBEYS_WITHIN_S)
        except asyncio.CancelledError as error:
            interruption = error
    if interruption is not None:
        raise interruption
    if not task.cancelled():
        task.exception()  # whoever wants its result asks for it; nobody is told otherwise


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn psycopg's errors into this project's tree.

    Raises:
        DatabaseBusyError: A lock was not free in time, or a deadlock: repeat it.
        DatabaseUnreachableError: The server cannot be reached, is starting, or the connection was
            lost.
        SchemaError: A table, column or privilege that this version needs is missing.
        DatabaseError: Anything else that Postgres refused.
    """
    try:
        yield
    except _SCHEMA as error:
        raise SchemaError(
            f"the database is not as this version needs it: {_first_line(error)}",
            hint=_schema_hint(_first_line(error)),
        ) from error
    except _BUSY as error:
        raise DatabaseBusyError(
            f"somebody else was in the way ({error.sqlstate}): {_first_line(error)}",
            hint="Look for long transactions in pg_stat_activity.",
        ) from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        # psycopg calls a lock time-out, a deadlock and a cancelled statement operational too
        if error.sqlstate is not None and not error.sqlstate.startswith((*_GONE, *_GONE_TOO)):
            raise DatabaseError(_refused(error)) from error
        raise DatabaseUnreachableError(
            f"Postgres cannot be reached: {_first_line(error)}",
            hint="Check DATABASE_URL and that the server accepts connections from here.",
        ) from error
    except psycopg.Error as error:
        raise DatabaseError(_refused(error)) from error


def _schema_hint(message: str) -> str:
    """What adds the missing thing: a migration of ours, or a change of the site's own tables."""
    missing = _MISSING_COLUMN.match(message)
    if missing is not None and not missing["column"].startswith("guestly_"):
        table = _SITE_TABLES.get(missing["alias"] or missing["relation"])
        if table is not None:
            return f"Add column {missing['column']} to {table}, a table of the site's own."
    return "Run `outbox migrate` with a role that owns schema outbox."


def _refused(error: psycopg.Error) -> str:
    return f"Postgres refused a statement ({error.sqlstate or 'no SQLSTATE'}): {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    # libpq puts every address it tried on lines of their own, and details may quote values of a row
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
