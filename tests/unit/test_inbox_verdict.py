from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from outbox_worker.alerts.alert import AlertKind
from outbox_worker.bookings.booking import BookingId, BookingStatus, PaymentStatus
from outbox_worker.bookings.transition import PayableBooking, PaymentSucceeded, Sync
from outbox_worker.payments.match import Contradiction, Foreign, NotYet, Ours, match
from outbox_worker.payments.stripe_event import StripeEvent, read
from outbox_worker.payments.verdict import EventOutcome, Verdict, at_sight, on_payment
from tests.support_stripe import encoded, event, intent


def booking(**columns: Any) -> PayableBooking:
    base = PayableBooking(
        id=BookingId(uuid4()),
        reference="LA-1",
        status=BookingStatus.PENDING,
        payment_status=PaymentStatus.PENDING,
        total=Decimal("500.00"),
        intent_id=None,
        charge_id=None,
    )
    return replace(base, **columns)


def paid(
    *, amount: int = 50000, metadata: dict[str, str] | None = None, **fields: Any
) -> StripeEvent:
    thing = intent("pi_1", amount=amount, metadata=metadata or {})
    return read(encoded(event("payment_intent.succeeded", thing, **fields)))


def decided(
    seen: StripeEvent, *candidates: PayableBooking, known_property: bool = False
) -> Verdict:
    assert isinstance(seen.meaning, PaymentSucceeded)
    found = match(seen, candidates, known_property=known_property)
    return on_payment(seen, seen.meaning, found, currency="EUR")


def test_the_booking_that_holds_the_intent_is_meant() -> None:
    holder = booking(intent_id="pi_1")

    assert match(paid(), [holder], known_property=False) == Ours(booking=holder)


def test_the_booking_that_the_metadata_name_is_meant() -> None:
    by_id, by_reference = booking(reference="LA-2"), booking(reference="LA-3")

    named = paid(metadata={"booking_id": str(by_id.id)})
    referred = paid(metadata={"booking_reference": "LA-3"})

    assert match(named, [by_id], known_property=False) == Ours(booking=by_id)
    assert match(referred, [by_reference], known_property=False) == Ours(booking=by_reference)


def test_of_several_holders_the_named_one_is_meant_and_else_the_oldest() -> None:
    oldest, named = booking(intent_id="pi_1"), booking(intent_id="pi_1", reference="LA-2")
    seen = paid(metadata={"booking_reference": "LA-2"})

    assert match(seen, [oldest, named], known_property=False) == Ours(booking=named)
    assert match(paid(), [oldest, named], known_property=False) == Ours(booking=oldest)


def test_an_intent_held_by_another_booking_than_the_named_one_needs_a_person() -> None:
    holder, named = booking(intent_id="pi_1"), booking(reference="LA-2")
    seen = paid(metadata={"booking_reference": "LA-2"})

    assert match(seen, [holder, named], known_property=False) == Contradiction(
        named=named, holder=holder
    )
    verdict = decided(seen, holder, named)
    assert (verdict.outcome, verdict.change) == (EventOutcome.MISMATCH, None)
    assert verdict.alert is not None
    assert verdict.alert.kind is AlertKind.AMOUNT_MISMATCH


def test_metadata_that_name_two_bookings_need_a_person() -> None:
    by_id, by_reference = booking(), booking(reference="LA-2")
    seen = paid(metadata={"booking_id": str(by_id.id), "booking_reference": "LA-2"})

    assert isinstance(match(seen, [by_id, by_reference], known_property=False), Contradiction)


@pytest.mark.parametrize(
    ("metadata", "known_property", "found"),
    [
        ({}, False, Foreign()),
        ({"property_id": str(UUID(int=1))}, False, Foreign()),
        ({}, True, NotYet()),
        ({"booking_id": str(UUID(int=1))}, False, NotYet()),
        ({"booking_id": "nonsense"}, False, NotYet()),
        ({"booking_reference": "LA-404"}, False, NotYet()),
        ({"order_id": "7"}, False, Foreign()),
    ],
)
def test_a_payment_without_a_booking_is_ours_if_the_metadata_say_so(
    metadata: dict[str, str], *, known_property: bool, found: object
) -> None:
    assert match(paid(metadata=metadata), [], known_property=known_property) == found


