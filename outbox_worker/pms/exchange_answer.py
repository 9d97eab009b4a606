"""What an exchange with a PMS means wherever HTTP alone decides it, in words that name the PMS.

What one PMS says of a reservation in its own bodies is its adapter's business. Pure but for the
clock that a ``Retry-After`` date needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from httpx import codes

from outbox_worker.errors import DecodeError
from outbox_worker.pms import exact_json, refusal
from outbox_worker.pms.http import Answered, Broken, NotSent
from outbox_worker.pms.port import Ambiguous, Misconfigured, RateLimited, Rejected, Unavailable
from outbox_worker.pms.retry_after import retry_after

#: After a 429 that does not say for how long.
DEFAULT_RETRY = timedelta(seconds=5)

#: Of a create: nobody serves reservations there.
NO_SUCH_CALL = frozenset({codes.NOT_FOUND, codes.METHOD_NOT_ALLOWED})

#: Spoken by something in front of the PMS, which may still be at work behind it: bad gateway,
#: unavailable, gateway time-out, the codes of content delivery networks, network time-outs.
_GATEWAY = frozenset({502, 503, 504, *range(520, 531), 598, 599})


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """How messages name a PMS.

    Args:
        name: As people write it.
        address: The setting that holds its address.
    """

    name: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A read's answer: JSON, parsed."""

    value: Any
    status: int


def content(answer: Answered, speaker: Speaker) -> Content | Unavailable | Misconfigured:
    """What a read that succeeded has brought."""
    if not answer.whole:
        return Unavailable(
            code="answer_too_large", message=too_large(speaker), http_status=answer.status
        )
    try:
        return Content(value=exact_json.decode(answer.body), status=answer.status)
    except DecodeError as error:
        if refusal.is_markup(answer.body):
            return Misconfigured(
                code="html_answer",
                message=f"A web page answered in {speaker.name}'s place; check {speaker.address}",
                http_status=answer.status,
            )
        return Unavailable(
            code="unreadable_answer", message=sentence(error), http_status=answer.status
        )


def unavailable(exchange: NotSent | Broken) -> Unavailable:
    """Nothing was sent; or a read came to nothing."""
    status = exchange.status if isinstance(exchange, Broken) else None
    return Unavailable(
        code=exchange.code, message=exchange.message, outage=is_outage(status), http_status=status
    )


def broken(exchange: Broken) -> Ambiguous:
    """A write that was sent and not answered in full."""
    return Ambiguous(
        code=exchange.code,
        message=exchange.message,
        outage=is_outage(exchange.status),
        http_status=exchange.status,
    )


def refused_read(answer: Answered, speaker: Speaker, *, what: str) -> Rejected:
    """A read that was understood and refused; ``what`` is what it asked for, for messages."""
    told = refusal.read(answer.body, sent=None)
    return Rejected(
        code=told.code or f"http_{answer.status}",
        message=f"{speaker.name} refused the {what} (HTTP {answer.status})",
        http_status=answer.status,
    )


def failed_read(answer: Answered, speaker: Speaker) -> Unavailable:
    """A read that was answered, but neither with what was asked for nor with a refusal."""
    return Unavailable(
        code=f"http_{answer.status}",
        message=f"{speaker.name} answered HTTP {answer.status}",
        outage=is_outage(answer.status),
        http_status=answer.status,
    )


def failed_write(answer: Answered, speaker: Speaker) -> Ambiguous:
    """A write that was answered, but neither with success nor with a refusal."""
    status = answer.status
    return Ambiguous(
        code=f"http_{status}",
        message=f"{speaker.name} answered HTTP {status}; whether it took effect is not known",
        finished=codes.is_server_error(status) and status not in _GATEWAY and answer.whole,
        outage=is_outage(status),
        http_status=status,
    )


def rate_limited(
    answer: Answered, speaker: Speaker, *, otherwise: timedelta = DEFAULT_RETRY
) -> RateLimited:
    """A 429; ``otherwise`` is the wait where it does not say for how long."""
    wait = retry_after(answer.headers, now=datetime.now(UTC))
    return RateLimited(
        retry_after=otherwise if wait is None else wait,
        http_status=answer.status,
        message=f"{speaker.name} asked to slow down",
    )


def redirected(status: int, speaker: Speaker) -> Misconfigured:
    """A redirect, which is never followed: it would carry a secret to another place."""
    return Misconfigured(
        code="redirect",
        message=f"{speaker.name} redirects (HTTP {status}), which is never followed;"
        f" check {speaker.address}",
        http_status=status,
    )


def lost_address(status: int, speaker: Speaker) -> Misconfigured:
    """Nobody serves this call there."""
    return Misconfigured(
        code="wrong_address",
        message=f"{speaker.name} does not offer this call at this address (HTTP {status});"
        f" check {speaker.address}",
        http_status=status,
    )


def is_refusal(status: int) -> bool:
    """Whether a status says that the request itself is at fault; a time-out (408) is nobody's."""
    return codes.is_client_error(status) and status != codes.REQUEST_TIMEOUT


def is_outage(status: int | None) -> bool:
    """Whether a call that failed says that the PMS itself does not work; None: no answer."""
    return status is None or codes.is_server_error(status)


def too_large(speaker: Speaker) -> str:
    """The sentence about an answer that was cut off."""
    return f"{speaker.name}'s answer is larger than 1 MiB"


def sentence(error: DecodeError) -> str:
    """The error as a sentence."""
    text = str(error)
    return text[:1].upper() + text[1:]
