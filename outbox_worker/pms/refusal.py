"""What a PMS's error body says, whatever its shape. Pure.

Seen in the wild: ``{"error": {"code", "message"}}``, ``{"error": "text"}``, ``{"error_code",
"message", "data": {"errors": [...]}}``, ``{"message"}``, ``{"message": [...]}``, a list of
``{"path", "message"}``, a bare JSON string, plain text, HTML, nothing.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from outbox_worker.pms import guest_data
from outbox_worker.pms.port import Reservation

_LONGEST_MESSAGE = 200
_LONGEST_CODE = 60
_DEEPEST = 5
_MOST = 8
_LONGEST_READ = 65_536

_CODE_KEYS = ("code", "error_code", "errorCode")
_TEXT_KEYS = ("message", "error_description", "detail", "title", "description")
_NESTED_KEYS = ("error", "errors", "data", "details", "issues")

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]+", re.ASCII)
_CONSTANT = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+", re.ASCII)
_MARKUP = re.compile(r"\s*(?:\ufeff)?\s*<[!?/a-z]", re.IGNORECASE)
_UNSHOWN = re.compile(r"<(script|style|head)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_TITLE = re.compile(r"<title\b[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")

_DATES_TAKEN = re.compile(
    r"(?<!service )(?<!temporarily )(?:not available|unavailable)|already (?:booked|reserved)"
    r"|calendar (?:is )?blocked|dates? (?:are |is )?(?:taken|blocked)|overlap|double book"
    r"|\b(?:dates?|nights?)(?: (?:are|is|were|was|have|has|been|for|of|from|to|and|the|this|these"
    r"|selected|requested|localized|listing|stay|[a-z]*[0-9][a-z0-9]*)){0,12}"
    r" already (?:taken|in use)"
)
_KEY_REUSED = re.compile(r"idempoten")
_OUR_REFERENCE = (
    r"\b(?:confirmation ?code|reference|reservation with (?:this|that|the same) code)\b"
)
#: Next to each other, but for an id and small words: a guest that exists is another matter.
_REFERENCE_EXISTS = re.compile(
    rf"{_OUR_REFERENCE}"
    r"(?: (?:is|was|has|been|must|number|id|value|the|this|a|with|[a-z]*[0-9][a-z0-9]*)){0,8}"
    r" (?:duplicated?|already (?:exists?|used|in use|taken)|exists|taken|(?:not|be) unique)\b"
    rf"|\bduplicated?(?: (?:value|entry|for|of|in|field|the|our)){{0,4}} {_OUR_REFERENCE}"
    rf"|\bduplicate key\b.{{0,120}}{_OUR_REFERENCE}"
    r"|\b(?:exists?|used|in use) (?:with|under)(?: (?:the|this|that|same|our)){0,2}"
    rf" {_OUR_REFERENCE}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error body.

    Args:
        code: The PMS's own code in snake_case, at most 60 characters; None: it gave none.
        message: At most 200 printable characters without guest data; may be empty.
        dates_taken: Whether it says that the dates are not available.
        key_reused: Whether it is about the idempotency key.
        reference_exists: Whether it says that there is a reservation under our reference already.
    """

    code: str | None
    message: str
    dates_taken: bool
    key_reused: bool
    reference_exists: bool


def read(body: bytes, *, sent: Reservation | None) -> Refusal:
    """Read an error body.

    Args:
        body: As it came.
        sent: The reservation that the request carried. Without it nothing can be told apart from
            guest data, so nothing of the text is kept.
    """
    codes, texts = _collected(body)
    said = [_spoken(part) for part in (*codes, *texts)]
    dates_taken = any(_DATES_TAKEN.search(part) for part in said)
    return Refusal(
        code=_code(codes, sent),
        message=""
        if sent is None
        else guest_data.scrubbed("; ".join(texts), sent, limit=_LONGEST_MESSAGE),
        dates_taken=dates_taken,
        key_reused=any(_KEY_REUSED.search(part) for part in said),
        reference_exists=not dates_taken and any(_REFERENCE_EXISTS.search(part) for part in said),
    )


def spoken(body: bytes) -> tuple[str, ...]:
    """Every code and sentence of an error body as lower-case words, to be recognised.

    Never to be stored or shown: guest data is in it.
    """
    codes, texts = _collected(body)
    return tuple(_spoken(part).strip() for part in (*codes, *texts))


def is_markup(body: bytes) -> bool:
    """Whether a body is a page (HTML, XML) instead of JSON or plain text."""
    return _MARKUP.match(body[:_LONGEST_READ].decode("utf-8", "replace")) is not None


def _collected(body: bytes) -> tuple[list[str], list[str]]:
    codes: list[str] = []
    texts: list[str] = []
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        texts.append(_plain(body[:_LONGEST_READ].decode("utf-8", "replace")))
    else:
        _collect(parsed, codes, texts, depth=0)
    return codes, [_unescaped(text) for text in texts]


def _collect(value: object, codes: list[str], texts: list[str], *, depth: int) -> None:
    if depth > _DEEPEST or len(codes) + len(texts) >= _MOST:
        return
    match value:
        case str():
            (codes if _CONSTANT.fullmatch(value) else texts).append(value[:_LONGEST_READ])
        case list():
            for item in value[:_MOST]:
                _collect(item, codes, texts, depth=depth + 1)
        case dict():
            codes.extend(code for key in _CODE_KEYS if isinstance(code := value.get(key), str))
            _collect_texts(value, codes, texts, depth=depth)
        case _:
            pass


def _collect_texts(
    value: Mapping[str, Any], codes: list[str], texts: list[str], *, depth: int
) -> None:
    path = value.get("path")
    where = ".".join(str(part) for part in path) if isinstance(path, list) else ""
    for key in _TEXT_KEYS:
        text = value.get(key)
        if isinstance(text, str) and where:
            texts.append(f"{where}: {text}")
        else:
            _collect(text, codes, texts, depth=depth + 1)
    for key in _NESTED_KEYS:
        _collect(value.get(key), codes, texts, depth=depth + 1)


def _plain(text: str) -> str:
    if not _MARKUP.match(text):
        return text
    title = _TITLE.search(text)
    shown = _TAG.sub(" ", _UNSHOWN.sub(" ", text))
    return f"{title[1]} {shown}" if title else shown


def _unescaped(text: str) -> str:
    # guest data would pass the search for it in the clothes of an escape
    plain = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    return unquote(html.unescape(plain), errors="replace")


def _spoken(text: str) -> str:
    """A code or a sentence as lower-case words."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text[:_LONGEST_READ])
    return re.sub(r"[\W_]+", " ", words).lower()


def _code(codes: list[str], sent: Reservation | None) -> str | None:
    # a code about the dates says more than the general one in front of it
    ordered = sorted(codes, key=lambda code: _DATES_TAKEN.search(_spoken(code)) is None)
    for code in ordered:
        name = "_".join(_spoken(code).split())
        # one word, as programs write it: a sentence in a code's place may quote a guest
        plausible = _CODE.fullmatch(code) and len(name) <= _LONGEST_CODE
        if plausible and (sent is None or not guest_data.mentions_guest(name, sent)):
            return name
    return None
