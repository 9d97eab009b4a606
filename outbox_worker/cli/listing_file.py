"""A file of listings: a JSON map from slug to listing id, or CSV with those two columns."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable

import click

_COLUMNS = 2
_SLUG_HEADINGS = frozenset({"slug", "property", "property_slug"})
_LISTING_HEADINGS = frozenset({"listing_id", "listing", "listing id", "id"})


class FileFaultsError(click.ClickException):
    """A file that cannot be used.

    Args:
        details: Every fault, one sentence each.
    """

    exit_code = 2
    hint = "Correct the lines named above, then import the file again."

    def __init__(self, details: tuple[str, ...]) -> None:
        super().__init__("The file cannot be used; nothing was changed.")
        self.details = details


def parse_listings(text: str) -> dict[str, str]:
    """Listing id by slug.

    Args:
        text: A JSON object of strings, or lines of ``slug,listing_id`` with or
            without a heading; a heading may name the columns in either order, without one the
            first column is the slug. Blank lines and lines that begin with ``#`` are skipped.

    Raises:
        FileFaultsError: All that is wrong with it.
    """
    pairs = _json(text) if text.lstrip().startswith(("{", "[")) else _csv(text)
    faults: list[str] = []
    listings: dict[str, str] = {}
    for place, slug, listing_id in pairs:
        if listing_id is None:
            faults.append(f"{place}: the listing id is no JSON string; put it in double quotes")
        elif not slug or not listing_id:
            faults.append(f"{place}: slug or listing id is missing")
        elif listings.setdefault(slug, listing_id) != listing_id:
            faults.append(f"{place}: {slug} has another listing id further up")
    if not listings and not faults:
        faults.append("it holds no listing")
    if faults:
        raise FileFaultsError(tuple(faults))
    return listings


def _json(text: str) -> Iterable[tuple[str, str, str | None]]:
    try:
        # pairs, not a dict: of a slug that is there twice, a dict would keep one without a word
        parsed = json.loads(text, object_pairs_hook=tuple)
    except (ValueError, RecursionError) as error:
        raise FileFaultsError((f"it is not JSON: {error}",)) from error
    if not isinstance(parsed, tuple):
        raise FileFaultsError(("it is not a JSON object from slug to listing id",))
    for slug, value in parsed:
        listing_id = value.strip() if isinstance(value, str) else None
        yield f"entry {slug!r}", slug.strip(), listing_id


def _csv(text: str) -> Iterable[tuple[str, str, str | None]]:
    lines = csv.reader(io.StringIO(text), skipinitialspace=True)
    first, slug_at = True, 0
    for cells in lines:
        place = f"line {lines.line_num}"
        if not any(cell.strip() for cell in cells) or cells[0].startswith("#"):
            continue
        if len(cells) == 1 and ";" in cells[0]:
            raise FileFaultsError(
                (f"{place}: the columns are separated by semicolons; commas are needed",)
            )
        if len(cells) != _COLUMNS:
            raise FileFaultsError((f"{place}: expected slug,listing_id",))
        if first:
            first = False
            words = [cell.strip().lower() for cell in cells]
            if words[0] in _LISTING_HEADINGS and words[1] in _SLUG_HEADINGS:
                slug_at = 1
                continue
            if words[0] in _SLUG_HEADINGS:
                continue
        yield place, cells[slug_at].strip(), cells[1 - slug_at].strip()