def test_a_foreign_payment_concerns_nobody() -> None:
    verdict = decided(paid())

    assert (verdict.outcome, verdict.alert) == (EventOutcome.FOREIGN, None)


def test_a_payment_waits_for_its_booking_and_a_failed_one_does_not() -> None:
    seen = paid(metadata={"booking_reference": "LA-1"})
    failed = read(
        encoded(
            event(
                "payment_intent.payment_failed",
                intent("pi_1", amount=1, metadata={"booking_reference": "LA-1"}),
            )
        )
    )

    assert decided(seen).outcome is EventOutcome.WAITING
    assert not isinstance(failed.meaning, PaymentSucceeded)
    found = match(failed, [], known_property=False)
    verdict = on_payment(failed, failed.meaning, found, currency="EUR")  # type: ignore[arg-type]  # a payment, as the line above says
    assert verdict.outcome is EventOutcome.NO_CHANGE


def test_a_payment_of_another_amount_confirms_nothing_and_alerts() -> None:
    verdict = decided(paid(amount=100), booking(intent_id="pi_1"))

    assert (verdict.outcome, verdict.change, verdict.sync) == (EventOutcome.MISMATCH, None, Sync.NO)
    assert verdict.alert is not None
    assert verdict.alert.facts["received_minor_units"] == "100 EUR"
    assert verdict.alert.facts["expected"] == "500.00 EUR"


def test_the_events_of_one_payment_are_one_incident() -> None:
    holder = booking(intent_id="pi_1")

    first, second = decided(paid(amount=100), holder), decided(paid(amount=100), holder)

    assert first.alert is not None
    assert second.alert is not None
    assert first.alert.fingerprint == second.alert.fingerprint == "pi_1"


@pytest.mark.parametrize(
    ("wanted", "livemode", "outcome"),
    [
        (None, True, None),
        (None, False, None),
        (True, True, None),
        (False, False, None),
        (True, False, EventOutcome.IGNORED),
        (False, True, EventOutcome.IGNORED),
        (True, None, EventOutcome.IGNORED),
    ],
)
def test_an_event_of_the_other_mode_is_ignored(
    *, wanted: bool | None, livemode: bool | None, outcome: EventOutcome | None
) -> None:
    verdict = at_sight(paid(livemode=livemode), livemode=wanted, account=None)

    assert (verdict and verdict.outcome) == outcome


@pytest.mark.parametrize(
    ("wanted", "account", "outcome"),
    [
        (None, None, None),
        (None, "acct_1", None),
        ("acct_1", "acct_1", None),
        ("acct_1", None, None),
        ("acct_1", "acct_2", EventOutcome.IGNORED),
    ],
)
def test_an_event_of_another_account_is_ignored(
    wanted: str | None, account: str | None, outcome: EventOutcome | None
) -> None:
    verdict = at_sight(paid(account=account), livemode=None, account=wanted)

    assert (verdict and verdict.outcome) == outcome


def test_a_malformed_event_is_told_before_its_mode_is_asked() -> None:
    verdict = at_sight(read(b"[1]"), livemode=True, account="acct_1")

    assert verdict is not None
    assert verdict.outcome is EventOutcome.MALFORMED
    assert verdict.alert is not None
    assert verdict.alert.kind is AlertKind.EVENT_MALFORMED


def test_no_alert_tells_what_a_guest_wrote() -> None:
    seen = paid(amount=1, metadata={"booking_reference": "LA-1", "guest": "Ada Lovelace"})

    verdict = decided(seen, booking())

    assert verdict.alert is not None
    told = " ".join([verdict.detail, *verdict.alert.facts.values()])
    assert "Ada" not in told
