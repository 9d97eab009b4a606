"""``outbox resume``: open a destination again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from outbox_worker.cli.destination import destination_argument, until_words
from outbox_worker.cli.examples import examples
from outbox_worker.cli.invocation import Invocation, standard_options
from outbox_worker.cli.layout import wrapped
from outbox_worker.cli.reply import Reply

if TYPE_CHECKING:
    from outbox_worker.operations.gates import Resumed


@click.command(
    "resume",
    short_help="Send to a destination again.",
    epilog=examples("outbox resume guestly"),
)
@destination_argument
@standard_options
@click.pass_obj
def command(invocation: Invocation, *, destination: str) -> Reply:
    """Send to DEST again: guestly, email, chat or inbox.

    Where the last calls all failed, one delivery is tried at once, and the others follow
    when it succeeds.
    """
    database = invocation.database()
    actor = invocation.actor()
    from outbox_worker.operations import gates
    from outbox_worker.outbox.delivery import Destination

    resumed = invocation.on_database(
        database, "resume", lambda conn: gates.resume(conn, Destination(destination), actor=actor)
    )
    return Reply(data=resumed, lines=tuple(_lines(resumed)))


def _lines(done: Resumed) -> Iterator[str]:
    if not done.changed:
        yield f"{done.destination}: was not paused, nothing to do."
    elif done.before is not None:
        yield f"{done.destination}: resumed; it was paused {until_words(done.before)}."
    else:
        yield f"{done.destination}: resumed."
    if done.no_token:
        yield "The next call requests an access token, as none was to be requested for a while."
    if done.circuit != "closed":
        yield from wrapped(
            "The last calls all failed: one delivery is tried now, the others follow when it"
            " succeeds."
        )
    yield "next: outbox status"
