"""``outbox events replay``: apply an event again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from outbox_worker.cli.examples import examples
from outbox_worker.cli.exits import ExitCode
from outbox_worker.cli.invocation import Invocation, standard_options
from outbox_worker.cli.layout import wrapped
from outbox_worker.cli.reply import Reply, printable

if TYPE_CHECKING:
    from outbox_worker.database import Connection
    from outbox_worker.operations.event_list import EventFacts
    from outbox_worker.operations.requeue import Request, Requeued, Skipped
    from outbox_worker.operations.settling import Settled
    from outbox_worker.settings import SyncSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What `events replay` answers.

    Args:
        notes: What keeps it from having its effect now.
        settled: What became of each request, with --wait alone.
        events: The events as they are now, with --wait alone.
    """

    requested: tuple[Requeued, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]
    settled: tuple[Settled, ...] | None
    events: tuple[EventFacts, ...] | None


@click.command(
    "replay",
    epilog=examples(
        "outbox events replay evt_1Qx48213 --wait",
        'outbox events replay evt_1Qx48213 --reason "the booking was restored"',
    ),
)
@click.argument("events", metavar="EVENT...", nargs=-1, required=True)
@click.option("--wait", is_flag=True, help="Wait until it is known what became of each.")
@click.option("--reason", metavar="TEXT", help="Why, for the history.")
@standard_options
@click.pass_obj
def replay(
    invocation: Invocation, *, events: tuple[str, ...], wait: bool, reason: str | None
) -> Reply:
    """Apply events again, through the function that applies them when they come in.

    For events that wait for their booking or that failed. One that was applied already,
    or that is not for us, is left alone, with the reason (exit code 7).
    """
    database, sync = invocation.database_and_sync()
    actor = invocation.actor()
    from outbox_worker.operations.requeue import Request

    request = Request(actor=actor, target=shlex.join(["events replay", *events]), reason=reason)
    replayed = invocation.on_database(
        database, "events replay", lambda conn: _replay(conn, events, request, sync, wait=wait)
    )
    return Reply(data=replayed, lines=tuple(_lines(replayed)), code=_code(replayed))


async def _replay(
    conn: Connection, refs: tuple[str, ...], request: Request, sync: SyncSettings, *, wait: bool
) -> Replayed:
    from outbox_worker.operations import replay as operation
    from outbox_worker.operations.event_list import read_event
    from outbox_worker.operations.fleet import SyncMode, read_fleet
    from outbox_worker.operations.plan import PmsView
    from outbox_worker.operations.settling import wait_until_settled
    from outbox_worker.outbox.delivery import Destination
    from outbox_worker.pms.port import PmsName

    view = PmsView(pms=PmsName(sync.pms), currency=sync.currency)
    chosen = await operation.choose(conn, refs, view=view)
    changed = await operation.replay(conn, chosen, request)
    ours = SyncMode.of(sync)
    fleet = await read_fleet(conn, ours)
    notes = []
    if changed.requeued and Destination.INBOX in fleet.closed:
        notes.append(f"inbox is held: {fleet.closed[Destination.INBOX]}")
    elif changed.requeued and not fleet.workers:
        notes.append("no worker is running: it is applied as soon as one does")
    settled = events = None
    if wait and changed.requeued:
        settled = await wait_until_settled(conn, changed.requeued, ours=ours, stalled=_stalled)
        events = tuple([await read_event(conn, each.name) for each in changed.requeued])
    return Replayed(
        requested=changed.requeued,
        skipped=changed.skipped,
        notes=tuple(notes),
        settled=settled,
        events=events,
    )


def _stalled(why: str) -> None:
    for line in wrapped(f"still waiting: {why}; Ctrl-C stops waiting only"):
        click.echo(printable(line), err=True)


def _code(replayed: Replayed) -> ExitCode:
    if not replayed.requested:
        return ExitCode.UNCHANGED
    if replayed.settled is not None:
        done = sum(each.state == "synced" for each in replayed.settled)
        if not done:
            return ExitCode.FAILED
        if done < len(replayed.settled):
            return ExitCode.PARTLY
    return ExitCode.PARTLY if replayed.skipped else ExitCode.DONE


def _lines(replayed: Replayed) -> Iterator[str]:
    for skipped in replayed.skipped:
        yield skipped.name
        yield from wrapped(f"left alone: {skipped.reason}", first="  ")
    if replayed.settled is None or replayed.events is None:
        for each in replayed.requested:
            yield each.name
            yield "  asked to be applied again"
    else:
        for settled, event in zip(replayed.settled, replayed.events, strict=True):
            yield event.id
            yield from wrapped(_became(settled, event), first="  ")
    for note in replayed.notes if replayed.settled is None else ():
        yield from wrapped(note, first="note: ")
    if replayed.requested:
        yield f"next: outbox events show {replayed.requested[0].name}"
    else:
        yield "Nothing changed."
        yield f"next: outbox events show {replayed.skipped[0].name}"


def _became(settled: Settled, event: EventFacts) -> str:
    if settled.state == "synced":
        why = f": {event.detail}" if event.detail else ""
        about = f", booking {event.booking}" if event.booking else ""
        return f"{event.outcome}{about}{why}"
    if settled.note and settled.state in {"waiting", "retrying"}:
        return f"still waiting: {settled.note}"
    code = f" ({settled.error_code})" if settled.error_code else ""
    return f"{settled.state}: {settled.note or settled.error or 'no details'}{code}"
