"""No sentence about access tokens is taken for one that has a secret in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from outbox_worker.gate.circuit import CLOSED, Cause, opened
from outbox_worker.gate.token_state import NO_TOKEN
from outbox_worker.pms import guesty_token_words as words
from outbox_worker.redaction import mask
from outbox_worker.worker.gatekeeper import why_open

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TEN = timedelta(minutes=10)


@pytest.mark.parametrize(
    "sentence",
    [
        *words.REFUSED_ACCESS.values(),
        words.failed("credentials_refused", wait=TEN).message,
        words.failed("token_address", wait=TEN).message,
        words.failed("http_503", wait=TEN).message,
        words.failed("http_503", wait=timedelta(0)).message,
        words.quota_spent(5, NOW).message,
        words.forbidden(403).message,
        words.ended(401).message,
        words.not_there_yet().message,
        words.ended_before().message,
        words.unreadable(OSError()).message,
    ],
)
def test_what_callers_are_told_for_want_of_a_token_is_logged_as_it_is(sentence: str) -> None:
    assert mask(sentence) == sentence


@pytest.mark.parametrize(
    ("cause", "code", "expected"),
    [
        (
            Cause.OUTAGE,
            NO_TOKEN,
            "Guesty gives no access token, so nothing more is sent until a probe gets through",
        ),
        (
            Cause.OUTAGE,
            "http_503",
            "Guesty does not answer, so nothing more is sent until a probe gets through",
        ),
        (
            Cause.MISCONFIGURED,
            "unauthorized",
            "Guesty refuses our key or address, so nothing more is sent until that is mended",
        ),
        (
            Cause.MISCONFIGURED,
            "token_quota",
            words.REFUSED_ACCESS["token_quota"]
            + ", so nothing more is sent until one can be had again",
        ),
        (
            Cause.MISCONFIGURED,
            "permission_refused",
            words.REFUSED_ACCESS["permission_refused"]
            + ", so nothing more is sent until that is mended",
        ),
    ],
)
def test_why_a_circuit_is_open_is_logged_as_it_is(cause: Cause, code: str, expected: str) -> None:
    sentence = why_open("Guesty", opened(CLOSED, cause=cause, code=code, now=NOW))

    assert sentence == mask(sentence) == expected
