"""What a statement of the catalogue costs: its plan, executed and undone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row

from outbox_worker.sql import query

Connection = psycopg.Connection[dict[str, Any]]
Node = dict[str, Any]


class Mode(StrEnum):
    """How the server plans: for these values, or once for all values."""

    CUSTOM = "force_custom_plan"
    GENERIC = "force_generic_plan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """An executed plan.

    Args:
        buffers: Pages touched, whether they were in memory or not; planning left out.
        ms: Time of the execution.
        scanned: Tables that were read from end to end.
        indexes: Indexes that were used.
        text: The plan as people read it, for a failure's message.
    """

    buffers: int
    ms: float
    scanned: frozenset[str]
    indexes: frozenset[str]
    text: str


def connect(url: str) -> Connection:
    """A direct connection whose parameters become literals, as EXECUTE wants them."""
    return psycopg.connect(
        url, row_factory=dict_row, cursor_factory=psycopg.ClientCursor[dict[str, Any]]
    )


def measure(
    conn: Connection,
    name: str,
    parameters: Mapping[str, Any],
    mode: Mode = Mode.CUSTOM,
    *,
    before: LiteralString = "",
) -> Measured:
    """Execute one query of the catalogue in a transaction that is rolled back.

    Args:
        conn: From `connect`, idle.
        name: Of the query.
        parameters: By name, all that it takes.
        mode: For which values it is planned.
        before: A statement to execute first.
    """
    text = query(name)
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", text)))
    for number, each in enumerate(names, start=1):
        text = text.replace(f"%({each})s", f"${number}")
    marks = f"({', '.join(['%s'] * len(names))})" if names else ""
    values = [parameters[each] for each in names]
    try:
        if before:
            conn.execute(before)
        conn.execute(f"set local plan_cache_mode = {mode}")
        conn.execute(f"prepare measured as {text.replace('%%', '%')}")
        explain = f"explain (analyze, buffers, format json) execute measured{marks}"
        row = conn.execute(explain, values).fetchone()
    finally:
        conn.rollback()
        conn.execute("deallocate all")
        conn.commit()
    assert row is not None
    return _measured(row["QUERY PLAN"][0])


def _measured(explained: Node) -> Measured:
    nodes = list(_nodes(explained["Plan"]))
    read = {node.get("CTE Name") for node in nodes}
    # nobody reads these, so they run after the rest, and no other node counts their pages
    apart = [
        node
        for node in nodes
        if (node.get("Subplan Name") or "").startswith("CTE ")
        and node["Subplan Name"].removeprefix("CTE ") not in read
    ]
    return Measured(
        buffers=sum(map(_pages, [explained["Plan"], *apart])),
        ms=explained["Execution Time"],
        scanned=frozenset(
            node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"
        ),
        indexes=frozenset(node["Index Name"] for node in nodes if "Index Name" in node),
        text="\n".join(_lines(explained["Plan"])),
    )


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _pages(node: Node) -> int:
    return int(node["Shared Hit Blocks"] + node["Shared Read Blocks"])


def _lines(node: Node, depth: int = 0) -> Iterator[str]:
    what = node.get("Index Name") or node.get("Relation Name") or node.get("CTE Name") or ""
    condition = node.get("Index Cond") or node.get("Filter") or ""
    yield (
        f"{'  ' * depth}{node['Node Type']} {what}: {node['Actual Rows']} rows x"
        f" {node['Actual Loops']}, {_pages(node)} pages {condition}".rstrip()
    )
    for child in node.get("Plans", ()):
        yield from _lines(child, depth + 1)
