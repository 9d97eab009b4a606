"""Lists that are shown a page at a time."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from outbox_worker.cli.layout import width

if TYPE_CHECKING:
    from outbox_worker.operations.pages import Page

_MOST = 1000


def limit_option(default: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--limit``: rows of one page."""
    return click.option(
        "--limit",
        type=click.IntRange(1, _MOST),
        default=default,
        show_default=True,
        help="At most so many rows.",
    )


def next_page(page: Page[Any], command: Sequence[str]) -> Iterator[str]:
    """How many rows follow a page, and the command that shows them; nothing where none do.

    Args:
        page: What was shown.
        command: The words that showed it, without its place.
    """
    if page.after is None:
        return
    number = f"and {page.more:,}{' or' if page.more_at_least else ''} more:"
    words = [*command, *_limit_as_typed(), "--after", page.after]
    typed = shlex.join(words)
    if len(number) + 1 + len(typed) <= width():
        yield f"{number} {typed}"
        return
    # on lines of its own it can be copied whole
    yield number
    yield from _continued(words)


def _limit_as_typed() -> list[str]:
    """``--limit`` where a person has chosen one: the pages that follow are as long."""
    context = click.get_current_context(silent=True)
    if context is None or context.get_parameter_source("limit") is not ParameterSource.COMMANDLINE:
        return []
    return ["--limit", str(context.params["limit"])]


def _continued(words: Sequence[str]) -> Iterator[str]:
    """A command as a shell takes it from several lines; an option stays with its value."""
    line = "    "
    for place, word in enumerate(words):
        value = words[place + 1] if word.startswith("--") and place + 1 < len(words) else ""
        pair = f"{word} {shlex.quote(value)}" if value and not value.startswith("--") else word
        if line.strip() and len(f"{line} {pair} \\") > width():
            yield f"{line} \\"
            line = "      "
        line = f"{line} {shlex.quote(word)}"
    yield line
