"""What is kept of a PMS's error bodies: the reason, and nothing about the guest."""

from __future__ import annotations

import html
import json
import unicodedata
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from outbox_worker.pms import guest_data, refusal
from tests.support_booking import a_reservation

SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "pms"
SENT = a_reservation()
PAGE = (
    b"<html><head><title>Bad Request</title><style>p{}</style></head>"
    b"<body><script>x()</script><h1>Bad</h1><p>Too &amp; short</p></body></html>"
)


def read(body: Any) -> refusal.Refusal:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return refusal.read(raw, sent=SENT)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"error": {"code": "MIN_NIGHTS", "message": "Too short"}}, "min_nights", "Too short"),
        ({"error": {"code": "minNights", "message": "Too short"}}, "min_nights", "Too short"),
        ({"error": "Too short"}, None, "Too short"),
        ({"error": "MIN_NIGHTS"}, "min_nights", ""),
        ({"message": "Too short"}, None, "Too short"),
        ({"message": ["Too short", "too dear"]}, None, "Too short; too dear"),
        (
            {"error_code": "WRONG", "message": "No", "data": {"errors": ['"x" is not allowed']}},
            "wrong",
            'No; "x" is not allowed',
        ),
        (
            [{"path": ["money", "currency"], "message": "Required"}],
            None,
            "money.currency: Required",
        ),
        ("Too short", None, "Too short"),
        (b"Too short", None, "Too short"),
        (b"", None, ""),
        (b"null", None, ""),
        (b"17", None, ""),
        (b"{}", None, ""),
        (b"\xff\xfe\x00", None, "��"),
        ({"error": {"code": 40012, "message": "No"}}, None, "No"),
        ({"error": {"code": "zoe@example.com", "message": "No"}}, None, "No"),
        ({"error": {"code": "a sentence about Zoe", "message": "No"}}, None, "No"),
        ({"error": {"code": "X" * 61, "message": "No"}}, None, "No"),
        (PAGE, None, "Bad Request Bad Too & short"),
    ],
)
def test_every_shape_of_an_error_body_is_read(body: Any, code: str | None, message: str) -> None:
    found = read(body)
    assert (found.code, found.message) == (code, message)


def test_a_long_message_is_cut_to_two_hundred_characters() -> None:
    message = read({"message": "no room " * 100}).message
    assert len(message) <= 200
    assert message.endswith("…")


def test_a_message_is_one_line_of_printable_characters() -> None:
    message = read({"message": "a\x00b\r\nc\u202ed\u2028e\x1b[31mf\ud800g"}).message
    assert message == "ab cd e[31mfg"


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": "LISTING_NOT_AVAILABLE", "message": "x"}},
        {"error": {"code": "LISTING_IS_NOT_AVAILABLE"}},
        {"error_code": "X_Y", "data": {"errors": ["LISTING_CALENDAR_BLOCKED"]}},
        {"error": {"code": "datesUnavailable"}},
        {"message": "The listing is not available for these dates"},
        {"message": "Dates already booked"},
        {"message": "Reservation dates are already taken"},
        {"message": "The dates 2026-12-01 to 2026-12-05 are already taken"},
        "The stay overlaps with another reservation",
        b"<p>These dates are taken</p>",
    ],
)
def test_dates_that_are_taken_are_recognised(body: Any) -> None:
    assert read(body).dates_taken


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": "SERVICE_UNAVAILABLE", "message": "try later"}},
        {"error": {"code": "MIN_NIGHTS", "message": "too short"}},
        {"message": "The currency must be that of the listing"},
        {"message": "The dates are right but the confirmation code is already taken"},
        b"",
    ],
)
def test_other_refusals_are_not_taken_for_taken_dates(body: Any) -> None:
    assert not read(body).dates_taken


def test_the_code_about_the_dates_wins_over_the_general_one() -> None:
    body = {"error_code": "CREATE_RESERVATION_ERROR", "errors": ["LISTING_CALENDAR_BLOCKED"]}
    assert read(body).code == "listing_calendar_blocked"


def test_a_reused_idempotency_key_is_recognised() -> None:
    assert read({"error": {"code": "IDEMPOTENCY_KEY_REUSED"}}).key_reused
    assert read({"message": "Idempotency-Key was used with another body"}).key_reused
    assert not read({"message": "The API key was used up"}).key_reused


def test_an_existing_reference_is_recognised() -> None:
    assert read({"error": {"code": "DUPLICATE_CONFIRMATION_CODE"}}).reference_exists
    assert read({"message": "confirmationCode must be unique"}).reference_exists
    assert read({"message": "A reservation with this code already exists"}).reference_exists
    assert read({"message": "Confirmation code LA2026-48213 is already in use"}).reference_exists
    assert read({"message": "A reservation already exists with this reference"}).reference_exists
    assert read(
        {"message": "E11000 duplicate key error collection: x index: confirmationCode_1"}
    ).reference_exists


@pytest.mark.parametrize(
    "message",
    [
        "The guest already exists",
        "guest e-mail already exists for another reservation",
        "Reservation dates are already taken",
        "The dates are already taken by the reservation with reference LA2026-1",
        "reference: the guest's e-mail already exists",
        "The reservation is a duplicate of a guest",
    ],
)
def test_something_else_that_exists_is_no_existing_reference(message: str) -> None:
    assert not read({"message": message}).reference_exists


