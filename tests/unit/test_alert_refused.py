"""Mails about refusals that sending again does not mend."""

from __future__ import annotations

import pytest

from outbox_worker.alerts import render
from outbox_worker.alerts.alert import AlertKind
from outbox_worker.alerts.words_refused import BY_HAND, NIGHTS_TAKEN
from outbox_worker.outbox.delivery import State
from outbox_worker.pms.port import PmsName
from tests.support_alert import make_incident, make_named, make_stay


def mailed(code: str, **stay: object) -> str:
    """The text of the mail, on one line."""
    named = make_named(stay=make_stay(**stay), state=State.REJECTED, due_at=None)
    incident = make_incident(
        named, kind=AlertKind.SYNC_REJECTED, facts={"code": code, "pms": "guesty"}
    )
    return " ".join(render.message(incident, currency="EUR", pms=PmsName.GUESTLY).text.split())


@pytest.mark.parametrize("code", sorted(BY_HAND))
def test_what_a_person_settles_in_the_pms_ends_with_a_link_and_is_not_sent_again(code: str) -> None:
    text = mailed(code, reservation_id="652f01")

    assert BY_HAND[code].format(pms="Guesty") in text
    assert "outbox link LFT-7K2P 652f01" in text
    assert "requeue" not in text


def test_price_and_guest_are_both_named_where_both_differ() -> None:
    text = mailed("fare_and_contact_fixed", reservation_id="652f01")

    assert "Change the price, and name, e-mail or phone there by hand" in text
    assert "then say that both are done: outbox link LFT-7K2P 652f01" in text


def test_a_reservation_of_test_mode_is_none_to_be_linked() -> None:
    text = mailed("fare_fixed", reservation_id="652f01", test=True)

    assert "outbox link LFT-7K2P RESERVATION_ID" in text


@pytest.mark.parametrize("code", sorted(NIGHTS_TAKEN))
def test_nights_that_are_taken_are_not_said_to_be_on_sale(code: str) -> None:
    text = mailed(code)

    assert "on sale" not in text
    assert "Move the guest, or cancel and refund." in text


def test_a_phone_number_is_corrected_on_the_site_or_emptied() -> None:
    text = mailed("phone_invalid")

    assert "or empty it" in text
    assert "outbox requeue LFT-7K2P --wait" in text
