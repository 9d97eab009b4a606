from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from outbox_worker.alerts import render
from outbox_worker.alerts.alert import AlertKind, Incident
from outbox_worker.alerts.port import AlertMessage
from outbox_worker.alerts.words_access import ACCESS
from outbox_worker.outbox.delivery import Destination, State
from outbox_worker.pms.port import PmsName
from tests.support_alert import NOW, Page, make_incident, make_named, make_stay


def rendered(incident: Incident) -> AlertMessage:
    return render.message(incident, currency="EUR", pms=PmsName.GUESTLY)


def of_kind(kind: AlertKind, **fields: Any) -> Incident:
    match kind:
        case AlertKind.SYNC_FAILED | AlertKind.SYNC_REJECTED:
            return make_incident(make_named(), kind=kind, **fields)
        case AlertKind.EVENT_FAILED | AlertKind.PAID_WITHOUT_BOOKING:
            event = make_named(destination=Destination.INBOX, key="evt_1Ab", stay=None)
            return make_incident(event, kind=kind, facts={"event_id": "evt_1Ab"}, **fields)
        case _:
            return make_incident(
                kind=kind, stay=make_stay(), facts={"payment_intent": "pi_3Ab"}, **fields
            )


@pytest.mark.parametrize("kind", AlertKind)
def test_every_kind_has_its_own_subject_and_says_what_to_do(kind: AlertKind) -> None:
    message = rendered(of_kind(kind))
    assert len(message.subject) <= 80
    tag = re.compile(r"\[\w+\] ")
    others = {
        tag.sub("", rendered(of_kind(other)).subject) for other in AlertKind if other is not kind
    }
    assert tag.sub("", message.subject) not in others
    for section in ("WHAT HAPPENED", "DO THIS"):
        assert section in message.text.splitlines()
    assert re.search(r"^ +outbox [a-z]+", message.text, re.MULTILINE)
    assert "What happened" in Page(message.html).text


@pytest.mark.parametrize("kind", AlertKind)
def test_every_subject_has_room_for_its_whole_symptom(kind: AlertKind) -> None:
    stays = [
        make_stay(reference="R" * 20, status=status, reservation_id=reservation_id)
        for status in ("confirmed", "cancelled")
        for reservation_id in (None, "R1")
    ]
    for stay in stays:
        for named in ((), (make_named(stay=stay),)):
            incident = make_incident(*named, kind=kind, stay=stay)
            for each in (incident, replace(incident, resolved_at=NOW)):
                assert "..." not in rendered(each).subject


@pytest.mark.parametrize("kind", sorted(set(AlertKind) - {AlertKind.TEST}))
def test_every_kind_has_a_solved_mail_in_the_same_thread(kind: AlertKind) -> None:
    solved_at = NOW + timedelta(hours=2, minutes=10)
    message = rendered(of_kind(kind, resolved_at=solved_at, messages=1))
    assert message.subject.startswith("[Solved] ")
    assert message.message_id == "<alert-7.2.solved@booking-outbox>"
    assert message.headers["In-Reply-To"] == "<alert-7.1@booking-outbox>"
    assert message.headers["References"] == "<alert-7.1@booking-outbox>"
    assert "21 Nov 2026, 12:12 UTC, after 2 h 10 min" in message.text


@pytest.mark.parametrize(
    "kind",
    sorted(set(AlertKind) - {AlertKind.TEST, AlertKind.REPORTED}),
    ids=lambda kind: kind.value,
)
def test_every_kind_says_what_the_guest_sees_and_what_is_at_risk(kind: AlertKind) -> None:
    lines = rendered(of_kind(kind)).text.splitlines()
    for section in ("GUEST SEES", "RISK"):
        assert lines[lines.index(section) + 1].strip()


def test_a_failed_booking_is_told_with_all_that_an_operator_needs() -> None:
    stay = make_stay(infants=1, reservation_id=None)
    delivery = make_named(stay=stay, key=str(stay.id))
    message = rendered(make_incident(delivery))

    assert (
        message.subject
        == "[Warning] Booking LFT-7K2P is paid but not in Guestly - check-in 22 Nov 2026"
    )
    for shown in (message.text, Page(message.html).text):
        for fact in (
            "LFT-7K2P",
            "0b1c2d3e-0000-4000-8000-000000000001",
            "Sea Loft 2 (sea-loft-2)",
            "22 Nov 2026 to 25 Nov 2026, 3 nights",
            "3 (2 adults, 1 child), 1 infant",
            "1,240.00 EUR",
            "completed",
            "confirmed",
            "3 in this round",
            "http_503: Guestly answered 503",
            "21 Nov 2026, 10:02 UTC",
            "21 Nov 2026, 10:07 UTC",
            "A confirmed booking on the site.",
            "outbox show LFT-7K2P",
            "outbox requeue LFT-7K2P --wait",
        ):
            assert fact in shown


