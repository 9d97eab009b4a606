"""``outbox prune``: remove what is finished and old."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from outbox_worker.cli.bulk import progress_bar, to_its_end
from outbox_worker.cli.examples import examples
from outbox_worker.cli.exits import ExitCode
from outbox_worker.cli.invocation import Invocation, standard_options
from outbox_worker.cli.layout import counted, day, labelled, wrapped
from outbox_worker.cli.prompt import require_consent
from outbox_worker.cli.reply import Reply

if TYPE_CHECKING:
    from outbox_worker.database import Connection
    from outbox_worker.operations.prune import PrunePlan, Removed


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the command answers; ``removed`` None: a dry run."""

    plan: PrunePlan
    removed: Removed | None
    interrupted: bool


@dataclass(slots=True, kw_only=True)
class _Run:
    parts: list[Removed] = field(default_factory=list)

    @property
    def removed(self) -> Removed:
        from outbox_worker.operations.prune import Removed

        return sum(self.parts, start=Removed())


@click.command(
    "prune",
    short_help="Remove event bodies and history that are finished and old.",
    epilog=examples("outbox prune --dry-run", "outbox prune --yes"),
)
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@standard_options
@click.pass_obj
def command(invocation: Invocation, *, dry_run: bool, yes: bool) -> Reply:
    """Remove event bodies and history that are finished and old.

    Bodies go after BODY_RETENTION_DAYS, history after RETENTION_DAYS. Nothing goes that is
    owed, was given up or set aside, or is in doubt; nor what the PMS is known to hold.
    It can be interrupted and repeated.
    """
    reader = invocation.settings()
    database, keep = reader.database(), reader.retention()
    reader.finish()
    actor = invocation.actor()
    from outbox_worker.operations.prune import plan_prune

    plan = invocation.on_database(database, "prune", lambda conn: plan_prune(conn, keep))
    lines = tuple(_preview(plan))
    if dry_run or not plan.counts.total:
        removed = None if dry_run else plan.counts
        told = (*lines, "Dry run: nothing was changed.") if plan.counts.total else lines
        return Reply(data=Outcome(plan=plan, removed=removed, interrupted=False), lines=told)
    require_consent("\n".join(lines), question="Remove that for good?", assume_yes=yes)
    run = _Run()
    interrupted = False
    try:
        invocation.on_database(database, "prune", lambda conn: _act(conn, plan, run, actor=actor))
    except KeyboardInterrupt:
        interrupted = True
    outcome = Outcome(plan=plan, removed=run.removed, interrupted=interrupted)
    return Reply(
        data=outcome,
        lines=tuple(_answer(run.removed, interrupted=interrupted)),
        code=ExitCode.INTERRUPTED if interrupted else ExitCode.DONE,
    )


async def _act(conn: Connection, plan: PrunePlan, run: _Run, *, actor: str) -> None:
    from outbox_worker.operations.prune import prune, record_prune

    batches = prune(conn, plan)
    over = False

    async def batch() -> None:
        nonlocal over
        removed = await anext(batches, None)
        over = removed is None
        if removed is not None:
            run.parts.append(removed)

    try:
        with progress_bar(plan.counts.total, "prune") as bar:
            while not over:
                await to_its_end(batch())
                bar.advance(run.parts[-1].total if run.parts and not over else 0)
                await asyncio.sleep(0)  # where Ctrl-C takes effect
    finally:
        if run.removed.total:
            await record_prune(conn, plan, run.removed, actor=actor)


def _preview(plan: PrunePlan) -> Iterator[str]:
    if not plan.counts.total:
        yield (
            f"Nothing to remove: no body from before {day(plan.bodies_before.date())}, no history"
        )
        yield f"from before {day(plan.history_before.date())}."
        yield "next: outbox status"
        return
    yield f"Bodies of events from before {day(plan.bodies_before.date())}, and what was finished"
    yield f"before {day(plan.history_before.date())}:"
    yield from _counts(plan.counts)
    if plan.actions_kept:
        kept = counted(plan.actions_kept, "old action")
        yield from wrapped(
            f"{kept} of operators stays: this role may not remove them", first="note: "
        )


def _counts(removed: Removed) -> Iterator[str]:
    yield from labelled(
        [
            (f"{number:,}", what)
            for number, what in (
                (removed.bodies, "bodies of events (the events stay)"),
                (removed.deliveries, "deliveries with their requests"),
                (removed.attempts, "attempts"),
                (removed.alerts, "alerts"),
                (removed.actions, "actions of operators"),
                (removed.workers, "workers"),
            )
            if number
        ]
    )


def _answer(removed: Removed, *, interrupted: bool) -> Iterator[str]:
    if interrupted:
        yield f"Interrupted: {counted(removed.total, 'row')} dealt with so far."
        yield "next: the same command goes on with what is left"
        return
    yield "Removed:" if removed.total else "Removed: nothing"
    yield from _counts(removed)
    yield "next: outbox status"
