"""The help of every command, and the page that is kept beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from outbox_worker.cli.exits import ExitCode
from outbox_worker.cli.process import run
from outbox_worker.cli.root import outbox

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command that can be run, by its words after ``outbox``."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None, name
        if isinstance(found, click.Group):
            yield from commands(found, (*path, name))
        else:
            yield (*path, name)


def command(path: tuple[str, ...]) -> click.Command:
    found: click.Command = outbox
    for name in path:
        assert isinstance(found, click.Group)
        child = found.get_command(click.Context(found), name)
        assert child is not None
        found = child
    return found


ALL = sorted(commands(outbox))


@pytest.mark.parametrize("path", [(), *ALL])
def test_help_fits_eighty_columns(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*path, "--help"], {}) == ExitCode.DONE

    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("path", ALL)
def test_every_command_has_json_and_an_env_file(path: tuple[str, ...]) -> None:
    options = {option for param in command(path).params for option in param.opts}

    assert {"--json", "--env-file"} <= options


@pytest.mark.parametrize("path", ALL)
def test_the_page_names_every_command_and_option(path: tuple[str, ...]) -> None:
    _, found, section = PAGE.read_text().partition(f"## outbox {' '.join(path)}\n")
    assert found, path
    section = section.partition("\n## ")[0]

    assert f"\n    $ outbox {' '.join(path)}" in section, "an example"
    own = [
        option
        for param in command(path).params
        for option in param.opts
        if option.startswith("--") and option not in {"--json", "--env-file", "--help"}
    ]
    assert [option for option in own if f"`{option}" not in section] == []


def test_the_page_names_every_exit_code() -> None:
    table = PAGE.read_text().partition("## Exit codes\n")[2].partition("\n## ")[0]

    assert [code for code in ExitCode if f"\n| {code.value} |" not in table] == []
