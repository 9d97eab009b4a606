"""What a person sees while the demo runs: a live picture on a terminal, lines elsewhere."""

from __future__ import annotations

import textwrap
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from outbox_worker.demo.observation import LogLine
from outbox_worker.demo.verdict import Check, Latency
from outbox_worker.events import Event

#: What the worker's log says about bookings and alerts; the rest is for its operators.
_TOLD = frozenset(
    {
        Event.ATTEMPT_FAILED,
        Event.RETRY_SCHEDULED,
        Event.BOOKING_SYNCED,
        Event.BOOKING_FAILED,
        Event.ALERT_SENT,
    }
)
_LINES_SHOWN = 10
#: Of a panel, with a space beside each.
_BORDERS = 4
_PLAIN_EVERY_SECONDS = 1.0
_STYLES = {"warning": "yellow", "error": "red", "critical": "red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the demo is; each pair is so many of so many."""

    sent: tuple[int, int]
    paid: tuple[int, int]
    synced: tuple[int, int]
    retrying: int
    failed: int
    mails: int


class View(Protocol):
    """Where progress is shown."""

    def show(self, progress: Progress, lines: Sequence[LogLine]) -> None:
        """Show how far it is, and what the worker's log says since the last call."""


@contextmanager
def view_on(console: Console, *, pms: str) -> Iterator[View]:
    """The view that fits the console, for the length of a block; ``pms`` as people call it."""
    if not console.is_terminal:
        yield _PlainView(console)
        return
    with Live(console=console, auto_refresh=False) as live:
        yield _LiveView(live, pms)


class _LiveView:
    def __init__(self, live: Live, pms: str) -> None:
        self._live = live
        self._pms = pms
        self._last: deque[LogLine] = deque(maxlen=_LINES_SHOWN)

    def show(self, progress: Progress, lines: Sequence[LogLine]) -> None:
        self._last.extend(_told(lines))
        log = _log(self._last, self._live.console.width - _BORDERS)
        self._live.update(Group(_bars(progress, self._pms), log), refresh=True)


class _PlainView:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: Progress | None = None
        self._at = 0.0

    def show(self, progress: Progress, lines: Sequence[LogLine]) -> None:
        for line in _told(lines):
            if line.event != Event.BOOKING_SYNCED:
                for part in folded(line.message, self._console.width, first="  "):
                    self._print(part)
        now = time.monotonic()
        if progress != self._shown and now - self._at >= _PLAIN_EVERY_SECONDS:
            self._shown, self._at = progress, now
            self._print(_sentence(progress))

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def results_table(checks: Sequence[Check], title: str, *, latency: Latency | None = None) -> Table:
    """The checks as a table: what, expected, found, and whether that is right."""
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("")
    table.add_column("expected", justify="right")
    table.add_column("found", justify="right")
    table.add_column("")
    for check in checks:
        mark = Text("✓", style="green") if check.passed else Text("✗ WRONG", style="bold red")
        table.add_row(check.name, str(check.expected), str(check.found), mark)
    if latency is not None:
        table.add_section()
        table.add_row("webhook → reservation, p50", "", _seconds(latency.p50), "")
        table.add_row("webhook → reservation, p95", "", _seconds(latency.p95), "")
    return table


def mail_panel(subject: str, text: str) -> Panel:
    """One mail as the administrator reads it."""
    mail = Text.assemble((subject, "bold"), "\n\n", text.strip())
    return Panel(mail, title="✉ mail to the administrator", title_align="left", expand=True)


def _told(lines: Sequence[LogLine]) -> tuple[LogLine, ...]:
    return tuple(line for line in lines if line.event in _TOLD or line.event == "output")


def _bars(progress: Progress, pms: str) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(ratio=1)
    table.add_column(justify="right")
    for name, (done, of) in (
        ("webhooks delivered", progress.sent),
        ("bookings paid and confirmed", progress.paid),
        (f"reservations at {pms}", progress.synced),
    ):
        table.add_row(name, ProgressBar(total=of, completed=done, width=30), f"{done} of {of}")
    table.add_row(
        "on the way",
        Text(
            f"{progress.retrying} retrying · {progress.failed} failed · "
            f"alerts mailed: {progress.mails}"
        ),
        "",
    )
    return table


def folded(text: str, width: int, *, first: str = "") -> list[str]:
    """One message as lines that fit.

    Args:
        text: The message.
        width: Columns that there are.
        first: Before the first line; the others stand a little further in.
    """
    lines = textwrap.wrap(
        text,
        width=max(width, len(first) + 20),
        initial_indent=first,
        subsequent_indent=" " * (len(first) + 4),
        break_on_hyphens=False,
    )
    return lines or [first.rstrip()]


def _log(lines: Sequence[LogLine], width: int) -> Panel:
    """The last messages, whole ones; as many as there is room for."""
    shown = [
        (part, _STYLES.get(line.level, ""))
        for line in lines
        for part in folded(line.message, width)
    ][-_LINES_SHOWN:]
    text = Text(no_wrap=True, overflow="ellipsis")
    for number in range(_LINES_SHOWN):
        part, style = shown[number] if number < len(shown) else ("", "")
        text.append(f"{part}\n", style=style)
    text.right_crop(1)
    return Panel(text, title="the worker's log", title_align="left", border_style="dim")


def _sentence(progress: Progress) -> str:
    sent, paid, synced = progress.sent, progress.paid, progress.synced
    return (
        f"webhooks {sent[0]}/{sent[1]} · paid {paid[0]}/{paid[1]} · synced {synced[0]}/{synced[1]}"
        f" · retrying {progress.retrying} · failed {progress.failed} · mailed {progress.mails}"
    )


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():.2f} s"
