"""What every command is given: its environment, and the options that all commands share."""

from __future__ import annotations

import asyncio
import getpass
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from outbox_worker.env_file import read_env_file
from outbox_worker.errors import SettingsError
from outbox_worker.settings import NEEDED_TO_CALL, DatabaseSettings, SettingsReader, SyncSettings

if TYPE_CHECKING:
    from outbox_worker.database import Connection

T = TypeVar("T")

_LONGEST_ACTOR = 100
#: Needed to call the PMS, and by nothing else.
_NEEDED_TO_CALL = frozenset(name for names in NEEDED_TO_CALL.values() for name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One call of the console script.

    Args:
        environ: The process's environment; a file given with ``--env-file`` fills in what it lacks.
        as_json: Whether ``--json`` was given.
        from_env_file: Names that the file filled in.
    """

    environ: Mapping[str, str]
    as_json: bool
    from_env_file: frozenset[str] = frozenset()

    def settings(self) -> SettingsReader:
        """A fresh reader of the settings; call ``finish()`` after the areas that are needed."""
        return SettingsReader(self.environ)

    def actor(self) -> str:
        """Who is acting, for the history: ``OUTBOX_ACTOR``, else ``SUDO_USER``, else user@host.

        Raises:
            SettingsError: ``OUTBOX_ACTOR`` cannot be used.
        """
        reader = self.settings()
        named = reader.actor()
        reader.finish()
        named = named or self.environ.get("SUDO_USER") or f"{_user()}@{socket.gethostname()}"
        return named[:_LONGEST_ACTOR]

    def database(self) -> DatabaseSettings:
        """Where Postgres is.

        Raises:
            SettingsError: Every fault of it.
        """
        reader = self.settings()
        database = reader.database()
        reader.finish()
        return database

    def database_and_sync(self) -> tuple[DatabaseSettings, SyncSettings]:
        """Where Postgres is and how bookings are synced, for commands that do not call the PMS.

        Raises:
            SettingsError: Every fault, but for the PMS's address and key, which are not needed.
        """
        reader = self.settings()
        settings = reader.database(), reader.sync()
        try:
            reader.finish()
        except SettingsError as error:
            faults = tuple(f for f in error.faults if f.partition(" ")[0] not in _NEEDED_TO_CALL)
            if faults:
                raise SettingsError(faults) from error
        return settings

    def pms(self) -> str:
        """The PMS as sentences call it; what else is wrong with the settings does not matter."""
        return pms_name(self.settings().sync())

    @staticmethod
    def on_database(
        database: DatabaseSettings, command: str, work: Callable[[Connection], Awaitable[T]]
    ) -> T:
        """Run one coroutine function on an autocommit connection of its own.

        Args:
            database: Where.
            command: Name of the command, shown in pg_stat_activity.
            work: Takes the connection; owns its transactions.

        Raises:
            DatabaseUnreachableError: No connection, or it was lost.
        """

        async def connected() -> T:
            from outbox_worker.database import connection

            async with connection(
                database.url.reveal(), application_name=f"outbox {command}"
            ) as conn:
                return await work(conn)

        return asyncio.run(connected())


def pms_name(sync: SyncSettings) -> str:
    """The PMS that the settings choose, as sentences call it."""
    from outbox_worker.pms.port import PmsName

    return PmsName(sync.pms).display_name


def standard_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--json`` and ``--env-file``."""
    command = click.option(
        "--env-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        callback=_read_env_file,
        expose_value=False,
        is_eager=True,
        help="Read settings from a file of KEY=VALUE lines; the environment wins.",
    )(command)
    # The flag itself is found by `process.run`, which needs it before anything is parsed.
    return click.option("--json", is_flag=True, expose_value=False, help="Print one JSON object.")(
        command
    )


def _read_env_file(ctx: click.Context, _param: click.Parameter, path: Path | None) -> None:
    if path is None:
        return
    read = read_env_file(path)
    invocation = ctx.find_object(Invocation)
    if invocation is not None:
        ctx.obj = replace(
            invocation,
            environ={**read, **invocation.environ},
            from_env_file=frozenset(read) - frozenset(invocation.environ),
        )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        return "unknown"
