"""What each answer of Guestly means. Pure but for the clock that a ``Retry-After`` date needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, assert_never

from httpx import codes

from outbox_worker.errors import DecodeError
from outbox_worker.pms import exact_json, exchange_answer, guestly_body, refusal
from outbox_worker.pms.exchange_answer import Content, Speaker, sentence
from outbox_worker.pms.http import Answered, Broken, Exchange, NotSent
from outbox_worker.pms.port import (
    Absent,
    Ambiguous,
    Held,
    Misconfigured,
    RateLimited,
    ReadFailure,
    Rejected,
    Reservation,
    WriteAnswer,
)

_GUESTLY = Speaker(name="Guestly", address="GUESTLY_API_URL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A write that was sent.

    Args:
        sent: None for a cancellation, which carries no guest data.
        reservation_id: None for a create.
    """

    reference: str
    sent: Reservation | None
    reservation_id: str | None


ReadAnswer: TypeAlias = Content | Absent | Rejected | ReadFailure


def read(exchange: Exchange, *, what: str) -> ReadAnswer:
    """What a GET has told.

    Args:
        exchange: What happened.
        what: What was asked for, for messages.
    """
    match exchange:
        case NotSent() | Broken():
            return exchange_answer.unavailable(exchange)
        case Answered():
            pass
        case _:
            assert_never(exchange)
    status = exchange.status
    if status == codes.NOT_FOUND:
        return Absent(http_status=status)
    if codes.is_success(status):
        return exchange_answer.content(exchange, _GUESTLY)
    if status == codes.METHOD_NOT_ALLOWED:
        return exchange_answer.lost_address(status, _GUESTLY)
    if (failure := _common(exchange)) is not None:
        return failure
    if exchange_answer.is_refusal(status):
        return exchange_answer.refused_read(exchange, _GUESTLY, what=what)
    return exchange_answer.failed_read(exchange, _GUESTLY)


def write(exchange: Exchange, written: Written) -> WriteAnswer:
    """What a POST or PUT has done."""
    match exchange:
        case NotSent():
            return exchange_answer.unavailable(exchange)
        case Broken():
            return exchange_answer.broken(exchange)
        case Answered():
            pass
        case _:
            assert_never(exchange)
    status = exchange.status
    if codes.is_success(status):
        return _held(exchange, written)
    if written.reservation_id is None and status in exchange_answer.NO_SUCH_CALL:
        return exchange_answer.lost_address(status, _GUESTLY)
    # a page instead of an answer comes from another place than the reservations: it proves nothing
    # about one of them, and a cancellation must not get lost by it
    if status == codes.NOT_FOUND and not refusal.is_markup(exchange.body):
        return Absent(http_status=status)
    if (failure := _common(exchange)) is not None:
        return failure
    if exchange_answer.is_refusal(status):
        return _refused(exchange, written)
    return exchange_answer.failed_write(exchange, _GUESTLY)


def _held(answer: Answered, written: Written) -> Held | Ambiguous:
    def doubtful(code: str, message: str) -> Ambiguous:
        return Ambiguous(code=code, message=message, http_status=answer.status)

    if not answer.whole:
        return doubtful("answer_too_large", exchange_answer.too_large(_GUESTLY))
    try:
        remote = guestly_body.reservation(exact_json.decode(answer.body))
    except DecodeError as error:
        return doubtful("unexpected_answer", sentence(error))
    if remote.reference != written.reference:
        return doubtful("other_reference", "Guestly answered about another reference than ours")
    if written.reservation_id not in {None, remote.reservation_id}:
        return doubtful("other_reservation", "Guestly answered about another reservation")
    return Held(
        reservation_id=remote.reservation_id,
        existed=written.reservation_id is not None,
        fingerprint=remote.fingerprint,
        http_status=answer.status,
    )


def _refused(answer: Answered, written: Written) -> Rejected | Ambiguous:
    told = refusal.read(answer.body, sent=written.sent)
    code = told.code or f"http_{answer.status}"
    message = told.message or f"Guestly refused the request (HTTP {answer.status})"
    if told.key_reused:
        # an earlier attempt with this key was, or still is, under way
        return Ambiguous(code="idempotency_key_reused", message=message, http_status=answer.status)
    if written.reservation_id is None and told.reference_exists:
        # nobody else uses our references: an earlier attempt has succeeded
        return Ambiguous(
            code="reference_exists", message=message, finished=True, http_status=answer.status
        )
    return Rejected(
        code=code, message=message, dates_taken=told.dates_taken, http_status=answer.status
    )


def _common(answer: Answered) -> RateLimited | Misconfigured | None:
    """What means the same for every call."""
    status = answer.status
    if status == codes.TOO_MANY_REQUESTS:
        return exchange_answer.rate_limited(answer, _GUESTLY)
    if status == codes.UNAUTHORIZED:
        return Misconfigured(
            code="unauthorized",
            message="Guestly refused the API key (HTTP 401); check GUESTLY_API_KEY",
            everybodys=True,
            http_status=status,
        )
    if status == codes.FORBIDDEN:
        return Misconfigured(
            code="forbidden",
            message="Guestly refuses access (HTTP 403); check GUESTLY_API_KEY and its permissions",
            everybodys=True,
            http_status=status,
        )
    if codes.is_redirect(status):
        return exchange_answer.redirected(status, _GUESTLY)
    return None
