"""``outbox alerts``: what people were told, and whether they would be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from outbox_worker.cli.alert_trial import test
from outbox_worker.cli.examples import examples
from outbox_worker.cli.group import Group
from outbox_worker.cli.invocation import Invocation, standard_options
from outbox_worker.cli.layout import counted, wrapped
from outbox_worker.cli.paging import limit_option, next_page
from outbox_worker.cli.reply import Reply
from outbox_worker.operations.moments import stamp

if TYPE_CHECKING:
    from outbox_worker.operations.alert_list import ListedAlert, Telling
    from outbox_worker.operations.pages import Page


@click.group(
    "alerts", cls=Group, short_help="What people were told, and a test whether they would be."
)
def command() -> None:
    """List the incidents that people are told of, and test whether they would be told."""


command.add_command(test)


@command.command("list", epilog=examples("outbox alerts list", "outbox alerts list --all"))
@click.option("--all", "resolved", is_flag=True, help="Those that are solved, too.")
@limit_option(20)
@click.option(
    "--after", type=click.IntRange(1), metavar="ALERT", help="Go on after this alert's number."
)
@standard_options
@click.pass_obj
def list_(invocation: Invocation, *, resolved: bool, limit: int, after: int | None) -> Reply:
    """List the incidents that are open, the newest first, and who was told of them.

    An incident that names bookings or events is solved when the last of them succeeds, is
    asked for again or is discarded; one about a payment when somebody asks for its
    booking again.
    """
    from outbox_worker.operations.alert_list import list_alerts

    page = invocation.on_database(
        invocation.database(),
        "alerts list",
        lambda conn: list_alerts(conn, resolved=resolved, limit=limit, after=after),
    )
    return Reply(data=page, lines=tuple(_lines(page, resolved=resolved)))


def _lines(page: Page[ListedAlert], *, resolved: bool) -> Iterator[str]:
    if not page.rows:
        yield "There never was an alert." if resolved else "No alert is open."
        yield "next: outbox alerts test --wait"
        return
    yield "(times in UTC)"
    for each in page.rows:
        yield from _alert(each)
    words = ["outbox", "alerts", "list", *(["--all"] if resolved else [])]
    yield from next_page(page, words)
    yield f"next: {_next(page)}"


def _alert(each: ListedAlert) -> Iterator[str]:
    state = "" if each.resolved_at is None else f", solved {stamp(each.resolved_at)}"
    code = f" ({each.code})" if each.code else ""
    again = f", reported {each.count:,} times" if each.count > 1 else ""
    said = f"{each.kind}{code}, since {stamp(each.first_seen_at)}{again}{state}"
    yield from wrapped(said, first=f"{each.id}  ", rest="   ")
    yield from wrapped(_about(each), first="   about  ")
    for told in each.channels:
        yield from wrapped(_told(told), first=f"   {told.channel:<5}  ")


def _about(each: ListedAlert) -> str:
    if each.booking is not None:
        return each.booking
    if not each.names:
        return each.fingerprint
    more = each.total - len(each.names)
    names = f"{', '.join(each.names)}{f' and {more:,} more' if more > 0 else ''}"
    if each.resolved_at is not None or each.standing == each.total:
        return names
    return f"{names}; {each.standing:,} of {each.total:,} still stand"


def _told(told: Telling) -> str:
    parts = []
    if told.told_at is not None:
        parts.append(f"told {stamp(told.told_at)}, {counted(told.messages, 'message')} so far")
    elif told.configured is False:
        parts.append("told nobody: this channel is not set up")
    elif not told.owed:
        parts.append("nothing was left to tell")
    if told.owed:
        code = f" ({told.code})" if told.code else ""
        parts.append(f"not told yet{code}" if told.told_at is None else f"more to tell{code}")
    return "; ".join(parts)


def _next(page: Page[ListedAlert]) -> str:
    from outbox_worker.alerts.shown import token

    for each in page.rows:
        word = token(each.booking or next(iter(each.names), ""))
        if word and each.resolved_at is None:
            return f"outbox show {word}"
    return "outbox status"
