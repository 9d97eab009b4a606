"""A subject's state in plain words."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from outbox_worker.alerts.alert import AlertKind
from outbox_worker.bookings.booking import BookingStatus
from outbox_worker.operations.explain import Explanation, explain
from outbox_worker.operations.fleet import Fleet, SyncMode, disabled
from outbox_worker.operations.refs import Subject, Target
from outbox_worker.operations.timeline import (
    AlertFacts,
    DeliveryFacts,
    EventFacts,
    ReservationFacts,
    Timeline,
)
from outbox_worker.outbox.delivery import Destination, State
from outbox_worker.pms.port import Mode, PmsName
from tests.support_explain import (
    BOOKING,
    CHECK,
    DISCARD,
    LINK,
    NOW,
    RUN,
    SEND,
    a_booking,
    a_delivery,
    a_fleet,
    commands,
    held,
    said,
)


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
            [CHECK],
        ),
        (
            State.HELD,
            "Not in Guestly: it is held, and sent as soon as that ends.",
            ["outbox sync LA-1"],
        ),
        (
            State.FAILED,
            "Not in Guestly: every attempt failed; it is tried again by itself.",
            [SEND, "outbox list --state failed"],
        ),
        (
            State.REJECTED,
            "Not in Guestly: it is not tried again until a person acts.",
            [SEND, DISCARD],
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

    assert commands(explanation) == ["outbox listings set sea-loft LISTING_ID", SEND, DISCARD]


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

    assert commands(explanation)[0] == f"outbox requeue {BOOKING} --wait"


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("foreign_reservation", [SEND, DISCARD]),
        ("any", [SEND, DISCARD]),
        ("reservation_gone", [LINK, DISCARD]),
        ("several_reservations", [LINK, DISCARD]),
        ("takeover_reservation_id", [LINK, DISCARD]),
        ("booking_gone", [DISCARD]),
    ],
)
def test_every_refusal_says_what_to_mend_and_what_to_type_then(
    code: str, wanted: list[str]
) -> None:
    explanation = said(a_delivery(State.REJECTED, error_code=code))

    assert all(step.text for step in explanation.steps)
    assert commands(explanation) == wanted


@pytest.mark.parametrize("state", [State.FAILED, State.REJECTED, State.DISCARDED])
def test_what_was_given_up_in_doubt_is_asked_about_first(state: State) -> None:
    assert commands(said(a_delivery(state, uncertain_at=NOW)))[0] == CHECK


@pytest.mark.parametrize("why", ["paused by anna until resumed", "its last calls all failed"])
def test_what_holds_a_booking_can_be_opened_or_passed_by(why: str) -> None:
    fleet = a_fleet(closed={Destination.GUESTLY: why})

    explanation = said(a_delivery(State.HELD), fleet=fleet)

    assert commands(explanation) == ["outbox resume guestly", "outbox sync LA-1"]


def test_an_alert_about_a_discarded_booking_is_closed_without_sending_it() -> None:
    alert = AlertFacts(id=3, kind=AlertKind.PAID_TWICE, message=None)

    assert commands(said(a_delivery(State.DISCARDED), alerts=(alert,)))[-1] == DISCARD


def test_a_disabled_sync_says_which_setting_holds_it() -> None:
    fleet = a_fleet(
        mode=SyncMode(enabled=False, test_mode=True, pms=PmsName.GUESTLY),
        closed={Destination.GUESTLY: disabled(PmsName.GUESTLY)},
    )

    explanation = said(a_delivery(State.HELD), fleet=fleet)

    assert explanation.why == "Guestly sync is disabled (GUESTLY_SYNC_ENABLED=false)"
    assert "GUESTLY_SYNC_ENABLED=true" in explanation.steps[0].text
    assert commands(explanation) == ["outbox sync LA-1"]


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


def test_what_a_person_said_without_asking_the_pms_is_not_told_as_a_fact() -> None:
    unsure = replace(held(), unverified=True)

    explanation = said(a_delivery(State.RETRYING), reservations=(unsure,))

    assert explanation.headline.startswith("Said to be in Guestly as res-1, not verified: ")
    assert explanation.risk == (
        "If Guestly does not hold res-1, the nights are still on sale in other channels."
    )


@pytest.mark.parametrize("unverified", [True, False])
def test_what_the_pms_was_found_not_to_hold_is_not_said_to_be_older(*, unverified: bool) -> None:
    gone = a_delivery(State.REJECTED, error_code="reservation_gone")

    explanation = said(gone, reservations=(replace(held(), unverified=unverified),))

    assert explanation.headline.startswith("Guestly has no reservation res-1: ")
    assert explanation.risk.startswith("The nights are still on sale")


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
        fleet=a_fleet(mode=SyncMode(enabled=True, test_mode=True, pms=PmsName.GUESTLY)),
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
            [SEND, LINK],
        ),
        (
            BookingStatus.COMPLETED,
            "Not in Guestly: nobody has asked for it to be sent.",
            [SEND, LINK],
        ),
    ],
)
def test_a_booking_that_was_never_requested(
    status: BookingStatus, headline: str, wanted: list[str]
) -> None:
    explanation = said(None, booking=a_booking(status=status))

    assert explanation.headline == headline
    assert commands(explanation) == wanted


@pytest.mark.parametrize(
    ("state", "reservations", "wanted"),
    [
        (State.SYNCED, (held(),), CHECK),
        (State.SYNCED, (held(Mode.TEST),), "outbox status"),
        (State.SYNCED, (), "outbox status"),
        (State.SENDING, (), "outbox show LA-1"),
        (State.WAITING, (held(),), "outbox show LA-1"),
    ],
)
def test_where_nothing_is_to_be_mended_there_is_something_to_look_at(
    state: State, reservations: tuple[ReservationFacts, ...], wanted: str
) -> None:
    assert said(a_delivery(state), reservations=reservations).then == wanted


def test_the_pms_that_bookings_go_to_is_not_asked_for_what_another_one_holds() -> None:
    fleet = a_fleet(mode=SyncMode(enabled=True, test_mode=False, pms=PmsName.GUESTY))

    explanation = said(a_delivery(State.SYNCED), reservations=(held(),), fleet=fleet)

    assert explanation.headline == "In Guestly as res-1, as it is here."
    assert explanation.then == "outbox status"


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
        (State.DISCARDED, "Set aside by a person: the event is not dealt with any more."),
    ],
)
def test_an_event_has_sentences_of_its_own(state: State, headline: str) -> None:
    assert an_event("no_change", a_delivery(state)).headline == headline


def test_an_event_that_is_owed_nowhere_tells_its_outcome() -> None:
    explanation = an_event("no_change", None)

    assert (explanation.headline, explanation.why) == ("Received, no change.", "why")


@pytest.mark.parametrize("state", [State.WAITING, State.RETRYING, State.HELD])
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
