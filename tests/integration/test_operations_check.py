"""Asking the PMS what it holds, and what the answer proves."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from outbox_worker.database import Connection
from outbox_worker.errors import PmsUnansweredError, RefusedError
from outbox_worker.operations.check import Finding, Settlement
from outbox_worker.operations.fleet import SyncMode, read_fleet
from outbox_worker.operations.timeline import read_timeline
from outbox_worker.outbox.delivery import Destination, State
from outbox_worker.pms.guestly import Guestly
from outbox_worker.pms.port import Further, LookupAnswer, PmsName, uncounted
from tests.support_doubt import QUIET, asked, in_doubt, in_guestly, linked, on_record, target
from tests.support_engine import booking_row, claim_all, end_lease, row_of
from tests.support_requeue import requested
from tests.support_simulator import API_KEY, LISTINGS, Simulator
from tests.support_sync import handler, sync

LONG_AGO = QUIET + timedelta(seconds=1)


async def actions(conn: Connection) -> list[tuple[str, str]]:
    cursor = await conn.execute("select action, reason from outbox.operator_action order by id")
    return [(row["action"], row["reason"]) for row in await cursor.fetchall()]


async def test_a_synced_booking_is_found_as_it_is_and_nothing_is_changed(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    await sync(conn, booking, handler(adapter))
    writes = len(pms.effects())

    found = await asked(conn, adapter, booking)

    assert (found.finding, found.settlement) == (Finding.AS_WANTED, Settlement.NO_DOUBT)
    assert (found.state, found.needs_person) == (State.SYNCED, False)
    assert [each.same for each in found.found] == [True]
    assert len(pms.effects()) == writes
    assert await actions(conn) == []


async def test_what_differs_is_named_without_guest_data(
    conn: Connection, adapter: Guestly, booking: UUID
) -> None:
    await sync(conn, booking, handler(adapter))
    await conn.execute(
        "update bookings set check_out_date = '2027-05-06', guest_email = 'other@example.com',"
        " total = 1 where id = %s",
        [booking],
    )

    found = await asked(conn, adapter, booking)

    assert (found.finding, found.needs_person) == (Finding.DIFFERS, True)
    [remote] = found.found
    assert [(each.what, each.here, each.there) for each in remote.differences] == [
        ("check-out", "2027-05-06", "2027-05-05"),
        ("guest e-mail", None, None),
    ]
    assert "@" not in repr(found)
    assert "Zoë" not in repr(found)


async def test_a_difference_in_the_guests_data_alone_is_told_as_such(
    conn: Connection, adapter: Guestly, booking: UUID
) -> None:
    await sync(conn, booking, handler(adapter))
    await conn.execute("update bookings set guest_last_name = 'Other' where id = %s", [booking])

    [remote] = (await asked(conn, adapter, booking)).found

    assert [each.what for each in remote.differences] == ["guest, price, number of guests or notes"]


async def test_a_lost_creation_that_has_landed_is_adopted_and_needs_no_call(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    delivery = await in_doubt(conn, booking)
    held = await in_guestly(conn, pms, booking)

    found = await asked(conn, adapter, booking)

    assert (found.finding, found.settlement) == (Finding.AS_WANTED, Settlement.ADOPTED)
    row = await row_of(conn, delivery)
    assert (row["uncertain_at"], row["due_at"] <= row["now"]) == (None, True)
    known = await on_record(conn, booking)
    assert known is not None
    assert (known["reservation_id"], known["mode"]) == (held["_id"], "live")
    assert (await booking_row(conn, booking))["guestly_reservation_id"] == held["_id"]
    assert await actions(conn) == [("check", f"the PMS holds {held['_id']}")]
    await sync(conn, booking, handler(adapter))
    assert [effect["op"] for effect in pms.effects()] == ["create"]
    assert (await booking_row(conn, booking))["guestly_sync_status"] == "synced"


async def test_one_that_landed_with_an_older_state_is_put_on_record_and_then_written(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    await in_doubt(conn, booking)
    held = await in_guestly(conn, pms, booking, checkOut="2027-05-04")

    found = await asked(conn, adapter, booking)

    assert (found.finding, found.settlement) == (Finding.DIFFERS, Settlement.ADOPTED)
    known = await on_record(conn, booking)
    assert known is not None
    assert (known["reservation_id"], known["fingerprint"]) == (held["_id"], None)
    assert found.needs_person is False
    await sync(conn, booking, handler(adapter))
    [now] = pms.reservations()
    assert now["checkOut"] == "2027-05-05"


async def test_nothing_found_proves_nothing_before_the_quiet_period_is_over(
    conn: Connection, adapter: Guestly, booking: UUID
) -> None:
    delivery = await in_doubt(conn, booking)
    before = await row_of(conn, delivery)

    found = await asked(conn, adapter, booking)

    assert (found.finding, found.settlement) == (Finding.ABSENT, Settlement.TOO_EARLY)
    assert found.quiet_until == before["uncertain_at"] + QUIET
    assert {**await row_of(conn, delivery), "now": None} == {**before, "now": None}
    assert await actions(conn) == []


async def test_nothing_found_after_the_quiet_period_ends_the_doubt_and_it_is_due(
    conn: Connection, adapter: Guestly, booking: UUID
) -> None:
    delivery = await in_doubt(conn, booking, since=LONG_AGO)

    found = await asked(conn, adapter, booking)

    assert (found.finding, found.settlement) == (Finding.ABSENT, Settlement.ENDED)
    row = await row_of(conn, delivery)
    assert (row["uncertain_at"], row["due_at"] <= row["now"]) == (None, True)
    assert await on_record(conn, booking) is None
    assert await actions(conn) == [("check", "the PMS holds none")]


async def test_a_lost_worker_may_have_sent_until_its_lease_ended(
    conn: Connection, adapter: Guestly, booking: UUID
) -> None:
    await conn.execute("select outbox.request_sync(%s, 'stripe')", [booking])
    [claim] = await claim_all(conn, destination=Destination.GUESTLY)
    assert (await asked(conn, adapter, booking)).settlement is Settlement.IN_FLIGHT

    await end_lease(conn, claim.id)
    assert (await asked(conn, adapter, booking)).settlement is Settlement.TOO_EARLY

    ended = await asked(conn, adapter, booking, quiet=timedelta(0))
    assert ended.settlement is Settlement.ENDED
    row = await row_of(conn, claim.id)
    assert (row["owner"], row["fence"], row["uncertain_at"]) == (None, 0, None)


async def test_a_look_at_a_reservation_that_we_know_proves_nothing_while_a_write_may_land(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    await sync(conn, booking, handler(adapter))
    delivery = await in_doubt(conn, booking)

    early = await asked(conn, adapter, booking)
    assert (early.finding, early.settlement) == (Finding.AS_WANTED, Settlement.TOO_EARLY)
    assert (await row_of(conn, delivery))["uncertain_at"] is not None

    late = await asked(conn, adapter, booking, quiet=timedelta(0))
    assert late.settlement is Settlement.ENDED
    assert (await row_of(conn, delivery))["uncertain_at"] is None
    await sync(conn, booking, handler(adapter))
    assert [effect["op"] for effect in pms.effects()] == ["create"]


async def test_a_reservation_that_is_gone_needs_a_person(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    await sync(conn, booking, handler(adapter))
    [held] = pms.reservations()
    pms.delete(held["_id"])

    found = await asked(conn, adapter, booking)

    assert (found.finding, found.on_record) == (Finding.ABSENT, held["_id"])
    assert found.needs_person


async def test_a_look_that_found_nothing_is_not_on_record_as_one_that_found_it(
    conn: Connection, adapter: Guestly, booking: UUID
) -> None:
    """What a person has linked without asking stays a person's word."""
    nowhere = "0123456789abcdef01234567"
    await linked(conn, None, booking, nowhere)
    await in_doubt(conn, booking, since=LONG_AGO)

    found = await asked(conn, adapter, booking)

    assert (found.finding, found.settlement) == (Finding.ABSENT, Settlement.ENDED)
    assert (await actions(conn))[1:] == [("check", "the PMS holds none")]
    fleet = await read_fleet(conn, SyncMode(enabled=True, test_mode=False, pms=PmsName.GUESTLY))
    [held] = (await read_timeline(conn, target(booking), fleet)).reservations
    assert (held.reservation_id, held.unverified) == (nowhere, True)


