"""``outbox requeue``: ask again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from outbox_worker.cli.bulk import paced, progress_bar, to_its_end
from outbox_worker.cli.examples import examples
from outbox_worker.cli.invocation import Invocation, standard_options
from outbox_worker.cli.layout import counted, wrapped
from outbox_worker.cli.prompt import require_consent
from outbox_worker.cli.reply import Reply, printable
from outbox_worker.cli.requeue_answer import Outcome, answer, exit_code, preview
from outbox_worker.cli.since import Since, typed

if TYPE_CHECKING:
    from outbox_worker.database import Connection
    from outbox_worker.operations.plan import Item, Selection
    from outbox_worker.operations.requeue import Changed, Closed, Request, Requeued, Skipped
    from outbox_worker.operations.settling import Settled
    from outbox_worker.settings import SyncSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is asked for again: exactly one of the four ways to say it."""

    refs: tuple[str, ...]
    failed: bool
    missing: bool
    test_mode: bool
    code: str | None
    since: datetime | None

    @property
    def heading(self) -> str:
        """Above the list of what will be sent."""
        return "To be sent" if self.missing else "To be sent again"

    def check(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            click.UsageError: None or several ways, or a filter without --failed.
        """
        ways = [bool(self.refs), self.failed, self.missing, self.test_mode]
        if sum(ways) != 1:
            raise click.UsageError("Give REFs, or one of --failed, --missing and --test-mode.")
        if (self.code or self.since) and not self.failed:
            raise click.UsageError("--error and --since go with --failed.")

    def by(self, actor: str, reason: str | None) -> Request:
        """The request for the history."""
        from outbox_worker.operations.requeue import Request

        return Request(actor=actor, target=str(self), reason=reason, closes_alerts=bool(self.refs))

    def __str__(self) -> str:
        words = [*self.refs]
        words += ["--failed"] if self.failed else []
        words += ["--missing"] if self.missing else []
        words += ["--test-mode"] if self.test_mode else []
        words += ["--error", self.code] if self.code else []
        words += ["--since", typed(self.since)] if self.since else []
        return shlex.join(words)


@dataclass(slots=True, kw_only=True)
class Run:
    """What has been done so far; an interruption leaves it as it is then."""

    requeued: list[Requeued] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    closed: list[Closed] = field(default_factory=list)
    settled: tuple[Settled, ...] | None = None
    stale: str | None = None

    def add(self, changed: Changed) -> None:
        """Take in one slice."""
        self.requeued += changed.requeued
        self.skipped += changed.skipped
        self.closed += changed.closed


@click.command(
    "requeue",
    short_help="Send bookings again, or for the first time.",
    epilog=examples(
        "outbox requeue LA2026-48213 --wait",
        "outbox requeue --failed --error http_503 --since 6h",
        "outbox requeue --missing --dry-run",
    ),
)
@click.argument("refs", metavar="[REF]...", nargs=-1)
@click.option("--failed", is_flag=True, help="Everything that was given up.")
@click.option("--error", "code", metavar="CODE", help="With --failed: only with this error code.")
@click.option(
    "--since", type=Since(), help="With --failed: only given up since (2h, 3d, 2026-11-20)."
)
@click.option(
    "--missing", is_flag=True, help="Paid and confirmed bookings that nobody asked to send."
)
@click.option("--test-mode", is_flag=True, help="Bookings that only test mode has handled.")
@click.option("--wait", is_flag=True, help="Wait until it is known what became of each.")
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--reason", metavar="TEXT", help="Why, for the history.")
@standard_options
@click.pass_obj
def command(
    invocation: Invocation,
    /,
    *,
    wait: bool,
    dry_run: bool,
    yes: bool,
    reason: str | None,
    **chosen: Any,
) -> Reply:
    """Ask that bookings are sent again, with all their attempts anew.

    What the PMS holds as it should be, and what a worker is sending now, is left alone.
    Acts on the list that it shows, asks first unless REFs were given, and can be
    interrupted and repeated.
    """
    choice = Choice(**chosen)
    choice.check()
    database, sync = invocation.database_and_sync()
    actor = invocation.actor()
    items, notes = invocation.on_database(
        database, "requeue", lambda conn: _plan(conn, choice, sync)
    )
    if dry_run:
        return _dry(items, notes, choice.heading)
    wanted = [item for item in items if item.skip is None]
    if wanted and not choice.refs:
        require_consent(
            "\n".join([*preview(items, choice.heading), *notes]),
            question=f"Send {counted(len(wanted), 'booking')}?"
            if choice.missing or choice.test_mode
            else f"Send {len(wanted)} again?",
            assume_yes=yes,
        )
    done = Run()
    interrupted = False
    try:
        invocation.on_database(
            database,
            "requeue",
            lambda conn: _act(conn, items, done, sync, choice.by(actor, reason), wait=wait),
        )
    except KeyboardInterrupt:
        interrupted = True
    outcome = Outcome(
        dry_run=False,
        interrupted=interrupted,
        plan=None,
        notes=notes,
        requeued=tuple(done.requeued),
        skipped=tuple(done.skipped),
        closed=tuple(done.closed),
        settled=done.settled,
        stale=done.stale,
    )
    lines = tuple(answer(outcome, chosen=len(items), missing=choice.missing))
    return Reply(data=outcome, lines=lines, code=exit_code(outcome))


async def _plan(
    conn: Connection, choice: Choice, sync: SyncSettings
) -> tuple[tuple[Item, ...], tuple[str, ...]]:
    """The plan, and what keeps it from having the effect that was meant."""
    from outbox_worker.operations.fleet import SyncMode, read_fleet, still_testing
    from outbox_worker.operations.plan import PmsView, plan
    from outbox_worker.pms.port import PmsName

    view = PmsView(pms=PmsName(sync.pms), currency=sync.currency)
    items = await plan(conn, await _selection(conn, choice), view=view)
    ours = SyncMode.of(sync)
    fleet = await read_fleet(conn, ours)
    wanted = {item.destination for item in items if item.skip is None}
    notes = [f"note: {why}." for where, why in fleet.closed.items() if where in wanted]
    stale = still_testing(fleet, ours)
    if "guestly" in wanted and stale is not None:
        notes += wrapped(stale, first="note: ")
    elif "guestly" in wanted and fleet.mode.enabled and fleet.mode.test_mode:
        notes.append(
            f"note: test mode is on (GUESTLY_TEST_MODE=true): nothing reaches {fleet.pms}."
        )
    return items, tuple(notes)


async def _act(
    conn: Connection,
    items: Sequence[Item],
    done: Run,
    sync: SyncSettings,
    request: Request,
    *,
    wait: bool,
) -> None:
    from outbox_worker.operations.fleet import SyncMode
    from outbox_worker.operations.requeue import apply
    from outbox_worker.operations.settling import only_tested, wait_until_settled

    async def change(part: Sequence[Item]) -> None:
        done.add(await apply(conn, part, request))

    with progress_bar(len(items), "requeue") as bar:
        async for part in paced(items, per_minute=sync.rate_per_minute):
            await to_its_end(change(part))
            bar.advance(len(part))
    if wait and done.requeued:
        ours = SyncMode.of(sync)
        done.settled = await wait_until_settled(conn, done.requeued, ours=ours, stalled=_stalled)
        done.stale = await only_tested(conn, done.settled, ours=ours)


def _stalled(why: str) -> None:
    for line in wrapped(f"still waiting: {why}; Ctrl-C stops waiting only"):
        click.echo(printable(line), err=True)


async def _selection(conn: Connection, choice: Choice) -> Selection:
    from outbox_worker.operations.plan import Failed, InTestMode, Missing, Named
    from outbox_worker.operations.refs import resolve

    if choice.failed:
        return Failed(code=choice.code, since=choice.since)
    if choice.missing:
        return Missing()
    if choice.test_mode:
        return InTestMode()
    # all of them first: a typing error in the last one leaves the others untouched
    return Named(targets=tuple([await resolve(conn, ref) for ref in choice.refs]))


def _dry(items: tuple[Item, ...], notes: tuple[str, ...], heading: str) -> Reply:
    outcome = Outcome(
        dry_run=True,
        interrupted=False,
        plan=items,
        notes=notes,
        requeued=(),
        skipped=(),
        closed=(),
        settled=None,
    )
    lines = (*preview(items, heading), *notes, "Dry run: nothing was changed.")
    return Reply(data=outcome, lines=lines)
