from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import permutations, product
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox_worker.bookings.booking import BookingId, BookingStatus, PaymentStatus
from outbox_worker.bookings.transition import (
    Change,
    Concern,
    PayableBooking,
    Payment,
    PaymentCanceled,
    PaymentFailed,
    PaymentProcessing,
    PaymentSucceeded,
    Sync,
    Transition,
    after,
)

B, P = BookingStatus, PaymentStatus
UNPAID = (P.PENDING, P.PROCESSING, P.FAILED)
ARRIVED = (B.CONFIRMED, B.COMPLETED)

SUCCEEDED = PaymentSucceeded(intent_id="pi_1", charge_id="ch_1", amount=50000, currency="EUR")
CHECKOUT = replace(SUCCEEDED, charge_id=None)
PROCESSING, FAILED = PaymentProcessing(intent_id="pi_1"), PaymentFailed(intent_id="pi_1")
CANCELED = PaymentCanceled(intent_id="pi_1")
PAYMENTS: tuple[Payment, ...] = (SUCCEEDED, CHECKOUT, PROCESSING, FAILED, CANCELED)

PAYING = Change(payment_status=P.COMPLETED, intent_id="pi_1", charge_id="ch_1")


def booking(
    status: BookingStatus = B.PENDING,
    payment_status: PaymentStatus = P.PENDING,
    *,
    intent_id: str | None = "pi_1",
    charge_id: str | None = None,
) -> PayableBooking:
    return PayableBooking(
        id=BookingId(UUID("0b7e4d1e-52c4-4f6a-9a51-8f6f2f0f7a11")),
        reference="LA-1",
        status=status,
        payment_status=payment_status,
        total=Decimal("500.00"),
        intent_id=intent_id,
        charge_id=charge_id,
    )


def changed(before: PayableBooking, became: Transition) -> PayableBooking:
    """The booking as the transition leaves it."""
    new = became.change or Change()
    return replace(
        before,
        status=new.status or before.status,
        payment_status=new.payment_status or before.payment_status,
        intent_id=new.intent_id or before.intent_id,
        charge_id=new.charge_id or before.charge_id,
    )


def rid(value: object) -> str:
    return str(value)


bookings = st.builds(
    booking,
    st.sampled_from(B),
    st.sampled_from(P),
    intent_id=st.sampled_from([None, "pi_1", "pi_2"]),
    charge_id=st.sampled_from([None, "ch_0"]),
)
payments = st.one_of(
    st.builds(
        PaymentSucceeded,
        intent_id=st.sampled_from([None, "pi_1", "pi_2"]),
        charge_id=st.sampled_from([None, "ch_1"]),
        amount=st.just(50000),
        currency=st.just("EUR"),
    ),
    *(
        st.builds(kind, intent_id=st.sampled_from([None, "pi_1", "pi_2"]))
        for kind in (PaymentProcessing, PaymentFailed, PaymentCanceled)
    ),
)


@pytest.mark.parametrize("payment_status", UNPAID, ids=rid)
@pytest.mark.parametrize("intent_id", ["pi_1", "pi_2", None])
def test_a_payment_confirms_a_pending_booking_and_is_put_on_record(
    payment_status: PaymentStatus, intent_id: str | None
) -> None:
    became = after(booking(B.PENDING, payment_status, intent_id=intent_id), SUCCEEDED)

    assert became.change == replace(PAYING, status=B.CONFIRMED)
    assert (became.sync, became.concern) == (Sync.YES, None)


def test_a_pending_booking_that_says_it_is_paid_is_confirmed_by_its_payment() -> None:
    became = after(booking(B.PENDING, P.COMPLETED), SUCCEEDED)

    assert became.change is not None
    assert became.change.status is B.CONFIRMED
    assert became.sync is Sync.YES


@pytest.mark.parametrize("status", ARRIVED, ids=rid)
@pytest.mark.parametrize("payment_status", [P.COMPLETED, P.REFUNDED], ids=rid)
def test_a_booking_that_was_confirmed_before_is_left_alone_but_synced(
    status: BookingStatus, payment_status: PaymentStatus
) -> None:
    became = after(booking(status, payment_status, charge_id="ch_1"), SUCCEEDED)

    assert became.change is None
    assert (became.sync, became.concern) == (Sync.IF_NEVER_ASKED, None)