def test_a_rejected_booking_is_an_action_and_names_the_command_that_mends_it() -> None:
    delivery = make_named(stay=make_stay(), state=State.REJECTED, due_at=None)
    incident = make_incident(
        delivery, kind=AlertKind.SYNC_REJECTED, facts={"code": "listing_missing"}
    )
    message = rendered(incident)
    assert message.subject.startswith("[Action] Booking LFT-7K2P is paid but cannot reach Guestly")
    assert "outbox listings set sea-loft-2 LISTING_ID" in message.text
    assert "It is not tried again until a person acts." in " ".join(message.text.split())


def test_one_of_several_is_not_several() -> None:
    failed = make_named()
    rejected = make_named(2, state=State.REJECTED, due_at=None)

    text = " ".join(rendered(make_incident(failed, rejected)).text.split())

    assert "1 of them is tried again without you" in text
    assert "1 of them is not tried again until a person acts." in text


def test_a_refusal_of_key_or_address_names_the_bookings_that_wait() -> None:
    one = make_named(stay=make_stay(), state=State.WAITING)
    two = make_named(2, stay=make_stay(reference="LFT-9Z9Z"), state=State.WAITING)
    facts = {"code": "http_403", "pms": "guestly"}
    single = rendered(make_incident(one, kind=AlertKind.MISCONFIGURED, facts=facts))
    assert single.subject.startswith(
        "[Action] Booking LFT-7K2P waits: Guestly refuses our key or address"
    )
    assert "outbox show LFT-7K2P" in single.text
    several = rendered(make_incident(one, two, kind=AlertKind.MISCONFIGURED, facts=facts))
    assert "Guestly refuses our key or address, 2 bookings are waiting" in several.subject
    assert "LFT-7K2P" in several.text
    assert "LFT-9Z9Z" in several.text


@pytest.mark.parametrize("code", sorted(ACCESS))
def test_a_refusal_of_access_whose_code_tells_more_says_more(code: str) -> None:
    incident = make_incident(
        make_named(stay=make_stay(), state=State.WAITING),
        kind=AlertKind.MISCONFIGURED,
        facts={"pms": "guesty", "code": code},
    )
    mail = rendered(incident)

    assert ACCESS[code].symptom in mail.subject
    flat = " ".join(mail.text.split())
    for text in (ACCESS[code].happened, ACCESS[code].then, ACCESS[code].step.text):
        assert text in flat
    assert "GUESTLY_API_KEY" not in flat


@pytest.mark.parametrize(
    ("fields", "subject"),
    [
        ({"payment_status": "pending"}, "Booking LFT-7K2P is not in Guestly"),
        ({"reservation_id": "R1"}, "Booking LFT-7K2P has changed, Guestly has the old version"),
        ({"reservation_id": "T", "test": True}, "Booking LFT-7K2P is paid but not in Guestly"),
        (
            {"reservation_id": "R1", "status": "cancelled"},
            "Booking LFT-7K2P is cancelled, Guestly may still hold it",
        ),
    ],
)
def test_the_subject_says_how_the_pms_differs(fields: dict[str, Any], subject: str) -> None:
    message = rendered(make_incident(make_named(stay=make_stay(**fields))))
    assert message.subject.removeprefix("[Warning] ").split(" - ")[0] == subject


def test_a_booking_that_the_site_has_deleted_is_still_told() -> None:
    key = "0b1c2d3e-0000-4000-8000-000000000009"
    message = rendered(make_incident(make_named(stay=None, key=key)))
    assert "A deleted booking may still be in Guestly" in message.subject
    assert f"outbox show {key}" in message.text


def test_a_reference_that_no_shell_should_see_is_replaced_by_the_id_in_commands() -> None:
    stay = make_stay(reference="$(reboot)")
    message = rendered(make_incident(make_named(stay=stay)))
    assert f"outbox show {stay.id}" in message.text
    assert "outbox show $" not in message.text
    assert "Booking $(reboot)" in message.text
    assert "Booking 0b1c2d3e is paid" in message.subject


