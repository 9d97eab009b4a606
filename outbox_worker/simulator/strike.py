"""Faults made real: from a rule that struck and the answer it spoils to the response sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any

from starlette.responses import HTMLResponse, Response

from outbox_worker.simulator.fault import FaultKind, Rule, When
from outbox_worker.simulator.ledger import Effect
from outbox_worker.simulator.transport import Broken, Cut, Hanging, Oversized, Trickling

NO_ANSWER = "no answer"
STORAGE_FAILED = "STORAGE_FAILED"

#: What the proxy in front of a PMS says in its own name is a page, not the API's JSON.
_PROXY_STATUSES = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the PMS answers when nothing goes wrong.

    Args:
        document: The JSON body.
        effect: What the request changed, or None.
        repeated: Whether a honoured idempotency key repeated the first answer.
    """

    status: int
    document: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    effect: Effect | None = None
    repeated: bool = False

    @property
    def accepted(self) -> bool:
        """Whether it is a 2xx."""
        return self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def code(self) -> str | None:
        """The ``error.code`` of a refusal, or None."""
        return None if self.accepted else str(self.document["error"]["code"])

    def response(self) -> Response:
        """The answer as it goes out."""
        body = json.dumps(self.document, ensure_ascii=False, allow_nan=False).encode()
        return Response(body, self.status, dict(self.headers), "application/json")


def refusal(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> Answer:
    """An error in the contract's form."""
    document = {"error": {"code": code, "message": message}}
    return Answer(status=status, document=document, headers=headers or {})


def goes_on(rule: Rule) -> bool:
    """Whether the request is carried out although the rule strikes."""
    return rule.when is When.AFTER or rule.kind in {
        FaultKind.LATE,
        FaultKind.SLOW,
        FaultKind.NO_ID,
        FaultKind.FOREIGN,
    }


def struck(
    rule: Rule, answer: Answer, *, now: datetime, stopping: asyncio.Event
) -> tuple[str, Response]:
    """What the client gets instead.

    Args:
        rule: The rule that struck.
        answer: What would have been answered; an empty 200 where the request was not carried out.
        now: For the dates of headers.
        stopping: Set when the server stops.

    Returns:
        The outcome for the request log (HTTP status or ``no answer``) and the response.
    """
    response: Response
    match rule.kind:
        case FaultKind.BREAK:
            return NO_ANSWER, Broken(reset=rule.reset)
        case FaultKind.TIMEOUT:
            return NO_ANSWER, Hanging(rule.seconds, stopping)
        case FaultKind.CUT:
            return NO_ANSWER, Cut(answer.response())
        case FaultKind.SLOW:
            response = Trickling(answer.response(), rule.seconds, stopping)
        case FaultKind.NO_ID | FaultKind.FOREIGN | FaultKind.OVERSIZED:
            response = _spoilt(rule, answer)
        case FaultKind.LATE | FaultKind.LATENCY | FaultKind.STALE | FaultKind.UNFILTERED:
            response = answer.response()
        case _:
            response = _instead(rule, now)
    return str(response.status_code), response


def _spoilt(rule: Rule, answer: Answer) -> Response:
    match rule.kind:
        case FaultKind.NO_ID:
            return _rewritten(answer, {"_id": None}).response()
        case FaultKind.FOREIGN:
            return _rewritten(answer, {"confirmationCode": "SOMEBODY-ELSE"}).response()
        case _:
            return Oversized(answer.response(), size=rule.size, compressed=rule.compressed)


def _instead(rule: Rule, now: datetime) -> Response:
    match rule.kind:
        case FaultKind.RATE_LIMIT:
            return _rate_limited(rule, now)
        case FaultKind.REDIRECT:
            return Response(status_code=rule.status, headers={"location": rule.location})
        case FaultKind.HTML:
            return _page(rule.status)
        case _:
            return _failure(rule)


def _failure(rule: Rule) -> Response:
    if rule.status in _PROXY_STATUSES and rule.code is None:
        return _page(rule.status)
    phrase = HTTPStatus(rule.status).phrase if rule.status in set(HTTPStatus) else "Error"
    code = rule.code or phrase.upper().replace(" ", "_").replace("-", "_")
    return refusal(rule.status, code, rule.message or f"injected: {phrase}").response()


def _rate_limited(rule: Rule, now: datetime) -> Response:
    value = str(rule.retry_after)
    if rule.as_date and isinstance(rule.retry_after, int):
        value = format_datetime(now + timedelta(seconds=rule.retry_after), usegmt=True)
    headers = {"retry-after": value} if value else {}
    return refusal(429, "TOO_MANY_REQUESTS", "injected: too many requests", headers).response()


def _page(status: int) -> Response:
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error"
    text = f"<html><head><title>{status} {phrase}</title></head><body>{phrase}</body></html>"
    return HTMLResponse(text, status)


def _rewritten(answer: Answer, fields: Mapping[str, str | None]) -> Answer:
    """The answer with fields of every reservation in it replaced, or left out where None."""
    if not answer.accepted:
        return answer

    def rewrite(reservation: Mapping[str, Any]) -> dict[str, Any]:
        merged = {**reservation, **fields}
        return {name: value for name, value in merged.items() if fields.get(name, "") is not None}

    if "results" in answer.document:
        results = [rewrite(one) for one in answer.document["results"]]
        document: Mapping[str, Any] = {**answer.document, "results": results}
    else:
        document = rewrite(answer.document)
    return Answer(status=answer.status, document=document, headers=answer.headers)
