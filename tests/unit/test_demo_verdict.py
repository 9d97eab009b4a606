"""The demo's verdict and the sample site behind it."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
import stripe

from outbox_worker.demo.payment import signature, webhooks
from outbox_worker.demo.site import PARKED, RETRIED, Fate, paid, sample_bookings
from outbox_worker.demo.verdict import (
    BookingState,
    Check,
    Evidence,
    LoggedEffect,
    checks_after_repair,
    checks_of_payments,
    latency,
)

_TODAY = date(2026, 11, 21)
_NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
_SAMPLES = sample_bookings(_TODAY)


def test_what_the_site_says_is_what_a_good_run_shows() -> None:
    assert _wrong(checks_of_payments(_SAMPLES, _good(repaired=False))) == set()
    assert _wrong(checks_after_repair(_SAMPLES, _good(repaired=True))) == set()


def test_a_reservation_missing_from_the_log_is_noticed() -> None:
    good = _good(repaired=False)
    evidence = dataclasses.replace(good, effects=good.effects[1:])
    assert _wrong(checks_of_payments(_SAMPLES, evidence)) == {"synced: one reservation each"}


def test_a_second_reservation_of_a_booking_is_noticed() -> None:
    good = _good(repaired=False)
    twice = dataclasses.replace(good.effects[0], reservation_id="another")
    evidence = dataclasses.replace(good, effects=[*good.effects, twice])
    assert _wrong(checks_of_payments(_SAMPLES, evidence)) == {
        "reserved twice",
        "synced: one reservation each",
    }


@pytest.mark.parametrize(
    "change", [{"fare": Decimal(1)}, {"status": "inquiry"}, {"reservation_id": "another"}]
)
def test_a_reservation_that_is_not_what_was_paid_for_is_noticed(
    change: dict[str, object],
) -> None:
    good = _good(repaired=True)
    first = dataclasses.replace(good.effects[0], **change)  # type: ignore[arg-type]  # by name
    evidence = dataclasses.replace(good, effects=[first, *good.effects[1:]])
    assert "synced: one reservation each" in _wrong(checks_after_repair(_SAMPLES, evidence))


def test_a_reservation_that_nobody_paid_for_is_noticed() -> None:
    good = _good(repaired=False)
    unpaid = next(one for one in _SAMPLES if one.fate is Fate.UNPAID)
    effect = dataclasses.replace(
        good.effects[0], reference=unpaid.reference, reservation_id="another"
    )
    evidence = dataclasses.replace(good, effects=[*good.effects, effect])
    assert _wrong(checks_of_payments(_SAMPLES, evidence)) == {"reserved without payment"}


def test_an_alert_that_never_arrived_is_noticed() -> None:
    evidence = dataclasses.replace(_good(repaired=False), mails=[])
    assert _wrong(checks_of_payments(_SAMPLES, evidence)) == {"failed, alert shown"}


def test_an_event_kept_twice_is_noticed() -> None:
    good = _good(repaired=False)
    evidence = dataclasses.replace(good, events_kept=good.events_kept + 1)
    assert _wrong(checks_of_payments(_SAMPLES, evidence)) == {"duplicates absorbed"}


def test_a_booking_that_was_not_repaired_is_noticed() -> None:
    assert _wrong(checks_after_repair(_SAMPLES, _good(repaired=False))) == {
        "still failed",
        "synced: one reservation each",
    }


def test_a_booking_that_was_to_be_retried_and_was_not_is_seen_and_one_more_is_no_fault() -> None:
    good = _good(repaired=False)

    def stumbling(fates: Iterable[Fate]) -> Evidence:
        names = {one.reference for one in _SAMPLES if one.fate in set(fates)}
        return dataclasses.replace(
            good,
            bookings=[
                dataclasses.replace(one, stumbles=1 if one.reference in names else 0)
                for one in good.bookings
            ],
        )

    assert _wrong(checks_of_payments(_SAMPLES, stumbling(PARKED))) == {"retried, then synced"}
    assert _wrong(checks_of_payments(_SAMPLES, stumbling(Fate))) == set()


def test_latency_is_from_the_first_sending_to_the_first_reservation() -> None:
    good = _good(repaired=True)
    found = latency(good)
    assert found is not None
    assert found.p50 == timedelta(seconds=len(good.effects) // 2)
    assert found.p95 == timedelta(seconds=len(good.effects) * 95 // 100)
    assert latency(dataclasses.replace(good, effects=[])) is None


def test_no_two_stays_of_a_property_overlap() -> None:
    by_place = sorted(_SAMPLES, key=lambda one: (one.place.slug, one.check_in))
    for one, other in itertools.pairwise(by_place):
        assert one.place != other.place or one.check_out <= other.check_in


def test_every_paid_booking_gets_one_event_over_its_total_and_unpaid_ones_none() -> None:
    events = {event.reference: event for event in webhooks(_SAMPLES, created=_NOON)}
    for one in _SAMPLES:
        if one.fate is Fate.UNPAID:
            assert one.reference not in events
            continue
        event = events[one.reference]
        thing = json.loads(event.body)["data"]["object"]
        if one in paid(_SAMPLES):
            amount = thing.get("amount_received") or thing.get("amount_total")
            assert Decimal(amount) == one.total * 100
        assert event.deliveries == (3 if one.fate is Fate.REPEATED else 1)
    ids = [json.loads(event.body)["id"] for event in events.values()]
    assert len(ids) == len(set(ids))


def test_stripes_own_library_accepts_the_signature() -> None:
    header = signature(b'{"id":"evt_1"}', secret="whsec_demo", at=1_700_000_000)
    assert stripe.WebhookSignature.verify_header('{"id":"evt_1"}', header, "whsec_demo")


def _wrong(checks: tuple[Check, ...]) -> set[str]:
    return {check.name for check in checks if not check.passed}


def _good(*, repaired: bool) -> Evidence:
    bought = paid(_SAMPLES)
    held = [one for one in bought if repaired or one.fate not in PARKED]
    events = webhooks(_SAMPLES, created=_NOON)
    return Evidence(
        bookings=[
            BookingState(
                reference=one.reference,
                status="confirmed" if one in bought else "pending",
                payment_status="completed" if one in bought else "pending",
                total=one.total,
                sync_status="synced" if one in held else "failed",
                reservation_id=f"res-{one.reference}" if one in held else None,
                delivered=one in held,
                failed=one in bought and one not in held,
                stumbles=1 if one.fate in RETRIED | PARKED else 0,
            )
            for one in _SAMPLES
        ],
        effects=[
            LoggedEffect(
                at=_NOON + timedelta(seconds=number),
                kind="create",
                reservation_id=f"res-{one.reference}",
                reference=one.reference,
                status="confirmed",
                fare=one.total,
            )
            for number, one in enumerate(held)
        ],
        events_kept=len(events),
        deliveries_sent=sum(event.deliveries for event in events),
        sent_at={one.reference: _NOON for one in bought},
        mails=[f"Booking {one.reference} failed" for one in bought if one.fate in PARKED],
    )