def test_every_booking_of_a_full_mail_is_named_with_reference_and_id() -> None:
    named = [make_named(number) for number in range(1, 501)]
    message = rendered(make_incident(*named, untold=700))
    page = Page(message.html).text
    for delivery in named:
        assert delivery.stay is not None
        for shown in (message.text, page):
            assert delivery.stay.reference in shown
            assert str(delivery.stay.id) in shown
    assert "[Warning] 500 paid bookings are not in Guestly" in message.subject
    assert "200 more will be named in the next mail" in message.text
    assert message.text.count("  Booking id:") == 20
    assert len(message.html) < 700_000


def test_the_subject_drops_what_does_not_fit_and_keeps_the_symptom() -> None:
    def subject(reference: str) -> str:
        return rendered(make_incident(make_named(stay=make_stay(reference=reference)))).subject

    assert subject("A" * 14).endswith(" is paid but not in Guestly - check-in 22 Nov")
    assert subject("A" * 20).endswith(f"Booking {'A' * 20} is paid but not in Guestly")
    assert subject("A" * 21).endswith(
        "Booking 0b1c2d3e is paid but not in Guestly - check-in 22 Nov 2026"
    )


def test_a_failure_that_a_program_reported_is_told_without_any_delivery() -> None:
    message = rendered(make_incident(stay=make_stay(), facts={"error": "no answer"}))
    assert message.subject == "[Action] Booking LFT-7K2P is paid but not in Guestly"
    assert "no answer" in message.text
    assert "outbox requeue LFT-7K2P --wait" in message.text


def test_a_growing_incident_names_the_new_and_counts_the_old() -> None:
    message = rendered(make_incident(make_named(), make_named(2), messages=2, told_standing=5))
    assert message.subject.startswith("[Warning] 2 more paid bookings are not in Guestly")
    assert message.message_id == "<alert-7.3@booking-outbox>"
    assert message.references == ("<alert-7.1@booking-outbox>",)
    assert "5 named in earlier mails are still not solved." in message.text


def test_the_same_incident_is_always_the_same_mail() -> None:
    incident = make_incident(make_named(), make_named(2))
    assert rendered(incident) == rendered(incident)


def test_an_incident_that_was_over_before_any_mail_is_told_once_and_starts_no_thread() -> None:
    healed = make_named(state=State.SYNCED, healed_at=NOW, due_at=None)
    message = rendered(make_incident(healed, resolved_at=NOW))
    assert message.subject == "[Solved] Booking LFT-0001 is in Guestly"
    assert "This is the first message about it" in " ".join(message.text.split())
    assert message.references == ()
    assert message.message_id == "<alert-7.1.solved@booking-outbox>"


@pytest.mark.parametrize(
    ("states", "status", "subject"),
    [
        ([State.SYNCED], "cancelled", "[Solved] Booking LFT-7K2P is cancelled in Guestly too"),
        ([State.WAITING], "confirmed", "[Solved] Booking LFT-7K2P needs you no longer"),
        ([State.DISCARDED], "confirmed", "[Solved] Booking LFT-7K2P was discarded by a person"),
        ([State.SYNCED, State.SYNCED], "confirmed", "[Solved] 2 bookings are in Guestly"),
        ([State.SYNCED, State.SENDING], "confirmed", "[Solved] 2 bookings need you no longer"),
    ],
)
def test_the_solved_mail_says_what_became_of_the_bookings(
    states: list[State], status: str, subject: str
) -> None:
    named = [
        make_named(n, state=state, stay=make_stay(status=status), healed_at=NOW)
        for n, state in enumerate(states)
    ]
    assert rendered(make_incident(*named, resolved_at=NOW, messages=1)).subject == subject


def test_the_mail_fits_the_configured_currency_and_survives_values_that_are_missing() -> None:
    stay = make_stay(
        total=None, check_in=None, check_out=None, nights=None, property_name=None, slug=None,
        reference="",
    )  # fmt: skip
    text = render.message(
        make_incident(make_named(stay=stay)), currency="CHF", pms=PmsName.GUESTLY
    ).text
    assert "Total:        unknown" in text
    assert "unknown to unknown" in text
    assert "Booking (none)" in text
    assert (
        "CHF"
        in render.message(make_incident(make_named()), currency="CHF", pms=PmsName.GUESTLY).text
    )


def test_named_ids_are_those_of_the_bookings_and_not_of_others() -> None:
    shown = rendered(make_incident(make_named(3))).text
    assert str(UUID(int=3)) in shown
    assert str(UUID(int=4)) not in shown
