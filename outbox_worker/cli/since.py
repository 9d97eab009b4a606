"""A moment in the past, as people type it."""

from __future__ import annotations

import re
from datetime import datetime

import click

from outbox_worker.cli.length import UNITS

_AGO = re.compile(r"(\d{1,6})\s*(s|m|min|h|d|w)")


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
                return datetime.now().astimezone() - int(ago[1]) * UNITS[ago[2]]
            return datetime.fromisoformat(text).astimezone()
        except (ValueError, OverflowError):
            self.fail(
                f"{text!r} is no time: write 2h, 3d, 2026-11-20 or 2026-11-20T14:00.", param, ctx
            )
