"""What may stand in a log line: listed keys, and texts without anything like a person or secret.

Code never logs guest data or secrets in the first place; this is the net below it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from typing import TypeAlias

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

_MASK = "***"
_DEPTH_MAX = 4
_PHONE_DIGITS = 8

#: Every key that a log line may have; whatever else is passed is dropped and only its name told.
LOG_KEYS = frozenset(
    {
        # every line
        "ts", "level", "event", "service", "message", "exception", "dropped",
        # what it is about
        "alert_id", "booking_id", "booking_reference", "check_in", "check_out", "delivery_id",
        "destination", "event_id", "event_type", "key", "kind", "listing_id", "object_id", "pms",
        "reason", "reference", "reservation_id",
        # how it went
        "attempt", "code", "count", "detail", "duration_ms", "error_code", "hint", "http_status",
        "outcome", "round", "status", "version", "wait_ms",
        # who did it, and how it is set up
        "address", "concurrency", "lost_worker", "pid", "sync_enabled", "test_mode", "worker",
    }
)  # fmt: skip

_PATTERNS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    # Postgres quotes the row at fault, guest and all
    (
        re.compile(
            r"DETAIL:.*?"
            r"(?=\n(?:HINT|CONTEXT|LINE|STATEMENT|Traceback|During handling|The above)|\Z)",
            re.DOTALL,
        ),
        f"DETAIL:  {_MASK}",
    ),
    # user and password in addresses, of databases too
    (re.compile(r"(?<=://)[^\s\"'<>]{0,400}@"), f"{_MASK}@"),
    # webhook addresses of chats are themselves the key
    (re.compile(r"https?://(?:hooks\.|[^\s/]{1,200}/api/webhooks/)[^\s\"'<>]*"), _MASK),
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE), rf"\1 {_MASK}"),
    (
        re.compile(
            r"\b((?:[a-z]{1,20}[_-]?)?(?:password|passwd|secret|token|api[_-]?key|authorization))"
            r"([\"']?\s{0,3}[=:]\s{0,3})(?:\"[^\"]*\"|'[^']*'|(?!bearer|basic)[^\s&,;\"']+)",
            re.IGNORECASE,
        ),
        rf"\1\2{_MASK}",
    ),
    (re.compile(r"\b(?:sk|rk|pk|whsec)_[A-Za-z0-9_+/=]{4,}"), _MASK),
    # keys of mail services
    (re.compile(r"\bSG\.[\w-]{8,}\.[\w-]{8,}|\bre_[A-Za-z0-9]{6,}_[A-Za-z0-9]{8,}"), _MASK),
    (re.compile(r"\beyJ[\w-]{4,}\.[\w-]{4,}(?:\.[\w-]*)?"), _MASK),
    # e-mail addresses, as they are or percent-encoded
    (
        re.compile(
            r"[^\s@%\"'<>(),;:=/]{1,64}(?:@|%40)[^\s@\"'<>(),;:/]{1,190}\.[^\s@\"'<>(),;:./]{2,63}"
        ),
        _MASK,
    ),
)

#: International with + or 00, national with a leading 0, and three-three-four. Neighbours that are
#: letters, digits or hyphens mean an id or a date.
_PHONE = re.compile(
    r"(?<![\w+-])(?:"
    r"\+\d[\d\s()./-]{5,25}\d"
    r"|00[1-9][\d\s()./-]{5,25}\d"
    r"|\(?0\d{1,5}\)?[\s./-]{1,3}\d[\d\s./-]{3,20}\d"
    r"|0\d{8,13}"
    r"|\(?\d{3}\)?[\s.-]\d{3}[\s.-]\d{4}"
    r")(?![\w-])"
)


def mask(text: str) -> str:
    """A text without what looks like an e-mail address, a phone number or a secret.

    UUIDs, ids of Stripe objects, booking references and ISO times are left as they are. Lone
    surrogates, which no log file could hold, become question marks.
    """
    text = text.encode("utf-8", "replace").decode("utf-8")
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return _PHONE.sub(_phone, text)


def redact(fields: Mapping[str, object]) -> dict[str, Json]:
    """The fields of a log line that may be written, as JSON values with every text masked.

    Args:
        fields: Whatever was passed to the logger.

    Returns:
        Only keys of `LOG_KEYS`, in their order; the names of all others under ``dropped``.
    """
    kept = {key: _safe(value) for key, value in fields.items() if key in LOG_KEYS}
    dropped = sorted(mask(str(key)) for key in fields if key not in LOG_KEYS)
    if dropped:
        kept["dropped"] = list[Json](dropped)
    return kept


def _safe(value: object, depth: int = 0) -> Json:
    match value:
        case None | bool() | int():
            return value
        case str():
            return mask(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case timedelta():
            return value.total_seconds()
        case date():  # and datetime, which is one
            return value.isoformat()
        case Mapping() if depth < _DEPTH_MAX:
            return {
                str(key): _safe(item, depth + 1) for key, item in value.items() if key in LOG_KEYS
            }
        case list() | tuple() | set() | frozenset() if depth < _DEPTH_MAX:
            items: Iterable[object] = value
            return [_safe(item, depth + 1) for item in items]
        case _:
            return mask(str(value))


def _phone(match: re.Match[str]) -> str:
    digits = sum(character.isdigit() for character in match[0])
    return _MASK if digits >= _PHONE_DIGITS + (match[0][0] != "+") else match[0]
