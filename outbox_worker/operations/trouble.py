"""What has gone on for too long: rows that wait, channels that fail, money that only a test saw."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from outbox_worker.alerts.alert import ALERT_CHANNELS, SPACING
from outbox_worker.database import Connection, Row
from outbox_worker.handlers.alert import FAILING_AFTER, FAILING_FOR
from outbox_worker.outbox.delivery import DeliveryId, Destination
from outbox_worker.sql import query

#: What has been owed for longer needs a person, unless a person holds it back.
OWED_PATIENCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """The oldest delivery that has been owed for too long.

    Args:
        name: Booking reference, or the key where there is none.
        waited: Since its newest version was asked for.
    """

    name: str
    delivery_id: DeliveryId
    destination: Destination
    waited: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelTrouble:
    """Alerts that one channel keeps refusing.

    Args:
        channel: Which.
        waiting: How many alerts wait for it.
        since: When the oldest of them was asked for.
        error_code, error: Of the one that was tried most often.
    """

    channel: Destination
    waiting: int
    since: datetime
    error_code: str | None
    error: str | None

    @property
    def sentence(self) -> str:
        """The trouble in a few words."""
        one = self.waiting == 1
        if self.channel is Destination.CHAT:
            return f"{self.waiting} {'alert does' if one else 'alerts do'} not reach the chat"
        return f"{self.waiting} {'alert' if one else 'alerts'} cannot be mailed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """All of it.

    Args:
        live_tested: Bookings paid with real money that only test mode has handled.
        overdue: What has been owed for longest, if that is too long.
        channels: Those that keep refusing alerts.
        unconfigured: Channels that are not set up, as far as an alert has shown it.
    """

    live_tested: int
    overdue: Overdue | None
    channels: tuple[ChannelTrouble, ...]
    unconfigured: tuple[Destination, ...]

    @property
    def needs(self) -> tuple[str, ...]:
        """Why a person is needed, one sentence each."""
        found = [each.sentence for each in self.channels]
        if self.live_tested:
            noun = "live payment was" if self.live_tested == 1 else "live payments were"
            found.append(f"{self.live_tested} {noun} handled in test mode only")
        if late := self.overdue:
            minutes = late.waited // timedelta(minutes=1)
            found.append(f"{late.destination} has been owed {late.name} for {minutes} minutes")
        return tuple(found)


async def read_trouble(conn: Connection, held: Collection[Destination], *, limit: int) -> Trouble:
    """Look for all of it.

    Args:
        conn: Any connection; only reads.
        held: Destinations that a person holds back: paused or switched off.
        limit: Most live payments that are counted.
    """
    return Trouble(
        live_tested=await count_live_tested(conn, limit=limit),
        overdue=await read_overdue(conn, held),
        channels=await read_channels(conn, held),
        unconfigured=await read_unconfigured(conn),
    )


async def read_overdue(conn: Connection, held: Collection[Destination]) -> Overdue | None:
    """The oldest delivery that is owed for longer than `OWED_PATIENCE`.

    A second message about one incident may wait `SPACING` longer: that long it has to.

    Args:
        conn: Any connection; only reads.
        held: Destinations that a person holds back: paused or switched off.
    """
    rows = await _rows(
        conn,
        "oldest_owed",
        held=sorted(held),
        patience=OWED_PATIENCE,
        channels=list(ALERT_CHANNELS),
        spacing=SPACING,
    )
    if not rows:
        return None
    (row,) = rows
    return Overdue(
        name=row["booking_reference"] or row["key"],
        delivery_id=DeliveryId(row["id"]),
        destination=Destination(row["destination"]),
        waited=row["waited"],
    )


async def read_channels(
    conn: Connection, held: Collection[Destination]
) -> tuple[ChannelTrouble, ...]:
    """The channels that fail as `handlers.alert` reports it in the other channel."""
    rows = await _rows(
        conn,
        "failing_channels",
        channels=[each for each in ALERT_CHANNELS if each not in held],
        attempts=FAILING_AFTER,
        lasting=FAILING_FOR,
    )
    return tuple(
        ChannelTrouble(
            channel=Destination(row["destination"]),
            waiting=row["waiting"],
            since=row["since"],
            error_code=row["error_code"],
            error=row["error"],
        )
        for row in rows
    )


async def read_unconfigured(conn: Connection) -> tuple[Destination, ...]:
    """The channels that could not tell the newest alert because they are not set up."""
    rows = await _rows(conn, "unconfigured_channels", channels=list(ALERT_CHANNELS))
    return tuple(Destination(row["channel"]) for row in rows)


async def count_live_tested(conn: Connection, *, limit: int) -> int:
    """Bookings paid with real money that only test mode has handled; at most ``limit``."""
    return int((await _rows(conn, "count_live_tested", limit=limit))[0]["n"])


async def _rows(conn: Connection, name: str, **parameters: Any) -> list[Row]:
    cursor = await conn.execute(query(name), parameters)
    return await cursor.fetchall()
