"""Faults made real: from a rule that struck and the answer it spoils to the response sent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any

from starlette.responses import HTMLResponse, Response

from outbox_worker.simulator.fault import FaultKind, Rule, When
from outbox_worker.simulator.form import Form
from outbox_worker.simulator.refusal import Answer, page, refusal
from outbox_worker.simulator.transport import Broken, Cut, Hanging, Oversized, Trickling

NO_ANSWER = "no answer"
STORAGE_FAILED = "STORAGE_FAILED"

#: What the proxy in front of a PMS says in its own name is a page, not the API's JSON.
_PROXY_STATUSES = frozenset({502, 503, 504})


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
            return _rewritten(answer, {"_id": None, "reservationId": None}).response()
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
    if rule.status in _PROXY_STATUSES and rule.code is None and rule.form is None:
        return _page(rule.status)
    phrase = HTTPStatus(rule.status).phrase if rule.status in set(HTTPStatus) else "Error"
    code = rule.code or phrase.upper().replace(" ", "_").replace("-", "_")
    message = rule.message or f"injected: {phrase}"
    return refusal(rule.status, code, message, form=rule.form or Form.ERROR).response()


def _rate_limited(rule: Rule, now: datetime) -> Response:
    value = str(rule.retry_after)
    if rule.as_date and isinstance(rule.retry_after, int):
        value = format_datetime(now + timedelta(seconds=rule.retry_after), usegmt=True)
    headers = {"retry-after": value} if value else {}
    return refusal(429, "TOO_MANY_REQUESTS", "injected: too many requests", headers).response()


def _page(status: int) -> Response:
    return HTMLResponse(page(status), status)


def _rewritten(answer: Answer, fields: Mapping[str, str | None]) -> Answer:
    """The answer with fields of every reservation in it replaced, or left out where None."""
    if not answer.accepted:
        return answer

    def rewrite(reservation: Mapping[str, Any]) -> dict[str, Any]:
        present = {name: fields.get(name, value) for name, value in reservation.items()}
        return {
            name: value
            for name, value in present.items()
            if name not in fields or value is not None
        }

    document = answer.document
    if isinstance(document, list):
        return replace(answer, document=[rewrite(one) for one in document])
    if "results" in document:
        results = [rewrite(one) for one in document["results"]]
        return replace(answer, document={**document, "results": results})
    return replace(answer, document=rewrite(document))
