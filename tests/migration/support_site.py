"""The site's database as the migrations find it: its roles, its tables, its rows."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql
from psycopg.rows import DictRow, dict_row

Connection: TypeAlias = psycopg.Connection[DictRow]

ROOT = Path(__file__).parents[2]
OWNER = "outbox_test_owner"
OUTSIDERS = ("anon", "authenticated")
DEADLINE_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One database of the site: ``url`` as its owner, ``admin_url`` as a superuser."""

    url: str
    admin_url: str


def connect(url: str) -> contextlib.AbstractContextManager[Connection]:
    """An autocommit connection with rows as dicts, closed by the block."""
    return contextlib.closing(psycopg.connect(url, autocommit=True, row_factory=dict_row))


def run_file(url: str, path: Path) -> None:
    with connect(url) as conn:
        conn.execute(path.read_bytes())


def rows(conn: Connection, statement: str, *values: object) -> list[DictRow]:
    return conn.execute(statement, values or None).fetchall()


def value(conn: Connection, statement: str, *values: object) -> Any:
    """The only value of the only row."""
    [row] = rows(conn, statement, *values)
    [only] = row.values()
    return only


@contextlib.contextmanager
def role(conn: Connection, name: str) -> Iterator[None]:
    """Be another role for a block, as PostgREST is for a request."""
    conn.execute(sql.SQL("set role {}").format(sql.Identifier(name)))
    try:
        yield
    finally:
        conn.rollback()
        conn.execute("reset role")


def with_user(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{parts.hostname}:{parts.port}"))


def create_roles(server_url: str) -> None:
    """Make Supabase's roles and the site's owner, where they are missing; any number at once."""
    with connect(server_url) as conn, conn.transaction():
        conn.execute("select pg_advisory_xact_lock(7310593858)")
        known = {row["rolname"] for row in rows(conn, "select rolname from pg_roles")}
        attributes = {
            "anon": "nologin",
            "authenticated": "nologin",
            "service_role": "nologin bypassrls",
            OWNER: "login password 'owner'",
        }
        for name, what in attributes.items():
            if name not in known:
                conn.execute(f"create role {name} {what}")
        # as Supabase's "postgres" may become each of them
        conn.execute(f"grant anon, authenticated, service_role to {OWNER}")


def everything(conn: Connection) -> list[str]:
    """Every row of the site's bookings, whole, with its place in the file and its last writer."""
    statement = "select row(b.ctid, b.xmin, b)::text as t from public.bookings b order by b.id"
    return [row["t"] for row in rows(conn, statement)]


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds, or fail after a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.01)


def wait_for_waiter(conn: Connection, pid: int) -> None:
    """Wait until backend ``pid`` waits for somebody's lock."""
    wait_until(
        lambda: bool(value(conn, "select cardinality(pg_blocking_pids(%s)) > 0", pid)),
        f"backend {pid} waits for a lock",
    )
