"""What an alert says in a chat: everything that has to be told, and nothing that others wrote."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outbox_worker.alerts import render_chat
from outbox_worker.alerts.alert import AlertKind, Incident
from outbox_worker.outbox.delivery import Destination, State
from outbox_worker.pms.port import PmsName
from tests.support_alert import NOW, make_incident, make_named, make_stay

ATTACKS = (
    "<!channel> <@U024BE7LH> <https://evil.example|click>",
    "@channel @here @everyone @anna",
    "`reboot` *bold* _x_ ~gone~ ```code```",
    "line\nDO THIS\r\n`rm -rf /`",
    "guest@example.com +49 151 23456789",
    "\u202egnikooB\u200b",
)


def text(incident: Incident) -> str:
    return render_chat.message(incident, pms=PmsName.GUESTLY).text


def assert_safe(told: str) -> None:
    assert len(told) <= render_chat.LIMIT
    assert not re.search(r"[<>@\r]|://|&(?!amp;|lt;|gt;)", told)
    for line in told.splitlines():
        # every piece of code ends on its line, so nothing between two pieces is shown as code
        assert line.count("`") % 2 == 0
        assert line.isprintable()


def test_an_incident_that_names_no_pms_is_told_with_the_workers() -> None:
    incident = make_incident(make_named(stay=make_stay()))
    nameless = replace(incident, facts={"code": "http_503"})
    of_before = replace(incident, facts={"code": "http_503", "pms": "guestly"})

    told = render_chat.message(nameless, pms=PmsName.GUESTY).text
    before = render_chat.message(of_before, pms=PmsName.GUESTY).text

    assert "is paid but not in Guesty" in told
    assert "Guestly" not in told
    assert "is paid but not in Guestly" in before


def test_a_failed_booking_is_told_in_few_lines_with_the_command() -> None:
    told = text(make_incident(make_named(stay=make_stay())))

    assert told.splitlines() == [
        (
            "\N{LARGE ORANGE CIRCLE} *[Warning] Booking LFT-7K2P is paid but not in Guestly"
            " - check-in 22 Nov 2026*"
        ),
        (
            "Guestly did not take the booking: 3 attempts failed (http_503). It is tried again"
            " without you, next at 21 Nov 2026, 10:07 UTC."
        ),
        (
            "Risk: The nights are still on sale in other channels, and Guestly prepares nothing for"
            " the arrival."
        ),
        (
            "\N{BULLET} `LFT-7K2P` 22 Nov 2026 to 25 Nov 2026, 3 nights \N{MIDDLE DOT} failed"
            " \N{MIDDLE DOT} http_503"
        ),
        "`outbox show LFT-7K2P`",
        "`outbox requeue LFT-7K2P --wait`",
        "Alert 7 \N{MIDDLE DOT} message 1",
    ]


@pytest.mark.parametrize("kind", AlertKind)
def test_every_kind_is_told_with_something_to_type(kind: AlertKind) -> None:
    for named in ((), (make_named(),), (make_named(), make_named(2))):
        for resolved_at in (None, NOW):
            incident = make_incident(
                *named,
                kind=kind,
                stay=make_stay(),
                facts={"channel": "chat"},
                resolved_at=resolved_at,
            )
            told = text(incident)
            assert re.search(r"^`outbox \w+", told, re.MULTILINE)
            assert_safe(told)


def test_every_delivery_of_a_message_is_named_however_long_the_names_are() -> None:
    named = [
        make_named(
            number,
            stay=make_stay(reference=f"LONG-REFERENCE-{number:05}"),
            error_code="e" * 80,
            state=None,
        )
        for number in range(1, render_chat.PAGE + 1)
    ]
    told = text(make_incident(*named, untold=99, told_standing=99))
    assert_safe(told)
    for number in range(1, render_chat.PAGE + 1):
        assert f"`LONG-REFERENCE-{number:05}`" in told
    assert f"{99 - render_chat.PAGE} more follow in the next message" in told

    solved = [replace(each, state=State.SYNCED, healed_at=NOW) for each in named]
    told = text(make_incident(*solved, resolved_at=NOW))
    assert all(f"`LONG-REFERENCE-{number:05}`" in told for number in range(1, len(solved) + 1))


def test_bookings_that_are_gone_are_named_by_their_ids() -> None:
    named = [
        make_named(number, stay=None, key=str(UUID(int=number)), error_code="e" * 80, state=None)
        for number in range(1, render_chat.PAGE + 1)
    ]
    told = text(make_incident(*named, untold=99))
    assert_safe(told)
    assert all(f"`{delivery.key}`" in told for delivery in named)


def test_events_and_alerts_of_a_channel_are_named_so_that_they_can_be_shown() -> None:
    event = make_named(destination=Destination.INBOX, key="evt_1Ab", stay=None)
    assert "`evt_1Ab`" in text(make_incident(event, kind=AlertKind.EVENT_FAILED, facts={}))
    mail = make_named(12, destination=Destination.EMAIL, key="5", stay=None)
    told = text(make_incident(mail, kind=AlertKind.CHANNEL_FAILING, facts={"channel": "email"}))
    assert "`Alert 5 by e-mail`" in told
    assert "`outbox show 12`" in told, "5 would be taken for a delivery"
    assert "*[Action] Alerts cannot be mailed*" in told


def test_what_was_named_earlier_is_counted() -> None:
    told = text(make_incident(make_named(), messages=1, told_standing=1))
    assert "1 named earlier is still not solved." in told
    assert told.endswith("message 2")


@pytest.mark.parametrize("attack", ATTACKS)
def test_text_of_others_mentions_nobody_and_formats_nothing(attack: str) -> None:
    stay = make_stay(reference=attack, property_name=attack, slug=attack, payment_status=attack)
    for kind in AlertKind:
        incident = make_incident(
            make_named(stay=stay, error=attack, error_code=attack, key=attack),
            make_named(2, stay=None, key=attack, destination=Destination.INBOX),
            kind=kind,
            stay=stay,
            fingerprint=attack,
            facts={"message": attack, "error": attack, attack: attack, "event_id": attack},
        )
        told = text(incident)
        assert_safe(told)
        assert "example.com" not in told
        assert "23456789" not in told


_TEXT = st.text(max_size=60) | st.sampled_from(ATTACKS)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(AlertKind),
    keys=st.lists(_TEXT, max_size=render_chat.PAGE),
    facts=st.dictionaries(_TEXT, _TEXT, max_size=6),
    state=st.none() | st.sampled_from(State),
    destination=st.none() | st.sampled_from(Destination),
    reference=_TEXT,
    resolved_at=st.none() | st.just(NOW),
    untold=st.integers(0, 10**9),
)
def test_any_incident_whatsoever_becomes_a_safe_message(**fields: Any) -> None:
    stay = make_stay(reference=fields.pop("reference"))
    state, destination = fields.pop("state"), fields.pop("destination")
    named = [
        make_named(
            number,
            key=key,
            stay=stay if number % 2 else None,
            state=state,
            destination=destination,
            error=key,
            error_code=key,
        )
        for number, key in enumerate(fields.pop("keys"), start=1)
    ]
    assert_safe(text(make_incident(*named, stay=stay, **fields)))
