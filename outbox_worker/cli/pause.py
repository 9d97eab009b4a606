"""``outbox pause``: keep a destination shut."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from outbox_worker.cli.destination import destination_argument, until_words
from outbox_worker.cli.examples import examples
from outbox_worker.cli.invocation import Invocation, standard_options
from outbox_worker.cli.layout import wrapped
from outbox_worker.cli.length import Length
from outbox_worker.cli.reason import reason_option
from outbox_worker.cli.reply import Reply

if TYPE_CHECKING:
    from outbox_worker.operations.gates import Paused


@click.command(
    "pause",
    short_help="Hold everything that is owed to a destination.",
    epilog=examples(
        'outbox pause guestly --for 1h --reason "the PMS is being maintained"',
        'outbox pause email --reason "the mailbox is full"',
    ),
)
@destination_argument
@click.option(
    "--for", "length", type=Length(), help="For so long (30m, 2h, 1d); else until resumed."
)
@reason_option
@standard_options
@click.pass_obj
def command(
    invocation: Invocation, *, destination: str, length: timedelta | None, reason: str
) -> Reply:
    """Hold everything that is owed to DEST: guestly, email, chat or inbox.

    Nothing is lost: it is sent when the pause is over. What is under way is finished.
    """
    database = invocation.database()
    actor = invocation.actor()
    from outbox_worker.operations import gates
    from outbox_worker.outbox.delivery import Destination

    paused = invocation.on_database(
        database,
        "pause",
        lambda conn: gates.pause(
            conn, Destination(destination), actor=actor, reason=reason, length=length
        ),
    )
    return Reply(data=paused, lines=tuple(_lines(paused)))


def _lines(done: Paused) -> Iterator[str]:
    yield f"{done.destination}: paused {until_words(done.pause)}."
    if done.before is not None:
        yield from wrapped(
            f"It was paused already, by {done.before.by} {until_words(done.before)}:"
            f" {done.before.reason}"
        )
    yield f"next: outbox resume {done.destination}"
