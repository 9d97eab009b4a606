"""PgBouncer in transaction mode in front of a server, for the length of a run."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote, urlsplit

from outbox_worker.demo.postgres_account import Account, account_for
from outbox_worker.demo.process import dying_with_parent, free_port, last_lines, stop
from outbox_worker.errors import OutboxError

#: Where Debian and others put it, which only root has on PATH.
_FOLDERS = (os.defpath, "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin")
_READY_SECONDS = 10.0
_PORT_TRIES = 5


class PoolerError(OutboxError):
    """There is no PgBouncer, or it does not start."""


class Pooling(StrEnum):
    """What stands between the tests and their server, as OUTBOX_TEST_POOLER says it."""

    #: DATABASE_URL through PgBouncer, DATABASE_LISTEN_URL direct. What a transaction leaves in its
    #: session is seen by whoever has it next, as with PgBouncer's own defaults.
    LISTEN = "listen"
    #: Both through PgBouncer, which forgets the session after each transaction: no notification
    #: ever arrives.
    DEAF = "deaf"


def pooling_of(environ: Mapping[str, str]) -> Pooling | None:
    """What OUTBOX_TEST_POOLER asks for; None: no pooler.

    Raises:
        PoolerError: It says something unknown.
    """
    said = environ.get("OUTBOX_TEST_POOLER")
    try:
        return Pooling(said) if said else None
    except ValueError:
        known = ", ".join(Pooling)
        raise PoolerError(
            f"OUTBOX_TEST_POOLER={said} is unknown", hint=f"Use one of: {known}."
        ) from None


def program() -> str | None:
    """Path of PgBouncer; None where this machine has none."""
    return shutil.which("pgbouncer", path=os.pathsep.join((os.environ.get("PATH", ""), *_FOLDERS)))


@contextlib.contextmanager
def pgbouncer(server_url: str, pooling: Pooling) -> Iterator[str]:
    """Run PgBouncer in front of every database of a server.

    Args:
        server_url: A superuser's URL with a password. Other roles log in with their own.
        pooling: What becomes of a session between two transactions.

    Yields:
        Its address, ``host:port``.

    Raises:
        PoolerError: It is not installed, or it is not ready within 10 s.
    """
    found = program()
    if found is None:
        raise PoolerError(
            "PgBouncer is not installed", hint="Install it (Debian: apt-get install pgbouncer)."
        )
    with tempfile.TemporaryDirectory(prefix="booking-outbox-pgbouncer-") as name:
        folder, account = Path(name), account_for(user_namespace=True)
        for _ in range(_PORT_TRIES):
            port = free_port()
            _configure(folder, server_url, port, account, pooling)
            process = _start(found, folder, account)
            try:
                if _ready(process, port):
                    yield f"127.0.0.1:{port}"
                    return
            finally:
                # SIGTERM is at once; SIGINT would wait for the clients
                stop(process, signal.SIGTERM, signal.SIGKILL)
        raise PoolerError(f"PgBouncer did not start: {last_lines(folder / 'log')}")


def _configure(
    folder: Path, server_url: str, port: int, account: Account, pooling: Pooling
) -> None:
    parts = urlsplit(server_url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "pool_mode": "transaction",
        "auth_type": "scram-sha-256",
        "auth_file": folder / "users",
        "max_client_conn": 1000,
        # a client gets another session each time, where there are several
        "server_round_robin": 1,
        "server_reset_query_always": int(pooling is Pooling.DEAF),
        # the tests drop databases, close and open them: nobody is to wait for 15 s
        "server_login_retry": 0.2,
        "log_connections": 0,
        "log_disconnections": 0,
        "log_stats": 0,
    }
    target = f"host={parts.hostname} port={parts.port or 5432} auth_user={user}"
    lines = ["[databases]", f"* = {target}", "[pgbouncer]"]
    lines += [f"{name} = {value}" for name, value in settings.items()]
    for name, text in {
        "pgbouncer.ini": "\n".join(lines),
        "users": '"{}" "{}"'.format(*(word.replace('"', '""') for word in (user, password))),
    }.items():
        file = folder / name
        file.touch(mode=0o600)
        file.write_text(f"{text}\n", encoding="utf-8")
    if account.user:
        for path in (folder, *folder.iterdir()):
            os.chown(path, account.user.pw_uid, account.user.pw_gid)


def _start(found: str, folder: Path, account: Account) -> subprocess.Popen[bytes]:
    with (folder / "log").open("wb") as output:
        return subprocess.Popen(
            [
                *account.wrapper,
                *dying_with_parent(signal.SIGTERM),
                *(found, str(folder / "pgbouncer.ini")),
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for its clients, who stop first
            **account.options(folder),
        )


def _ready(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until it takes connections; False: it ended, such as when its port was taken."""
    deadline = time.monotonic() + _READY_SECONDS
    while process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return process.poll() is None
        if time.monotonic() > deadline:
            raise PoolerError(f"PgBouncer is not ready after {_READY_SECONDS:.0f} s")
        time.sleep(0.02)
    return False
