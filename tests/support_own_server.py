"""A Postgres of a test's own, to be crashed, made a standby, crowded, or left without a disk."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from outbox_worker import migrate
from outbox_worker.demo.postgres import Cluster, cluster
from tests.chaos.database import Database
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


def migrated(url: str) -> str:
    """URL of a fresh migrated database on such a server; it goes with the server."""
    name = f"test_{next(_numbers)}"
    execute(url, "create database {} template {}", name, _TEMPLATE)
    return _database(url, name)


def execute(url: str, statement: str, *names: str) -> None:
    """One statement in a session of its own; ``names`` are quoted into it."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
