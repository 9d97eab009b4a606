"""A subject's state in plain words."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from outbox_worker.alerts.alert import AlertKind
from outbox_worker.bookings.booking import BookingId, BookingStatus, PaymentStatus
from outbox_worker.operations.explain import Explanation, explain
from outbox_worker.operations.fleet import DISABLED, Fleet, SyncMode, Worker
from outbox_worker.operations.refs import Subject, Target
from outbox_worker.operations.timeline import (
    AlertFacts,
    BookingFacts,
    DeliveryFacts,
    EventFacts,
    ReservationFacts,
    Timeline,
)
from outbox_worker.outbox.delivery import DeliveryId, Destination, State
from outbox_worker.pms.port import Mode, PmsName

NOW = datetime(2026, 11, 21, 20, tzinfo=UTC)
BOOKING = UUID(int=7)
SEND = "outbox requeue LA-1 --wait"
RUN = "outbox worker run"

WORKER = Worker(
    id="w",
    host="h",
    pid=1,
    version="0.1.0",
    pms="guestly",
    sync_enabled=True,
    test_mode=False,
    listening=True,
    in_flight=0,
    started_at=NOW,
    seen_ago=timedelta(0),
)


def a_fleet(**changes: Any) -> Fleet:
    values: dict[str, Any] = {
        "workers": (WORKER,),
        "mode": SyncMode(enabled=True, test_mode=False),
        "closed": {},
        "now": NOW,
    }
    return Fleet(**{**values, **changes})


def a_booking(**changes: Any) -> BookingFacts:
    values: dict[str, Any] = {
        "id": BookingId(BOOKING),
        "reference": "LA-1",
        "status": BookingStatus.CONFIRMED,
        "payment_status": PaymentStatus.COMPLETED,
        "total": Decimal("1240.50"),
        "check_in": date(2026, 11, 22),
        "check_out": date(2026, 11, 25),
        "guests": 3,
        "property_slug": "sea-loft",
        "property_name": "Sea Loft",
        "payment_intent_id": "pi_1",
        "created_at": NOW,
        "confirmed_at": NOW,
        "cancelled_at": None,
    }
    return BookingFacts(**{**values, **changes})


def a_delivery(state: State, **changes: Any) -> DeliveryFacts:
    given_up = state in {State.FAILED, State.REJECTED}
    values: dict[str, Any] = {
        "id": DeliveryId(12),
        "destination": Destination.GUESTLY,
        "key": str(BOOKING),
        "state": state,
        "requested": 1,
        "delivered": 1 if state is State.SYNCED else 0,
        "due_at": None if state in {State.SYNCED, State.REJECTED, State.DISCARDED} else NOW,
        "failed_at": NOW if given_up else None,
        "discarded_at": NOW if state is State.DISCARDED else None,
        "uncertain_at": NOW if state is State.CHECKING else None,
        "attempts": 3,
        "round": 1,
        "owner": "w" if state is State.SENDING else None,
        "lease_until": NOW if state is State.SENDING else None,
        "error_code": "http_503",
        "error": "the PMS is down",
        "requested_at": NOW,
        "delivered_at": None,
    }
    return DeliveryFacts(**{**values, **changes})


def held(mode: Mode = Mode.LIVE, *, state_known: bool = True) -> ReservationFacts:
    return ReservationFacts(
        pms=PmsName.GUESTLY,
        reservation_id="res-1",
        mode=mode,
        state_known=state_known,
        updated_at=NOW,
    )


def said(
    delivery: DeliveryFacts | None,
    *,
    booking: BookingFacts | None = None,
    reservations: tuple[ReservationFacts, ...] = (),
    fleet: Fleet | None = None,
    as_wanted: bool = True,
    name: str = "LA-1",
    alerts: tuple[AlertFacts, ...] = (),
) -> Explanation:
    timeline = Timeline(
        target=Target(subject=Subject.BOOKING, key=str(BOOKING), name=name),
        booking=booking or a_booking(),
        event=None,
        reservations=reservations,
        delivery=delivery,
        entries=(),
        alerts=alerts,
    )
    return explain(timeline, fleet or a_fleet(), as_wanted=as_wanted)


def commands(explanation: Explanation) -> list[str]:
    return [step.command for step in explanation.steps if step.command]


@pytest.mark.parametrize(
    ("state", "headline", "wanted"),
    [
        (State.WAITING, "On its way: it waits for a worker.", []),
        (State.SENDING, "A worker is sending it now.", []),
        (
            State.RETRYING,
            "Not in Guestly: the last attempt failed; it is tried again by itself.",
            [],
        ),
        (
            State.CHECKING,
            (
                "Not in Guestly: the answer to the last call was lost, so Guestly is asked first"
                " what became of it; nothing is sent twice."
            ),
            [],
        ),
        (State.HELD, "Not in Guestly: it is held, and sent as soon as that ends.", []),
        (
            State.FAILED,
            "Not in Guestly: every attempt failed; it is tried again by itself.",
            [SEND],
        ),
        (
            State.REJECTED,
            "Not in Guestly: it is not tried again until a person acts.",
            [SEND],
        ),
        (State.DISCARDED, "Set aside by a person: it is not sent.", [SEND]),
        (State.SYNCED, "Nothing to do: Guestly does not hold it and does not have to.", []),
    ],
)
def test_every_state_has_its_sentence_and_its_command(
    state: State, headline: str, wanted: list[str]
) -> None:
    explanation = said(a_delivery(state))

    assert explanation.headline == headline
    assert commands(explanation) == wanted


def test_why_is_the_last_error_with_its_code() -> None:
    assert said(a_delivery(State.FAILED)).why == "the PMS is down (http_503)"


@pytest.mark.parametrize("state", [State.WAITING, State.RETRYING, State.CHECKING, State.FAILED])
def test_without_a_worker_the_first_step_is_to_start_one(state: State) -> None:
    assert commands(said(a_delivery(state), fleet=a_fleet(workers=())))[0] == RUN


def test_a_booking_without_a_listing_is_mended_by_setting_one() -> None:
    explanation = said(a_delivery(State.REJECTED, error_code="listing_missing"))

    assert commands(explanation) == ["outbox listings set sea-loft LISTING_ID", SEND]


@pytest.mark.parametrize("slug", [None, "", "a b", "$(reboot)", "--yes"])
def test_a_slug_that_a_shell_would_not_take_is_not_offered_for_typing(slug: str | None) -> None:
    explanation = said(
        a_delivery(State.REJECTED, error_code="listing_missing"),
        booking=a_booking(property_slug=slug),
    )

    assert commands(explanation)[0] == "outbox listings set SLUG LISTING_ID"


@pytest.mark.parametrize("name", ["LA 1", "'; rm -rf $HOME", "-LA1", "LA\x1b[2J"])
def test_a_reference_that_a_shell_would_not_take_is_replaced_by_the_id(name: str) -> None:
    explanation = said(a_delivery(State.FAILED), name=name)

    assert commands(explanation) == [f"outbox requeue {BOOKING} --wait"]


@pytest.mark.parametrize(
    "code",
    ["reservation_gone", "foreign_reservation", "several_reservations", "booking_gone", "any"],
)
def test_every_refusal_says_what_to_mend_before_it_is_sent_again(code: str) -> None:
    explanation = said(a_delivery(State.REJECTED, error_code=code))

    first, second = explanation.steps
    assert first.text
    assert second.command == SEND


def test_a_disabled_sync_says_which_setting_holds_it() -> None:
    fleet = a_fleet(
        mode=SyncMode(enabled=False, test_mode=True), closed={Destination.GUESTLY: DISABLED}
    )

    explanation = said(a_delivery(State.HELD), fleet=fleet)

    assert explanation.why == "Guestly sync is disabled (GUESTLY_SYNC_ENABLED=false)"
    assert "GUESTLY_SYNC_ENABLED=true" in explanation.steps[0].text


def test_a_booking_that_guestly_holds_says_so_with_its_id() -> None:
    explanation = said(a_delivery(State.SYNCED), reservations=(held(),))

    assert explanation.headline == "In Guestly as res-1, as it is here."
    assert (explanation.risk, explanation.steps) == ("", ())


def test_a_change_that_nobody_asked_to_send_is_seen() -> None:
    explanation = said(a_delivery(State.SYNCED), reservations=(held(),), as_wanted=False)

    assert "has changed since" in explanation.headline
    assert commands(explanation) == [SEND]


def test_a_change_on_its_way_is_no_missing_booking() -> None:
    explanation = said(a_delivery(State.FAILED), reservations=(held(),))

    assert explanation.headline.startswith("Guestly holds an older state: ")
    assert explanation.risk == "What Guestly tells other channels and the guest is out of date."


def test_a_cancellation_on_its_way_blocks_nights() -> None:
    explanation = said(
        a_delivery(State.FAILED),
        booking=a_booking(status=BookingStatus.CANCELLED),
        reservations=(held(),),
    )

    assert explanation.headline.startswith("Cancelled here, not yet in Guestly: ")
    assert explanation.risk == "The nights may stay blocked in Guestly."
    assert explanation.guest_sees == "A cancelled booking on the site."


def test_a_booking_of_test_mode_is_said_not_to_be_in_guestly() -> None:
    live = said(a_delivery(State.SYNCED), reservations=(held(Mode.TEST),))
    test = said(
        a_delivery(State.SYNCED),
        reservations=(held(Mode.TEST),),
        fleet=a_fleet(mode=SyncMode(enabled=True, test_mode=True)),
    )

    assert live.headline.startswith("TEST: not in Guestly.")
    assert commands(live) == [SEND]
    assert "GUESTLY_TEST_MODE=false" in test.steps[0].text
    assert live.risk.startswith("The nights are still on sale")


@pytest.mark.parametrize(
    ("status", "headline", "wanted"),
    [
        (BookingStatus.PENDING, "Not in Guestly: the booking is not confirmed.", []),
        (BookingStatus.CANCELLED, "Cancelled, and Guestly never held it: nothing to do.", []),
        (
            BookingStatus.CONFIRMED,
            "Not in Guestly: nobody has asked for it to be sent.",
            [SEND],
        ),
        (
            BookingStatus.COMPLETED,
            "Not in Guestly: nobody has asked for it to be sent.",
            [SEND],
        ),
    ],
)
def test_a_booking_that_was_never_requested(
    status: BookingStatus, headline: str, wanted: list[str]
) -> None:
    explanation = said(None, booking=a_booking(status=status))

    assert explanation.headline == headline
    assert commands(explanation) == wanted


def test_a_booking_that_was_taken_over_is_in_guestly_in_an_unknown_state() -> None:
    explanation = said(None, reservations=(held(state_known=False),))

    assert explanation.headline == "In Guestly as res-1; nothing was asked for since."
    assert "not known" in explanation.why


def test_the_arrival_is_counted_to_the_afternoon_of_the_check_in_day() -> None:
    assert said(a_delivery(State.FAILED)).arrival_in == timedelta(hours=19)
    assert said(a_delivery(State.FAILED), booking=a_booking(check_in=None)).arrival_in is None


def an_event(
    outcome: str, delivery: DeliveryFacts | None, *, fleet: Fleet | None = None
) -> Explanation:
    timeline = Timeline(
        target=Target(subject=Subject.EVENT, key="evt_1", name="evt_1"),
        booking=None,
        event=EventFacts(
            source="stripe",
            id="evt_1",
            type="payment_intent.succeeded",
            outcome=outcome,
            detail="why",
            received_at=NOW,
            decided_at=NOW,
        ),
        reservations=(),
        delivery=delivery,
        entries=(),
    )
    return explain(timeline, fleet or a_fleet(), as_wanted=True)


def test_an_event_that_waits_for_its_booking_says_so() -> None:
    explanation = an_event("waiting", a_delivery(State.RETRYING))

    assert explanation.headline.startswith("A payment without its booking")
    assert explanation.guest_sees == ""


@pytest.mark.parametrize(
    ("state", "headline"),
    [
        (State.SYNCED, "Done: no change."),
        (State.SENDING, "A worker is at it now."),
        (State.REJECTED, "The event was given up after 3 attempts."),
        (State.RETRYING, "The event is not done yet (retrying)."),
    ],
)
def test_an_event_has_sentences_of_its_own(state: State, headline: str) -> None:
    assert an_event("no_change", a_delivery(state)).headline == headline


def test_an_event_that_is_owed_nowhere_tells_its_outcome() -> None:
    explanation = an_event("no_change", None)

    assert (explanation.headline, explanation.why) == ("Received, no change.", "why")


@pytest.mark.parametrize("state", [State.WAITING, State.RETRYING])
def test_a_refused_key_is_said_instead_of_waiting_for_a_worker(state: State) -> None:
    delivery = a_delivery(state, misconfigured=True, error_code="unauthorized", error="HTTP 401")

    found = said(delivery)

    assert found.headline.startswith("Not in Guestly: Guestly refuses our key or address.")
    assert found.why == "HTTP 401 (unauthorized)"
    assert "GUESTLY_API_KEY" in found.steps[0].text
    assert commands(found) == [SEND]


@pytest.mark.parametrize("delivery", [None, a_delivery(State.SYNCED)])
def test_an_open_payment_alert_comes_first_and_says_how_to_close_it(
    delivery: DeliveryFacts | None,
) -> None:
    alert = AlertFacts(id=3, kind=AlertKind.AMOUNT_MISMATCH, message=None)

    found = said(
        delivery,
        booking=a_booking(status=BookingStatus.PENDING),
        reservations=(held(),) if delivery else (),
        alerts=(alert,),
    )

    assert found.headline.startswith("A payment does not fit this booking")
    assert "(alert 3, amount_mismatch)" in found.why
    assert found.guest_sees.startswith("Their card was charged")
    assert commands(found)[-1] == "outbox requeue LA-1"
