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
    when it succeeds. A wait for the next access token (PMS=guesty) ends, too.
    """
    database = invocation.database()
    actor = invocation.actor()
    from outbox_worker.operations import gates
    from outbox_worker.outbox.delivery import Destination

    resumed = invocation.on_database(
        database, "resume", lambda conn: gates.resume(conn, Destination(destination), actor=actor)
    )
    return Reply(data=resumed, lines=tuple(_lines(resumed)))


def _token(left: int, *, waited: bool) -> str:
    from outbox_worker.pms.guesty_token import QUOTA

    if not left:
        return (
            f"All {QUOTA} requests for access tokens of these 24 hours are spent: the next one is"
            " possible when one of them is a day old."
        )
    why = ", as none was to be requested for a while" if waited else ""
    verb = "is" if left == 1 else "are"
    return (
        f"The next call requests an access token{why}. {left} of the {QUOTA} requests of these 24"
        f" hours {verb} left."
    )


def _lines(done: Resumed) -> Iterator[str]:
    if not done.changed:
        yield f"{done.destination}: was not paused, nothing to do."
    elif done.before is not None:
        yield f"{done.destination}: resumed; it was paused {until_words(done.before)}."
    else:
        yield f"{done.destination}: resumed."
    if done.tokens_left is not None:
        yield from wrapped(_token(done.tokens_left, waited=done.no_token))
    if done.circuit != "closed":
        yield from wrapped(
            "The last calls all failed: one delivery is tried now, the others follow when it"
            " succeeds."
        )
    yield "next: outbox status"
