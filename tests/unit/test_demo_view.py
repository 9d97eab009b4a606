"""What the demo shows of the worker's log, on a terminal of 80 columns and off one."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from outbox_worker.demo.observation import LogLine
from outbox_worker.demo.view import Progress, folded, view_on
from outbox_worker.events import Event

REFUSED = LogLine(
    level="error",
    event=Event.BOOKING_FAILED,
    message="✗ Guestly sync failed for booking LA2026-48216: Could not map property to Guesty"
    ' listing: property "old-mill" has none; add it with: outbox listings set old-mill'
    " LISTING_ID (field property_id)",
)
NOTHING = Progress(sent=(0, 44), paid=(0, 33), synced=(0, 33), retrying=0, failed=0, mails=0)


def words(text: str) -> list[str]:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|[│╭╮╰╯─]", " ", text).split()


@pytest.mark.parametrize("terminal", [True, False])
def test_a_long_line_of_the_log_is_shown_to_its_end_in_eighty_columns(*, terminal: bool) -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=80, force_terminal=terminal, color_system=None)

    with view_on(console, pms="Guesty") as view:
        view.show(NOTHING, [REFUSED])

    shown = screen.getvalue()
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown).replace("\r", "\n")
    assert [line for line in plain.splitlines() if len(line) > 80] == []
    assert " ".join(REFUSED.message.split()) in " ".join(words(shown))


def test_only_the_last_lines_are_kept_on_a_terminal() -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=80, force_terminal=True, color_system=None)
    many = [
        LogLine(level="info", event=Event.BOOKING_SYNCED, message=f"line {number}")
        for number in range(30)
    ]

    with view_on(console, pms="Guesty") as view:
        view.show(NOTHING, many)

    assert "line 29" in screen.getvalue()
    assert "line 9 " not in screen.getvalue()


def test_what_is_folded_hangs_a_little_and_an_empty_line_stays_one() -> None:
    assert folded("one two three four five six", 20, first="log  ") == [
        "log  one two three four",
        "         five six",
    ]
    assert folded("", 20, first="log  ") == ["log"]
