"""The headers ``X-RateLimit-Limit-*`` and ``X-RateLimit-Remaining-*`` of three windows. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from outbox_worker.pms.port import Remaining

_WINDOWS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
}
_COUNT = re.compile(r"\d{1,9}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def remaining(headers: Mapping[str, str]) -> tuple[Remaining, ...]:
    """The windows that an answer tells of, the shortest first; what makes no sense is left out.

    Args:
        headers: By lower-case name.
    """
    found: list[Remaining] = []
    for word, length in _WINDOWS.items():
        limit = _count(headers, f"x-ratelimit-limit-{word}")
        left = _count(headers, f"x-ratelimit-remaining-{word}")
        if limit and left is not None and left <= limit:
            found.append(Remaining(length=length, limit=limit, left=left))
    return tuple(found)


def rest_of_spent(windows: Sequence[Remaining], *, now: datetime) -> timedelta | None:
    """How long until every window that is used up begins anew.

    The headers do not say when that is. Windows are taken to begin with the second, the minute and
    the hour, as gateways count them; one that begins otherwise costs another 429.

    Args:
        windows: Of one answer.
        now: Aware, UTC.

    Returns:
        Above zero and at most the longest window; None where none is used up.
    """
    spent = [window.length for window in windows if window.left == 0]
    return max((length - (now - _EPOCH) % length for length in spent), default=None)


def _count(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(name, "").strip()
    return int(value) if _COUNT.fullmatch(value) else None
