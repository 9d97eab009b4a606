"""The harness's statements, out of the ``.sql`` files beside this module."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from outbox_worker.database import Connection, Row

_FOLDER = Path(__file__).parent
_NAME = re.compile(r"^-- name: ([a-z_]+)$", re.MULTILINE)


def memory() -> bytes:
    """Tables and triggers that remember what was committed."""
    return (_FOLDER / "memory.sql").read_bytes()


def statement(name: str) -> bytes:
    """One statement of ``chaos.sql``."""
    return _named()[name]


async def rows(conn: Connection, name: str, **values: Any) -> list[Row]:
    """What a statement answers."""
    # without values nothing is a placeholder
    return await (await conn.execute(statement(name), values or None)).fetchall()


@cache
def _named() -> dict[str, bytes]:
    _, *parts = _NAME.split((_FOLDER / "chaos.sql").read_text(encoding="utf-8"))
    return {name: text.strip().encode() for name, text in zip(parts[::2], parts[1::2], strict=True)}
