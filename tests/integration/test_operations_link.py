"""Saying which reservation is a booking's, and what is refused."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from outbox_worker.database import Connection, connect
from outbox_worker.errors import PmsUnansweredError, RefusedError
from outbox_worker.operations.fleet import SyncMode, read_fleet
from outbox_worker.operations.link import Linked, usable_id
from outbox_worker.operations.timeline import read_timeline
from outbox_worker.outbox.delivery import Destination
from outbox_worker.pms.guestly import Guestly
from outbox_worker.pms.port import PmsName
from tests.support_doubt import QUIET, in_doubt, in_guestly, linked, on_record, target
from tests.support_engine import (
    attempts_of,
    booking_row,
    claim_all,
    end_lease,
    insert_booking,
    row_of,
)
from tests.support_requeue import given_up, requested
from tests.support_simulator import LISTINGS, Simulator
from tests.support_sync import handler, sync

ID = "0123456789abcdef01234567"
ON = SyncMode(enabled=True, test_mode=False, pms=PmsName.GUESTLY)


async def unchanged(conn: Connection, booking: UUID) -> bool:
    cursor = await conn.execute("select count(*) as n from outbox.operator_action")
    return await cursor.fetchall() == [{"n": 0}] and await on_record(conn, booking) is None


async def test_a_stay_entered_by_hand_becomes_the_bookings_and_gets_its_state(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    by_hand = await in_guestly(conn, pms, booking, confirmationCode="HAND-1", guestName="Z. Guest")

    done = await linked(conn, adapter, booking, by_hand["_id"])

    assert (done.verified, done.previous, done.uncertain, done.others) == (True, None, False, ())
    known = await on_record(conn, booking)
    assert known == {
        "reservation_id": by_hand["_id"], "mode": "live", "fingerprint": None, "reservations": 1,
    }  # fmt: skip
    assert (await booking_row(conn, booking))["guestly_reservation_id"] == by_hand["_id"]
    row = await sync(conn, booking, handler(adapter))
    assert row.snapshot.delivered == row.snapshot.requested
    [now] = pms.reservations()
    reference = (await booking_row(conn, booking))["booking_reference"]
    assert (now["_id"], now["guestName"], now["confirmationCode"]) == (
        by_hand["_id"], "Zoë Canary-Guest", reference,
    )  # fmt: skip


async def test_who_said_so_is_on_record(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    by_hand = await in_guestly(conn, pms, booking)

    done = await linked(conn, adapter, booking, by_hand["_id"])

    cursor = await conn.execute(
        "select actor, action, target, reason, deliveries from outbox.operator_action"
    )
    assert await cursor.fetchall() == [
        {
            "actor": "anna",
            "action": "link",
            "target": f"LA-1 {by_hand['_id']}",
            "reason": "entered by hand",
            "deliveries": [done.delivery_id],
        }
    ]


async def test_an_unverified_link_is_told_as_such_until_a_call_has_succeeded(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    by_hand = await in_guestly(conn, pms, booking)

    async def unverified() -> bool:
        fleet = await read_fleet(conn, ON)
        [held] = (await read_timeline(conn, target(booking), fleet)).reservations
        assert held.reservation_id == by_hand["_id"]
        return held.unverified

    await linked(conn, None, booking, by_hand["_id"])
    assert await unverified()
    await sync(conn, booking, handler(adapter))
    assert not await unverified()
    # as `outbox prune` removes it, by a role that may not remove what operators did
    await conn.execute("delete from outbox.attempt")
    assert not await unverified()


async def test_a_verified_link_is_told_as_a_fact(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    by_hand = await in_guestly(conn, pms, booking)

    await linked(conn, None, booking, "6" * 24)
    await linked(conn, adapter, booking, by_hand["_id"])

    [held] = (await read_timeline(conn, target(booking), await read_fleet(conn, ON))).reservations
    assert not held.unverified


@pytest.mark.usefixtures("booking")
async def test_a_parked_booking_goes_on_and_its_success_solves_the_alert(
    conn: Connection, pms: Simulator, adapter: Guestly
) -> None:
    parked, delivery = await given_up(conn, code="reservation_gone")
    by_hand = await in_guestly(conn, pms, parked)

    await linked(conn, adapter, parked, by_hand["_id"])

    row = await row_of(conn, delivery)
    assert (row["failed_at"], row["attempts"], row["due_at"] <= row["now"]) == (None, 0, True)
    await sync(conn, parked, handler(adapter))
    cursor = await conn.execute("select resolved_at is not null as solved from outbox.alert")
    assert await cursor.fetchall() == [{"solved": True}]


async def test_a_doubt_whose_quiet_period_is_over_ends_with_it(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    delivery = await in_doubt(conn, booking, since=QUIET)
    held = await in_guestly(conn, pms, booking)

    done = await linked(conn, adapter, booking, held["_id"])

    assert done.uncertain is False
    assert (await row_of(conn, delivery))["uncertain_at"] is None


async def test_while_an_unknown_write_may_still_land_it_is_refused(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    await in_doubt(conn, booking)
    held = await in_guestly(conn, pms, booking)

    with pytest.raises(RefusedError, match="an earlier call may still take effect") as refused:
        await linked(conn, adapter, booking, held["_id"])

    assert "Try again in" in refused.value.hint
    assert await unchanged(conn, booking)


async def test_after_a_doubt_what_the_earlier_call_created_is_not_left_behind_unseen(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    await in_doubt(conn, booking, since=QUIET)
    await in_guestly(conn, pms, booking)
    pms.switch(availability=False)
    by_hand = await in_guestly(conn, pms, booking, confirmationCode="BY-HAND")

    with pytest.raises(RefusedError, match="also holds"):
        await linked(conn, adapter, booking, by_hand["_id"])

    assert await unchanged(conn, booking)


async def test_a_booking_in_flight_is_refused(
    conn: Connection, adapter: Guestly, booking: UUID
) -> None:
    await conn.execute("select outbox.request_sync(%s, 'stripe')", [booking])
    [claim] = await claim_all(conn, destination=Destination.GUESTLY)
    before = await row_of(conn, claim.id)

    with pytest.raises(RefusedError, match="a worker is sending it now"):
        await linked(conn, adapter, booking, ID)

    assert {**await row_of(conn, claim.id), "now": None} == {**before, "now": None}
    assert await unchanged(conn, booking)


async def test_a_lost_workers_claim_goes_on_record(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    await conn.execute("select outbox.request_sync(%s, 'stripe')", [booking])
    [claim] = await claim_all(conn, destination=Destination.GUESTLY)
    await end_lease(conn, claim.id)
    await conn.execute(
        "update outbox.delivery set lease_until = now() - %s::interval where id = %s",
        [QUIET, claim.id],
    )
    held = await in_guestly(conn, pms, booking)

    done = await linked(conn, adapter, booking, held["_id"])

    assert done.uncertain is False
    assert [each["outcome"] for each in await attempts_of(conn, claim.id)] == ["lost"]
    row = await row_of(conn, claim.id)
    assert (row["owner"], row["fence"]) == (None, 0)


async def test_another_bookings_reservation_is_refused(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    await sync(conn, booking, handler(adapter))
    [held] = pms.reservations()
    other = await insert_booking(conn)

    with pytest.raises(RefusedError, match="is the reservation of booking LA2026-"):
        await linked(conn, adapter, other, held["_id"])
    # also when it is not on record, but bears the other's reference
    await conn.execute("delete from outbox.reservation")
    with pytest.raises(RefusedError, match="is the reservation of booking LA2026-"):
        await linked(conn, adapter, other, held["_id"])

    assert await unchanged(conn, other)


async def test_two_persons_cannot_link_one_reservation_to_two_bookings(
    conn: Connection, database_url: str, booking: UUID
) -> None:
    other = await insert_booking(conn)
    beside = await connect(database_url, application_name="beside")

    async def attempt(connection: Connection, which: UUID) -> Linked | RefusedError:
        try:
            return await linked(connection, None, which, ID)
        except RefusedError as error:
            return error

    try:
        results = await asyncio.gather(attempt(conn, booking), attempt(beside, other))
    finally:
        await beside.close()

    assert sorted(type(each).__name__ for each in results) == ["Linked", "RefusedError"]


async def test_what_guestly_does_not_hold_is_refused(
    conn: Connection, adapter: Guestly, booking: UUID
) -> None:
    with pytest.raises(RefusedError, match=f"Guestly has no reservation {ID}"):
        await linked(conn, adapter, booking, ID)

    assert await unchanged(conn, booking)


async def test_another_stay_is_refused_and_what_differs_is_named(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    other = await in_guestly(
        conn, pms, booking, confirmationCode="HAND-2", listingId=list(LISTINGS)[1]
    )

    with pytest.raises(RefusedError, match="it differs in: listing"):
        await linked(conn, adapter, booking, other["_id"])

    assert await unchanged(conn, booking)


async def test_without_an_answer_nothing_is_changed_unless_told_not_to_ask(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    pms.faults({"fault": "error", "status": 503})

    with pytest.raises(PmsUnansweredError):
        await linked(conn, adapter, booking, ID)
    assert await unchanged(conn, booking)

    done = await linked(conn, None, booking, ID)
    assert done.verified is False


async def test_what_is_so_already_is_refused_and_another_id_replaces_it(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    await sync(conn, booking, handler(adapter))
    [first] = pms.reservations()
    with pytest.raises(RefusedError, match="on record for it already"):
        await linked(conn, adapter, booking, first["_id"])
    pms.delete(first["_id"])
    second = await in_guestly(conn, pms, booking)

    done = await linked(conn, adapter, booking, second["_id"])

    assert done.previous == first["_id"]
    known = await on_record(conn, booking)
    assert known is not None
    # the next creation, if there ever is one, has another idempotency key
    assert (known["reservation_id"], known["reservations"]) == (second["_id"], 2)


async def test_a_cancelled_booking_cancels_the_stay_that_it_is_linked_to(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    await conn.execute("update bookings set status = 'cancelled' where id = %s", [booking])
    held = await in_guestly(conn, pms, booking)

    await linked(conn, adapter, booking, held["_id"])
    await sync(conn, booking, handler(adapter))

    [now] = pms.reservations()
    assert now["status"] == "canceled"


async def test_what_is_cancelled_on_both_sides_needs_no_call(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    held = await in_guestly(conn, pms, booking)
    with pms.client() as client:
        answer = client.put(f"/reservations/{held['_id']}", json={"status": "canceled"})
        assert answer.is_success
    await conn.execute("update bookings set status = 'cancelled' where id = %s", [booking])
    writes = len(pms.effects())

    await linked(conn, adapter, booking, held["_id"])
    row = await sync(conn, booking, handler(adapter))

    assert row.snapshot.delivered == row.snapshot.requested
    assert len(pms.effects()) == writes


async def test_a_booking_that_is_not_confirmed_is_refused(conn: Connection, booking: UUID) -> None:
    await conn.execute("update bookings set status = 'pending' where id = %s", [booking])

    with pytest.raises(RefusedError, match="not confirmed"):
        await linked(conn, None, booking, ID)

    assert await unchanged(conn, booking)


async def test_a_second_reservation_under_the_reference_is_told(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    first = await in_guestly(conn, pms, booking)
    # the same nights of one listing cannot be taken twice
    second = await in_guestly(conn, pms, booking, checkIn="2027-06-01", checkOut="2027-06-05")

    done = await linked(conn, adapter, booking, first["_id"])

    assert done.others == (second["_id"],)


async def test_a_discarded_booking_is_revived(conn: Connection) -> None:
    other, delivery = await requested(conn)
    await conn.execute(
        "update outbox.delivery set discarded_at = now(), due_at = null where id = %s", [delivery]
    )

    await linked(conn, None, other, ID)

    row = await row_of(conn, delivery)
    assert (row["discarded_at"], row["due_at"] <= row["now"]) == (None, True)


@pytest.mark.parametrize("text", ["", "a b", "x" * 201, "a\nb", "test-reservation-id"])
def test_what_can_be_no_id_is_not_taken(text: str) -> None:
    assert usable_id(text) is False
    assert usable_id(ID) is True
