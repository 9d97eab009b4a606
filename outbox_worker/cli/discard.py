"""``outbox discard``: a person says that something is not owed."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from outbox_worker.cli.bulk import progress_bar, sliced, to_its_end
from outbox_worker.cli.examples import examples
from outbox_worker.cli.exits import ExitCode
from outbox_worker.cli.invocation import Invocation, standard_options
from outbox_worker.cli.layout import counted, wrapped
from outbox_worker.cli.prompt import require_consent
from outbox_worker.cli.reason import reason_option
from outbox_worker.cli.reply import Reply
from outbox_worker.cli.requeue_answer import left_alone, more, preview

if TYPE_CHECKING:
    from outbox_worker.database import Connection
    from outbox_worker.operations.discard import Discarded, Discards
    from outbox_worker.operations.plan import Item
    from outbox_worker.operations.slices import Closed, Request, Skipped

_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the command answers; ``plan``: what was chosen, in a dry run alone."""

    dry_run: bool
    interrupted: bool
    plan: tuple[Item, ...] | None
    discarded: tuple[Discarded, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    closed: tuple[Closed, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Run:
    done: list[Discards] = field(default_factory=list)


@click.command(
    "discard",
    short_help="Say that something is not owed: it is not sent.",
    epilog=examples(
        'outbox discard LA2026-48213 --reason "the guest moved to another house"',
        'outbox discard LA2026-48190 LA2026-48207 --reason "test bookings" --yes',
    ),
)
@click.argument("refs", metavar="REF...", nargs=-1, required=True)
@reason_option
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@click.option("--yes", is_flag=True, help="Do not ask. (One alone is never asked about.)")
@standard_options
@click.pass_obj
def command(
    invocation: Invocation, *, refs: tuple[str, ...], reason: str, dry_run: bool, yes: bool
) -> Reply:
    """Say that bookings (or events) are not owed: nothing is sent for them.

    What a worker is sending now is refused. What the PMS holds stays there: to have
    a stay cancelled there, cancel the booking; for one that was entered there by hand
    use `outbox link`. Nothing is forgotten: `outbox requeue` sends it after all.
    """
    from outbox_worker.operations.slices import Request

    database = invocation.database()
    request = Request(
        actor=invocation.actor(), target=shlex.join(refs), reason=reason, closes_alerts=True
    )
    items = invocation.on_database(database, "discard", lambda conn: _plan(conn, refs))
    if dry_run:
        lines = (*preview(items, "To be discarded"), "Dry run: nothing was changed.")
        return Reply(data=Outcome(dry_run=True, interrupted=False, plan=items), lines=lines)
    wanted = [item for item in items if item.skip is None]
    if len(wanted) > 1:
        require_consent(
            "\n".join(preview(items, "To be discarded")),
            question=f"Discard {len(wanted)}?",
            assume_yes=yes,
        )
    run = _Run()
    interrupted = False
    try:
        invocation.on_database(database, "discard", lambda conn: _act(conn, items, run, request))
    except KeyboardInterrupt:
        interrupted = True
    outcome = Outcome(
        dry_run=False,
        interrupted=interrupted,
        plan=None,
        discarded=tuple(each for part in run.done for each in part.discarded),
        skipped=tuple(each for part in run.done for each in part.skipped),
        closed=tuple(each for part in run.done for each in part.closed),
    )
    lines = tuple(_answer(outcome, chosen=len(items), pms=invocation.pms()))
    return Reply(data=outcome, lines=lines, code=_exit_code(outcome))


async def _plan(conn: Connection, refs: Sequence[str]) -> tuple[Item, ...]:
    from outbox_worker.operations.discard import plan_discard
    from outbox_worker.operations.refs import resolve

    # all of them first: a typing error in the last one leaves the others untouched
    return await plan_discard(conn, [await resolve(conn, ref) for ref in refs])


async def _act(conn: Connection, items: Sequence[Item], run: _Run, request: Request) -> None:
    from outbox_worker.operations.discard import discard

    async def change(part: Sequence[Item]) -> None:
        run.done.append(await discard(conn, part, request))

    with progress_bar(len(items), "discard") as bar:
        for part in sliced(items):
            await to_its_end(change(part))
            bar.advance(len(part))
            await asyncio.sleep(0)  # where Ctrl-C takes effect


def _exit_code(outcome: Outcome) -> ExitCode:
    if outcome.interrupted:
        return ExitCode.INTERRUPTED
    if not outcome.discarded and not outcome.closed:
        return ExitCode.UNCHANGED
    dealt_with = {each.name for each in outcome.closed}
    left = any(each.name not in dealt_with for each in outcome.skipped)
    return ExitCode.PARTLY if left else ExitCode.DONE


def _answer(outcome: Outcome, *, chosen: int, pms: str) -> Iterator[str]:
    yield from left_alone([(each.name, each.reason) for each in outcome.skipped])
    if outcome.closed:
        yield f"{counted(len(outcome.closed), 'alert')} closed."
    if outcome.discarded:
        shown = ", ".join(each.name for each in outcome.discarded[:_SHOWN])
        yield from wrapped(f"Discarded: {len(outcome.discarded)} ({shown})")
        yield from more(len(outcome.discarded))
        yield from _remarks(outcome.discarded, pms)
    left = chosen - len(outcome.discarded) - len(outcome.skipped)
    if outcome.interrupted and left:
        yield f"Interrupted: {counted(left, 'row')} not reached."
        yield "next: the same command goes on with what is left"
    elif not outcome.discarded and not outcome.closed:
        yield "Nothing changed."
        if outcome.skipped:
            yield f"next: outbox show {_word(outcome.skipped[0].name)}"
    elif outcome.discarded:
        doubtful = next((each for each in outcome.discarded if each.uncertain), None)
        first = outcome.discarded[0]
        yield (
            f"next: outbox check {_word(doubtful.name)}"
            if doubtful
            else f"next: outbox show {_word(first.name, first.delivery_id)}"
        )


def _remarks(discarded: Sequence[Discarded], pms: str) -> Iterator[str]:
    held = [each.name for each in discarded if each.reserved]
    doubtful = [each.name for each in discarded if each.uncertain]
    if held:
        yield from wrapped(f"{pms} still holds: {', '.join(held[:_SHOWN])}", first="note: ")
    if doubtful:
        yield from wrapped(
            f"the answer to a call was lost, so {pms} may hold it all the same:"
            f" {', '.join(doubtful[:_SHOWN])}",
            first="note: ",
        )


def _word(name: str, instead: object = None) -> str:
    from outbox_worker.alerts.shown import token

    return token(name) or (shlex.quote(name) if instead is None else str(instead))
