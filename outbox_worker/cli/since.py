"""A moment in the past, as people type it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import click

_AGO = re.compile(r"(\d{1,6})\s*(s|m|min|h|d|w)")
_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


class Since(click.ParamType[datetime]):
    """``2h``, ``3d``, ``2026-11-20`` or ``2026-11-20T14:00``; local time where no zone is given."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Parse one value into an aware datetime."""
        if isinstance(value, datetime):
            return value
        text = str(value).strip()
        ago = _AGO.fullmatch(text)
        try:
            if ago:
                return datetime.now().astimezone() - int(ago[1]) * _UNITS[ago[2]]
            return datetime.fromisoformat(text).astimezone()
        except (ValueError, OverflowError):
            self.fail(
                f"{text!r} is no time: write 2h, 3d, 2026-11-20 or 2026-11-20T14:00.", param, ctx
            )
