"""What each answer of Guesty means: decided from the body, because its status codes mislead.

Dates that are taken come as a 401, an expired token as a 403, a reservation that is gone as a 404
or a 400. A 401 or 403 that says none of this is never guessed at. Pure but for the clock that the
wait after a 429 needs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeAlias, assert_never

from httpx import codes

from outbox_worker.errors import DecodeError
from outbox_worker.pms import exact_json, exchange_answer, guesty_shown, rate_headers, refusal
from outbox_worker.pms.exchange_answer import DEFAULT_RETRY, Content, Speaker, sentence
from outbox_worker.pms.http import Answered, Broken, Exchange, NotSent
from outbox_worker.pms.port import (
    Absent,
    Ambiguous,
    Misconfigured,
    RateLimited,
    Rejected,
    Reservation,
    Unavailable,
)

GUESTY = Speaker(name="Guesty", address="GUESTY_API_URL")

#: Where Guesty may refuse the token, the dates or the terms of a stay.
_DOOR = frozenset({codes.UNAUTHORIZED, codes.FORBIDDEN})
#: Where it may say that there is no such reservation.
_GONE = frozenset({codes.BAD_REQUEST, codes.NOT_FOUND, codes.GONE, codes.UNPROCESSABLE_ENTITY})

_TOKEN = re.compile(
    r"permission to access|invalid (?:access )?token|jwt (?:expired|malformed)"
    r"|token (?:is |has )?(?:been )?(?:expired|invalid|revoked)"
)
#: The bare name of the status: frameworks write it beside whatever the reason is.
_UNAUTHORIZED = re.compile(r"^(?:401 )?unauthorized(?: error| exception)?$")
_STATUS_NAME = re.compile(
    r"^(?:40[13] )?(?:unauthorized|forbidden)(?: error| exception)?$|^40[13]$"
)
_TERMS = re.compile(
    r"(?:min|max)(?:imum)? (?:number of |length of )?(?:nights?|stay)\b|advance notice"
    r"|booking window|preparation time"
    r"|closed (?:to|on) (?:arrival|departure)"
)
#: At the beginning of a sentence, so that no note of a guest that comes back is taken for it; with
#: nothing but an id in between, so that it is no policy, guest or status of a reservation.
_ID = r"(?: with)?(?: the| this)?(?: id)?(?: [a-z]*[0-9][a-z0-9]*){0,4}"
_RESERVATION_GONE = re.compile(
    rf"^(?:the )?reservation{_ID} (?:(?:was |is |could )?not (?:be )?found|does(?: not|n t) exist)"
    rf"|^no such reservation{_ID}$"
)
#: Something of a reservation, where `_RESERVATION_GONE` does not match as well.
_PART_GONE = re.compile(r"^(?:the )?reservation\b.{0,60}\b(?:not (?:be )?found|not exist)")
_LISTING_GONE = re.compile(r"^(?:the )?(?:listing|property|unit)\b.{0,60}\b(?:not found|not exist)")
#: Of the gateway in front of the API, or of its framework: nothing was asked of a reservation.
_NO_ROUTE = re.compile(r"^cannot (?:get|post|put) |no route matched")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A write that Guesty has taken.

    Args:
        status: Status of the reservation, when the answer shows one.
    """

    reservation_id: str
    status: str | None
    http_status: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRefused:
    """The call was turned away for its token: whoever gave it out has to say what follows."""

    http_status: int


ReadAnswer: TypeAlias = (
    Content | Absent | Rejected | RateLimited | Unavailable | Misconfigured | TokenRefused
)
Taken: TypeAlias = (
    Accepted
    | Absent
    | Ambiguous
    | Rejected
    | RateLimited
    | Unavailable
    | Misconfigured
    | TokenRefused
)


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
    if codes.is_success(status):
        return exchange_answer.content(exchange, GUESTY)
    if (failure := _common(exchange)) is not None:
        return failure
    if status == codes.METHOD_NOT_ALLOWED:
        return exchange_answer.lost_address(status, GUESTY)
    if status == codes.NOT_FOUND:
        return Absent(http_status=status)
    if status in _DOOR:
        return Unavailable(code=f"http_{status}", message=_unclear(status), http_status=status)
    if exchange_answer.is_refusal(status):
        return exchange_answer.refused_read(exchange, GUESTY, what=what)
    return exchange_answer.failed_read(exchange, GUESTY)


def write(exchange: Exchange, written: Written) -> Taken:
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
        return _accepted(exchange, written)
    if (failure := _common(exchange)) is not None:
        return failure
    if (missed := _missed(exchange, written)) is not None:
        return missed
    if exchange_answer.is_refusal(status):
        return _refused(exchange, written)
    # Guesty works on after it has answered: until the quiet period is over, a read shows the status
    # from before, and a second cancellation would be refused
    return replace(exchange_answer.failed_write(exchange, GUESTY), finished=False)


