"""One booking, its database, and workers that come, crash and are taken over from."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from outbox_worker import wiring
from outbox_worker.bookings import store as bookings
from outbox_worker.bookings.booking import BookingId
from outbox_worker.database import Connection
from outbox_worker.handlers.booking import BookingHandler
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import DeliveryId, Destination, Reason, WorkerId
from outbox_worker.outbox.store import DeliveryRow
from outbox_worker.pms import mapping, price
from outbox_worker.pms.port import Pms, Reservation
from outbox_worker.worker.single import deliver_one
from tests.support_engine import LEASE, attempts_of, booking_row, insert_booking, ungated
from tests.support_pms import FIRST, PATIENT, SECOND, Rig
from tests.support_pms_crash import Crash, Moment, replacing_in
from tests.support_simulator import Json

FIRST_SLUG, SECOND_SLUG = "sea-loft", "garden-house"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A booking that two listings could hold, and the PMS that it is owed to.

    Args:
        conn: The test's own connection.
    """

    rig: Rig
    conn: Connection
    database_url: str
    booking: UUID

    async def ask(self) -> DeliveryId:
        """Request a sync of the booking; the row that owes it."""
        await store.request_sync(self.conn, self.booking, reason=Reason.STRIPE, reference="evt_1")
        delivery = await store.find(
            self.conn, destination=Destination.GUESTLY, key=str(self.booking)
        )
        assert delivery is not None
        return delivery

    @contextlib.asynccontextmanager
    async def hired(
        self, *, wrong: bool = False, **settings: str
    ) -> AsyncIterator[tuple[Pms, BookingHandler]]:
        """The adapter and the handler of a new worker with these settings."""
        config = wiring.read_worker_config(
            self.rig.environ(self.database_url, wrong=wrong, **settings)
        )
        async with wiring.open_pms(config.sync, config.database, connections=2) as pms:
            assert pms is not None
            yield pms, wiring.booking_handler(config.sync, pms)

    async def sync(
        self,
        owner: str = "worker",
        *,
        asked: DeliveryId | None = None,
        wrong: bool = False,
        **settings: str,
    ) -> DeliveryRow:
        """A new worker delivers what is owed; ``asked``: without another request."""
        delivery = await self.ask() if asked is None else asked
        async with self.hired(wrong=wrong, **settings) as (_, handler):
            return await deliver_one(
                self.conn,
                delivery,
                handler=handler,
                gatekeeper=ungated(WorkerId(owner)),
                lease=LEASE,
                patience=timedelta(seconds=1) if wrong else PATIENT,
            )

    async def crash(self, moment: Moment, number: int) -> DeliveryId:
        """A worker is lost at the write with this number; its lease has just ended."""
        delivery = await self.ask()
        with pytest.MonkeyPatch.context() as patch:
            replacing_in(patch, moment, number)
            with pytest.raises(Crash):
                await self.sync("lost", asked=delivery)
        await self.conn.execute(
            "update outbox.delivery set claimed_at = now() - interval '1 minute',"
            " lease_until = now() where id = %s and owner is not null",
            [delivery],
        )
        return delivery

    async def set(self, **columns: Any) -> None:
        """Change the booking, as the site would."""
        for name, value in columns.items():
            await self.conn.execute(
                f"update bookings set {name} = %s where id = %s",
                [value, self.booking],
            )

    async def move(self) -> None:
        """Move it to the other property."""
        await self.conn.execute(
            "update bookings set property_id = (select id from properties where slug = %s)"
            " where id = %s",
            [SECOND_SLUG, self.booking],
        )

    async def wanted(self, *, listing_id: str = FIRST) -> Reservation:
        """The booking as the PMS should hold it."""
        found = (await bookings.read(self.conn, [BookingId(self.booking)]))[BookingId(self.booking)]
        return mapping.to_reservation(
            found, listing_id=listing_id, pms=self.rig.name, currency="EUR"
        ).reservation

    async def forget(self) -> None:
        """Lose what is on record of its reservation, as a restored backup does."""
        await self.conn.execute("delete from outbox.reservation")

    async def outcomes(self, row: DeliveryRow) -> list[str]:
        """Of the attempts so far."""
        return [attempt["outcome"] for attempt in await attempts_of(self.conn, row.id)]

    async def codes(self, row: DeliveryRow) -> list[str | None]:
        """Error codes of the attempts so far."""
        return [attempt["error_code"] for attempt in await attempts_of(self.conn, row.id)]

    async def alerts(self) -> list[str]:
        """Kinds of the incidents that are open."""
        cursor = await self.conn.execute(
            "select kind from outbox.alert where resolved_at is null order by id"
        )
        return [row["kind"] for row in await cursor.fetchall()]

    async def record(self) -> Json | None:
        """What is on record of its reservation."""
        cursor = await self.conn.execute(
            "select reservation_id, fingerprint, parts from outbox.reservation"
            " where booking_id = %s",
            [self.booking],
        )
        return await cursor.fetchone()

    async def in_step(self, row: DeliveryRow, *, listing_id: str = FIRST) -> None:
        """Check that one reservation is there, as wanted, and everybody knows it."""
        wanted = await self.wanted(listing_id=listing_id)
        assert row.snapshot.delivered == row.snapshot.requested, row.last_error_code
        shown = self.rig.shows(wanted)
        (state,) = self.rig.states()
        if shown["status"] == "canceled":
            assert state["status"] == "canceled"
        else:
            assert state == shown
        (held,) = self.rig.simulator.reservations()
        record = await self.record()
        assert record is not None
        assert record["reservation_id"] == held["_id"]
        assert record["fingerprint"] == mapping.fingerprint(wanted)
        columns = await booking_row(self.conn, self.booking)
        assert (columns["guestly_sync_status"], columns["guestly_reservation_id"]) == (
            "synced",
            held["_id"],
        )
        cursor = await self.conn.execute(
            "select uncertain_at from outbox.delivery where destination = 'guestly'"
        )
        assert [each["uncertain_at"] for each in await cursor.fetchall()] == [None]
        lost = price.unknown(self.rig.name, record["parts"]) is not None
        # the price to be compared is told after a change, and is not known of one that was found
        assert await self.alerts() in ([], ["reported"] if lost else [])


async def staged(rig: Rig, conn: Connection, database_url: str) -> Stage:
    """A confirmed booking of the first of two properties, nothing sent of it yet."""
    for slug, listing in ((FIRST_SLUG, FIRST), (SECOND_SLUG, SECOND)):
        await conn.execute(
            "insert into outbox.listing (pms, slug, listing_id) values (%s, %s, %s)",
            [rig.name.value, slug, listing],
        )
    # the second property comes with a booking of its own, which nobody asks for
    await insert_booking(conn, slug=SECOND_SLUG, status="pending", check_in_date="2029-05-01",
                         check_out_date="2029-05-02")  # fmt: skip
    booking = await insert_booking(conn, slug=FIRST_SLUG, guest_phone="+49 30 5550 1234")
    return Stage(rig=rig, conn=conn, database_url=database_url, booking=booking)
