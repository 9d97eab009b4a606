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
from outbox_worker.operations.moments import moment

if TYPE_CHECKING:
    from outbox_worker.operations.gates import Resumed

_KEPT = "the next call takes the access token that there is."
_RESERVE = (
    " It is kept back: it replaces no token that lacks a permission, and after a failure it waits"
    " for 6 hours."
)
_LAST = (
    " It is the last one: if it brings no token, none can be had until the oldest of the requests"
    " is a day old."
)
_LAST_BUT_ONE = " If this one brings no token, the last one is kept for 6 hours."


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


def _token(left: int, done: Resumed) -> str:
    from outbox_worker.pms.guesty_token import QUOTA

    if not left:
        at = done.token_at
        then = f"nothing can be sent before {moment(at)}." if at else _KEPT
        return f"All {QUOTA} requests for access tokens of these 24 hours are spent: {then}"
    verb = "is" if left == 1 else "are"
    said = f"{left} of the {QUOTA} requests of these 24 hours {verb} left."
    if done.token_kept:
        return f"{_KEPT.capitalize()} {said}{_RESERVE if left == 1 else ''}"
    why = ", as none was to be requested for a while" if done.no_token else ""
    more = {1: _LAST, 2: _LAST_BUT_ONE}.get(left, "")
    return f"The next call requests an access token{why}. {said}{more}"


def _lines(done: Resumed) -> Iterator[str]:
    if not done.changed:
        yield f"{done.destination}: was not paused, nothing to do."
    elif done.before is not None:
        yield f"{done.destination}: resumed; it was paused {until_words(done.before)}."
    else:
        yield f"{done.destination}: resumed."
    if done.tokens_left is not None:
        yield from wrapped(_token(done.tokens_left, done))
    if done.circuit != "closed" and done.token_at is None:
        yield from wrapped(
            "The last calls all failed: one delivery is tried now, the others follow when it"
            " succeeds."
        )
    yield "next: outbox status"
