"""``outbox config``: settings as they take effect, and an example of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

import click

from outbox_worker.cli.examples import examples
from outbox_worker.cli.exits import ExitCode
from outbox_worker.cli.group import Group
from outbox_worker.cli.invocation import Invocation, standard_options
from outbox_worker.cli.layout import counted, wrapped
from outbox_worker.cli.reply import Reply

if TYPE_CHECKING:
    from outbox_worker.operations.configuration import Configuration, EffectiveSetting


@click.group(
    "config", cls=Group, short_help="The settings as they take effect, and an example of all."
)
def command() -> None:
    """Look at the settings; no database is needed."""


@command.command(
    "show",
    epilog=examples(
        "outbox config show",
        "outbox config show --env-file /etc/booking-outbox/outbox.env",
        "outbox config show --json",
    ),
)
@click.option("--all", "everything", is_flag=True, help="Those this version does not use, too.")
@standard_options
@click.pass_obj
def show(invocation: Invocation, *, everything: bool) -> Reply:
    """Show every setting with its value and where that comes from, and all that is wrong.

    environment: a variable. env-file: the file given with --env-file. file: the file
    that NAME_FILE names. credential: a systemd credential, which only the service
    itself sees. Secrets are never shown. Exit code 2 when a setting is wrong.
    """
    from outbox_worker.operations.configuration import read_configuration

    found = read_configuration(invocation.environ, from_env_file=invocation.from_env_file)
    return Reply(
        data=found,
        lines=tuple(_lines(found, everything=everything)),
        code=ExitCode.USAGE if found.faults else ExitCode.DONE,
    )


@command.command("example", epilog=examples("outbox config example > outbox.env"))
@standard_options
def example() -> Reply:
    """Print a file with every setting and its default, to be filled in."""
    from outbox_worker.settings_reference import environment_example

    text = environment_example()
    return Reply(data={"text": text}, lines=tuple(text.splitlines()))


def _lines(found: Configuration, *, everything: bool) -> Iterator[str]:
    shown = [
        each
        for each in found.settings
        if everything or not each.reserved or each.source not in {"default", "unset"}
    ]
    names = max(len(each.name) for each in shown)
    sources = max(len(each.source) for each in shown)
    for group, members in groupby(shown, key=lambda each: each.group):
        yield group
        for each in members:
            first = f"  {each.name.ljust(names)}  {each.source.ljust(sources)}  "
            yield from wrapped(_value(each), first=first)
    yield ""
    for note in found.notes:
        yield from wrapped(note, first="note: ")
    if not found.faults:
        yield "Nothing is wrong with these settings."
        yield "next: outbox status"
        return
    yield f"{counted(len(found.faults), 'setting is', 'settings are')} wrong:"
    for fault in found.faults:
        yield from wrapped(fault, first="  - ")
    yield "next: correct them, then: outbox config show"


def _value(each: EffectiveSetting) -> str:
    if each.faulty:
        return "WRONG, see below"
    if each.value is not None:
        return each.value
    return "-" if each.source in {"default", "unset"} else "empty: off"
