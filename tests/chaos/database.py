"""The Postgres of a run: it crashes on command and comes back on its own port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from outbox_worker.demo.postgres import Cluster, cluster
from outbox_worker.demo.postgres_account import account_for
from outbox_worker.demo.process import dying_with_parent, stop

_PATIENCE_S = 30.0
_READY_LINE = 7
_SCRAM_ITERATIONS_SINCE = 160000
#: A crash must lose nothing that was committed, so every commit reaches the operating system. The
#: machine itself does not crash here, so nothing has to reach a disk.
_SETTINGS = {"synchronous_commit": "on", "autovacuum": "off", "max_wal_size": "256MB"}


class NotReadyError(Exception):
    """The server did not come back."""


@dataclass(slots=True)
class Database:
    """One server, by the URL of its superuser.

    Args:
        _cluster: Who owns its folder.
    """

    _cluster: Cluster
    _again: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _place: socket.socket | None = None

    @property
    def url(self) -> str:
        """Directly."""
        return self._cluster.url

    @property
    def port(self) -> int:
        """The same after every restart."""
        return urlsplit(self.url).port or 0

    def through(self, port: int) -> str:
        """The URL by way of a proxy."""
        parts = urlsplit(self.url)
        credentials, _, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{port}"))

    async def crash(self) -> None:
        """Shut down at once, as ``pg_ctl stop -m immediate`` does: no checkpoint, no farewell."""
        process = self._again[-1] if self._again else None
        pid = process.pid if process else self._cluster.pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGQUIT)
        await _until(lambda: not self._ready(), "the end of Postgres")
        if process is not None:
            await asyncio.to_thread(process.wait, _PATIENCE_S)
        else:
            await _until(lambda: not alive(pid), "the end of Postgres")
        self.keep_port()

    async def start(self) -> None:
        """Start it again; it recovers from its log first.

        Raises:
            NotReadyError: It did not within half a minute.
        """
        self._again.append(self._start())
        await _until(self._ready, "Postgres")

    def keep_port(self) -> None:
        """Let nobody else be given the port of a server that has ended and will come back.

        The socket never listens, so that connections are refused, and Postgres may bind beside it.
        """
        if self._place is None:
            self._place = socket.socket()
            self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._place.bind(("127.0.0.1", self.port))

    def _start(self) -> subprocess.Popen[bytes]:
        self.keep_port()
        account = account_for(user_namespace=True)
        command = shlex.split((self._data / "postmaster.opts").read_text(encoding="utf-8"))
        with (self._cluster.folder / "server.log").open("ab") as log:
            return subprocess.Popen(
                [*account.wrapper, *dying_with_parent(signal.SIGINT), *command],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **account.options(self._data),
            )

    def close(self) -> None:
        """Stop what was started again; the first server belongs to its cluster."""
        for process in self._again:
            stop(process, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
        if self._place is not None:
            self._place.close()

    @property
    def _data(self) -> Path:
        return self._cluster.folder / "data"

    def _ready(self) -> bool:
        with contextlib.suppress(OSError):
            lines = (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            return len(lines) > _READY_LINE and lines[_READY_LINE].startswith("ready")
        return False


@contextlib.contextmanager
def database() -> Iterator[Database]:
    """A server for the length of a block.

    Raises:
        PostgresStartError: No server to be had.
    """
    with cluster(settings=_SETTINGS) as first:
        server = Database(first)
        _cheapen_logins(first.url)
        try:
            yield server
        finally:
            server.close()


def _cheapen_logins(url: str) -> None:
    """Hash the password once instead of 4096 times: every connection that is cut is made again."""
    with psycopg.connect(url, autocommit=True) as conn:
        if conn.info.server_version >= _SCRAM_ITERATIONS_SINCE:
            conn.execute("set scram_iterations = 1")
            conn.execute(
                sql.SQL("alter role {} password {}").format(
                    sql.Identifier(conn.info.user), sql.Literal(conn.info.password)
                )
            )


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


async def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise NotReadyError(f"{what} did not happen within {_PATIENCE_S:.0f} s")
        await asyncio.sleep(0.02)
