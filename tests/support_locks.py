"""Which rows a transaction has locked after each of its statements, seen by another session.

The order: bookings, deliveries, alerts, the alerts' own deliveries; each by id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from itertools import groupby, pairwise
from typing import Any, Self, TypeAlias
from uuid import UUID

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from outbox_worker.alerts import store as alerts
from outbox_worker.alerts.alert import AlertKind, NewAlert
from outbox_worker.database import Connection, Row
from outbox_worker.outbox.delivery import Destination


class Rank(IntEnum):
    BOOKINGS = 1
    DELIVERIES = 2
    ALERTS = 3
    ALERTS_OWN_DELIVERIES = 4


#: Deliveries of these destinations belong to alerts; their keys are the alerts' ids.
OWN = frozenset({Destination.EMAIL, Destination.CHAT})

#: Every row that may be locked; outside of the transaction only those that nobody has locked.
ROWS = {
    "bookings": "select b.id, null as destination from public.bookings b",
    "deliveries": "select d.id, d.destination from outbox.delivery d",
    "alerts": "select a.id, null as destination from outbox.alert a",
}
RowKey: TypeAlias = tuple[Rank, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A row that a transaction holds from this statement on: nobody else can change it.

    Args:
        new: Whether the transaction made the row.
    """

    statement: int
    rank: Rank
    id: Any
    new: bool

    @property
    def place(self) -> tuple[Rank, Any]:
        """Where it belongs in the order.

        The alerts' own deliveries need none among themselves: whoever locks one holds its alert.
        Nor does an alert that is new: there is none of its incident yet to be locked before.
        """
        if self.rank is Rank.ALERTS_OWN_DELIVERIES or (self.new and self.rank is Rank.ALERTS):
            return Rank.ALERTS_OWN_DELIVERIES, 0
        return self.rank, self.id


class _Looking(psycopg.AsyncCursor[Any]):
    """A cursor that has its connection look after each statement, whatever the form of its rows."""

    async def execute(self, *arguments: Any, **options: Any) -> Self:
        inside = self.connection.info.transaction_status is TransactionStatus.INTRANS
        await super().execute(*arguments, **options)
        if inside and isinstance(self.connection, Recording):
            await self.connection.look()
        return self


class Recording(psycopg.AsyncConnection[Row]):
    """A connection that looks after each statement of a transaction which rows it has locked."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cursor_factory = _Looking
        self.outside: Connection | None = None
        self.transactions: dict[datetime, list[Lock]] = {}
        self._statements = 0

    async def look(self) -> None:
        """Note which rows the transaction has locked since the last look."""
        if self.outside is not None:
            await self._look(self.outside)

    async def _look(self, outside: Connection) -> None:
        self._statements += 1
        unseen = psycopg.AsyncCursor(self, row_factory=dict_row)
        [clock] = await (await unseen.execute("select transaction_timestamp() as at")).fetchall()
        held = self.transactions.setdefault(clock["at"], [])
        known = {(lock.rank, lock.id) for lock in held}
        for name, statement in ROWS.items():
            ours = await _rows(await unseen.execute(statement), name)
            others = await _rows(await outside.execute(statement), name)
            free = await _rows(
                await outside.execute(f"{statement} for no key update skip locked"), name
            )
            held += [
                Lock(statement=self._statements, rank=row[0], id=row[1], new=row not in others)
                for row in sorted(ours - free - known)
            ]

    @property
    def order(self) -> tuple[Rank, ...]:
        """The kinds of rows in the order in which the transactions first locked one of them."""
        locks = [lock for locks in self.transactions.values() for lock in locks]
        return tuple(dict.fromkeys(lock.rank for lock in locks))

    @property
    def faults(self) -> list[str]:
        """Locks that came too late, and statements that lock many rows of several kinds."""
        return [fault for locks in self.transactions.values() for fault in out_of_order(locks)]


async def tell_of_second_payments(conn: Connection, bookings: Sequence[UUID]) -> None:
    """An open alert about each of these bookings, with its mail."""
    async with conn.transaction():
        for booking in bookings:
            alert = NewAlert(
                kind=AlertKind.PAID_TWICE, fingerprint=str(booking), booking_id=booking
            )
            await alerts.raise_alert(conn, alert, channels=[Destination.EMAIL])


async def _rows(cursor: psycopg.AsyncCursor[Row], name: str) -> set[RowKey]:
    ranks = {"bookings": Rank.BOOKINGS, "deliveries": Rank.DELIVERIES, "alerts": Rank.ALERTS}
    return {
        (Rank.ALERTS_OWN_DELIVERIES if row["destination"] in OWN else ranks[name], row["id"])
        for row in await cursor.fetchall()
    }


def out_of_order(locks: Sequence[Lock]) -> list[str]:
    """What is wrong with the locks of one transaction; a row held already is not among them twice.

    The order within a statement is not seen here: another test reads the statements for that.
    """
    found = []
    for _, group in groupby(locks, key=lambda lock: lock.statement):
        together = list(group)
        ranks = Counter(lock.place[0] for lock in together)
        if len(ranks) > 1 and len(ranks) < len(together):
            found.append(f"several rows of several kinds at once: {together}")
    for before, after in pairwise(sorted(locks, key=lambda lock: (lock.statement, *lock.place))):
        if after.place < before.place:
            found.append(f"{after} after {before}")
    return found
