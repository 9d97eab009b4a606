"""``outbox worker``: the process that delivers."""

from __future__ import annotations

import contextlib
import sys

import click

from outbox_worker.cli.invocation import Invocation, standard_options
from outbox_worker.cli.reply import Reply


@click.group("worker", short_help="Run the process that delivers.")
def command() -> None:
    """Run the process that delivers what is owed."""


@command.command("run")
@click.option("--drain", is_flag=True, help="Stop when nothing is due any more.")
@standard_options
@click.pass_obj
def run(invocation: Invocation, *, drain: bool) -> Reply:
    """Deliver until SIGTERM or Ctrl-C; log lines go to stdout.

    With --json the log goes to stderr, so that stdout holds the one object.
    """
    from outbox_worker.wiring import run_worker

    stdout = sys.stderr if invocation.as_json else sys.stdout
    with contextlib.redirect_stdout(stdout):
        code = run_worker(invocation.environ, drain=drain)
    return Reply(data={"exit_code": code}, code=code)
