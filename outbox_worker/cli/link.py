"""``outbox link``: a person says which reservation is a booking's."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from outbox_worker.cli.examples import examples
from outbox_worker.cli.invocation import Invocation, pms_name, standard_options
from outbox_worker.cli.layout import wrapped
from outbox_worker.cli.reply import Reply
from outbox_worker.cli.spared import spared
from outbox_worker.settings import NEEDED_TO_CALL

if TYPE_CHECKING:
    from outbox_worker.database import Connection
    from outbox_worker.operations.link import Linked
    from outbox_worker.operations.slices import Request
    from outbox_worker.settings import DatabaseSettings, SyncSettings


@click.command(
    "link",
    short_help="Say which reservation in the PMS is a booking's.",
    epilog=examples(
        "outbox link LA2026-48213 2bd7c38b1f6752fb8b7ed2bc",
        'outbox link LA2026-48213 2bd7c38b1f6752fb8b7ed2bc --reason "entered by hand"',
    ),
)
@click.argument("ref")
@click.argument("reservation_id", metavar="RESERVATION_ID")
@click.option("--unverified", is_flag=True, help="Do not ask the PMS whether it holds it.")
@click.option("--reason", metavar="TEXT", help="Why, for the history.")
@standard_options
@click.pass_obj
def command(
    invocation: Invocation, *, ref: str, reservation_id: str, unverified: bool, reason: str | None
) -> Reply:
    """Say which reservation in the PMS is a booking's: it is never created a second time.

    The booking's state is then written to that reservation, so the PMS is asked
    first whether it holds it, and for the same listing and stay or guest. Refused are another
    booking's reservation, and a booking that a worker is sending now.
    """
    from outbox_worker.operations.link import usable_id
    from outbox_worker.operations.slices import Request

    reservation_id = reservation_id.strip()
    if not usable_id(reservation_id):
        raise click.UsageError("RESERVATION_ID is no id of a reservation in the PMS.")
    database, sync = invocation.database_and_sync()
    request = Request(
        actor=invocation.actor(), target=shlex.join((ref, reservation_id)), reason=reason
    )
    settings = database, sync
    linked = invocation.on_database(
        database,
        "link",
        lambda conn: _link(conn, ref, reservation_id, settings, request, unverified=unverified),
    )
    return Reply(data=linked, lines=tuple(_lines(linked, sync)))


async def _link(
    conn: Connection,
    ref: str,
    reservation_id: str,
    settings: tuple[DatabaseSettings, SyncSettings],
    request: Request,
    *,
    unverified: bool,
) -> Linked:
    from outbox_worker.operations.link import link
    from outbox_worker.operations.plan import PmsView
    from outbox_worker.operations.refs import resolve
    from outbox_worker.pms.port import PmsName
    from outbox_worker.wiring import open_pms

    database, sync = settings
    target = await resolve(conn, ref)
    async with open_pms(sync, database, connections=1) as pms:
        return await link(
            conn,
            target,
            reservation_id,
            pms=None if unverified or pms is None else spared(pms, conn, sync),
            view=PmsView(pms=PmsName(sync.pms), currency=sync.currency),
            quiet=sync.quiet,
            request=request,
        )


def _lines(done: Linked, sync: SyncSettings) -> Iterator[str]:
    pms = pms_name(sync)
    was = f" (was {done.previous})" if done.previous else ""
    yield f"{done.name}: reservation {done.reservation_id}{was}"
    if done.previous:
        yield from wrapped(
            f"nothing was done to {done.previous}; cancel it in {pms} if it is there",
            first="note: ",
        )
    if not done.verified:
        needed = " and ".join(NEEDED_TO_CALL[sync.pms])
        why = "as you asked" if sync.access else f"{needed} are not set"
        yield from wrapped(
            f"not verified, {why}: {pms} was not asked whether it holds it", first="note: "
        )
    if done.others:
        yield from wrapped(
            f"under the booking's reference {pms} holds {', '.join(done.others)}, too;"
            " cancel there what is not the guest's",
            first="note: ",
        )
    if done.confirms:
        if done.vouched:
            yield "Its price there counts as the total here from now on."
        else:
            yield "The alert about its price is closed."
        yield f"next: outbox show {_word(done)}"
        return
    if done.vouched:
        yield from wrapped(
            "price and guest there count as what the booking says: compare them", first="note: "
        )
    when = "once an earlier call can have no effect any more" if done.uncertain else "next"
    yield from wrapped(f"The booking's state is written to it {when}.")
    yield f"next: outbox show {_word(done)}"


def _word(done: Linked) -> str:
    from outbox_worker.alerts.shown import token

    return token(done.name) or str(done.delivery_id)