@pytest.mark.parametrize("status", ARRIVED, ids=rid)
@pytest.mark.parametrize("payment_status", UNPAID, ids=rid)
def test_a_booking_that_was_confirmed_unpaid_becomes_paid(
    status: BookingStatus, payment_status: PaymentStatus
) -> None:
    became = after(booking(status, payment_status), SUCCEEDED)

    assert became.change == PAYING
    assert (became.sync, became.concern) == (Sync.IF_NEVER_ASKED, None)


@pytest.mark.parametrize("payment_status", UNPAID, ids=rid)
@pytest.mark.parametrize("intent_id", ["pi_1", "pi_2", None])
def test_a_payment_of_a_cancelled_booking_leaves_it_cancelled_and_alerts(
    payment_status: PaymentStatus, intent_id: str | None
) -> None:
    became = after(booking(B.CANCELLED, payment_status, intent_id=intent_id), SUCCEEDED)

    assert became.change == PAYING
    assert (became.sync, became.concern) == (Sync.NO, Concern.PAID_AFTER_CANCELLATION)


def test_another_payment_after_cancellation_and_refund_alerts() -> None:
    became = after(booking(B.CANCELLED, P.REFUNDED, intent_id="pi_2"), SUCCEEDED)

    assert (became.change, became.sync) == (None, Sync.NO)
    assert became.concern is Concern.PAID_AFTER_CANCELLATION


@pytest.mark.parametrize("payment_status", [P.COMPLETED, P.REFUNDED], ids=rid)
def test_a_late_event_of_a_booking_cancelled_after_it_was_paid_changes_nothing(
    payment_status: PaymentStatus,
) -> None:
    became = after(booking(B.CANCELLED, payment_status, charge_id="ch_1"), SUCCEEDED)

    assert (became.change, became.sync, became.concern) == (None, Sync.NO, None)


def test_the_charge_is_put_on_record_by_whichever_event_names_it() -> None:
    for status in (B.CONFIRMED, B.COMPLETED, B.CANCELLED):
        became = after(booking(status, P.COMPLETED), SUCCEEDED)

        assert became.change == Change(charge_id="ch_1")


@pytest.mark.parametrize(
    ("status", "payment_status", "sync"),
    [
        (B.PENDING, P.COMPLETED, Sync.NO),
        (B.PENDING, P.REFUNDED, Sync.NO),
        (B.CONFIRMED, P.COMPLETED, Sync.IF_NEVER_ASKED),
        (B.CONFIRMED, P.REFUNDED, Sync.IF_NEVER_ASKED),
        (B.COMPLETED, P.COMPLETED, Sync.IF_NEVER_ASKED),
        (B.CANCELLED, P.COMPLETED, Sync.NO),
    ],
    ids=rid,
)
def test_another_payment_than_the_one_that_paid_is_paid_twice(
    status: BookingStatus, payment_status: PaymentStatus, sync: Sync
) -> None:
    became = after(booking(status, payment_status, intent_id="pi_2"), SUCCEEDED)

    assert became.change is None
    assert (became.sync, became.concern) == (sync, Concern.PAID_TWICE)


def test_a_refunded_booking_is_not_confirmed_by_its_late_payment() -> None:
    became = after(booking(B.PENDING, P.REFUNDED), SUCCEEDED)

    assert (became.change, became.sync, became.concern) == (None, Sync.NO, None)


@pytest.mark.parametrize("status", [B.PENDING, B.CONFIRMED, B.COMPLETED], ids=rid)
@pytest.mark.parametrize("payment_status", [P.PENDING, P.FAILED], ids=rid)
def test_a_payment_under_way_is_shown_and_confirms_nothing(
    status: BookingStatus, payment_status: PaymentStatus
) -> None:
    became = after(booking(status, payment_status), PROCESSING)

    assert became.change == Change(payment_status=P.PROCESSING)
    assert (became.sync, became.concern) == (Sync.NO, None)


@pytest.mark.parametrize("payment_status", [P.PROCESSING, P.COMPLETED, P.REFUNDED], ids=rid)
def test_a_payment_under_way_never_downgrades(payment_status: PaymentStatus) -> None:
    assert after(booking(B.CONFIRMED, payment_status), PROCESSING).change is None


@pytest.mark.parametrize("payment_status", [P.PENDING, P.PROCESSING], ids=rid)
def test_a_failed_payment_is_shown(payment_status: PaymentStatus) -> None:
    became = after(booking(B.PENDING, payment_status), FAILED)

    assert became.change == Change(payment_status=P.FAILED)
    assert (became.sync, became.concern) == (Sync.NO, None)


@pytest.mark.parametrize("payment_status", [P.FAILED, P.COMPLETED, P.REFUNDED], ids=rid)
def test_a_failed_payment_never_downgrades(payment_status: PaymentStatus) -> None:
    assert after(booking(B.CONFIRMED, payment_status), FAILED).change is None


