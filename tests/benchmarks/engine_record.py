"""Which job a handler saw, and when: a file that another process reads while it grows."""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Mapping
from pathlib import Path

_HEAD = struct.Struct("<q")
_ROW = struct.Struct("<dd")


class Record:
    """Job numbers with the monotonic clock at which their handler ran.

    Sixteen bytes of head, of which the first eight count the rows; then sixteen a row.

    Args:
        path: Made anew.
        most: Rows that it has room for.
    """

    def __init__(self, path: Path, *, most: int) -> None:
        self._path = path
        with path.open("wb") as made:
            made.truncate(16 + _ROW.size * most)
        with path.open("r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), 0)
        self._rows = 0

    @classmethod
    def named(cls, environ: Mapping[str, str]) -> Record:
        """The file that ``REC`` names, with room for ``CAP`` rows."""
        return cls(Path(environ["REC"]), most=int(environ.get("CAP", "1000000")))

    def seen(self, number: int) -> None:
        """The handler of this job runs."""
        _ROW.pack_into(self._map, 16 + _ROW.size * self._rows, number, time.monotonic())
        self._rows += 1
        _HEAD.pack_into(self._map, 0, self._rows)

    def ready(self) -> None:
        """Say that whoever writes here has started."""
        Path(f"{self._path}.ready").write_text("1", encoding="ascii")


def count(path: Path) -> int:
    """Rows so far; 0 before there is a file."""
    try:
        with path.open("rb") as opened:
            head = opened.read(_HEAD.size)
    except FileNotFoundError:
        return 0
    return int(_HEAD.unpack(head)[0]) if len(head) == _HEAD.size else 0


def rows(path: Path) -> list[tuple[int, float]]:
    """Job number and seconds on the monotonic clock, in the order in which they were seen."""
    if not path.exists():
        return []
    seen = count(path)  # before the rows: they may become more meanwhile
    data = path.read_bytes()[16 : 16 + _ROW.size * seen]
    return [(int(number), at) for number, at in _ROW.iter_unpack(data)]
