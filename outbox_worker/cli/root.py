"""The command ``outbox`` itself: names of its commands, each loaded when it is called."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

import click

from outbox_worker import __version__
from outbox_worker.cli.group import Group
from outbox_worker.cli.invocation import standard_options

#: Command -> module of this package that defines it as ``command``.
COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "status": "status",
        "list": "list",
        "show": "show",
        "requeue": "requeue",
        "sync": "sync",
        "check": "check",
        "link": "link",
        "discard": "discard",
        "pause": "pause",
        "resume": "resume",
        "destinations": "destinations",
        "listings": "listings",
        "events": "events",
        "alerts": "alerts",
        "worker": "worker",
        "stats": "stats",
        "config": "config",
        "prune": "prune",
        "migrate": "migrate",
        "simulator": "simulator",
    }
)


class LazyGroup(Group):
    """A group whose commands are imported when asked for: starting one does not pay for all."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of `COMMANDS`: what is used daily comes first."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        del ctx
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        found = import_module(f"outbox_worker.cli.{module}").command
        assert isinstance(found, click.Command)  # noqa: S101 - a wrong entry of COMMANDS is a bug
        return found


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 declined,"
    " 4 database unreachable, 5 a person is needed, 6 not found, 7 nothing changed,"
    " 8 partly done, 130 interrupted.",
)
@click.version_option(__version__, "--version", prog_name="outbox")
@standard_options
def outbox() -> None:
    """Every paid booking reaches the property management system once.

    A REF is a booking reference, booking id, delivery id, Stripe event (evt_...) or
    payment (pi_...), reservation id, or the beginning of one of these that fits only one.
    """
