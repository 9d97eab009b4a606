"""What each answer of Guestly means. Pure but for the clock that a ``Retry-After`` date needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, assert_never

from httpx import codes

from outbox_worker.errors import DecodeError
from outbox_worker.pms import guestly_body, refusal
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
    Unavailable,
    WriteAnswer,
)
from outbox_worker.pms.retry_after import retry_after

#: After a 429 that does not say for how long.
_DEFAULT_RETRY = timedelta(seconds=5)

#: Of a create: nobody serves reservations there.
_NO_SUCH_CALL = frozenset({codes.NOT_FOUND, codes.METHOD_NOT_ALLOWED})

#: Spoken by something in front of the PMS, which may still be at work behind it: bad gateway,
#: unavailable, gateway time-out, the codes of content delivery networks, network time-outs.
_GATEWAY = frozenset({502, 503, 504, *range(520, 531), 598, 599})


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A read's answer: JSON, parsed."""

    value: Any
    status: int


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
            return _unavailable(exchange)
        case Answered():
            pass
        case _:
            assert_never(exchange)
    status = exchange.status
    if status == codes.NOT_FOUND:
        return Absent(http_status=status)
    if codes.is_success(status):
        return _content(exchange)
    if status == codes.METHOD_NOT_ALLOWED:
        return _lost_address(status)
    if (failure := _common(exchange)) is not None:
        return failure
    if codes.is_client_error(status) and status != codes.REQUEST_TIMEOUT:
        told = refusal.read(exchange.body, sent=None)
        return Rejected(
            code=told.code or f"http_{status}",
            message=f"Guestly refused the {what} (HTTP {status})",
            http_status=status,
        )
    return Unavailable(
        code=f"http_{status}",
        message=f"Guestly answered HTTP {status}",
        outage=_outage(status),
        http_status=status,
    )


def _content(answer: Answered) -> Content | Unavailable | Misconfigured:
    if not answer.whole:
        return Unavailable(
            code="answer_too_large",
            message="Guestly's answer is larger than 1 MiB",
            http_status=answer.status,
        )
    try:
        return Content(value=guestly_body.decode(answer.body), status=answer.status)
    except DecodeError as error:
        if refusal.is_markup(answer.body):
            return Misconfigured(
                code="html_answer",
                message="A web page answered in Guestly's place; check GUESTLY_API_URL",
                http_status=answer.status,
            )
        return Unavailable(
            code="unreadable_answer", message=sentence(error), http_status=answer.status
        )


def write(exchange: Exchange, written: Written) -> WriteAnswer:
    """What a POST or PUT has done."""
    match exchange:
        case NotSent():
            return _unavailable(exchange)
        case Broken():
            return Ambiguous(
                code=exchange.code,
                message=exchange.message,
                outage=_outage(exchange.status),
                http_status=exchange.status,
            )
        case Answered():
            pass
        case _:
            assert_never(exchange)
    status = exchange.status
    if codes.is_success(status):
        return _held(exchange, written)
    if written.reservation_id is None and status in _NO_SUCH_CALL:
        return _lost_address(status)
    # a page instead of an answer comes from another place than the reservations: it proves nothing
    # about one of them, and a cancellation must not get lost by it
    if status == codes.NOT_FOUND and not refusal.is_markup(exchange.body):
        return Absent(http_status=status)
    if (failure := _common(exchange)) is not None:
        return failure
    if codes.is_client_error(status) and status != codes.REQUEST_TIMEOUT:
        return _refused(exchange, written)
    return Ambiguous(
        code=f"http_{status}",
        message=f"Guestly answered HTTP {status}; whether it took effect is not known",
        finished=codes.is_server_error(status) and status not in _GATEWAY and exchange.whole,
        outage=_outage(status),
        http_status=status,
    )


def _held(answer: Answered, written: Written) -> Held | Ambiguous:
    def doubtful(code: str, message: str) -> Ambiguous:
        return Ambiguous(code=code, message=message, http_status=answer.status)

    if not answer.whole:
        return doubtful("answer_too_large", "Guestly's answer is larger than 1 MiB")
    try:
        remote = guestly_body.reservation(guestly_body.decode(answer.body))
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
        wait = retry_after(answer.headers, now=datetime.now(UTC))
        return RateLimited(retry_after=_DEFAULT_RETRY if wait is None else wait, http_status=status)
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
        return Misconfigured(
            code="redirect",
            message=f"Guestly redirects (HTTP {status}), which is never followed;"
            " check GUESTLY_API_URL",
            http_status=status,
        )
    return None


def _lost_address(status: int) -> Misconfigured:
    return Misconfigured(
        code="wrong_address",
        message=f"Guestly does not offer this call at this address (HTTP {status});"
        " check GUESTLY_API_URL",
        http_status=status,
    )


def _unavailable(exchange: NotSent | Broken) -> Unavailable:
    status = exchange.status if isinstance(exchange, Broken) else None
    return Unavailable(
        code=exchange.code, message=exchange.message, outage=_outage(status), http_status=status
    )


def _outage(status: int | None) -> bool:
    """Whether a call that failed says that Guestly itself does not work."""
    return status is None or codes.is_server_error(status)


def sentence(error: DecodeError) -> str:
    """The error as a sentence."""
    text = str(error)
    return text[:1].upper() + text[1:]
