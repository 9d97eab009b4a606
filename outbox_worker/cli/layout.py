"""Plain text for a terminal: columns, wrapped lines, durations in few words."""

from __future__ import annotations

import contextlib
import os
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, TextIO

from outbox_worker.cli.reply import printable

if TYPE_CHECKING:
    from outbox_worker.operations.explain_step import Step

_WIDEST = 100
_WIDEST_NAME = 24
_GAP = "  "
#: A column of words that is narrower than this reads worse than one line of its own.
_NARROWEST = 20
_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


def width() -> int:
    """Columns to use: the terminal's, 80 where there is none, at most 100."""
    return min(shutil.get_terminal_size().columns, _WIDEST)


def width_of(stream: TextIO) -> int:
    """The same for one stream: standard error may be a terminal where standard output is none."""
    with contextlib.suppress(OSError, ValueError):
        return min(os.get_terminal_size(stream.fileno()).columns, _WIDEST) or width()
    return width()


def wrapped(
    text: str, *, first: str = "", rest: str | None = None, columns: int | None = None
) -> list[str]:
    """Lines that fit.

    Args:
        text: One paragraph.
        first: Before the first line.
        rest: Before the others; None: as many spaces as ``first`` is long.
        columns: How wide they may be; None: `width`.
    """
    hang = " " * len(first) if rest is None else rest
    lines = textwrap.wrap(
        text,
        width=max((columns or width()) - 1, len(first) + 20),
        initial_indent=first,
        subsequent_indent=hang,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines or [first.rstrip()]


def columns(rows: Sequence[Sequence[str]], *, indent: str = "") -> list[str]:
    """Rows whose cells stand below each other; see `table`."""
    return [line for lines in table(rows, indent=indent) for line in lines]


def table(rows: Sequence[Sequence[str]], *, indent: str = "") -> list[list[str]]:
    """The lines of each row, whose cells stand below each other.

    Nothing is cut, since a name may be what the next command takes: a cell that does not fit goes
    on the next line, and a last cell of several words breaks between them.
    """
    if not rows:
        return []
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    if len(indent) + sum(widths) + len(_GAP) * (len(widths) - 1) > width():
        # one long name does not push all the others' cells out
        short = [len(row[0]) for row in rows if len(row[0]) <= _WIDEST_NAME]
        widths[0] = max(short, default=_WIDEST_NAME)
    starts = [len(indent) + sum(widths[:i]) + len(_GAP) * i for i in range(len(widths))]
    return [_row(row, starts) for row in rows]


def _row(cells: Sequence[str], starts: Sequence[int]) -> list[str]:
    lines, line, room = [], " " * starts[0] + cells[0], width()
    for place, (cell, start) in enumerate(zip(cells[1:], starts[1:], strict=True), start=1):
        parts = [cell]
        if place == len(cells) - 1 and start + len(cell) > room and room - start >= _NARROWEST:
            parts = textwrap.wrap(
                cell, room - start, break_long_words=False, break_on_hyphens=False
            ) or [cell]
        for number, part in enumerate(parts):
            if number or start + len(part) > room or len(line) > start - len(_GAP):
                lines.append(line.rstrip())
                line = ""
            line = line.ljust(min(start, max(starts[0] + len(_GAP), room - len(part)))) + part
    return [*lines, line.rstrip()]


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
