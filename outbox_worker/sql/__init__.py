"""Named queries of both packages, loaded once from the ``.sql`` files beside this module.

A query starts at a line ``-- name: some_name`` and ends before the next one. The text is static:
parameters are bound by name (``%(name)s``), never formatted in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, LiteralString, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"^-- name: ([a-z][a-z0-9_]*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One statement of the catalogue."""

    name: str
    file: str
    text: LiteralString


@cache
def catalogue() -> Mapping[str, Query]:
    """All named queries by name.

    Raises:
        ValueError: Two queries share a name, or text stands before the first name of a file.
    """
    found: dict[str, Query] = {}
    for entry in sorted(resources.files(__package__).iterdir(), key=lambda item: item.name):
        if not entry.name.endswith(".sql"):
            continue
        preamble, *parts = _NAME.split(entry.read_text(encoding="utf-8"))
        if any(line.strip() and not line.startswith("--") for line in preamble.splitlines()):
            raise ValueError(f"{entry.name}: SQL before the first '-- name:' line")
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in found:
                raise ValueError(f"{entry.name}: query {name} is also in {found[name].file}")
            # The text comes from files of this package alone, so it is as literal as a string in a
            # module.
            found[name] = Query(
                name=name, file=entry.name, text=cast("LiteralString", text.strip())
            )
    return MappingProxyType(found)


def query(name: str) -> LiteralString:
    """The text of one named query.

    Raises:
        KeyError: No query has that name.
    """
    return catalogue()[name].text
