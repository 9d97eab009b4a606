"""A throw-away Postgres server for the demo and the tests.

It creates no users, changes no permission outside its own folder, listens on a random loopback port
behind a password and ends with the process that started it, however that process ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from outbox_worker.demo.postgres_account import Account, account_for, readable_for_all
from outbox_worker.demo.postgres_binaries import (
    Binaries,
    PostgresStartError,
    find_binaries,
)
from outbox_worker.demo.process import dying_with_parent, free_port, last_lines, stop

_PREFIX = "booking-outbox-postgres-"
_LOCK = "in-use"
_START_SECONDS = 30.0
_PORT_TRIES = 5
#: Fast shutdown, then immediate, then for good.
_STOPPING = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
_FAST_AND_FORGETFUL = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A running server: the superuser's URL of its database ``postgres``, and what runs it."""

    url: str
    version: str
    source: str
    folder: Path
    pid: int


@contextlib.contextmanager
def cluster(
    *,
    binaries: Binaries | None = None,
    durable: bool = False,
    settings: Mapping[str, str] | None = None,
    parent: Path | None = None,
    user_namespace: bool = True,
) -> Iterator[Cluster]:
    """Run one server for the length of a block, then remove every trace of it.

    Enter it in a thread that lives as long as the block: the server stops when that thread ends.

    Args:
        binaries: Which server; None looks for one.
        durable: False turns fsync off: fast, and nothing survives a power cut.
        settings: Further server settings, name to value.
        parent: Folder for the temporary folder; None is the system's.
        user_namespace: False keeps root from using a user namespace, so that the fallback is used.

    Raises:
        PostgresStartError: No programs, no way to run them, or no ready server within 30 s.
    """
    found = binaries or find_binaries()
    place = parent or Path(tempfile.gettempdir())
    sweep(place)
    with _own_folder(place) as (folder, lock):
        account = account_for(user_namespace=user_namespace)
        if account.user:
            found = readable_for_all(found, folder)
        data, password = folder / "data", secrets.token_urlsafe(24)
        _initialise(found, account, data, password)
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "max_connections": "200",
            "shared_buffers": "64MB",
            **({} if durable else _FAST_AND_FORGETFUL),
            **(settings or {}),
        }
        process, port = _start(found, account, data, options, lock)
        try:
            yield Cluster(
                url=f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres",
                version=_version(found),
                source=found.source,
                folder=folder,
                pid=process.pid,
            )
        finally:
            stop(process, *_STOPPING)


def sweep(parent: Path) -> list[Path]:
    """Remove folders of servers whose starter was killed; return what was removed.

    A folder is in use while anybody holds its lock: the starter does, and the server inherits it.
    """
    removed = []
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            with (folder / _LOCK).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
                removed.append(folder)
    return removed


@contextlib.contextmanager
def _own_folder(parent: Path) -> Iterator[tuple[Path, int]]:
    try:
        made = Path(tempfile.mkdtemp(prefix=f"new-{_PREFIX}", dir=parent))
    except OSError as error:
        raise PostgresStartError(
            f"no temporary folder can be made in {parent}: {error.strerror}",
            hint="Set TMPDIR to a folder that can be written.",
        ) from error
    with (made / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Only now may a sweeper see it: before, the lock could have been had by the wrong one.
        folder = made.rename(made.with_name(made.name.removeprefix("new-")))
        try:
            yield folder, lock.fileno()
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _initialise(binaries: Binaries, account: Account, data: Path, password: str) -> None:
    data.mkdir(mode=0o700)
    password_file = data.with_name("password")
    password_file.touch(mode=0o600)
    password_file.write_text(password, encoding="ascii")
    if account.user:
        os.chown(data, account.user.pw_uid, account.user.pw_gid)
        os.chown(password_file, account.user.pw_uid, account.user.pw_gid)
    arguments = [
        str(binaries.folder / "initdb"),
        f"--pgdata={data}",
        "--username=postgres",
        f"--pwfile={password_file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--no-locale",
        "--no-sync",
        "--no-instructions",
    ]
    log = data.with_name("initdb.log")
    with log.open("wb") as output:
        done = subprocess.run(  # noqa: S603 (program found by us, arguments of ours)
            [*account.wrapper, *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
            **account.options(data),
        )
    password_file.unlink()
    if done.returncode != 0:
        raise PostgresStartError(f"initdb of {binaries.source} failed: {last_lines(log)}")


def _start(
    binaries: Binaries, account: Account, data: Path, options: Mapping[str, str], lock: int
) -> tuple[subprocess.Popen[bytes], int]:
    log = data.with_name("server.log")
    flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    for _ in range(_PORT_TRIES):
        port = free_port()
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 (program found by us, arguments of ours)
                [
                    *account.wrapper,
                    *dying_with_parent(signal.SIGINT),
                    *(str(binaries.folder / "postgres"), "-D", str(data), "-p", str(port), *flags),
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(lock,),
                start_new_session=True,  # Ctrl-C is for its clients, who stop first
                **account.options(data),
            )
        try:
            if _ready(process, data):
                return process, port
        except BaseException:
            stop(process, *_STOPPING)
            raise
        # Somebody may have taken the port since it was free: then the next one is tried.
        if "Address already in use" not in log.read_text(encoding="utf-8", errors="replace"):
            break
    raise PostgresStartError(f"{binaries.source} did not start: {last_lines(log)}")


def _ready(process: subprocess.Popen[bytes], data: Path) -> bool:
    """Wait for the status line that says it accepts connections; False: the server ended."""
    status, deadline = data / "postmaster.pid", time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        with contextlib.suppress(FileNotFoundError):
            lines = status.read_text(encoding="utf-8", errors="replace").splitlines()
            if len(lines) > 7 and lines[7].startswith("ready"):  # noqa: PLR2004 (line 8 is its status)
                return True
        time.sleep(0.01)
    raise PostgresStartError(f"Postgres was not ready after {_START_SECONDS:.0f} s")


def _version(binaries: Binaries) -> str:
    done = subprocess.run(  # noqa: S603 (program found by us)
        [binaries.folder / "postgres", "--version"], capture_output=True, text=True, check=False
    )
    number = re.search(r"\d+(\.\d+)?", done.stdout)
    return number[0] if number else "of unknown version"
