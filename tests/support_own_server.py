"""A Postgres of a test's own, to be crashed, made a standby, crowded, or left without a disk."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from outbox_worker import migrate
from outbox_worker.database import Connection, connect
from outbox_worker.demo.postgres import Cluster, cluster
from outbox_worker.errors import DatabaseUnreachableError
from tests.chaos.database import Database, alive
from tests.support_engine import eventually

#: What is committed has reached the operating system; the machine itself does not crash here.
SETTINGS = {"synchronous_commit": "on", "autovacuum": "off"}
_TEMPLATE = "migrated"
_numbers = itertools.count()


class OwnServer(Database):
    """A server that a test may treat badly; `Database` crashes and restarts it.

    Args:
        first: Who owns its folder.
    """

    def __init__(self, first: Cluster) -> None:
        super().__init__(first)
        self.data = first.folder / "data"

    async def kill(self) -> None:
        """End all of it at once by SIGKILL, as a kernel that is out of memory does."""
        file = self.data / "postmaster.pid"
        postmaster = int(file.read_text(encoding="utf-8").splitlines()[0])
        # or it begins a session between the look and the kill, which would outlive it
        os.kill(postmaster, signal.SIGSTOP)
        family = _family(postmaster)
        for member in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member, signal.SIGKILL)

        async def over() -> bool:
            return not any(map(alive, family))

        await eventually(over, "the end of the server", within=30)
        self.keep_port()
        file.unlink()

    async def revive(self) -> None:
        """Wait until it has ended by itself, and start it again."""

        async def over() -> bool:
            return not self._ready()

        await eventually(over, "the end of the server", within=30)
        await self.start()


@contextlib.contextmanager
def own_server(
    settings: Mapping[str, str] | None = None, *, parent: Path | None = None
) -> Iterator[OwnServer]:
    """A server for the length of a block, with a migrated database to be copied.

    Raises:
        PostgresStartError: There is none to be had.
    """
    with cluster(settings={**SETTINGS, **(settings or {})}, parent=parent) as first:
        server = OwnServer(first)
        try:
            execute(first.url, "create database {}", _TEMPLATE)
            migrate.apply(_database(first.url, _TEMPLATE))
            yield server
        finally:
            server.close()


@contextlib.asynccontextmanager
async def crowd(url: str, size: int, *, full: bool = False) -> AsyncIterator[None]:
    """So many idle connections; ``full``: as many of them as the server still lets in."""
    opened: list[Connection] = []

    async def join() -> None:
        with contextlib.suppress(DatabaseUnreachableError):
            opened.append(await connect(url, application_name="crowd"))

    try:
        for _ in range(size // 20):
            await asyncio.gather(*(join() for _ in range(20)))
        assert (len(opened) < size) is full, f"{len(opened)} of {size} were let in"
        yield
    finally:
        for conn in opened:
            await conn.close()


def migrated(url: str) -> str:
    """URL of a fresh migrated database on such a server; it goes with the server."""
    name = f"test_{next(_numbers)}"
    execute(url, "create database {} template {}", name, _TEMPLATE)
    return _database(url, name)


def execute(url: str, statement: str, *names: str) -> None:
    """One statement in a session of its own; ``names`` are quoted into it."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _family(postmaster: int) -> list[int]:
    """A process and its children."""
    found = [postmaster]
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = stat.read_text(encoding="utf-8").rpartition(")")[2].split()[1]
            found += [int(stat.parent.name)] if int(parent) == postmaster else []
    return found


def _database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
