"""What is answered, and the shapes that an error can take."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from http import HTTPStatus
from typing import Any, assert_never

from starlette.responses import Response

from outbox_worker.simulator.effect import Effect
from outbox_worker.simulator.form import Form, Issue

_HTML = "text/html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the PMS answers when nothing goes wrong.

    Args:
        document: The JSON body, or the text of a page.
        effect: What the request changed, or None.
        repeated: Whether a honoured idempotency key repeated the first answer.
        code: Of a refusal, whatever its form; else None.
        media_type: Of the body.
    """

    status: int
    document: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    effect: Effect | None = None
    repeated: bool = False
    code: str | None = None
    media_type: str = "application/json"

    @property
    def accepted(self) -> bool:
        """Whether it is a 2xx."""
        return self.status < HTTPStatus.MULTIPLE_CHOICES

    def response(self) -> Response:
        """The answer as it goes out."""
        if self.media_type == _HTML:
            return Response(self.document, self.status, dict(self.headers), _HTML)
        body = json.dumps(self.document, ensure_ascii=False, allow_nan=False).encode()
        return Response(body, self.status, dict(self.headers), self.media_type)


def refusal(
    status: int,
    code: str,
    message: str,
    headers: Mapping[str, str] | None = None,
    *,
    form: Form = Form.ERROR,
    issues: Sequence[Issue] = (),
) -> Answer:
    """An error in one of its forms."""
    return Answer(
        status=status,
        document=_document(status, code, message, form, issues),
        headers=headers or {},
        code=code,
        media_type=_HTML if form is Form.HTML else "application/json",
    )


def page(status: int, text: str | None = None) -> str:
    """A web page that says a status and no more."""
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error"
    return (
        f"<html><head><title>{status} {phrase}</title></head>"
        f"<body>{escape(text or phrase)}</body></html>"
    )


def _document(status: int, code: str, message: str, form: Form, issues: Sequence[Issue]) -> Any:
    match form:
        case Form.ERROR:
            return {"error": {"code": code, "message": message}}
        case Form.ERROR_CODE:
            errors = [f"{one.path} {one.message}".strip() for one in issues] or [code]
            return {"error_code": code, "message": message, "data": {"errors": errors}}
        case Form.MESSAGE:
            return {"message": message}
        case Form.ISSUES:
            listed = issues or (Issue(path="", message=message),)
            return [
                {"path": one.path.split(".") if one.path else [], "message": one.message}
                for one in listed
            ]
        case Form.TEXT:
            return message
        case Form.HTML:
            return page(status, message)
        case _:
            assert_never(form)
