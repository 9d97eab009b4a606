from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import psycopg
import pytest

from outbox_worker.database import Connection
from outbox_worker.sql import Query, catalogue, query
from tests.support_source import PACKAGES, Module, called, calls, docstrings, modules

UNKNOWN = "no such query"
#: Statements that PREPARE does not take; they have no parameters.
UTILITY = ("begin", "commit", "listen", "unlisten", "notify", "set", "lock", "vacuum", "analyze")
#: Modules that talk to Postgres before there is a schema, and the catalogue itself.
OWN_SQL = ("outbox_worker/sql/", "outbox_worker/migrate.py", "outbox_worker/demo/")
SQL = re.compile(
    r"""
    \b select \b .+ \b from \b | \b insert \s+ into \s | \b delete \s+ from \s
    | \b update \s+ [\w."]+ \s+ (?: \w+ \s+ )? set \s
    | ^ \s* (?: create | alter | drop | truncate ) \s+ (?: table | index | schema | function |
    database )
    | ^ \s* (?: listen | unlisten | notify ) \s+ outbox \b
    | ^ \s* (?: begin | commit | rollback | select \s .* | set \s+ local \s .* ) ;? \s* $
    | \b for \s+ (?: no \s+ key \s+ )? update \b
    """,
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)


def numbered(text: str) -> str:
    """A statement with ``$1`` in place of ``%(name)s``, as PREPARE wants it."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", text)))
    for number, name in enumerate(names, start=1):
        text = text.replace(f"%({name})s", f"${number}")
    assert "%" not in text.replace("%%", ""), "a percent sign that psycopg would trip over"
    return text.replace("%%", "%")


def statement_of(entry: Query) -> str:
    lines = [line for line in entry.text.splitlines() if not line.strip().startswith("--")]
    return "\n".join(lines).strip().removesuffix(";")


def texts(module: Module) -> Iterator[tuple[ast.Constant, str]]:
    """Texts of a module that are not documentation."""
    documentation = docstrings(module)
    for node in module.walk():
        match node:
            case ast.Constant(value=str(value)) if node not in documentation:
                yield node, value
            case _:
                pass


def names_in(module: Module) -> set[str]:
    """Texts that a module passes to a call by position."""
    return {
        argument.value
        for call in calls(module)
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }


async def test_every_query_fits_the_migrated_schema(session: Connection) -> None:
    faults = []
    for entry in catalogue().values():
        statement = statement_of(entry)
        if statement.split()[0].lower() in UTILITY:
            assert "%" not in statement, entry.name
            continue
        try:
            await session.execute(f"prepare q as {numbered(statement)}")
            await session.execute("deallocate q")
        except psycopg.Error as error:
            faults.append(f"{entry.file} {entry.name}: {error}")

    assert faults == [], "\n".join(faults)


def test_every_query_is_one_statement() -> None:
    several = [
        entry.name
        for entry in catalogue().values()
        if ";" in re.sub(r"'(?:[^']|'')*'|--[^\n]*", "", statement_of(entry))
    ]

    assert several == []


def test_a_gate_is_read_with_the_same_columns_whether_or_not_it_is_locked() -> None:
    """PostgreSQL has no name for a list of columns but a view."""
    columns = [
        re.sub(r"\s+", " ", statement_of(catalogue()[name]).partition("from outbox.destination")[0])
        for name in ("gate_lock", "gate_read_all")
    ]

    assert columns[0].startswith("select g.destination, ")
    assert columns[0] == columns[1]


def test_every_query_is_used() -> None:
    used = {name for module in modules(*PACKAGES) for name in names_in(module)}

    unused = sorted(set(catalogue()) - used)
    assert unused == [], "\n".join(unused)


def test_every_query_that_is_asked_for_exists() -> None:
    missing = [
        f"{module.at(call)} {argument.value!r}"
        for module in modules(*PACKAGES, "tests")
        for call in calls(module)
        if called(call) == "query" and call.args
        for argument in call.args[:1]
        if isinstance(argument, ast.Constant) and argument.value not in catalogue()
    ]

    assert missing == [], "\n".join(missing)
    with pytest.raises(KeyError):
        query(UNKNOWN)


def test_sql_stands_in_sql_files_alone() -> None:
    found = [
        f"{module.at(node)} {value[:60]!r}"
        for module in modules(*PACKAGES)
        if not module.path.startswith(OWN_SQL)
        for node, value in texts(module)
        if SQL.search(value)
    ]

    assert found == [], "\n".join(found)


@pytest.mark.parametrize(
    "text",
    ["select 1", "SELECT a\nFROM b", "listen outbox", "set local x = 1", "update t set a = 1"],
)
def test_the_search_for_sql_finds_some(text: str) -> None:
    assert SQL.search(text)