async def test_another_stay_under_our_reference_is_not_touched(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    delivery = await in_doubt(conn, booking, since=LONG_AGO)
    other = list(LISTINGS)[1]
    await in_guestly(conn, pms, booking, listingId=other)

    found = await asked(conn, adapter, booking)

    assert (found.finding, found.settlement) == (Finding.FOREIGN, Settlement.UNDECIDED)
    assert found.needs_person
    assert (await row_of(conn, delivery))["uncertain_at"] is not None
    assert await on_record(conn, booking) is None


async def test_a_reservation_under_another_id_than_the_one_on_record_needs_a_person(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    await in_guestly(conn, pms, booking)
    await conn.execute(
        "insert into outbox.reservation (booking_id, pms, reservation_id)"
        " values (%s, 'guestly', %s)",
        [booking, "0123456789abcdef01234567"],
    )

    found = await asked(conn, adapter, booking)

    assert (found.finding, found.needs_person) == (Finding.ANOTHER, True)


async def test_a_discarded_booking_that_is_there_is_put_on_record_and_stays_discarded(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    delivery = await in_doubt(conn, booking)
    await conn.execute(
        "update outbox.delivery set discarded_at = now(), due_at = null where id = %s", [delivery]
    )
    held = await in_guestly(conn, pms, booking)

    found = await asked(conn, adapter, booking)

    assert (found.settlement, found.needs_person) == (Settlement.ADOPTED, True)
    row = await row_of(conn, delivery)
    assert (row["uncertain_at"], row["due_at"]) == (None, None)
    assert row["discarded_at"] is not None
    known = await on_record(conn, booking)
    assert known is not None
    assert known["reservation_id"] == held["_id"]


async def test_whatever_a_worker_learns_meanwhile_wins(
    conn: Connection, pms: Simulator, booking: UUID
) -> None:
    """The worker settles between the question and the answer."""
    delivery = await in_doubt(conn, booking, since=LONG_AGO)

    class Slow(Guestly):
        async def find(self, reference: str, *, further: Further = uncounted) -> LookupAnswer:
            answer = await super().find(reference, further=further)
            await conn.execute(
                "update outbox.delivery set uncertain_at = now() where id = %s", [delivery]
            )
            return answer

    slow = Slow(api_url=pms.url, api_key=API_KEY, timeout=timedelta(seconds=5), connections=1)
    try:
        found = await asked(conn, slow, booking)
    finally:
        await slow.aclose()

    assert found.settlement is Settlement.IN_FLIGHT
    assert (await row_of(conn, delivery))["uncertain_at"] is not None
    assert await actions(conn) == []


async def test_without_an_answer_nothing_is_changed(
    conn: Connection, pms: Simulator, adapter: Guestly, booking: UUID
) -> None:
    delivery = await in_doubt(conn, booking, since=LONG_AGO)
    pms.faults({"fault": "error", "status": 503, "operation": "lookup"})

    with pytest.raises(PmsUnansweredError) as caught:
        await asked(conn, adapter, booking)

    assert caught.value.code == "http_503"
    assert (await row_of(conn, delivery))["uncertain_at"] is not None


async def test_a_deleted_booking_is_refused(
    conn: Connection, adapter: Guestly, booking: UUID
) -> None:
    await requested(conn, id="11111111-2222-3333-4444-555555555555")
    await conn.execute("delete from bookings where id <> %s", [booking])

    with pytest.raises(RefusedError, match="deleted"):
        await asked(conn, adapter, UUID("11111111-2222-3333-4444-555555555555"))


async def test_a_cancelled_booking_that_guestly_never_held_needs_nobody(
    conn: Connection, adapter: Guestly, booking: UUID
) -> None:
    await conn.execute("update bookings set status = 'cancelled' where id = %s", [booking])

    found = await asked(conn, adapter, booking)

    assert (found.finding, found.needs_person) == (Finding.ABSENT, False)
