"""The Postgres of a measurement: durable, its own, and on request on a disk that takes its time."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from outbox_worker import migrate
from outbox_worker.demo.postgres import Cluster, cluster
from outbox_worker.demo.postgres_binaries import Binaries, find_binaries

#: Beside fsync and synchronous_commit, which stay on.
SETTINGS: Mapping[str, str] = {"shared_buffers": "512MB", "max_wal_size": "4GB"}

#: Every commit waits for this call, as it would for a cloud's disk.
_SLOW_SYNC = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int fdatasync(int file)
{
    static int (*real)(int);
    struct timespec wait = {0, MICROSECONDS * 1000L};
    if (!real)
        real = dlsym(RTLD_NEXT, "fdatasync");
    nanosleep(&wait, 0);
    return real(file);
}
"""


@contextlib.contextmanager
def durable(settings: Mapping[str, str] | None = None, *, sync_us: int = 0) -> Iterator[Cluster]:
    """A server with fsync on for the length of a block.

    Args:
        settings: Beside `SETTINGS`.
        sync_us: Microseconds that every sync takes longer; needs a C compiler, see `compiler`.

    Raises:
        PostgresStartError: There is no server to be had.
    """
    with contextlib.ExitStack() as opened:
        binaries = None
        if sync_us:
            folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="slow-sync-"))
            binaries = _slowed(find_binaries(), Path(folder), sync_us)
        yield opened.enter_context(
            cluster(binaries=binaries, durable=True, settings={**SETTINGS, **(settings or {})})
        )


def compiler() -> str | None:
    """The C compiler that the slow disk needs, or None."""
    return shutil.which("cc")


@contextlib.contextmanager
def migrated(server: Cluster, name: str) -> Iterator[str]:
    """URL of a fresh migrated database, for the length of a block."""
    with empty(server, name) as url:
        migrate.apply(url)
        yield url


@contextlib.contextmanager
def empty(server: Cluster, name: str) -> Iterator[str]:
    """URL of a fresh database, for the length of a block."""
    run(server.url, "create database {}", name)
    try:
        yield database(server.url, name)
    finally:
        run(server.url, "drop database if exists {} with (force)", name)


def database(url: str, name: str) -> str:
    """The URL of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def run(url: str, statement: str, *names: str) -> None:
    """One statement in a session of its own; ``names`` are quoted into it."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def number(url: str, statement: str) -> float:
    """The one value of a query."""
    with psycopg.connect(url, autocommit=True) as conn:
        row = conn.execute(statement.encode()).fetchone()
    assert row is not None
    return float(row[0])


def settled(url: str) -> None:
    """Let what was seeded not disturb what is measured: statistics, and no checkpoint soon."""
    run(url, "vacuum analyze")
    run(url, "checkpoint")


def _slowed(found: Binaries, folder: Path, sync_us: int) -> Binaries:
    """The same programs with a library in front that waits at every sync."""
    folder.chmod(0o755)
    source, library = folder / "slow_sync.c", folder / "slow_sync.so"
    source.write_text(_SLOW_SYNC.replace("MICROSECONDS", str(sync_us)), encoding="ascii")
    command = [compiler() or "cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source)]
    subprocess.run([*command, "-ldl"], check=True)
    # initdb does not sync, so it is run as it is
    for name, preload in (("initdb", ""), ("postgres", f"LD_PRELOAD={library} ")):
        program = folder / name
        lines = f'#!/bin/sh\n{preload}exec {found.folder / name} "$@"\n'
        program.write_text(lines, encoding="utf-8")
        program.chmod(0o755)
    return Binaries(folder=folder, source=f"{found.source}, syncs {sync_us} us longer")
