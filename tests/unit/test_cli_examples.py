"""The examples in the help of commands: each can be typed as it stands."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from outbox_worker.cli.invocation import Invocation
from outbox_worker.cli.root import outbox

#: A file that exists, for the options that read one.
A_FILE = str(Path(__file__))


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None, name
        if isinstance(found, click.Group):
            yield from leaves(found, (*path, name))
        else:
            yield " ".join((*path, name)), found


def lines_of(command: click.Command) -> list[str]:
    epilog = command.epilog or ""
    return [line.strip() for line in epilog.splitlines() if line.startswith("  outbox ")]


EXAMPLES = [(path, line) for path, command in leaves(outbox) for line in lines_of(command)]


@pytest.mark.parametrize(
    "path",
    [
        "list",
        "destinations",
        "events list",
        "events show",
        "events replay",
        "alerts list",
        "alerts test",
        "worker list",
        "stats",
        "config show",
        "config example",
    ],
)
def test_the_help_of_a_command_has_examples(path: str) -> None:
    assert path in {known for known, _ in EXAMPLES}


@pytest.mark.parametrize(("path", "line"), EXAMPLES)
def test_an_example_is_a_command_that_can_be_typed(path: str, line: str) -> None:
    assert len(line) <= 78
    words = shlex.split(line.partition(" > ")[0])[1:]
    assert words[: len(path.split())] == path.split()
    words = [A_FILE if word.endswith((".env", ".csv", ".json")) else word for word in words]
    found: click.Command = outbox
    for word in path.split():
        assert isinstance(found, click.Group)
        child = found.get_command(click.Context(found), word)
        assert child is not None
        found = child
    arguments = words[len(path.split()) :]
    if "--env-file" in arguments:  # what is in such a file is another test's subject
        at = arguments.index("--env-file")
        del arguments[at : at + 2]

    context = found.make_context(path, arguments, obj=Invocation(environ={}, as_json=False))

    assert context.args == []
