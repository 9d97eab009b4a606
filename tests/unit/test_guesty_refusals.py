"""Refusals of Guesty that are neither about the token nor about the dates, and what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from outbox_worker.pms.guesty_answer import read, write
from outbox_worker.pms.port import Absent, Ambiguous, Misconfigured, Rejected
from tests.support_guesty_adapter import CANCEL, CHANGE, CREATE, HTML, WRITTEN, answer

# Other refusals


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (
            [{"path": ["guest", "email"], "message": "Invalid email"}],
            "http_422",
            "guest.email: Invalid email",
        ),
        (
            {"error_code": "WRONG_REQUEST", "message": "No", "data": {"errors": ["x is bad"]}},
            "wrong_request",
            "No; x is bad",
        ),
        (
            {"error": {"code": "VALIDATION_ERROR", "message": "Cancellation reason is not valid"}},
            "validation_error",
            "Cancellation reason is not valid",
        ),
        ("Bare string", "http_422", "Bare string"),
        (b"Plain text", "http_422", "Plain text"),
        (HTML, "http_422", "403 Forbidden No"),
        (b"", "http_422", "Guesty refused the request (HTTP 422)"),
        ({}, "http_422", "Guesty refused the request (HTTP 422)"),
    ],
)
def test_a_refusal_of_any_shape_has_a_code_and_a_sentence(
    body: Any, code: str, message: str
) -> None:
    for written in (CREATE, CHANGE):
        assert write(answer(422, body), written) == Rejected(
            code=code, message=message, http_status=422
        )


def test_a_refused_cancellation_keeps_nothing_of_the_text() -> None:
    body = {"error": {"code": "NOT_CANCELLABLE", "message": "Zoe has checked in"}}
    result = write(answer(422, body), CANCEL)
    assert isinstance(result, Rejected)
    assert result.code == "not_cancellable"
    assert "Zoe" not in result.message


@pytest.mark.parametrize(
    "echo", ["Zoë Müller-Łęcki", "zoe.lecki@example.com", "+493055501234", "A cot, please."]
)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 500])
def test_no_guest_data_comes_back(status: int, echo: str) -> None:
    bodies: list[Any] = [
        {"message": f"{echo} is wrong"},
        [{"path": [echo], "message": echo}],
        {"error": {"code": echo, "message": f"not available for {echo}"}},
        echo,
        f"<html><title>{echo}</title></html>".encode(),
    ]
    for written in WRITTEN:
        for body in bodies:
            said = repr(write(answer(status, body), written)).casefold()
            for secret in ("zoe", "zoë", "müller", "łęcki", "lecki", "5550", "cot, please"):
                assert secret not in said


def test_a_reference_that_exists_already_is_ambiguous_for_a_create_only() -> None:
    body = {"error": {"code": "DUPLICATE_CONFIRMATION_CODE", "message": "exists"}}
    result = write(answer(409, body), CREATE)
    assert isinstance(result, Ambiguous)
    assert (result.code, result.finished) == ("reference_exists", True)
    assert isinstance(write(answer(409, body), CHANGE), Rejected)


def test_taken_dates_are_no_reference_that_exists() -> None:
    result = write(answer(409, {"message": "Reservation dates are already taken"}), CREATE)
    assert isinstance(result, Rejected)
    assert result.dates_taken


def test_a_guest_that_exists_is_no_reference_that_exists() -> None:
    body = {"message": "guest e-mail already exists for another reservation"}
    assert isinstance(write(answer(422, body), CREATE), Rejected)


# What is not there


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, "Reservation Not Found"),
        (400, "Reservation Not Found"),
        (422, {"message": "Reservation with id 652f was not found"}),
        (404, {"error": {"code": "RESERVATION_NOT_FOUND"}}),
        (404, {}),
        (404, b""),
        (410, {"message": "reservation does not exist"}),
        (400, {"message": "Reservation 652f0000000000000000b001 not found", "error": "Bad"}),
        (422, {"message": "The reservation LA2026-48213 could not be found"}),
        (400, "No such reservation"),
    ],
)
def test_a_reservation_that_is_gone_is_absent(status: int, body: Any) -> None:
    for written in (CHANGE, CANCEL):
        assert write(answer(status, body), written) == Absent(http_status=status)


@pytest.mark.parametrize("status", [400, 404, 410, 422])
@pytest.mark.parametrize(
    "body",
    [
        {"message": "Reservation cancellation policy not found"},
        {"statusCode": 404, "message": "Reservation status transition not found", "error": "X"},
        {"error": {"code": "RESERVATION_POLICY_NOT_FOUND"}},
        {"message": "The reservation's guest does not exist"},
        b"<html><title>Reservation not found</title></html>",
    ],
)
def test_a_part_of_a_reservation_that_is_missing_proves_nothing_about_it(
    status: int, body: Any
) -> None:
    for written in (CHANGE, CANCEL):
        assert isinstance(write(answer(status, body), written), Rejected)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (HTML, "http_404"),
        ({"error": {"code": "LISTING_NOT_FOUND", "message": "x"}}, "listing_not_found"),
        ("Listing 652f not found", "http_404"),
    ],
)
def test_a_404_about_something_else_proves_nothing_about_the_reservation(
    body: Any, code: str
) -> None:
    result = write(answer(404, body), CHANGE)
    assert isinstance(result, Rejected)
    assert result.code == code


@pytest.mark.parametrize(
    "body",
    [
        {"message": "no Route matched with those values"},
        {"statusCode": 404, "message": "Cannot PUT /v1/reservations-v3/x/notes"},
    ],
)
def test_a_path_that_nobody_serves_is_a_fault_of_the_address(body: Any) -> None:
    for result in (
        *(write(answer(404, body), each) for each in WRITTEN),
        read(answer(404, body), what="x"),
    ):
        assert isinstance(result, Misconfigured)
        assert "GUESTY_API_URL" in result.message


def test_a_create_that_meets_nobody_is_a_fault_of_the_address() -> None:
    for status in (404, 405):
        result = write(answer(status, {}), CREATE)
        assert isinstance(result, Misconfigured)
        assert result.code == "wrong_address"
    assert isinstance(write(answer(404, "Listing not found"), CREATE), Rejected)


def test_a_note_of_the_guest_that_comes_back_is_not_taken_for_guestys_words() -> None:
    body = {"message": "notes: our last reservation was not found by anybody"}
    assert isinstance(write(answer(400, body), CHANGE), Rejected)
