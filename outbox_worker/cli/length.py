"""A duration, as people type it."""

from __future__ import annotations

import re
from datetime import timedelta

import click

_LENGTH = re.compile(r"(\d{1,6})\s*(s|m|min|h|d|w)")
#: By their letters.
UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_LONGEST = timedelta(days=365)


class Length(click.ParamType[timedelta]):
    """``30m``, ``2h``, ``1d``: more than nothing, at most a year."""

    name = "length"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Parse one value."""
        if isinstance(value, timedelta):
            return value
        text = str(value).strip()
        found = _LENGTH.fullmatch(text)
        length = int(found[1]) * UNITS[found[2]] if found else timedelta(0)
        if not timedelta(0) < length <= _LONGEST:
            self.fail(f"{text!r} is no length: write 30m, 2h or 1d, at most a year.", param, ctx)
        return length
