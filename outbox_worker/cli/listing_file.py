"""A file of listings: a JSON map from slug to listing id, or CSV with those two columns."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable

import click

_COLUMNS = 2
_HEADINGS = frozenset({"slug", "property", "property_slug"})


class FileFaultsError(click.ClickException):
    """A file that cannot be used.

    Args:
        details: Every fault, one sentence each.
    """

    exit_code = 2

    def __init__(self, details: tuple[str, ...]) -> None:
        super().__init__("The file cannot be used; nothing was changed.")
        self.details = details


def parse_listings(text: str) -> dict[str, str]:
    """Listing id by slug.

    Args:
        text: A JSON object of strings (or whole numbers), or lines of ``slug,listing_id`` with or
            without a heading; blank lines and lines that begin with ``#`` are skipped.

    Raises:
        FileFaultsError: All that is wrong with it.
    """
    pairs = _json(text) if text.lstrip().startswith(("{", "[")) else _csv(text)
    faults: list[str] = []
    listings: dict[str, str] = {}
    for place, slug, listing_id in pairs:
        if not slug or not listing_id:
            faults.append(f"{place}: slug or listing id is missing")
        elif listings.setdefault(slug, listing_id) != listing_id:
            faults.append(f"{place}: {slug} has another listing id further up")
    if not listings and not faults:
        faults.append("it holds no listing")
    if faults:
        raise FileFaultsError(tuple(faults))
    return listings


def _json(text: str) -> Iterable[tuple[str, str, str]]:
    try:
        # pairs, not a dict: of a slug that is there twice, a dict would keep one without a word
        parsed = json.loads(text, object_pairs_hook=tuple)
    except (ValueError, RecursionError) as error:
        raise FileFaultsError((f"it is not JSON: {error}",)) from error
    if not isinstance(parsed, tuple):
        raise FileFaultsError(("it is not a JSON object from slug to listing id",))
    for slug, value in parsed:
        number = isinstance(value, int) and not isinstance(value, bool)
        listing_id = str(value) if number or isinstance(value, str) else ""
        yield f"entry {slug!r}", slug.strip(), listing_id.strip()


def _csv(text: str) -> Iterable[tuple[str, str, str]]:
    lines = csv.reader(io.StringIO(text), skipinitialspace=True)
    for number, cells in enumerate(lines, start=1):
        if not any(cell.strip() for cell in cells) or cells[0].startswith("#"):
            continue
        if number == 1 and cells[0].strip().lower() in _HEADINGS:
            continue
        if len(cells) != _COLUMNS:
            raise FileFaultsError((f"line {number}: expected slug,listing_id",))
        yield f"line {number}", cells[0].strip(), cells[1].strip()
