"""``outbox destinations``: what is open, what is not and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, assert_never

import click

from outbox_worker.cli.examples import examples
from outbox_worker.cli.invocation import Invocation, standard_options
from outbox_worker.cli.layout import span, table, until, wrapped
from outbox_worker.cli.reply import Reply
from outbox_worker.operations.moments import moment

if TYPE_CHECKING:
    from outbox_worker.operations.destinations import ListedDestination


@click.command(
    "destinations",
    short_help="What is open, paused or broken, and what it is owed.",
    epilog=examples("outbox destinations", "outbox destinations --json"),
)
@standard_options
@click.pass_obj
def command(invocation: Invocation) -> Reply:
    """List the destinations: whether each takes anything at present, and what it is owed.

    guestly takes bookings, email and chat take alerts, inbox takes payment events that
    could not be applied when they came. Nothing is lost while one of them is closed.
    """
    database, sync = invocation.database_and_sync()
    from outbox_worker.operations.destinations import list_destinations
    from outbox_worker.operations.fleet import SyncMode

    ours = SyncMode.of(sync)
    found = invocation.on_database(
        database, "destinations", lambda conn: list_destinations(conn, ours)
    )
    return Reply(data=found, lines=tuple(_lines(found)))


def _lines(found: Sequence[ListedDestination]) -> Iterator[str]:
    heading = ("DESTINATION", "STATE", "OWED", "GIVEN UP", "LAST SUCCESS")
    rows = table([heading, *(_cells(each) for each in found)])
    yield from rows[0]
    for each, row in zip(found, rows[1:], strict=True):
        yield from row
        if why := _why(each):
            yield from wrapped(why, first="  ")
    yield f"next: {_next(found)}"


def _cells(each: ListedDestination) -> tuple[str, str, str, str, str]:
    test = " TEST" if each.test_mode and each.openness != "disabled" else ""
    never = "not set up" if each.not_set_up else "never"
    return (
        str(each.destination),
        f"{each.openness}{test}",
        f"{sum(each.owed.values()):,}",
        f"{each.given_up:,}",
        f"{span(each.now - each.last_success_at)} ago" if each.last_success_at else never,
    )


def _why(each: ListedDestination) -> str:
    """What a person wants to know of a destination that is not simply open; else empty."""
    from outbox_worker.operations.destinations import Openness
    from outbox_worker.operations.fleet import disabled

    match each.openness:
        case Openness.OPEN:
            return "nothing is sent (GUESTLY_TEST_MODE=true)" if each.test_mode else ""
        case Openness.DISABLED:
            return disabled(each.pms) if each.pms is not None else "disabled"
        case Openness.PAUSED:
            ends = _moment(each.until) if each.until else "it is resumed"
            why = f": {each.reason}" if each.reason else ""
            return f"by {each.by} since {_moment(each.since)} until {ends}{why}"
        case Openness.CIRCUIT_OPEN | Openness.PROBING if each.no_token:
            at = f"at {_moment(each.next_token_at)}" if each.next_token_at else "with the next call"
            if each.token_requested:
                return f"{each.no_token}; if that brings none, the next is requested {at}"
            return f"{each.no_token} since {_moment(each.since)}; the next is requested {at}"
        case Openness.CIRCUIT_OPEN if each.next_token_at:
            at = f"at {_moment(each.next_token_at)}"
            then = f"the next is possible {at}" if each.code == "token_quota" else f"next try {at}"
            return f"{_cause(each)} since {_moment(each.since)}; {then}"
        case Openness.CIRCUIT_OPEN:
            probe = until(each.until - each.now) if each.until else "soon"
            probe = probe if each.until is None or each.until > each.now else "now"
            return f"{_cause(each)} since {_moment(each.since)}; next probe {probe}"
        case Openness.PROBING:
            return f"{_cause(each)} since {_moment(each.since)}; a worker tries it out now"
        case Openness.LIMITED:
            return f"it asked to be left alone until {_moment(each.until)}"
        case _:
            assert_never(each.openness)


def _cause(each: ListedDestination) -> str:
    what = each.refused or "the last calls failed"
    return f"{what} ({each.code})" if each.code else what


def _moment(at: datetime | None) -> str:
    return moment(at) if at else "an unknown time"


def _next(found: Sequence[ListedDestination]) -> str:
    for each in found:
        if each.openness == "paused" or each.no_token:
            return f"outbox resume {each.destination}"
    for each in found:
        if each.openness in {"circuit open", "probing"}:
            if each.refused:
                return "outbox status"  # it says what to mend: a look at the bookings mends nothing
            return f"outbox list --destination {each.destination}"
    if any(each.given_up for each in found):
        return "outbox list --state failed --state rejected"
    return "outbox list" if any(each.owed for each in found) else "outbox status"
