"""What each answer of Guesty means, decided from its body: every shape, and nothing guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outbox_worker.pms.guesty_answer import Accepted, Taken, TokenRefused, Written, read, write
from outbox_worker.pms.http import Broken, NotSent
from outbox_worker.pms.port import (
    Ambiguous,
    Misconfigured,
    RateLimited,
    Rejected,
    Unavailable,
)
from tests.support_guesty_adapter import (
    CANCEL,
    CHANGE,
    CREATE,
    HTML,
    RESERVATION_ID,
    WRITTEN,
    answer,
    changed,
    created,
)

SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "pms"

PERMISSION = {"message": "You don't have permission to access, please contact the support."}
DENIED = (
    b"<HTML><HEAD><TITLE>Access Denied</TITLE></HEAD><BODY><H1>Access Denied</H1>You don't have"
    b' permission to access "http&#58;&#47;&#47;open-api" on this server.</BODY></HTML>'
)
UNAUTHORIZED = {"error": {"code": "UNAUTHORIZED", "message": "Unauthorized"}}


# The token


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    "body",
    [
        PERMISSION,
        UNAUTHORIZED,
        {"statusCode": 401, "message": "Unauthorized"},
        {"statusCode": 401, "message": "Unauthorized", "error": "Unauthorized"},
        {"statusCode": 403, "message": "Unauthorized", "error": "Forbidden"},
        {"statusCode": 401, "message": "jwt expired", "error": "Unauthorized"},
        "Unauthorized",
        b"Unauthorized",
        {"message": "The access token expired"},
        {"message": "Invalid token"},
        {"error": "invalid_token", "error_description": "jwt expired"},
    ],
)
def test_a_refused_token_is_known_by_its_body(status: int, body: Any) -> None:
    for written in WRITTEN:
        assert write(answer(status, body), written) == TokenRefused(http_status=status)
    assert read(answer(status, body), what="x") == TokenRefused(http_status=status)


@pytest.mark.parametrize("status", [400, 404, 409, 422, 500])
def test_the_same_words_elsewhere_are_not_about_the_token(status: int) -> None:
    for body in (PERMISSION, UNAUTHORIZED):
        assert not isinstance(write(answer(status, body), CHANGE), TokenRefused)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    "body",
    [
        None,
        b"",
        {},
        [],
        7,
        HTML,
        b"<html><body>This page is not available</body></html>",
        {"message": "Forbidden resource"},
        {"message": "Only the author may edit"},
        {"error": {"code": "SOMETHING_NEW"}},
        {"statusCode": 401, "message": "The guest is on a list", "error": "Unauthorized"},
        {"error": {"code": "UNAUTHORIZED", "message": "Something new"}},
        ["Unauthorized", "Something new"],
        {"message": "Forbidden"},
        DENIED,
        b"<html><head><title>Unauthorized</title></head></html>",
        b"<html><body>Your token has expired</body></html>",
        "Service temporarily unavailable",
    ],
)
def test_an_unknown_shape_at_the_door_is_never_guessed_at(status: int, body: Any) -> None:
    for written in WRITTEN:
        result = write(answer(status, body), written)
        assert isinstance(result, Ambiguous)
        assert (result.code, result.finished) == (f"http_{status}", False)
        assert result.http_status == status
    told = read(answer(status, body), what="look-up")
    assert isinstance(told, Unavailable)
    assert (told.code, told.outage) == (f"http_{status}", False)


# The dates and the terms


TAKEN = [
    {"error": {"code": "LISTING_IS_NOT_AVAILABLE", "message": "x"}},
    {"error": {"code": "UNAUTHORIZED", "message": "The listing is not available"}},
    {"error_code": "CREATE_RESERVATION_ERROR", "data": {"errors": ["LISTING_CALENDAR_BLOCKED"]}},
    {"message": "Dates are not available"},
    "Listing is not available for the dates",
    {"statusCode": 401, "message": "Dates are not available", "error": "Unauthorized"},
    {"message": "Reservation dates are already taken"},
    [{"path": ["checkInDateLocalized"], "message": "Dates are already booked"}],
]


@pytest.mark.parametrize("status", [400, 401, 403, 409, 422])
@pytest.mark.parametrize("body", TAKEN)
def test_dates_that_are_taken_are_known_whatever_the_status(status: int, body: Any) -> None:
    for written in (CREATE, CHANGE):
        result = write(answer(status, body), written)
        assert isinstance(result, Rejected)
        assert (result.dates_taken, result.http_status) == (True, status)


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": "MIN_NIGHTS_MISMATCH", "message": "Too short"}},
        {"error": {"code": "X_Y", "data": {"errors": ["minNights"]}}},
        {"message": "The maximum number of nights is 30"},
        {"message": "Advance notice of 2 days"},
        {"statusCode": 401, "message": "Minimum stay is 3", "error": "Unauthorized"},
        {"statusCode": 401, "message": "The minimum nights are 3", "error": "Unauthorized"},
    ],
)
def test_terms_that_are_broken_are_a_refusal_even_at_the_door(body: Any) -> None:
    for status in (401, 400, 422):
        result = write(answer(status, body), CREATE)
        assert isinstance(result, Rejected)
        assert result.dates_taken is False


# Success


def test_a_write_that_was_taken_shows_its_reservation() -> None:
    for status in (200, 201):
        assert write(answer(status, created()), CREATE) == Accepted(
            reservation_id=RESERVATION_ID, status="confirmed", http_status=status
        )
    assert write(answer(200, changed(status="canceled")), CANCEL) == Accepted(
        reservation_id=RESERVATION_ID, status="canceled", http_status=200
    )


@pytest.mark.parametrize(
    ("written", "body"),
    [
        (CREATE, {}),
        (CREATE, []),
        (CREATE, created(reservationId=None)),
        (CREATE, created(confirmationCode=None)),
        (CREATE, created(confirmationCode="LA2026-4")),
        (CREATE, {"success": True}),
        (CHANGE, {}),
        (CHANGE, {"success": True}),
        (CHANGE, changed(reservationId="other")),
        (CHANGE, changed(confirmationCode="LA2026-4")),
        (CREATE, b""),
        (CHANGE, b"{"),
        (CANCEL, HTML),
    ],
)
def test_a_success_of_unknown_shape_is_ambiguous(written: Written, body: Any) -> None:
    result = write(answer(200, body), written)
    assert isinstance(result, Ambiguous)
    assert result.finished is False


# What HTTP alone decides


def test_what_was_not_sent_and_what_broke_are_told_apart() -> None:
    unsent = NotSent(code="dns_failed", message="x")
    broke = Broken(code="timeout", message="x")
    for written in WRITTEN:
        assert isinstance(write(unsent, written), Unavailable)
        assert isinstance(write(broke, written), Ambiguous)
    assert isinstance(read(unsent, what="x"), Unavailable)
    assert isinstance(read(broke, what="x"), Unavailable)


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 520])
def test_a_failing_server_leaves_a_write_in_doubt_and_under_way(status: int) -> None:
    for written in WRITTEN:
        result = write(answer(status, HTML), written)
        assert isinstance(result, Ambiguous)
        assert (result.finished, result.outage) == (False, True)
    told = read(answer(status), what="x")
    assert isinstance(told, Unavailable)
    assert told.outage


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_is_never_followed(status: int) -> None:
    for result in (write(answer(status), CHANGE), read(answer(status), what="x")):
        assert isinstance(result, Misconfigured)


def test_too_many_requests_means_to_wait_as_long_as_it_says() -> None:
    limited = answer(
        429, b"", retry_after="7", x_ratelimit_limit_hour="9", x_ratelimit_remaining_hour="0"
    )
    for result in (write(limited, CREATE), read(limited, what="x")):
        assert isinstance(result, RateLimited)
        assert result.retry_after.total_seconds() == 7


def test_without_a_word_about_it_the_window_that_is_used_up_is_waited_for() -> None:
    spent = answer(429, b"", x_ratelimit_limit_hour="9", x_ratelimit_remaining_hour="0")
    silent = answer(429, b"", x_ratelimit_limit_hour="9", x_ratelimit_remaining_hour="1")
    hour, default = read(spent, what="x"), read(silent, what="x")
    assert isinstance(hour, RateLimited)
    assert isinstance(default, RateLimited)
    assert 0 < hour.retry_after.total_seconds() <= 3600
    assert default.retry_after.total_seconds() == 5


# Anything


@settings(deadline=None)
@given(
    status=st.integers(200, 599),
    body=st.binary(max_size=100),
    written=st.sampled_from(WRITTEN),
)
def test_any_answer_means_something_and_nothing_unknown_means_success(
    status: int, body: bytes, written: Written
) -> None:
    result: Taken = write(answer(status, body), written)
    assert not isinstance(result, Accepted)
    read(answer(status, body), what="x")


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the collected sample bodies are not here")
@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("guesty_error_403_expired_token", 403, TokenRefused),
        ("guesty_error_401_unauthorized", 401, TokenRefused),
        ("guesty_beapi_error_400_calendar_blocked", 400, Rejected),
        ("guesty_beapi_error_400_calendar_blocked", 401, Rejected),
        ("guesty_beapi_error_400_validation", 400, Rejected),
    ],
)
def test_collected_error_bodies_mean_what_they_say(
    name: str, status: int, kind: type[object]
) -> None:
    body = (SAMPLES / f"{name}.json").read_bytes()
    for written in (CREATE, CHANGE):
        result = write(answer(status, body), written)
        assert isinstance(result, kind)
        if isinstance(result, Rejected):
            assert result.dates_taken is ("calendar" in name)
