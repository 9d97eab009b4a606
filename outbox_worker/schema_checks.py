"""What a person should know about a database that is, or is about to be, migrated. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import psycopg

from outbox_worker.database import Row
from outbox_worker.sql import query

if TYPE_CHECKING:
    from collections.abc import Collection

Session: TypeAlias = psycopg.Connection[Row]

_SHOWN = 5


def findings(conn: Session, *, known: Collection[str]) -> tuple[str, ...]:
    """Everything about the schema that works against us, or will.

    Args:
        conn: Connection of the role that owns, or will own, schema ``outbox``: the functions that
            the site calls run as it.
        known: Ids of this version's migrations.

    Returns:
        One sentence each; empty when all is well.
    """
    state = schema_state(conn)
    found = []
    if newer := applied_migrations(conn) - set(known):
        found.append(
            f"A newer version migrated this database ({_listed(sorted(newer))}): install that"
            " version here, too."
        )
    if missing := _names(conn, "missing_site_columns"):
        found.append(
            # all of them: whoever adds five and runs it again would be told of the next five
            f"The site's tables lack columns that are read: {', '.join(missing)}. Add them, or"
            " nothing can be synced."
        )
    if blinded := _names(conn, "blinded_tables"):
        found.append(
            f"Row level security hides rows of {_listed(blinded)} from the role that migrates, as"
            " which request_sync and the trigger run: give it BYPASSRLS, or migrate as the owner"
            " of public.bookings."
        )
    if state["has_schema"] and (exposed := _names(conn, "exposed_objects")):
        found.append(
            f"Roles of the site hold rights on what is private: {_listed(exposed)}. Revoke them"
            " as the role that granted them."
        )
    if state["has_lock_down"] and (shared := _number(conn, "repeated_reservations")):
        found.append(
            f"{shared} live reservation id(s) stand on more than one booking, so that a change of"
            " one would overwrite the other's. Compare them with the PMS."
        )
    return tuple(found)


def schema_state(conn: Session) -> Row:
    """Which landmarks of the schema exist, by the columns of query ``migration_state``."""
    return _row(conn, "migration_state")


def applied_migrations(conn: Session) -> frozenset[str]:
    """Ids of the migrations that the database has seen; empty before the first."""
    if not schema_state(conn)["has_history"]:
        return frozenset()
    return frozenset(row["id"] for row in conn.execute(query("migration_applied")))


def sync_column_indexes(conn: Session, names: Collection[str]) -> list[Row]:
    """Whether indexes of these names exist, and whether they are whole, by the query's columns."""
    return conn.execute(query("sync_column_indexes"), {"names": list(names)}).fetchall()


def payment_intent_index(conn: Session) -> Row:
    """The index that makes one payment intent belong to one booking, by its query's columns."""
    return _row(conn, "payment_intent_index")


def repeated_payment_intents(conn: Session) -> int:
    """How many payment intents stand on more than one booking."""
    return _number(conn, "repeated_payment_intents")


def _row(conn: Session, name: str) -> Row:
    [row] = conn.execute(query(name)).fetchall()
    return row


def _number(conn: Session, name: str) -> int:
    [number] = _row(conn, name).values()
    return int(number)


def _names(conn: Session, name: str) -> list[str]:
    return [row["name"] for row in conn.execute(query(name))]


def _listed(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
