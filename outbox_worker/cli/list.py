"""``outbox list``: deliveries by state."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import click

from outbox_worker.cli.examples import examples
from outbox_worker.cli.invocation import Invocation, standard_options
from outbox_worker.cli.layout import columns, day, span, until
from outbox_worker.cli.paging import limit_option, next_page
from outbox_worker.cli.reply import Reply
from outbox_worker.cli.since import Since, typed

if TYPE_CHECKING:
    from outbox_worker.database import Connection
    from outbox_worker.operations.delivery_list import (
        DeliveryPage,
        Filters,
        ListedDelivery,
        Place,
    )

_STATES = (
    "waiting",
    "sending",
    "retrying",
    "checking",
    "held",
    "synced",
    "failed",
    "rejected",
    "discarded",
)
_DESTINATIONS = ("guestly", "email", "chat", "inbox")
#: In these states nothing goes on without a person.
_PARKED = frozenset({"failed", "rejected", "discarded"})


@click.command(
    "list",
    short_help="Deliveries by state: what is owed and what was given up.",
    epilog=examples(
        "outbox list",
        "outbox list --state failed --state rejected --error http_503",
        "outbox list --state synced --destination guestly --since 24h",
        "outbox list --test-mode",
    ),
)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(_STATES),
    metavar="STATE",
    help=f"Only in this state, repeatable: {', '.join(_STATES)}.",
)
@click.option(
    "--destination",
    "destinations",
    multiple=True,
    type=click.Choice(_DESTINATIONS),
    metavar="DEST",
    help="Only to guestly, email, chat or inbox, repeatable.",
)
@click.option("--since", type=Since(), help="Only in their state since then (2h, 3d, 2026-11-20).")
@click.option("--error", "code", metavar="CODE", help="Only with this last error code.")
@click.option(
    "--test-mode", "tested", is_flag=True, help="Only what nothing but test mode has handled."
)
@limit_option(50)
@click.option("--after", metavar="PLACE", help="Go on where a page ended; it says how.")
@standard_options
@click.pass_obj
def command(
    invocation: Invocation,
    *,
    states: tuple[str, ...],
    destinations: tuple[str, ...],
    since: datetime | None,
    code: str | None,
    tested: bool,
    limit: int,
    after: str | None,
) -> Reply:
    """List deliveries: without a state, all that is owed or was given up.

    What is not finished comes first, soonest check-in first; then what is synced,
    newest first. Synced and discarded ones are listed when their state is asked for.
    """
    database, sync = invocation.database_and_sync()
    from outbox_worker.operations.delivery_list import list_deliveries
    from outbox_worker.operations.fleet import SyncMode, read_fleet

    filters = _filters(states, destinations, since, code, tested=tested)
    place = _place(after)
    ours = SyncMode.of(sync)

    async def read(conn: Connection) -> DeliveryPage:
        fleet = await read_fleet(conn, ours)
        return await list_deliveries(conn, filters, fleet, limit=limit, after=place)

    page = invocation.on_database(database, "list", read)
    words = _words(states, destinations, since, code, tested=tested)
    chosen = bool(states or destinations or since or code or tested or after)
    return Reply(data=page, lines=tuple(_lines(page, words, chosen=chosen)))


def _filters(
    states: tuple[str, ...],
    destinations: tuple[str, ...],
    since: datetime | None,
    code: str | None,
    *,
    tested: bool,
) -> Filters:
    from outbox_worker.operations.delivery_list import UNFINISHED, Filters
    from outbox_worker.outbox.delivery import Destination, State

    # test mode leaves its bookings synced
    unasked = tuple(State) if tested else UNFINISHED
    return Filters(
        states=tuple(State(word) for word in states) or unasked,
        destinations=tuple(Destination(word) for word in destinations) or tuple(Destination),
        since=since,
        code=code,
        tested=tested,
    )


def _place(after: str | None) -> Place | None:
    from outbox_worker.operations.delivery_list import place_of

    if after is None:
        return None
    try:
        return place_of(after)
    except ValueError:
        raise click.BadParameter(
            f"{after!r} is no place: copy it from the end of the page before.",
            param_hint="'--after'",
        ) from None


def _words(
    states: tuple[str, ...],
    destinations: tuple[str, ...],
    since: datetime | None,
    code: str | None,
    *,
    tested: bool,
) -> list[str]:
    """The filters as they are typed, for the command that shows the next page."""
    words = [word for state in states for word in ("--state", state)]
    words += [word for destination in destinations for word in ("--destination", destination)]
    words += ["--since", typed(since)] if since else []
    words += ["--error", code] if code else []
    return [*words, "--test-mode"] if tested else words


def _lines(page: DeliveryPage, words: list[str], *, chosen: bool) -> Iterator[str]:
    if not page.rows:
        yield "Nothing fits." if chosen else "Nothing is owed, and nothing was given up."
        yield "next: outbox list --state synced" if not chosen else "next: outbox status"
        return
    rows: list[tuple[str, ...]] = [
        ("REF", "STATE", "TRIES", "SINCE", "NEXT", "CHECK-IN", "ERROR"),
    ]
    rows += [_cells(each, page.now) for each in page.rows]
    yield from columns(rows)
    yield from next_page(page, ["outbox", "list", *words])
    held = page.rows[0].state == "held"
    yield "next: outbox destinations" if held else f"next: outbox show {_first(page)}"


def _cells(each: ListedDelivery, now: datetime) -> tuple[str, ...]:
    name = each.ref if each.destination == "guestly" else f"{each.ref} ({each.destination})"
    return (
        name,
        f"{each.state} TEST" if each.tested else str(each.state),
        str(each.attempts),
        span(now - each.since) if each.since else "-",
        _next(each, now),
        day(each.check_in) if each.check_in else "-",
        each.error_code or "-",
    )


def _next(each: ListedDelivery, now: datetime) -> str:
    if each.state in {"sending", "synced", "held"} or each.due_at is None:
        return "-" if each.state not in {"rejected", "discarded"} else "never"
    return until(each.due_at - now) if each.due_at > now else "now"


def _first(page: DeliveryPage) -> str:
    """The first that a person has to look at, else the first."""
    from outbox_worker.alerts.shown import token

    first = next((each for each in page.rows if each.state in _PARKED), page.rows[0])
    return token(first.ref) or str(first.id)
