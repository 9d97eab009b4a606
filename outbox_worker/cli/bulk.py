"""Running a bulk action: in slices, paced, with a bar, and interruptible between slices."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, TypeVar

import click

T = TypeVar("T")

#: One transaction changes at most so many rows, so that an interruption is answered at once.
_SLICE = 50
#: Fewer than this are done before anybody could look at a bar.
_WORTH_A_BAR = 20


class Bar(Protocol):
    """Shows how far a bulk action is."""

    def advance(self, done: int) -> None:
        """So many more are done."""


async def paced(
    items: Sequence[T],
    *,
    per_minute: int,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[Sequence[T]]:
    """Slices of a frozen list, no faster than the PMS takes them.

    A minute's worth leaves at once, the rest at the PMS's rate: so a payment that comes in
    meanwhile has about one minute of work in front of it, however long the list is.

    Args:
        items: What to do.
        per_minute: How many calls a minute the PMS takes; 0: any number.
        clock: Seconds that only go forward.
        sleep: Waits so many seconds.
    """
    started = clock()
    place = 0
    while place < len(items):
        allowed = per_minute + int((clock() - started) * per_minute / 60) or len(items)
        size = min(_SLICE, allowed - place, len(items) - place)
        if size <= 0:
            await sleep(60 / per_minute)
            continue
        yield items[place : place + size]
        place += size


def sliced(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The same list in slices, unpaced: for what asks nothing of the PMS."""
    for place in range(0, len(items), _SLICE):
        yield items[place : place + _SLICE]


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Finish one slice even when interrupted meanwhile, so that what is told is what was done.

    Raises:
        asyncio.CancelledError: It was interrupted; the slice is done all the same.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


@contextmanager
def progress_bar(total: int, label: str) -> Iterator[Bar]:
    """A bar on stderr: drawn on a terminal, a line for each tenth elsewhere, none for a few."""
    if total < _WORTH_A_BAR:
        yield _Silent()
    elif not sys.stderr.isatty():
        yield _Lines(total, label)
    else:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        console = Console(stderr=True)
        look = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*look, console=console, transient=True) as drawn:
            yield _Drawn(partial(drawn.advance, drawn.add_task(label, total=total)))


class _Silent:
    def advance(self, done: int) -> None:
        del done


class _Lines:
    def __init__(self, total: int, label: str) -> None:
        self._total, self._label = total, label
        self._done = self._told = 0

    def advance(self, done: int) -> None:
        self._done += done
        tenth = self._done * 10 // self._total
        if tenth > self._told:
            self._told = tenth
            click.echo(f"{self._label}: {self._done} of {self._total}", err=True)


class _Drawn:
    def __init__(self, advance: Callable[[float], None]) -> None:
        self._advance = advance

    def advance(self, done: int) -> None:
        self._advance(done)
