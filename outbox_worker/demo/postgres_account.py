"""As whom a throw-away Postgres runs: the server refuses root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outbox_worker.demo.postgres_binaries import EMBEDDED_PACKAGE, Binaries, PostgresStartError


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """How the programs are run: a command in front of them, a user to become (None: stay)."""

    wrapper: tuple[str, ...] = ()
    user: pwd.struct_passwd | None = None

    def options(self, folder: Path) -> dict[str, Any]:
        """Arguments of subprocess: no PGDATA or PGPORT from outside, and the user to be."""
        options: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "cwd": folder,
            "env": {"PATH": os.defpath, "LC_ALL": "C"},
        }
        if self.user:
            options |= {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}
        return options


def account_for(*, user_namespace: bool) -> Account:
    """Who runs the server: root becomes another user in a user namespace, else for good.

    Args:
        user_namespace: False leaves the namespace out.

    Raises:
        PostgresStartError: Root, and there is nobody else.
    """
    if os.geteuid() != 0:
        return Account()
    # initdb looks its user up by name, so the id must be one that this machine knows.
    known = [entry for entry in pwd.getpwall() if entry.pw_uid != 0]
    user = next(
        (entry for entry in known if entry.pw_name == "nobody"), known[0] if known else None
    )
    if user is None:
        raise PostgresStartError(
            "Postgres refuses to run as root, and this machine knows no other user",
            hint="Run this as an ordinary user.",
        )
    unshare = shutil.which("unshare")
    if user_namespace and unshare:
        wrapper = (unshare, "--user", f"--map-user={user.pw_uid}", "--")
        probe = subprocess.run([*wrapper, "/bin/true"], capture_output=True, check=False)  # noqa: S603 (program found on PATH, arguments of ours)
        if probe.returncode == 0:
            return Account(wrapper=wrapper)
    return Account(user=user)


def readable_for_all(binaries: Binaries, folder: Path) -> Binaries:
    """Programs that an unprivileged user can run: these, or a copy of them.

    An environment below somebody's home, say, is closed to everybody else.

    Args:
        binaries: Where they are.
        folder: Ours; it is opened to others for passing through, and takes the copy.

    Raises:
        PostgresStartError: They are out of reach and not of the kind that can be copied.
    """
    folder.chmod(0o711)
    reachable = (
        place.stat().st_mode & 0o001 for place in (binaries.folder, *binaries.folder.parents)
    )
    if all(reachable):
        return binaries
    package = next((p for p in binaries.folder.parents if p.name == EMBEDDED_PACKAGE), None)
    if package is None:
        raise PostgresStartError(
            f"an unprivileged user cannot run the server's programs in {binaries.folder}",
            hint="Run this as an ordinary user.",
        )
    copy = folder / "programs"
    # The programs look for libraries in a neighbour of the package: both keep their places.
    for name in (EMBEDDED_PACKAGE, f"{EMBEDDED_PACKAGE}.libs"):
        if (package.parent / name).is_dir():
            shutil.copytree(package.parent / name, copy / name, symlinks=True)
    for path in (copy, *copy.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
            if path.parent.name == "bin":
                path.chmod(0o755)
    return Binaries(
        folder=copy / binaries.folder.relative_to(package.parent), source=binaries.source
    )