def _accepted(answer: Answered, written: Written) -> Accepted | Ambiguous:
    def doubtful(code: str, message: str) -> Ambiguous:
        return Ambiguous(code=code, message=message, http_status=answer.status)

    if not answer.whole:
        return doubtful("answer_too_large", exchange_answer.too_large(GUESTY))
    try:
        shown = guesty_shown.written(exact_json.decode(answer.body))
    except DecodeError as error:
        return doubtful("unexpected_answer", sentence(error))
    # a change is answered without the reference; a create with it
    silent = written.reservation_id is not None and shown.reference is None
    if not silent and shown.reference != written.reference:
        return doubtful("other_reference", "Guesty answered about another reference than ours")
    if written.reservation_id not in {None, shown.reservation_id}:
        return doubtful("other_reservation", "Guesty answered about another reservation")
    return Accepted(
        reservation_id=shown.reservation_id, status=shown.status, http_status=answer.status
    )


def _missed(answer: Answered, written: Written) -> Absent | Misconfigured | Ambiguous | None:
    """What means that the write met nothing, or nobody knows what; None: nothing of the kind."""
    status, said = answer.status, refusal.spoken(answer.body)
    if written.reservation_id is None:
        if status in exchange_answer.NO_SUCH_CALL and not _any(_LISTING_GONE, said):
            return exchange_answer.lost_address(status, GUESTY)
    elif _is_gone(answer, said):
        return Absent(http_status=status)
    if status in _DOOR and not _is_about_the_stay(answer, said):
        return Ambiguous(
            code=f"http_{status}",
            message=f"{_unclear(status)}; whether it took effect is not known",
            http_status=status,
        )
    return None


def _refused(answer: Answered, written: Written) -> Rejected | Ambiguous:
    told = refusal.read(answer.body, sent=written.sent)
    code = told.code or f"http_{answer.status}"
    message = told.message or f"Guesty refused the request (HTTP {answer.status})"
    if written.reservation_id is None and told.reference_exists:
        # nobody else uses our references: an earlier attempt has succeeded
        return Ambiguous(
            code="reference_exists", message=message, finished=True, http_status=answer.status
        )
    return Rejected(
        code=code, message=message, dates_taken=told.dates_taken, http_status=answer.status
    )


def _common(answer: Answered) -> RateLimited | Misconfigured | TokenRefused | None:
    """What means the same for every call."""
    status = answer.status
    if status == codes.TOO_MANY_REQUESTS:
        spent = rate_headers.rest_of_spent(
            rate_headers.remaining(answer.headers), now=datetime.now(UTC)
        )
        return exchange_answer.rate_limited(answer, GUESTY, otherwise=spent or DEFAULT_RETRY)
    if codes.is_redirect(status):
        return exchange_answer.redirected(status, GUESTY)
    said = refusal.spoken(answer.body)
    if status == codes.NOT_FOUND and _any(_NO_ROUTE, said):
        return exchange_answer.lost_address(status, GUESTY)
    if status in _DOOR and _is_about_the_token(answer, said):
        return TokenRefused(http_status=status)
    return None


def _is_about_the_token(answer: Answered, said: tuple[str, ...]) -> bool:
    """Whether a refusal at the door says that the token is not good, and nothing else."""
    if refusal.is_markup(answer.body) or _is_about_the_stay(answer, said):
        return False  # a page comes from what stands in front of the API, which knows no token
    if _any(_TOKEN, said):
        return True
    return _any(_UNAUTHORIZED, said) and all(_STATUS_NAME.match(each) for each in said if each)


def _is_about_the_stay(answer: Answered, said: tuple[str, ...]) -> bool:
    """Whether a refusal at the door says that the dates are taken or against the terms."""
    if refusal.is_markup(answer.body):
        return False  # "not available" is what a page of anybody may say
    return refusal.read(answer.body, sent=None).dates_taken or _any(_TERMS, said)


def _is_gone(answer: Answered, said: tuple[str, ...]) -> bool:
    """Whether an answer to a change says that there is no such reservation.

    A page comes from another place than the reservations, and a listing or a policy that is missing
    is another matter: none proves anything about the reservation, and no cancellation may get lost.
    """
    if refusal.is_markup(answer.body):
        return False
    if answer.status in _GONE and _any(_RESERVATION_GONE, said):
        return True
    other = _any(_LISTING_GONE, said) or _any(_PART_GONE, said)
    return answer.status == codes.NOT_FOUND and not other


def _any(pattern: re.Pattern[str], said: tuple[str, ...]) -> bool:
    return any(pattern.search(phrase) for phrase in said)


def _unclear(status: int) -> str:
    return f"Guesty answered HTTP {status} and does not say why"
