"""The shapes that an error can take. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Form(StrEnum):
    """Shapes of an error.

    ``error``: ``{"error": {"code", "message"}}``, the only one of the Guestly contract.
    ``error_code``: ``{"error_code", "message", "data": {"errors": […]}}``. ``message``:
    ``{"message"}``. ``issues``: ``[{"path": […], "message"}]``. ``text``: a bare JSON string.
    ``html``: a page.
    """

    ERROR = "error"
    ERROR_CODE = "error_code"
    MESSAGE = "message"
    ISSUES = "issues"
    TEXT = "text"
    HTML = "html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """What is wrong with one field, without its value."""

    path: str
    message: str
