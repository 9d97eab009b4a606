"""One page of a longer list: its rows, how many there are, and where the next one begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

#: Rows are counted up to here; beyond it a figure means "at least".
COUNT_LIMIT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some rows of a list.

    Args:
        more: How many follow this page, at most `COUNT_LIMIT`.
        more_at_least: Whether there are more than were counted.
        after: Place of the last row, from which the next page goes on; None: nothing follows.
    """

    rows: tuple[T, ...]
    more: int
    more_at_least: bool
    after: str | None
