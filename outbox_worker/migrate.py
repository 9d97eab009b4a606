"""Migrating the database: one process at a time, each migration whole or not at all.

yoyo keeps the books, in schema ``outbox``. Three things are ours. A session lock on a direct
connection, because yoyo's own lock is a row that outlives a killed process. One transaction for a
migration and the note that it was applied, so that a process killed between the two blocks nobody.
And what every run does again: the lock-down, the indexes on the site's bookings, which are built
without keeping anybody from writing, and the search for what a person should know.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from psycopg import conninfo
from psycopg import errors as pg
from yoyo import read_migrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import parse_uri
from yoyo.migrations import default_migration_table

from outbox_worker.errors import DatabaseError, SchemaError
from outbox_worker.migration_session import (
    OPTIONS,
    locked,
    session,
    session_settings,
    translated,
)
from outbox_worker.schema_checks import (
    Session,
    applied_migrations,
    findings,
    payment_intent_index,
    repeated_payment_intents,
    schema_state,
    sync_column_indexes,
)
from outbox_worker.sql import query

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Indexes on the site's sync columns, each with the script of ``migrations/run`` that builds it.
_SYNC_INDEXES = {
    "idx_bookings_guestly_reservation_id": "reservation-id-index",
    "idx_bookings_guestly_sync_status": "sync-status-index",
    "idx_bookings_failed_syncs": "failed-syncs-index",
}

_NO_BOOKINGS = (
    "no public.bookings here: an empty one {} created; is DATABASE_URL the site's database?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationReport:
    """What a run did and what it found.

    Args:
        applied: Migrations applied by this run, in order.
        pending: Migrations still to be applied, in order; empty unless it was a dry run.
        warnings: One sentence each for a person; empty when all is well.
        trigger_created: Whether this run made the optional trigger, or a dry run would; False: it
            was there. None: it was not asked for.
    """

    applied: tuple[str, ...]
    pending: tuple[str, ...]
    warnings: tuple[str, ...]
    trigger_created: bool | None = None


def apply(
    url: str,
    *,
    with_booking_trigger: bool = False,
    lock_wait: timedelta = timedelta(seconds=60),
) -> MigrationReport:
    """Bring the database to this version; harmless when it is, and when several do it at once.

    Args:
        url: libpq URL or keyword string of a direct connection, not through a transaction pooler.
        with_booking_trigger: Make the optional trigger on ``public.bookings``, too. Without it
            a trigger that exists is left alone.
        lock_wait: How long to wait for another process that is migrating, and for a table that
            somebody locked (for that at most 10 s).

    Raises:
        DatabaseUnreachableError: No connection, or it was lost; what was not finished is undone.
        SchemaError: A right is missing, the server is too old, or a pooler is in the way.
        DatabaseError: Another process kept the lock, a table of the site was locked for too long,
            or a migration failed.
    """
    with translated(), session(url, wait=lock_wait) as conn, locked(conn, url, lock_wait):
        before = schema_state(conn)
        if not before["has_schema"]:
            conn.execute(_script("schema"))
        with _backend(conn, url, lock_wait) as backend:
            applied = _apply_pending(conn, backend)
        conn.execute(_script("lock-down"))
        if with_booking_trigger:
            conn.execute(_script("booking-trigger"))
        missing = _make_sync_indexes(conn) + _make_payment_intent_index(conn)
        warnings = findings(conn, known=_known()) + missing
    if not before["has_bookings"]:
        warnings = (_NO_BOOKINGS.format("was"), *warnings)
    return MigrationReport(
        applied=applied,
        pending=(),
        warnings=warnings,
        trigger_created=not before["has_booking_trigger"] if with_booking_trigger else None,
    )


def pending(url: str, *, with_booking_trigger: bool = False) -> MigrationReport:
    """What `apply` would do; changes nothing and waits for nobody.

    Args:
        url: See `apply`.
        with_booking_trigger: See `apply`.

    Raises:
        DatabaseUnreachableError: No connection, or it was lost.
        SchemaError: A right is missing or the server is too old.
        DatabaseError: Postgres refused a statement.
    """
    with translated(), session(url) as conn:
        conn.read_only = True
        with conn.transaction():
            state = schema_state(conn)
            done = applied_migrations(conn)
            left = tuple(name for name in _known() if name not in done)
            warnings = findings(conn, known=_known()) + _foreseen_index_warning(conn)
    if not state["has_bookings"]:
        warnings = (_NO_BOOKINGS.format("would be"), *warnings)
    return MigrationReport(
        applied=(),
        pending=left,
        warnings=warnings,
        trigger_created=not state["has_booking_trigger"] if with_booking_trigger else None,
    )


def rollback(url: str, *, lock_wait: timedelta = timedelta(seconds=60)) -> tuple[str, ...]:
    """Remove schema ``outbox`` with all it holds, our RPC function, trigger and index.

    All or nothing, and nothing of the site's: the ``guestly_*`` columns stay and keep the
    reservation ids, from which a later `apply` takes over again.

    Args:
        url: See `apply`.
        lock_wait: See `apply`.

    Returns:
        Migrations rolled back, newest first; empty when there was nothing to do.

    Raises:
        DatabaseUnreachableError: No connection, or it was lost.
        SchemaError: See `apply`.
        DatabaseError: Something that is not ours is in the schema or depends on it, or see `apply`.
    """
    with translated(), session(url, wait=lock_wait) as conn, locked(conn, url, lock_wait):
        if not schema_state(conn)["has_schema"]:
            return ()
        with _backend(conn, url, lock_wait) as backend:
            undone = backend.to_rollback(_migrations())
            with backend.transaction():
                for migration in undone:
                    migration.process_steps(backend, "rollback")
                backend.connection.execute(_script("drop-schema"))
    return tuple(migration.id for migration in undone)


def _apply_pending(conn: Session, backend: Any) -> tuple[str, ...]:
    """Apply what is missing; as ``conn`` holds the lock, a lock row of yoyo's is stale."""
    applied = []
    backend.break_lock()
    with backend.lock():
        for migration in backend.to_apply(_migrations()):
            schema_state(conn)  # fails when the session that holds the lock is gone
            try:
                with translated(), backend.transaction():
                    migration.process_steps(backend, "apply")
                    backend.mark_one(migration, log=False)
            except DatabaseError as error:
                message = f"migration {migration.id} was not applied: {error}"
                raise type(error)(message, hint=error.hint) from error
            applied.append(migration.id)
    return tuple(applied)


