"""Examples at the end of a command's help."""

from __future__ import annotations


def examples(*lines: str) -> str:
    """Text for ``epilog``: one command a line, as it is typed."""
    # click's mark for a paragraph whose lines stay as they are
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
