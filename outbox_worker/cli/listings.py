"""``outbox listings``: which listing of the PMS each property is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

import click

from outbox_worker.cli.exits import ExitCode
from outbox_worker.cli.group import Group
from outbox_worker.cli.invocation import Invocation, pms_name, standard_options
from outbox_worker.cli.layout import columns, counted, wrapped
from outbox_worker.cli.listing_file import parse_listings
from outbox_worker.cli.reply import Reply
from outbox_worker.cli.spared import spared
from outbox_worker.errors import SettingsError
from outbox_worker.settings import NEEDED_TO_CALL

if TYPE_CHECKING:
    from outbox_worker.database import Connection
    from outbox_worker.operations.listings import ListingChange, ListingCheck, ListingRow
    from outbox_worker.settings import DatabaseSettings, SyncSettings

#: Up to so many bookings are named in the command that sends them.
_NAMED = 5


@click.group("listings", cls=Group, short_help="Which listing of the PMS each property is.")
def command() -> None:
    """Which listing of the PMS each property is; without one its bookings are refused."""


@command.command("list")
@standard_options
@click.pass_obj
def list_(invocation: Invocation) -> Reply:
    """List all properties of the site with their listings."""
    database, sync = invocation.database_and_sync()
    from outbox_worker.operations.listings import list_listings
    from outbox_worker.pms.port import PmsName

    rows = invocation.on_database(
        database, "listings", lambda conn: list_listings(conn, pms=PmsName(sync.pms))
    )
    return Reply(data=rows, lines=tuple(_table(rows, can_check=sync.access)))


@command.command("set")
@click.argument("slug")
@click.argument("listing_id")
@standard_options
@click.pass_obj
def set_(invocation: Invocation, *, slug: str, listing_id: str) -> Reply:
    """Set the listing of one property."""
    slug, listing_id = slug.strip(), listing_id.strip()
    if not slug or not listing_id:
        what = "LISTING_ID" if slug else "SLUG"
        raise click.UsageError(f"{what} is empty.")
    return _set(invocation, {slug: listing_id})


@command.command("remove")
@click.argument("slug")
@standard_options
@click.pass_obj
def remove(invocation: Invocation, *, slug: str) -> Reply:
    """Take the listing of one property away: its bookings are refused then."""
    slug = slug.strip()
    if not slug:
        raise click.UsageError("SLUG is empty.")
    database, sync = invocation.database_and_sync()
    actor = invocation.actor()
    from outbox_worker.operations.listings import remove_listing
    from outbox_worker.pms.port import PmsName

    removed = invocation.on_database(
        database,
        "listings",
        lambda conn: remove_listing(conn, slug, pms=PmsName(sync.pms), actor=actor),
    )
    was = f"removed (was {removed.previous})" if removed.previous else "had no listing (unchanged)"
    return Reply(data=removed, lines=(f"{slug}: {was}", "next: outbox listings list"))


@command.command("import")
@click.argument("file", type=click.File("r", encoding="utf-8-sig"))
@standard_options
@click.pass_obj
def import_(invocation: Invocation, *, file: TextIO) -> Reply:
    """Set the listings in FILE, all or none: a JSON map from slug to id, or CSV.

    - reads from standard input.
    """
    try:
        text = file.read()
    except UnicodeDecodeError as error:
        raise click.UsageError("The file is not UTF-8.") from error
    return _set(invocation, parse_listings(text))


@command.command("check")
@standard_options
@click.pass_obj
def check(invocation: Invocation) -> Reply:
    """Ask the PMS for each listing; exit code 1 when one is missing or wrong."""
    reader = invocation.settings()
    database, sync = reader.database(), reader.sync()
    reader.finish()
    if not sync.access:
        needed = " and ".join(NEEDED_TO_CALL[sync.pms])
        raise SettingsError((f"{needed} are both needed to ask {pms_name(sync)}",))
    checks = invocation.on_database(database, "listings", lambda conn: _check(conn, database, sync))
    wrong = [each for each in checks if each.fault is not None]
    return Reply(
        data=checks,
        lines=tuple(_checked(checks, pms=pms_name(sync))),
        code=ExitCode.FAILED if wrong else ExitCode.DONE,
    )


def _set(invocation: Invocation, wanted: Mapping[str, str]) -> Reply:
    database, sync = invocation.database_and_sync()
    actor = invocation.actor()
    from outbox_worker.operations.listings import set_listings
    from outbox_worker.pms.port import PmsName

    changes = invocation.on_database(
        database,
        "listings",
        lambda conn: set_listings(conn, wanted, pms=PmsName(sync.pms), actor=actor),
    )
    return Reply(data=changes, lines=tuple(_changes(changes, can_check=sync.access)))


async def _check(
    conn: Connection, database: DatabaseSettings, sync: SyncSettings
) -> tuple[ListingCheck, ...]:
    from outbox_worker.operations.listings import check_listings, list_listings
    from outbox_worker.pms.port import PmsName
    from outbox_worker.wiring import open_pms

    rows = await list_listings(conn, pms=PmsName(sync.pms))
    async with open_pms(sync, database, connections=1) as pms:
        if pms is None:
            return ()
        found = check_listings(conn, rows, pms=spared(pms, conn, sync), currency=sync.currency)
        return tuple([each async for each in found])


def _table(rows: Sequence[ListingRow], *, can_check: bool) -> Iterator[str]:
    if not rows:
        yield "The site has no properties."
        yield "next: outbox config show (is that the site's database?)"
        return
    header = ("SLUG", "LISTING", "ACTIVE", "TITLE OR NAME")
    cells = [
        (
            row.slug,
            row.listing_id or "none",
            "yes" if row.active else "no" if row.known else "unknown",
            row.title or row.name or "",
        )
        for row in rows
    ]
    yield from columns([header, *cells])
    missing = [row.slug for row in rows if row.active and row.listing_id is None]
    if missing:
        noun = counted(len(missing), "active property", "active properties")
        yield f"{noun} without a listing."
        yield f"fix: outbox listings set {_word(missing[0]) or 'SLUG'} LISTING_ID"
    else:
        yield f"next: outbox {'listings check' if can_check else 'status'}"


def _changes(changes: Sequence[ListingChange], *, can_check: bool) -> Iterator[str]:
    for change in changes:
        if change.previous == change.listing_id:
            was = "unchanged"
        else:
            was = f"was {change.previous}" if change.previous else "was none"
        yield f"{change.slug}: {change.listing_id} ({was})"
    for change in changes:
        if not change.known:
            yield from wrapped(
                f"the site has no property {change.slug!r}; check the spelling with"
                " `outbox listings list`",
                first="warning: ",
            )
        if change.shared_with:
            others = ", ".join(change.shared_with)
            yield from wrapped(
                f"{change.slug} has the same listing as {others}: both would block one calendar;"
                " look with `outbox listings list`",
                first="warning: ",
            )
    blocked = [name for change in changes for name in change.unblocks]
    if blocked:
        was = counted(len(blocked), "booking was", "bookings were")
        when = "Once it is checked, send" if can_check else "Send"
        yield f"{was} refused for want of a listing. {when} again:"
        words = [_word(name) for name in blocked]
        if len(blocked) <= _NAMED and None not in words:
            yield f"     outbox requeue {' '.join(filter(None, words))}"
        else:
            yield "     outbox requeue --failed --error listing_missing"
    if can_check:
        # nothing else notices a listing that is priced in another currency
        yield "next: outbox listings check"


def _checked(checks: Sequence[ListingCheck], *, pms: str) -> Iterator[str]:
    for each in checks:
        named = f" {each.listing_id}" if each.listing_id else ""
        if not each.checked:
            yield f"NOT CHECKED  {each.slug}{named}"
            continue
        verdict = "OK   " if each.fault is None else "WRONG"
        priced = f" ({each.currency})" if each.currency else ""
        found = each.fault or f"{each.title or 'found'}{priced}"
        yield from wrapped(f"{each.slug}{named}: {found}", first=f"{verdict}  ")
    if not checks:
        yield "There is nothing to check: no property and no listing."
    unasked = [each.fault or "" for each in checks if not each.checked]
    # one line for a PMS that is out of reach, however many listings there are
    for fault in dict.fromkeys(unasked):
        yield from wrapped(fault, first="error: ")
    wrong = [each for each in checks if each.checked and each.fault is not None]
    if unasked:
        yield f"next: outbox listings check (when {pms} answers; see outbox config)"
    elif mends := [each.mend for each in wrong if each.mend]:
        yield f"next: {mends[0]}"
    elif wrong:
        yield f"next: outbox listings check (once it is corrected in {pms})"
    else:
        yield f"next: outbox {'status' if checks else 'listings list'}"


def _word(text: str) -> str | None:
    """The text if a shell takes it as it is."""
    from outbox_worker.alerts.shown import token

    return token(text)
