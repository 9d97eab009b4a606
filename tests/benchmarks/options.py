"""What every measurement is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class WrongCountError(AssertionError):
    """A job lost or doubled, or an answer that is an error: the run exits with 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How much is measured, and beside whom.

    Args:
        rounds: Of everything whose median is told.
        quick: Less of everything: to see that it works, not to quote.
        folder: Where a measurement may leave what explains its figures, such as a profile.
        peers: Folder with the peers' drivers (``bench.py``); None: ours alone.
        work: Folder in which the peers are installed; it may be missing.
    """

    rounds: int
    quick: bool
    folder: Path
    peers: Path | None
    work: Path
