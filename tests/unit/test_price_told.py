"""When a person is told that the price in the PMS may not be what was paid, and in which words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from outbox_worker.alerts import render, render_chat
from outbox_worker.alerts.alert import PRICE_UNKNOWN, AlertKind, Incident
from outbox_worker.bookings.store import KnownReservation
from outbox_worker.handlers.price import tells
from outbox_worker.operations.price import UnknownPrice
from outbox_worker.outbox.delivery import State
from outbox_worker.pms import guesty_parts, price
from outbox_worker.pms.port import Held, Parts, PmsName
from outbox_worker.pms.price import Unknown
from tests.support_alert import NOW, make_incident, make_stay
from tests.support_explain import a_delivery, an_alert, commands, held, said
from tests.support_guesty_adapter import a_stay

CREATED: Parts = guesty_parts.wanted(a_stay())
RESET: Parts = {part: digest for part, digest in CREATED.items() if part != "fare"}
FOUND: Parts = {part: CREATED[part] for part in guesty_parts.SHOWN}


def known(parts: Parts, fingerprint: str | None = "as it was") -> KnownReservation:
    return KnownReservation(reservation_id="r", test=False, fingerprint=fingerprint, parts=parts)


def told(
    before: KnownReservation | None, parts: Parts, *, repriced: bool, pms: PmsName = PmsName.GUESTY
) -> bool:
    answer = Held(reservation_id="r", parts=parts, repriced=repriced)
    return tells(pms, before, answer, cancelled="cancelled")


@pytest.mark.parametrize(
    ("parts", "reason"),
    [(CREATED, None), (RESET, Unknown.RESET), (FOUND, Unknown.FOUND), ({}, Unknown.FOUND)],
)
def test_the_record_says_whether_our_price_is_there_and_why_not(
    parts: Parts, reason: Unknown | None
) -> None:
    assert price.unknown(PmsName.GUESTY, parts) is reason
    assert price.unknown(PmsName.GUESTLY, parts) is None


@pytest.mark.parametrize("before", [CREATED, RESET, FOUND])
def test_a_change_that_may_set_a_price_is_told_each_time(before: Parts) -> None:
    after = {part: digest for part, digest in before.items() if part != "fare"}
    assert told(known(before), after, repriced=True)
    assert told(known(before, fingerprint=None), after, repriced=True), "and in the middle of one"


@pytest.mark.parametrize(
    ("before", "after", "repriced"),
    [
        (None, CREATED, False),
        (known(CREATED), CREATED, False),
        (known(RESET), RESET, False),
        (known(FOUND, fingerprint=None), FOUND, False),
        (known(CREATED, fingerprint="cancelled"), CREATED, False),
    ],
    ids=["create", "notes", "notes, price not known", "found", "confirmed again, price known"],
)
def test_what_sets_no_price_is_not_told(
    before: KnownReservation | None, after: Parts, repriced: bool
) -> None:
    assert not told(before, after, repriced=repriced)


def test_a_stay_that_is_confirmed_again_is_told_again_if_its_price_is_not_known() -> None:
    assert told(known(RESET, fingerprint="cancelled"), RESET, repriced=False)


def test_a_pms_that_is_written_as_a_whole_is_never_told_of() -> None:
    assert not told(known({}), {}, repriced=True, pms=PmsName.GUESTLY)


# The words


def incident(**fields: Any) -> Incident:
    stay = make_stay(reservation_id="652f0000000000000000b001", **fields.pop("of", {}))
    facts = {"code": PRICE_UNKNOWN, "pms": "guesty"}
    return make_incident(kind=AlertKind.REPORTED, stay=stay, facts=facts, **fields)


def test_mail_and_chat_say_what_why_and_what_to_do() -> None:
    mail = render.message(incident(), currency="EUR", pms=PmsName.GUESTY)
    chat = render_chat.message(incident(), pms=PmsName.GUESTY).text

    assert mail.subject == "[Action] Booking LFT-7K2P has changed: compare the price in Guesty"
    flat = " ".join(mail.text.split())
    for text in (
        "Guesty sets a price of its own after a change of listing, dates or guests.",
        "It may not be what the guest has paid.",
        "correct it there by hand",
        "1,240.00 EUR",
    ):
        assert text in flat
    for command in ("outbox show LFT-7K2P", "outbox link LFT-7K2P 652f0000000000000000b001"):
        assert command in flat
        assert command in chat
    assert "compare the price in Guesty" in chat
    assert "A program of the site" not in flat + chat


def test_the_subject_has_room_for_the_longest_reference_and_a_solved_one_is_no_action() -> None:
    long = incident(of={"reference": "R" * 20})
    assert "..." not in render.message(long, currency="EUR", pms=PmsName.GUESTY).subject
    solved = render.message(
        incident(resolved_at=NOW, messages=1), currency="EUR", pms=PmsName.GUESTY
    )
    assert solved.subject == "[Solved] Booking LFT-7K2P: its price needs no further look"


@pytest.mark.parametrize(("late", "news"), [(1, True), (0, False), (-1, False)])
def test_a_change_after_the_last_message_is_news(late: int, news: bool) -> None:
    seen = NOW + timedelta(minutes=late)
    assert incident(messages=1, told_at=NOW, last_seen_at=seen).has_news is news


# What `outbox show` says

PRICE = UnknownPrice(
    reason=Unknown.RESET,
    sentence="The price in Guesty is not known.",
    act="Compare it.",
    command="outbox link LA-1 res-1",
)


def test_a_price_that_is_not_known_is_the_last_thing_to_do() -> None:
    explanation = said(a_delivery(State.SYNCED), reservations=(held(),), price=PRICE)

    assert explanation.price == PRICE
    assert commands(explanation) == [PRICE.command]


def test_its_alert_is_ended_by_what_is_said_of_the_price() -> None:
    alert = an_alert(code=PRICE_UNKNOWN)

    explanation = said(a_delivery(State.SYNCED), alerts=(alert,), price=PRICE)
    assert commands(explanation) == [PRICE.command]
    assert "person" not in explanation.headline

    over = said(a_delivery(State.SYNCED), reservations=(held(),), alerts=(alert,))
    assert commands(over) == ["outbox link LA-1 res-1"], "a requeue does not end it"
    assert "program of the site" not in over.headline
    gone = said(a_delivery(State.SYNCED), alerts=(alert,))
    assert commands(gone) == ["outbox requeue LA-1"], "where there is no stay to be paid"


def test_another_alert_is_told_beside_the_price() -> None:
    alerts = (an_alert(code=PRICE_UNKNOWN), an_alert(kind=AlertKind.PAID_TWICE))

    explanation = said(a_delivery(State.SYNCED), alerts=alerts, price=PRICE)

    assert "paid twice" in explanation.headline
    assert commands(explanation) == ["outbox requeue LA-1", PRICE.command]