def _make_payment_intent_index(conn: Session) -> tuple[str, ...]:
    """Create the index unless it exists or cannot, outside of any transaction.

    Returns:
        Why it is missing; empty when it exists.
    """
    index = payment_intent_index(conn)
    if index["leftover"]:
        conn.execute(_script("drop-payment-intent-index"))
    if index["present"] or not index["has_column"]:
        return ()
    if foreseen := _foreseen_index_warning(conn):
        return foreseen
    if fault := _build_index(conn, "payment-intent-index"):
        warning = (
            "The index that makes one payment intent belong to one booking could not be created"
            f" ({fault}); the next `outbox migrate` tries again."
        )
        return (warning,)
    return ()


def _make_sync_indexes(conn: Session) -> tuple[str, ...]:
    """Create the indexes on the sync columns that are missing, outside of any transaction.

    Returns:
        One sentence for each that could not be built now.
    """
    warnings = []
    for index in sync_column_indexes(conn, _SYNC_INDEXES):
        script = _SYNC_INDEXES[index["name"]]
        if index["leftover"]:
            conn.execute(_script(f"drop-{script}"))
        elif index["present"]:
            continue
        if fault := _build_index(conn, script):
            warnings.append(
                f"The index {index['name']} could not be created ({fault}); the next"
                " `outbox migrate` tries again."
            )
    return tuple(warnings)


def _build_index(conn: Session, script: str) -> str | None:
    """Build an index without keeping writers out.

    Returns:
        What was in the way; None: it is built.
    """
    try:
        conn.execute(_script(script))
    except (pg.UniqueViolation, pg.LockNotAvailable, pg.DeadlockDetected) as error:
        # an invalid index is left behind; if it cannot be dropped now either, the next run drops it
        with contextlib.suppress(pg.LockNotAvailable, pg.DeadlockDetected):
            conn.execute(_script(f"drop-{script}"))
        return type(error).__name__
    return None


def _foreseen_index_warning(conn: Session) -> tuple[str, ...]:
    index = payment_intent_index(conn)
    if index["present"] or not index["has_column"]:
        return ()
    repeated = repeated_payment_intents(conn)
    if not repeated:
        return ()
    warning = (
        f"{repeated} payment intent(s) stand on more than one booking, so that one intent per"
        " booking cannot be enforced. Clear the wrong ones in bookings.stripe_payment_intent_id"
        " and run `outbox migrate` again."
    )
    return (warning,)


@contextlib.contextmanager
def _backend(conn: Session, url: str, wait: timedelta) -> Iterator[Any]:
    """The migration tool on a connection of its own, with schema ``outbox`` as its search path."""
    # everything goes into the query part: there keyword strings, several hosts and sockets fit, too
    parameters = {**conninfo.conninfo_to_dict(url), **OPTIONS, "schema": "outbox"}
    uri = parse_uri(f"postgresql+psycopg:///?{urlencode(parameters)}")
    backend = PostgresqlPsycopgBackend(uri, default_migration_table)
    with contextlib.closing(backend.connection):
        backend.connection.execute(query("migration_session"), session_settings(wait))
        if not schema_state(conn)["has_lock_table"]:
            backend.create_lock_table()
        yield backend


def _folder() -> Path:
    # packed into the wheel; beside the package in a checkout
    packed = Path(__file__).with_name("_migrations")
    return packed if packed.is_dir() else Path(__file__).parents[1] / "migrations"


def _migrations() -> Any:
    found = read_migrations(str(_folder()))
    if not found:
        raise SchemaError("this installation holds no migrations", hint="Install it again.")
    return found


def _known() -> tuple[str, ...]:
    return tuple(migration.id for migration in _migrations())


def _script(name: str) -> bytes:
    """The static text of one step of every run; see ``migrations/run``."""
    return (_folder() / "run" / f"{name}.sql").read_bytes()
