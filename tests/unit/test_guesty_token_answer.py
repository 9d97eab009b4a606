"""What the token endpoint's answers mean."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from outbox_worker.pms.guesty_token_answer import Minted, NotMinted, read
from outbox_worker.pms.http import Answered, Broken, NotSent

DAY = timedelta(hours=24)


def said(status: int, body: bytes, *, whole: bool = True) -> Answered:
    return Answered(status=status, headers={}, body=body, whole=whole)


@pytest.mark.parametrize(
    ("expires_in", "life"),
    [
        ("86400", DAY),
        ('"3600"', timedelta(hours=1)),
        ("null", DAY),
        ("1.5", timedelta(seconds=1.5)),
        ("1e400", timedelta(days=7)),
        ("9" * 400, timedelta(days=7)),
        ("0", None),
        ("-5", None),
        ("NaN", None),
        ("true", None),
        ('"soon"', None),
        ("[]", None),
    ],
)
def test_a_life_is_a_number_of_seconds_or_a_day(expires_in: str, life: timedelta | None) -> None:
    body = f'{{"access_token": "abc", "expires_in": {expires_in}}}'.encode()
    expected = (
        NotMinted(code="unreadable_answer", http_status=200)
        if life is None
        else Minted(value="abc", life=life)
    )

    assert read(said(200, body)) == expected


@pytest.mark.parametrize("value", ["", "a b", "a\nb", "ü", "x" * 20_000, None, 7, ["abc"]])
def test_what_cannot_stand_in_a_header_is_no_token(value: object) -> None:
    answer = read(said(200, json.dumps({"access_token": value}).encode()))

    assert answer == NotMinted(code="unreadable_answer", http_status=200)


@pytest.mark.parametrize("body", [b"", b"null", b"[1]", b'"abc"', b"\xff\xfe", b"[" * 100_000])
def test_no_body_raises(body: bytes) -> None:
    assert read(said(200, body)) == NotMinted(code="unreadable_answer", http_status=200)


def test_half_an_answer_is_none() -> None:
    body = b'{"access_token": "abc"}'

    assert read(said(200, body, whole=False)) == NotMinted(
        code="unreadable_answer", http_status=200
    )


def test_what_has_not_left_is_told_from_what_may_have_arrived() -> None:
    refused = read(NotSent(code="connection_refused", message=""))
    broken = read(Broken(code="timeout", message=""))

    assert refused == NotMinted(code="connection_refused", sent=False)
    assert broken == NotMinted(code="timeout", sent=True)


def test_a_token_is_not_shown() -> None:
    assert "abc" not in repr(read(said(200, b'{"access_token": "abc"}')))
