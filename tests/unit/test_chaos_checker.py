"""The checker of the chaos runs: it finds what may not happen, and says of which booking."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from tests.chaos.checker import Rule, check
from tests.chaos.history import (
    Ack,
    Booking,
    Claim,
    Delivery,
    Effect,
    GaveUp,
    History,
    Leak,
    Mail,
    Named,
    State,
)

NOON = datetime(2027, 1, 2, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ADA = UUID("00000000-0000-4000-8000-00000000000a")
BEN = UUID("00000000-0000-4000-8000-00000000000b")


def state(nights: int = 2, status: str = "confirmed") -> State:
    check_in = date(2027, 3, 1)
    return State(
        status=status,
        check_in=check_in,
        check_out=check_in + timedelta(days=nights),
        total=Decimal("500.00"),
    )


PENDING, CONFIRMED, LONGER, CANCELLED = (
    state(status="pending"),
    state(),
    state(nights=3),
    state(nights=3, status="cancelled"),
)


def booking(booking_id: UUID, reference: str, *states: State, **columns: Any) -> Booking:
    return Booking(
        id=booking_id,
        reference=reference,
        states=states,
        sync_status=columns.get("sync_status", "synced"),
        reservation_id=columns.get("reservation_id"),
    )


def effect(
    n: int, op: str, reference: str, shows: State, *, reservation_id: str, canceled: bool = False
) -> Effect:
    return Effect(
        n=n,
        at=NOON + n * SECOND,
        op=op,
        reservation_id=reservation_id,
        reference=reference,
        status="canceled" if canceled else "confirmed",
        check_in=shows.check_in,
        check_out=shows.check_out,
        fare=shows.total,
    )


#: Ada's stay was made longer while the first write was under way; Ben cancelled his.
GOOD = History(
    bookings=[
        booking(ADA, "ADA", PENDING, CONFIRMED, LONGER, reservation_id="r1"),
        booking(BEN, "BEN", PENDING, CONFIRMED, LONGER, CANCELLED, reservation_id="r2"),
    ],
    deliveries=[
        Delivery(id=1, destination="guestly", key=str(ADA), requested=2, delivered=2),
        Delivery(id=2, destination="guestly", key=str(BEN), requested=3, delivered=3),
    ],
    effects=[
        effect(1, "create", "ADA", CONFIRMED, reservation_id="r1"),
        effect(2, "create", "BEN", LONGER, reservation_id="r2"),
        effect(3, "change", "ADA", LONGER, reservation_id="r1"),
        effect(4, "cancel", "BEN", LONGER, reservation_id="r2", canceled=True),
    ],
    acks=[
        Ack(event_id="evt_1", booking_id=ADA, pays=True),
        Ack(event_id="evt_2", booking_id=BEN, pays=True),
    ],
    events=frozenset({"evt_1", "evt_2"}),
    claims=[
        Claim(delivery_id=1, fence=1, at=NOON),
        Claim(delivery_id=1, fence=2, at=NOON + 4 * SECOND, previous_until=NOON + 3 * SECOND),
    ],
    gave_up=[GaveUp(delivery_id=1, at=NOON)],
    named=[Named(alert_id=7, delivery_id=1, failed_at=NOON, healed_at=NOON + SECOND)],
    alerts=frozenset({7}),
    mails=[
        Mail(message_id="<alert-7.1@booking-outbox>", text="One booking failed"),
        Mail(message_id="<alert-7.1@booking-outbox>", text="One booking failed"),
    ],
    leaks=[],
    exits={"worker1": 0, "receiver": 0},
    drained_in=5 * SECOND,
    bound=40 * SECOND,
)


def found(history: History) -> list[tuple[Rule, str | None]]:
    return [(violation.rule, violation.reference) for violation in check(history)]


def test_a_history_that_may_happen_passes() -> None:
    assert check(GOOD) == ()


def test_a_confirmed_booking_that_was_never_created_is_lost() -> None:
    history = replace(GOOD, effects=[one for one in GOOD.effects if one.reference != "ADA"])

    assert (Rule.LOST, "ADA") in found(history)
    assert "ADA" in str(check(history)[0])


def test_an_answered_event_without_its_row_in_the_inbox_is_lost() -> None:
    assert found(replace(GOOD, events=frozenset({"evt_2"}))) == [(Rule.LOST, "ADA")]


def test_a_booking_that_stays_pending_after_a_2xx_is_lost() -> None:
    pending = booking(ADA, "ADA", PENDING)
    effects = [one for one in GOOD.effects if one.reference != "ADA"]

    history = replace(GOOD, bookings=[pending, GOOD.bookings[1]], effects=effects)

    assert found(history) == [(Rule.LOST, "ADA")]


def test_a_confirmed_booking_without_an_outbox_row_is_lost() -> None:
    assert (Rule.LOST, "ADA") in found(replace(GOOD, deliveries=GOOD.deliveries[1:]))


def test_an_answered_event_of_a_booking_that_is_gone_is_lost() -> None:
    stranger = UUID("00000000-0000-4000-8000-00000000000c")
    ack = Ack(event_id="evt_1", booking_id=stranger, pays=True)

    assert found(replace(GOOD, acks=[ack])) == [(Rule.LOST, str(stranger))]


def test_a_second_reservation_is_a_double_even_if_it_was_cancelled_later() -> None:
    second = effect(5, "create", "ADA", LONGER, reservation_id="r9")
    cancelled = effect(6, "cancel", "BEN", LONGER, reservation_id="r9", canceled=True)

    assert found(replace(GOOD, effects=[*GOOD.effects, second])) == [(Rule.DOUBLED, "ADA")]
    twice = [*GOOD.effects, replace(second, reference="BEN"), cancelled]
    assert found(replace(GOOD, effects=twice)) == [(Rule.DOUBLED, "BEN")]


def test_an_effect_that_goes_back_to_an_older_state_is_stale() -> None:
    late = effect(5, "change", "ADA", CONFIRMED, reservation_id="r1")

    assert (Rule.STALE, "ADA") in found(replace(GOOD, effects=[*GOOD.effects, late]))


def test_a_stale_effect_is_found_although_a_later_one_has_mended_it() -> None:
    late = effect(5, "change", "ADA", CONFIRMED, reservation_id="r1")
    mended = effect(6, "change", "ADA", LONGER, reservation_id="r1")

    history = replace(GOOD, effects=[*GOOD.effects, late, mended])

    assert found(history) == [(Rule.STALE, "ADA")]


def test_a_cancelled_stay_that_comes_back_to_life_is_stale_and_unwanted() -> None:
    late = effect(5, "change", "BEN", LONGER, reservation_id="r2")

    assert set(found(replace(GOOD, effects=[*GOOD.effects, late]))) == {
        (Rule.UNWANTED, "BEN"),
        (Rule.STALE, "BEN"),
    }


def test_a_reservation_that_was_never_brought_to_the_final_state_is_wrong() -> None:
    effects = [one for one in GOOD.effects if (one.reference, one.op) != ("ADA", "change")]

    assert found(replace(GOOD, effects=effects)) == [(Rule.WRONG, "ADA")]


def test_an_effect_that_shows_what_the_booking_never_was_is_wrong() -> None:
    invented = effect(5, "change", "ADA", state(nights=9), reservation_id="r1")

    assert (Rule.WRONG, "ADA") in found(replace(GOOD, effects=[*GOOD.effects, invented]))


def test_a_cancelled_booking_that_is_still_reserved_is_unwanted() -> None:
    effects = [one for one in GOOD.effects if one.op != "cancel"]

    assert found(replace(GOOD, effects=effects)) == [(Rule.UNWANTED, "BEN")]


def test_a_reservation_of_a_booking_that_the_site_never_had_is_unwanted() -> None:
    stranger = effect(5, "create", "EVE", CONFIRMED, reservation_id="r9")

    assert found(replace(GOOD, effects=[*GOOD.effects, stranger])) == [(Rule.UNWANTED, "EVE")]


@pytest.mark.parametrize("columns", [{"sync_status": "failed"}, {"reservation_id": "r9"}])
def test_columns_that_do_not_say_what_the_pms_holds_are_unrecorded(columns: dict[str, str]) -> None:
    told = booking(ADA, "ADA", PENDING, CONFIRMED, LONGER, **{"reservation_id": "r1", **columns})

    assert found(replace(GOOD, bookings=[told, GOOD.bookings[1]])) == [(Rule.UNRECORDED, "ADA")]


@pytest.mark.parametrize("drained_in", [None, timedelta(seconds=41)])
def test_what_is_still_owed_after_the_bound_is_named(drained_in: timedelta | None) -> None:
    history = replace(GOOD, drained_in=drained_in, owed=[str(ADA)])

    assert found(history) == [(Rule.UNFINISHED, "ADA")]


def test_a_run_that_never_came_to_rest_fails_even_if_nothing_was_seen_to_be_owed() -> None:
    assert found(replace(GOOD, drained_in=None)) == [(Rule.UNFINISHED, None)]


def test_a_claim_within_somebody_elses_lease_overlaps() -> None:
    early = Claim(delivery_id=1, fence=3, at=NOON, previous_until=NOON + SECOND)

    assert found(replace(GOOD, claims=[early])) == [(Rule.OVERLAPPED, "ADA")]


@pytest.mark.parametrize(
    "named",
    [
        [],
        [Named(alert_id=7, delivery_id=2, failed_at=NOON, healed_at=NOON)],
        # an incident that was over before
        [Named(alert_id=7, delivery_id=1, failed_at=NOON - 9 * SECOND, healed_at=NOON - SECOND)],
        # another one, later
        [Named(alert_id=7, delivery_id=1, failed_at=NOON + SECOND, healed_at=NOON + SECOND)],
    ],
)
def test_a_failed_row_that_no_alert_names_is_silent(named: list[Named]) -> None:
    assert found(replace(GOOD, named=named)) == [(Rule.SILENT, "ADA")]


def test_a_row_that_fails_again_under_an_open_alert_is_told() -> None:
    healed_later = NOON + SECOND
    open_still = Named(alert_id=7, delivery_id=1, failed_at=NOON - SECOND, healed_at=healed_later)

    assert found(replace(GOOD, named=[open_still])) == []


def test_an_alert_that_still_names_what_is_delivered_stands() -> None:
    standing = Named(alert_id=7, delivery_id=1, failed_at=NOON)

    assert found(replace(GOOD, named=[standing])) == [(Rule.STANDING, "ADA")]


def test_an_alert_that_was_never_mailed_is_silent() -> None:
    assert found(replace(GOOD, alerts=frozenset({7, 8}))) == [(Rule.SILENT, None)]


def test_the_same_mail_under_another_message_id_is_told_twice() -> None:
    again = Mail(message_id="<alert-7.2@booking-outbox>", text="One booking failed")

    assert found(replace(GOOD, mails=[*GOOD.mails, again])) == [(Rule.TOLD_TWICE, None)]


@pytest.mark.parametrize("code", [None, 1, -9])
def test_a_process_that_does_not_stop_cleanly_is_named(code: int | None) -> None:
    violations = check(replace(GOOD, exits={"worker1": 0, "worker2": code}))

    assert [violation.rule for violation in violations] == [Rule.UNSTOPPED]
    assert "worker2" in str(violations[0])


def test_guest_data_outside_of_the_site_and_the_pms_is_leaked() -> None:
    leak = Leak(where="worker1.log", canary="Kanarienvogel1x0001")

    assert found(replace(GOOD, leaks=[leak])) == [(Rule.LEAKED, None)]
