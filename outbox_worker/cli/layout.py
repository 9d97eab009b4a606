"""Plain text for a terminal: columns, wrapped lines, moments and durations in few words."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from outbox_worker.cli.reply import printable

if TYPE_CHECKING:
    from outbox_worker.operations.explain_step import Step

_WIDEST = 100
_WIDEST_NAME = 24
_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


def width() -> int:
    """Columns to use: the terminal's, 80 where there is none, at most 100."""
    return min(shutil.get_terminal_size().columns, _WIDEST)


def wrapped(text: str, *, first: str = "", rest: str | None = None) -> list[str]:
    """Lines that fit.

    Args:
        text: One paragraph.
        first: Before the first line.
        rest: Before the others; None: as many spaces as ``first`` is long.
    """
    hang = " " * len(first) if rest is None else rest
    lines = textwrap.wrap(
        text,
        width=max(width() - 1, len(first) + 20),
        initial_indent=first,
        subsequent_indent=hang,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines or [first.rstrip()]


def columns(rows: Sequence[Sequence[str]], *, indent: str = "") -> list[str]:
    """Rows whose cells stand below each other.

    A first cell is cut at 24 characters, a row where it does not fit.
    """
    if not rows:
        return []
    rows = [[_cut(printable(row[0]), _WIDEST_NAME), *map(printable, row[1:])] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        indent
        + "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return [_cut(line, width()) for line in lines]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3].rstrip()}..."


def labelled(pairs: Sequence[tuple[str, str]], *, indent: str = "  ") -> list[str]:
    """One wrapped paragraph for each pair, its label in front; pairs without text are left out."""
    kept = [(label, text) for label, text in pairs if text]
    size = max((len(label) for label, _ in kept), default=0)
    return [
        line
        for label, text in kept
        for line in wrapped(text, first=f"{indent}{label.ljust(size)}  ")
    ]


def fixes(steps: Sequence[Step]) -> Iterator[str]:
    """What to do in words, each with the command to type below it."""
    for step in steps:
        yield from wrapped(step.text, first="fix: ")
        if step.command:
            yield f"     {step.command}"


def moment(at: datetime) -> str:
    """Local date and time to the second."""
    return f"{at.astimezone():%d %b %H:%M:%S}"


def minute(at: datetime) -> str:
    """Local date and time to the minute, where room is scarce."""
    return f"{at.astimezone():%d %b %H:%M}"


def zone() -> str:
    """The name of the local time zone, for a heading above `moment`s."""
    return datetime.now().astimezone().tzname() or "local time"


def day(value: date | None) -> str:
    """A date that no country misreads."""
    return "unknown" if value is None else f"{value:%d %b %Y}"


def span(duration: timedelta) -> str:
    """A duration in its largest unit."""
    if duration < _MINUTE:
        return f"{max(int(duration.total_seconds()), 0)} s"
    if duration < 2 * _HOUR:
        return f"{duration // _MINUTE} min"
    return f"{duration // _HOUR} h" if duration < 2 * _DAY else f"{duration // _DAY} days"


def until(duration: timedelta) -> str:
    """How far away a moment is, in words."""
    if duration < timedelta(0):
        return f"{span(-duration)} ago"
    return f"in {span(duration)}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
