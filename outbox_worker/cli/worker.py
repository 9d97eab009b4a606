"""``outbox worker``: the process that delivers."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from outbox_worker.cli.examples import examples
from outbox_worker.cli.group import Group
from outbox_worker.cli.invocation import Invocation, standard_options
from outbox_worker.cli.layout import columns, span
from outbox_worker.cli.reply import Reply

if TYPE_CHECKING:
    from outbox_worker.operations.worker_list import ListedWorker


@click.group(
    "worker", cls=Group, short_help="Run the process that delivers, or list those that run."
)
def command() -> None:
    """Run the process that delivers what is owed, or list those that run."""


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


@command.command("list", epilog=examples("outbox worker list", "outbox worker list --json"))
@standard_options
@click.pass_obj
def list_(invocation: Invocation) -> Reply:
    """List the workers that run, and those seen within the last 24 hours.

    A worker is silent when it has not been heard of for a minute and never said that it
    stops: it was killed, it hangs, or it cannot reach Postgres. What it had begun is
    taken up by the others.
    """
    from outbox_worker.operations.worker_list import list_workers

    workers = invocation.on_database(invocation.database(), "worker list", list_workers)
    return Reply(data=workers, lines=tuple(_lines(workers)))


def _lines(workers: Sequence[ListedWorker]) -> Iterator[str]:
    if workers:
        rows = [("WORKER", "STATE", "MODE", "WAKES BY", "IN FLIGHT", "SEEN", "VERSION")]
        rows += [_cells(each) for each in workers]
        yield from columns(rows)
    running = sum(each.state == "running" for each in workers)
    if not running:
        yield "No worker is running."
        yield "next: outbox worker run"
    else:
        yield "next: outbox status"


def _cells(each: ListedWorker) -> tuple[str, str, str, str, str, str, str]:
    running = each.state == "running"
    mode = "TEST" if each.test_mode else "LIVE"
    return (
        each.id,
        str(each.state),
        mode if each.sync_enabled else "DISABLED",
        ("notification" if each.listening else "polling") if running else "-",
        str(each.in_flight) if running else "-",
        f"{span(each.seen_ago)} ago",
        each.version,
    )
