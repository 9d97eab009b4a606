"""The rate limit: how many calls may leave within sliding windows. Pure.

Each window is cut into slots; a call counts until its slot has left the window for good. So no
stretch of a window's length ever holds more calls than its limit, at the price of one slot in
sixty: under full load 98.4 % of the limit is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

#: Slots of a window.
SLOTS = 60

#: Window length in whole seconds, as text, to (slot, calls) in ascending order: a JSON object.
Usage: TypeAlias = Mapping[str, Sequence[tuple[int, int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """At most ``limit`` calls in any stretch of ``length``.

    Args:
        limit: 1 or more.
        length: Whole seconds, 1 or more.
    """

    limit: int
    length: timedelta

    @property
    def key(self) -> str:
        """Its name in `Usage`."""
        return str(round(self.length.total_seconds()))

    @property
    def slot(self) -> float:
        """Seconds of a slot."""
        return self.length.total_seconds() / SLOTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What was granted.

    Args:
        granted: Calls that may be made now; 0, or at least what was asked for at least.
        usage: With them counted.
        wait: With 0: how long until ``least`` calls are free, if nobody else takes them.
        at: When they were taken; aware UTC.
    """

    granted: int
    usage: Usage
    wait: timedelta
    at: datetime


def take(usage: Usage, windows: Sequence[Window], *, now: datetime, want: int, least: int) -> Taken:
    """Take as many calls as the windows leave, up to ``want``.

    Args:
        usage: Calls so far; windows that are not limited any more are dropped.
        windows: The limits.
        now: The database's clock, aware UTC.
        want: Calls wished for.
        least: Fewer than these are of no use; 1 <= least <= want.
    """
    at = now.timestamp()
    live = {window.key: _live(usage.get(window.key, ()), window, at) for window in windows}
    free = min((window.limit - _sum(live[window.key]) for window in windows), default=want)
    if free < least:
        wait = max(_until_free(live[window.key], window, least, at) for window in windows)
        return Taken(granted=0, usage=live, wait=timedelta(seconds=wait), at=now)
    granted = min(want, free)
    return Taken(
        granted=granted, usage=_counted(live, windows, granted, at), wait=timedelta(0), at=now
    )


def give_back(usage: Usage, windows: Sequence[Window], *, count: int, taken_at: datetime) -> Usage:
    """Forget calls that were taken and not made.

    Only those of the slot in which they were taken: what stands in others are calls that somebody
    has made, or still may.

    Args:
        usage: Calls so far.
        windows: The limits.
        count: How many, at most.
        taken_at: `Taken.at` of the last take; aware UTC.
    """
    at = taken_at.timestamp()
    slots_of = {window.key: int(at // window.slot) for window in windows}
    return {
        key: [
            (slot, left)
            for slot, calls in slots
            if (left := calls - count if slot == slots_of.get(key) else calls) > 0
        ]
        for key, slots in usage.items()
    }


def told(
    usage: Usage, windows: Sequence[Window], left: Mapping[str, int], *, now: datetime
) -> Usage | None:
    """Count calls that somebody else has made of the same limit, by what is left of it.

    Args:
        usage: Calls so far, our own.
        windows: The limits.
        left: By `Window.key`: how many calls the destination says are left.
        now: The database's clock, aware UTC.

    Returns:
        The usage with the others' calls; None: nothing new. They are counted until the end of the
        hour or minute of the clock, as destinations count theirs: when they were made is not known.
    """
    at = now.timestamp()
    live = {window.key: _live(usage.get(window.key, ()), window, at) for window in windows}
    others = {
        window.key: window.limit - _sum(live[window.key]) - left[window.key]
        for window in windows
        if window.key in left
    }
    if not any(count > 0 for count in others.values()):
        return None
    for window in windows:
        if (count := others.get(window.key, 0)) > 0:
            slots = dict(live[window.key])
            # the slot that leaves the sliding window when the clock's window ends
            last = int(at // window.length.total_seconds()) * SLOTS - 1
            slots[last] = slots.get(last, 0) + count
            live[window.key] = sorted(slots.items())
    return live


def _live(slots: Sequence[tuple[int, int]], window: Window, at: float) -> Sequence[tuple[int, int]]:
    current = int(at // window.slot)
    # a clock that was set back leaves slots of the future behind, which would never free a call
    return [(s, n) for s, n in slots if current - SLOTS <= s <= current + 1]


def _sum(slots: Sequence[tuple[int, int]]) -> int:
    return sum(n for _, n in slots)


def _until_free(slots: Sequence[tuple[int, int]], window: Window, least: int, at: float) -> float:
    missing = least - (window.limit - _sum(slots))
    for slot, count in slots:
        if missing <= 0:
            break
        missing -= count
        freed_at = (slot + SLOTS + 1) * window.slot
        if missing <= 0:
            return max(0.0, freed_at - at)
    return 0.0 if missing <= 0 else window.length.total_seconds()


def _counted(
    live: Mapping[str, Sequence[tuple[int, int]]],
    windows: Sequence[Window],
    count: int,
    at: float,
) -> Usage:
    counted: dict[str, Sequence[tuple[int, int]]] = {}
    for window in windows:
        slots = dict(live[window.key])
        current = int(at // window.slot)
        slots[current] = slots.get(current, 0) + count
        counted[window.key] = sorted(slots.items())
    return counted
