"""The header ``Retry-After``: seconds, or a date. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_LONGEST_RETRY = timedelta(hours=1)
_SECONDS = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


def retry_after(headers: Mapping[str, str], *, now: datetime) -> timedelta | None:
    """How long a server asks to wait.

    A date is measured from the answer's own ``Date``, so that a wrong clock on either side does
    not matter; without one, from ``now``.

    Args:
        headers: By lower-case name.
        now: Aware, UTC.

    Returns:
        A duration in [0, 1 h], however absurd the header; None where it is missing or unreadable.
    """
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return min(timedelta(seconds=float(value[:10])), _LONGEST_RETRY)
    until = _http_date(value)
    if until is None:
        return None
    wait = until - (_http_date(headers.get("date", "")) or now)
    return max(timedelta(0), min(wait, _LONGEST_RETRY))


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
