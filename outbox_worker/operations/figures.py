"""Figures over time: how many bookings reached the PMS, how soon, and what went wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from outbox_worker.database import Connection, Row
from outbox_worker.sql import query
from outbox_worker.statistics import SyncStatistics, get_sync_statistics

#: The time from payment to reservation is measured over so many of the newest bookings.
LATENCY_OF = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureCount:
    """Calls that did not succeed, of one kind.

    Args:
        attempts: How many calls.
        bookings: How many bookings they were about.
    """

    code: str
    attempts: int
    bookings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """From the payment to the first reservation in the PMS, of the newest `LATENCY_OF` bookings.

    A payment begins when its Stripe event was received, also where the event had to wait for its
    booking; a booking that the site's own programs asked for begins at its ``confirmed_at``.

    Args:
        reservations: Bookings whose first reservation was made in the time that is asked about.
        measured: Those among them whose beginning is known; the others were taken over, or asked
            for by an operator.
        p50, p95: Half, and 95 of 100, took no longer, interpolated; None: none was measured.
    """

    reservations: int
    measured: int
    p50: timedelta | None
    p95: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How bookings reach the PMS.

    Args:
        since: What ended before this is left out; None: everything counts.
        pending: Bookings owed to the PMS and not given up, now.
        oldest_owed_at: When the oldest of those was asked for; None: nothing is owed.
        synced: Bookings that the PMS took, and still holds as they are.
        tested: Bookings that nothing but test mode has handled; they are not among ``synced``.
        failed: Bookings given up and not repaired; ``retried`` of them are tried again by
            themselves, the others wait for a person.
        success_rate: ``synced`` of ``synced`` and ``failed``, 0 to 1; None: neither is any.
        average_attempts: Attempts that a synced booking took in its last round; None: none took
            any.
        failures: Most frequent first.
        bookings: All bookings of the site by the status that stands on them, whatever ``since``.
        now: The database's clock, aware UTC.
    """

    since: datetime | None
    pending: int
    oldest_owed_at: datetime | None
    synced: int
    tested: int
    failed: int
    retried: int
    success_rate: float | None
    average_attempts: float | None
    latency: Latency
    failures: tuple[FailureCount, ...]
    bookings: SyncStatistics
    now: datetime


async def read_figures(conn: Connection, *, since: datetime | None = None) -> Figures:
    """Count.

    Args:
        conn: Any connection; only reads. Each figure is of its own moment.
        since: Only what was synced or given up, called or made since then; aware.
    """
    owed = await _one(conn, "figures_owed")
    done = await _one(conn, "figures_done", since=since)
    took = await _one(conn, "figures_latency", since=since, limit=LATENCY_OF)
    cursor = await conn.execute(query("figures_failures"), {"since": since})
    failures = tuple(
        FailureCount(code=row["code"], attempts=row["attempts"], bookings=row["bookings"])
        for row in await cursor.fetchall()
    )
    failed = done["failed"] + done["rejected"]
    ended = done["synced"] + failed
    return Figures(
        since=since,
        pending=owed["pending"],
        oldest_owed_at=owed["oldest_at"],
        synced=done["synced"],
        tested=done["tested"],
        failed=failed,
        retried=done["failed"],
        success_rate=round(done["synced"] / ended, 4) if ended else None,
        average_attempts=None if done["attempts"] is None else round(float(done["attempts"]), 2),
        latency=Latency(
            reservations=took["reservations"],
            measured=took["measured"],
            p50=took["p50"],
            p95=took["p95"],
        ),
        failures=failures,
        bookings=await get_sync_statistics(conn),
        now=owed["now"],
    )


async def _one(conn: Connection, name: str, **parameters: Any) -> Row:
    cursor = await conn.execute(query(name), parameters)
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - an aggregate without groups always answers one row
    return row
