"""The connection of a process that migrates, the lock that one of them holds, and its errors."""

from __future__ import annotations

import contextlib
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import conninfo
from psycopg import errors as pg
from psycopg.rows import dict_row
from yoyo import exceptions as yoyo_errors

from outbox_worker import database
from outbox_worker.errors import DatabaseError, SchemaError
from outbox_worker.schema_checks import Session
from outbox_worker.sql import query

if TYPE_CHECKING:
    from collections.abc import Iterator

#: libpq options of every connection that migrates.
OPTIONS: Final[dict[str, Any]] = {
    **database.CONNECT_OPTIONS,
    "application_name": "outbox migrate",
}

_LOCK_KEY = 7_310_593_858_020_254_331
_LOCK_POLL_S = 0.1
_OLDEST_SERVER = 140_000
#: Behind a waiting ALTER TABLE every reader of the table waits, too, so the wait is short.
_TABLE_WAIT = timedelta(seconds=10)


@contextlib.contextmanager
def session(url: str, *, wait: timedelta = _TABLE_WAIT) -> Iterator[Session]:
    """A direct connection, autocommit, closed on every way out.

    Args:
        url: libpq URL or keyword string.
        wait: How long to wait for somebody's lock on a table, at most 10 s.

    Raises:
        DatabaseError: The URL cannot be read.
        SchemaError: The server is older than Postgres 14.
        psycopg.Error: No connection; within `translated` an error of this project.
    """
    try:
        conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # the parser's words quote the text, and with it the password
        raise DatabaseError(
            "the database URL is neither a libpq URL nor a keyword string",
            hint="Write it like postgresql://user:password@host:5432/database.",
        ) from None
    conn = psycopg.connect(url, autocommit=True, row_factory=dict_row, **OPTIONS)
    with contextlib.closing(conn):
        if conn.info.server_version < _OLDEST_SERVER:
            raise SchemaError(
                f"Postgres {conn.info.server_version // 10_000} is too old",
                hint="Postgres 14 or newer is needed.",
            )
        conn.execute(query("migration_session"), session_settings(wait))
        yield conn


def session_settings(wait: timedelta) -> dict[str, str]:
    """Parameters of query ``migration_session``."""
    bounded = min(max(wait, timedelta(milliseconds=1)), _TABLE_WAIT)  # 0 would mean: for ever
    return {"lock_timeout": f"{bounded / timedelta(milliseconds=1):.0f}ms"}


@contextlib.contextmanager
def locked(conn: Session, url: str, wait: timedelta) -> Iterator[None]:
    """Hold the lock of all migrating processes; the server frees it when this session dies.

    Args:
        conn: From `session`; holds the lock.
        url: The same URL again, to find out whether a pooler shares one session between two.
        wait: How long to ask for the lock.

    Raises:
        DatabaseError: Another process kept it for ``wait``.
        SchemaError: The URL leads through a transaction pooler.
    """
    deadline = time.monotonic() + wait.total_seconds()
    while not _try_lock(conn):
        if time.monotonic() >= deadline:
            raise DatabaseError(
                f"another process has been migrating for {wait.total_seconds():g} s",
                hint="Look for application_name 'outbox migrate' in pg_stat_activity.",
            )
        time.sleep(_LOCK_POLL_S)
    try:
        with session(url) as other:
            pooled = _try_lock(other)
            if pooled:  # one session behind both, which now holds the lock twice
                other.execute(query("migration_unlock"), {"key": _LOCK_KEY})
        if pooled:
            raise SchemaError(
                "this connection goes through a transaction pooler, where no lock can be held",
                hint="Set DATABASE_LISTEN_URL to a direct connection.",
            )
        yield
    finally:
        # the next process need not wait until the server has noticed that we left
        with contextlib.suppress(psycopg.Error):
            conn.execute(query("migration_unlock"), {"key": _LOCK_KEY})


def _try_lock(conn: Session) -> bool:
    row = conn.execute(query("migration_try_lock"), {"key": _LOCK_KEY}).fetchone()
    return row is not None and bool(row["locked"])


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """`database.translated`, plus what a person who migrates can do something about."""
    with database.translated():
        try:
            yield
        except pg.LockNotAvailable as error:
            raise DatabaseError(
                "somebody kept a table locked for too long; the step that needed it was undone",
                hint="Look for long transactions in pg_stat_activity, then run it again.",
            ) from error
        except pg.DependentObjectsStillExist as error:
            raise DatabaseError(
                "schema outbox holds or feeds something that is not ours; nothing was removed",
                hint=f"Drop it first: {error.diag.message_detail}.",
            ) from error
        except pg.InsufficientPrivilege as error:
            raise SchemaError(
                f"this role may not do that: {error.diag.message_primary}",
                hint="Migrate as the owner of public.bookings; row security must not bind it.",
            ) from error
        except (yoyo_errors.BadMigration, yoyo_errors.LockTimeout) as error:
            raise DatabaseError(f"the migration tool gave up: {error}") from error