@pytest.mark.parametrize("payment_status", UNPAID, ids=rid)
def test_a_cancelled_payment_cancels_a_pending_booking(payment_status: PaymentStatus) -> None:
    became = after(booking(B.PENDING, payment_status), CANCELED)

    assert became.change == Change(status=B.CANCELLED)
    assert (became.sync, became.concern) == (Sync.IF_HELD, None)


@pytest.mark.parametrize("status", ARRIVED, ids=rid)
@pytest.mark.parametrize("payment_status", P, ids=rid)
def test_a_cancelled_payment_of_a_confirmed_booking_only_alerts(
    status: BookingStatus, payment_status: PaymentStatus
) -> None:
    became = after(booking(status, payment_status), CANCELED)

    assert (became.change, became.sync) == (None, Sync.NO)
    assert became.concern is Concern.CANCELED_AFTER_CONFIRMATION


@pytest.mark.parametrize("payment", [PROCESSING, FAILED, CANCELED], ids=rid)
@pytest.mark.parametrize(("status", "payment_status"), list(product(B, P)), ids=rid)
def test_only_the_current_payment_of_a_booking_counts(
    payment: Payment, status: BookingStatus, payment_status: PaymentStatus
) -> None:
    became = after(booking(status, payment_status, intent_id="pi_2"), payment)

    assert (became.change, became.sync, became.concern) == (None, Sync.NO, None)


@pytest.mark.parametrize("payment", [PROCESSING, FAILED, CANCELED], ids=rid)
@pytest.mark.parametrize("payment_status", P, ids=rid)
def test_nothing_but_money_moves_a_cancelled_booking(
    payment: Payment, payment_status: PaymentStatus
) -> None:
    became = after(booking(B.CANCELLED, payment_status), payment)

    assert (became.change, became.sync, became.concern) == (None, Sync.NO, None)


@pytest.mark.parametrize("payment", [PROCESSING, FAILED, CANCELED], ids=rid)
def test_a_booking_without_an_intent_takes_the_events_that_name_it(payment: Payment) -> None:
    assert after(booking(intent_id=None), payment).change is not None


@given(bookings, payments)
def test_the_same_event_again_changes_nothing(before: PayableBooking, payment: Payment) -> None:
    first = after(before, payment)

    second = after(changed(before, first), payment)

    assert second.change is None
    assert second.sync is not Sync.YES
    assert second.concern in {None, first.concern}


@given(bookings, st.lists(payments, max_size=6))
def test_no_order_of_events_takes_back_what_is_paid_or_cancelled(
    before: PayableBooking, events: list[Payment]
) -> None:
    now = before
    for payment in events:
        then, now = now, changed(now, after(now, payment))
        if then.payment_status in {P.COMPLETED, P.REFUNDED}:
            assert now.payment_status is then.payment_status
        if then.status is B.CANCELLED:
            assert now.status is B.CANCELLED
        if then.status in ARRIVED:
            assert now.status is then.status
        if then.charge_id is not None and then.payment_status is P.COMPLETED:
            assert now.charge_id == then.charge_id


@given(bookings, payments)
def test_only_money_confirms(before: PayableBooking, payment: Payment) -> None:
    became = after(before, payment)

    confirms = became.change is not None and became.change.status is B.CONFIRMED
    assert not confirms or isinstance(payment, PaymentSucceeded)
    assert confirms == (became.sync is Sync.YES)


@given(bookings.map(lambda b: replace(b, charge_id=None)), st.permutations(PAYMENTS[:4]))
def test_a_payment_ends_the_same_whatever_the_order_of_its_events(
    before: PayableBooking, order: list[Payment]
) -> None:
    def outcome(events: list[Payment]) -> tuple[BookingStatus, PaymentStatus, str | None]:
        now = before
        for payment in events:
            now = changed(now, after(now, payment))
        return now.status, now.payment_status, now.charge_id

    assert outcome(order) == outcome(list(PAYMENTS[:4]))


def test_a_cancelled_and_a_succeeded_event_leave_a_booking_paid_in_both_orders() -> None:
    both: list[Payment] = [SUCCEEDED, CANCELED]
    for events in permutations(both):
        now, concerns = booking(), []
        for payment in events:
            became = after(now, payment)
            concerns.append(became.concern)
            now = changed(now, became)

        assert now.payment_status is P.COMPLETED
        # whichever came first holds, and a person is told that the other one came too
        assert any(concerns)