ECHOES = [
    "Zoë Müller-Łęcki",
    "ZOË MÜLLER-ŁĘCKI",
    "Zoe Muller-Łecki",
    unicodedata.normalize("NFD", "Zoë Müller-Łęcki"),
    "Müller",
    "zoe",
    "zoe.lecki@example.com",
    "ZOE.LECKI@EXAMPLE.COM",
    "zoe.lecki",
    "somebody-else@example.org",
    "+49 30 5550 1234",
    "+493055501234",
    "0049 30 5550-1234",
    "030/5550 1234",
    "+1 (555) 010-9999",
    "Norddeutsche Testwerke",
    "We arrive late in the evening.",
    "A cot, please.",
    "Trade fair",
]


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize(
    "template",
    ["{}", "value {} is wrong", "invalid: {}.", '"{}" is not valid', "x={}&y", "<b>{}</b> no"],
)
def test_what_the_pms_repeats_of_the_guest_is_masked(echo: str, template: str) -> None:
    text = template.format(echo)
    for body in (
        {"error": {"code": "BAD", "message": text}},
        text,
        text.encode(),
        f"<html><body>{html.escape(text)}</body></html>".encode(),
        text.encode("ascii", "xmlcharrefreplace"),
        quote(text).encode(),
        json.dumps(text)[1:-1].encode(),
    ):
        message = read(body).message
        assert echo.casefold() not in message.casefold()
        assert "[…]" in message


def test_the_guests_number_is_masked_where_no_number_would_be_expected() -> None:
    assert read({"message": "tel493055501234x is wrong"}).message == "tel[…]x is wrong"
    sent = a_reservation(guest_phone="0815 42")
    assert refusal.read(b"081542 is wrong", sent=sent).message == "[…] is wrong"


def test_the_notes_are_masked_where_they_are_cut_off() -> None:
    message = read({"message": "notes too long: We arrive late in the eveni..."}).message
    assert message == "notes too long: […]..."


def test_a_note_that_looks_like_one_of_ours_is_masked_as_well() -> None:
    sent = a_reservation(notes="Booking Reference: my daughter is ill\nPurpose: a secret visit")
    told = refusal.read(b"bad notes: my daughter is ill; a secret visit", sent=sent)
    assert "daughter" not in told.message
    assert "secret" not in told.message


def test_quoted_values_of_other_guests_are_masked_and_field_names_are_kept() -> None:
    body = {"message": "\"checkIn\" overlaps the stay of 'John Smith', „Anna Schmidt“ and `x.y`"}
    assert read(body).message == '"checkIn" overlaps the stay of […], […] and `x.y`'


def test_what_helps_is_kept() -> None:
    text = (
        "listing 652f0000000000000000a001 of LA2026-48213 is closed"
        " from 2026-12-01 to 2026-12-05T10:00, minimum 7 nights, error 40012"
    )
    assert read({"message": text}).message == text


def test_a_code_that_names_the_guest_is_dropped() -> None:
    assert read({"error": {"code": "DUPLICATE_GUEST_ZOE", "message": "x"}}).code is None


def test_without_a_reservation_nothing_of_the_text_is_kept() -> None:
    told = refusal.read(
        b'{"error": {"code": "ALREADY_STARTED", "message": "Zoe has checked in"}}', sent=None
    )
    assert (told.code, told.message) == ("already_started", "")


def test_an_address_cut_in_two_by_the_length_limit_does_not_survive() -> None:
    for pad in range(1960, 2001):
        body = {
            "message": "x@y.example " * (pad // 12) + "y" * (pad % 12) + " zoe.lecki@example.com"
        }
        message = read(body).message
        assert "zoe" not in message
        assert "lecki" not in message


@settings(deadline=None)
@given(
    name=st.text(st.characters(categories=("L", "M", "Nd")), min_size=2, max_size=12),
    before=st.sampled_from(["", "guest ", "name: ", "'", '"', "("]),
    after=st.sampled_from(["", " is wrong", ",", "'", '"', ")"]),
)
def test_no_name_survives(name: str, before: str, after: str) -> None:
    assume(len(unicodedata.normalize("NFKD", name).casefold()) > 1)
    assume(sum(not unicodedata.combining(part) for part in unicodedata.normalize("NFKD", name)) > 1)
    assume(name.casefold() not in f"{before}{after}".casefold())
    sent = a_reservation(guest_name=name)
    said = guest_data.scrubbed(f"{before}{name}{after}", sent, limit=200)
    assert name not in said


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read(body: bytes) -> None:
    told = refusal.read(body, sent=SENT)
    assert len(told.message) <= 200
    assert told.message.isprintable()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["error", "errors", "message", "code", "data", "path", "x"]), inner
        )
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(json_values)
def test_any_json_is_read(value: Any) -> None:
    told = read(value)
    assert len(told.message) <= 200
    assert told.message.isprintable()
    assert told.code is None or 2 <= len(told.code) <= 60


def test_deep_nesting_is_not_followed() -> None:
    assert refusal.read(b'{"error":' * 5000 + b"1" + b"}" * 5000, sent=SENT).message == ""


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the collected sample bodies are not here")
def test_collected_error_bodies_are_read() -> None:
    bodies = {path.stem: path.read_bytes() for path in SAMPLES.glob("*error*.json")}
    assert bodies
    for name, body in bodies.items():
        told = refusal.read(body, sent=SENT)
        assert told.message, name
    blocked = refusal.read(bodies["guesty_beapi_error_400_calendar_blocked"], sent=SENT)
    assert blocked.dates_taken
    assert blocked.code == "listing_calendar_blocked"
