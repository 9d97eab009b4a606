"""A moment in the past, as people type it."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import click

from outbox_worker.cli.length import UNITS

_AGO = re.compile(r"(\d{1,6})\s*(s|m|min|h|d|w)")


def typed(since: datetime) -> str:
    """The same moment as it is typed, for a command that is to be copied."""
    return f"{since.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


class Since(click.ParamType[datetime]):
    """``2h``, ``3d``, ``2026-11-20`` or ``2026-11-20T14:00``; UTC where no zone is given."""

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
                return datetime.now(UTC) - int(ago[1]) * UNITS[ago[2]]
            at = datetime.fromisoformat(text.removesuffix(" UTC"))
            return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            self.fail(
                f"{text!r} is no time: write 2h, 3d, 2026-11-20 or 2026-11-20T14:00.", param, ctx
            )
