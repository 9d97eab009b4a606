"""Single fields out of a PMS's answer, of which nothing is trusted. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from outbox_worker.errors import DecodeError

_LONGEST_ID = 200  # as outbox.reservation.reservation_id
_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})(?:T00:00:00(?:\.0+)?Z?)?", re.ASCII)


def usable_id(value: Any) -> str:
    """The id of a reservation or a listing.

    Raises:
        DecodeError: Missing, empty, too long, or not one word of printable characters.
    """
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    usable = (
        isinstance(text, str)
        and 0 < len(text) <= _LONGEST_ID
        and text.isprintable()
        and not any(letter.isspace() for letter in text)
    )
    if not usable:
        raise DecodeError("the reservation or listing in the answer has no usable _id")
    return str(text)


def text(answer: Mapping[str, Any], name: str) -> str | None:
    """A field that is text; None for any other."""
    value = answer.get(name)
    return value if isinstance(value, str) else None


def day(answer: Mapping[str, Any], name: str) -> date | None:
    """A date, or midnight UTC; any other time of day could mean the day before or after."""
    match = _DATE.fullmatch(text(answer, name) or "")
    try:
        return date.fromisoformat(match[1]) if match else None
    except ValueError:
        return None


def moment(answer: Mapping[str, Any], name: str) -> datetime | None:
    """A moment, aware; one without a time zone is taken for UTC."""
    try:
        found = datetime.fromisoformat(text(answer, name) or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
