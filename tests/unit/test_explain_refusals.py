"""What `outbox show` says of refusals that sending again does not mend."""

from __future__ import annotations

from dataclasses import replace

import pytest

from outbox_worker.alerts.words_access import ACCESS
from outbox_worker.alerts.words_refused import BY_HAND, NIGHTS_TAKEN
from outbox_worker.operations.timeline import ReservationFacts
from outbox_worker.outbox.delivery import State
from outbox_worker.pms.guesty_parts import Part
from outbox_worker.pms.port import Mode, PmsName
from tests.support_explain import DISCARD, LINK, SEND, WORKER, a_delivery, a_fleet, commands, held
from tests.support_explain import said as explained


def in_guesty(reservation_id: str = "res-9") -> ReservationFacts:
    return replace(held(), pms=PmsName.GUESTY, reservation_id=reservation_id)


@pytest.mark.parametrize("code", ["fare_fixed", "contact_fixed", "fare_and_contact_fixed"])
def test_what_guesty_takes_no_change_of_is_confirmed_and_never_sent_again(code: str) -> None:
    delivery = a_delivery(State.REJECTED, error_code=code)

    found = explained(delivery, reservations=(held(), in_guesty()))

    assert commands(found) == ["outbox link LA-1 res-9"]
    assert found.steps[0].text.startswith(("Guesty takes no ", "Guesty takes neither "))
    assert commands(explained(delivery, reservations=(held(),))) == [LINK]


@pytest.mark.parametrize(
    ("fixed", "named"),
    [
        ((Part.FARE, Part.CONTACT), ("price", "e-mail")),
        ((Part.CONTACT,), ("e-mail",)),
        ((Part.FARE,), ("price",)),
    ],
)
def test_what_differs_now_is_named_and_not_what_was_refused(
    fixed: tuple[Part, ...], named: tuple[str, ...]
) -> None:
    delivery = a_delivery(State.REJECTED, error_code="fare_fixed")

    (step,) = explained(delivery, reservations=(in_guesty(),), fixed=fixed).steps

    assert [word for word in ("price", "e-mail") if word in step.text] == list(named)
    assert step.command == "outbox link LA-1 res-9"


def test_an_id_that_a_shell_would_not_take_is_not_offered_for_typing() -> None:
    delivery = a_delivery(State.REJECTED, error_code="fare_fixed")

    assert commands(explained(delivery, reservations=(in_guesty("a b; c"),))) == [LINK]


def test_a_booking_of_another_pms_is_linked_or_set_aside() -> None:
    delivery = a_delivery(State.REJECTED, error_code="held_elsewhere")

    found = explained(delivery, reservations=(held(),))

    assert commands(found) == ["outbox link LA-1 res-1", DISCARD]
    assert "none in Guesty" in found.steps[0].text
    back = explained(delivery, reservations=(in_guesty(),))
    assert "none in Guestly" in back.steps[0].text


@pytest.mark.parametrize("code", sorted(ACCESS))
@pytest.mark.parametrize("state", [State.WAITING, State.RETRYING, State.HELD])
def test_a_refusal_of_access_says_what_mends_just_that(code: str, state: State) -> None:
    fleet = a_fleet(workers=(replace(WORKER, pms="guesty"),))
    delivery = a_delivery(state, misconfigured=True, error_code=code)

    found = explained(delivery, fleet=fleet)

    (step,) = found.steps
    assert ACCESS[code].symptom in found.headline
    assert (step.text, step.command) == (
        ACCESS[code].step.text,
        "".join(ACCESS[code].step.commands),
    )


def test_a_refusal_that_could_be_any_setting_names_the_address_of_guesty_too() -> None:
    fleet = a_fleet(workers=(replace(WORKER, pms="guesty"),))
    delivery = a_delivery(State.WAITING, misconfigured=True, error_code="wrong_address")

    assert "GUESTY_API_URL" in explained(delivery, fleet=fleet).steps[0].text


@pytest.mark.parametrize(
    ("code", "words"), [("phone_invalid", "or empty it"), ("reference_invalid", "reference on")]
)
def test_what_the_site_alone_can_correct_is_corrected_there(code: str, words: str) -> None:
    found = explained(a_delivery(State.REJECTED, error_code=code))

    assert words in found.steps[0].text
    assert "Guestly" not in found.steps[0].text
    assert commands(found) == [SEND, DISCARD]


@pytest.mark.parametrize("code", sorted(NIGHTS_TAKEN))
def test_nights_that_are_taken_are_not_said_to_be_on_sale(code: str) -> None:
    found = explained(a_delivery(State.REJECTED, error_code=code))

    assert "on sale" not in found.risk
    assert "nights" in found.risk
    assert "Move the guest, or cancel and refund." in found.steps[0].text
    assert "on sale" in explained(a_delivery(State.REJECTED)).risk


def test_a_reservation_of_test_mode_is_none_to_be_linked() -> None:
    delivery = a_delivery(State.REJECTED, error_code="fare_fixed")
    tested = replace(in_guesty(), mode=Mode.TEST)

    assert commands(explained(delivery, reservations=(tested,))) == [LINK]
    assert set(BY_HAND) == {
        "fare_fixed",
        "contact_fixed",
        "fare_and_contact_fixed",
        "held_elsewhere",
    }
