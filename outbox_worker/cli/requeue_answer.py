"""What ``outbox requeue`` answers: its preview, its results and its exit code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from outbox_worker.alerts.shown import token
from outbox_worker.cli.exits import ExitCode
from outbox_worker.cli.layout import columns, counted, day, wrapped

if TYPE_CHECKING:
    from outbox_worker.operations.plan import Item
    from outbox_worker.operations.requeue import Closed, Requeued, Skipped
    from outbox_worker.operations.settling import Settled

#: A longer list is cut in the preview and in the answer; --json has all of it.
_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the command answers.

    Args:
        plan: What was chosen, in a dry run alone.
        notes: What keeps it from having the effect that was meant, such as test mode.
        closed: Alerts about the named bookings that were closed.
        settled: What became of each, with --wait alone.
        stale: Why some were only tested though our own settings send, and what to do.
    """

    dry_run: bool
    interrupted: bool
    plan: tuple[Item, ...] | None
    notes: tuple[str, ...]
    requeued: tuple[Requeued, ...]
    skipped: tuple[Skipped, ...]
    closed: tuple[Closed, ...]
    settled: tuple[Settled, ...] | None
    stale: str | None = None


def preview(items: Sequence[Item], heading: str = "To be sent again") -> Iterator[str]:
    """Lines that show what would be acted on, and what would be left alone and why."""
    wanted = [item for item in items if item.skip is None]
    if wanted:
        rows = [("REF", "CHECK-IN", "STATE", "LAST ERROR")]
        rows += [
            (
                item.name,
                day(item.check_in) if item.check_in else "-",
                item.state or "never requested",
                item.error_code or "-",
            )
            for item in wanted[:_SHOWN]
        ]
        yield f"{heading}: {len(wanted)}"
        yield from columns(rows, indent="  ")
        yield from more(len(wanted))
    else:
        yield f"{heading}: nothing"
    yield from left_alone([(item.name, item.skip) for item in items if item.skip is not None])


def left_alone(pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Lines that name what is not acted on, and why."""
    if pairs:
        yield f"Left alone: {len(pairs)}"
        yield from columns(pairs[:_SHOWN], indent="  ")
        yield from more(len(pairs))


def more(total: int) -> Iterator[str]:
    """A line that says how many of a cut list are not shown."""
    if total > _SHOWN:
        yield f"  and {total - _SHOWN:,} more"


def exit_code(outcome: Outcome) -> ExitCode:
    """How it went, in one number."""
    if outcome.interrupted:
        return ExitCode.INTERRUPTED
    if not outcome.requeued and not outcome.closed:
        return ExitCode.UNCHANGED
    if outcome.settled is not None:
        # what was to be sent, and was only tested, is not there
        synced = sum(
            each.state == "synced" and not (each.tested and outcome.stale is not None)
            for each in outcome.settled
        )
        if not synced:
            return ExitCode.FAILED
        if synced < len(outcome.settled):
            return ExitCode.PARTLY
    changed = {each.name for each in outcome.closed}
    left = any(each.name not in changed for each in outcome.skipped)
    return ExitCode.PARTLY if left else ExitCode.DONE


def answer(outcome: Outcome, *, chosen: int, missing: bool = False) -> Iterator[str]:
    """Lines about what was done.

    Args:
        outcome: What was done.
        chosen: How many subjects the plan had.
        missing: Whether bookings were looked for that nobody asked to send.
    """
    yield from left_alone([(each.name, each.reason) for each in outcome.skipped])
    if outcome.closed:
        yield f"{counted(len(outcome.closed), 'alert')} closed."
    if outcome.settled is not None:
        yield from results(outcome.settled)
    elif outcome.requeued:
        shown = ", ".join(each.name for each in outcome.requeued[:_SHOWN])
        yield from wrapped(f"Asked for again: {len(outcome.requeued)} ({shown})")
        yield from more(len(outcome.requeued))
    left = chosen - len(outcome.requeued) - len(outcome.skipped)
    if outcome.interrupted and left:
        yield f"Interrupted: {counted(left, 'row')} not reached."
        yield "next: the same command goes on with what is left"
        return
    if outcome.interrupted:
        yield "Interrupted: what becomes of it was not waited for."
    elif not outcome.requeued and not outcome.closed:
        if missing and not chosen:
            yield "No confirmed booking is missing."
        yield "Nothing changed."
    elif outcome.requeued and outcome.settled is None:
        yield from outcome.notes
    yield from _next(outcome)


def _next(outcome: Outcome) -> Iterator[str]:
    """The next sensible command: where something is not as it should be, else how all is."""
    if outcome.stale is not None:
        yield from restart(outcome.stale)
        return
    unsettled = [each.name for each in outcome.settled or () if each.state != "synced"]
    asked = outcome.requeued if outcome.settled is None else ()
    names = [
        *unsettled,
        *(_word(each) for each in asked),
        *(each.name for each in outcome.skipped if not outcome.requeued),
    ]
    known = token(names[0]) if names else None
    yield f"next: outbox show {known}" if known else "next: outbox status"


def restart(stale: str) -> Iterator[str]:
    """Lines that say what to do about a worker that tests what our own settings send."""
    yield from wrapped(stale, first="next: ")


def _word(requeued: Requeued) -> str:
    return token(requeued.name) or str(requeued.delivery_id)


def results(settled: Sequence[Settled]) -> Iterator[str]:
    """Lines that say what became of each."""
    synced = [each for each in settled if each.state == "synced"]
    others = [each for each in settled if each.state != "synced"]
    for each in synced[:_SHOWN]:
        if each.tested:
            yield f"{each.name}  tested, nothing was sent (GUESTLY_TEST_MODE=true)"
            continue
        held = f", reservation {each.reservation_id}" if each.reservation_id else ""
        yield f"{each.name}  synced{held}"
    yield from more(len(synced))
    for each in others[:_SHOWN]:
        code = f" ({each.error_code})" if each.error_code else ""
        why = each.note or f"{each.error or 'no details'}{code}"
        yield from wrapped(why, first=f"{each.name}  {each.state}: ", rest="  ")
    yield from more(len(others))
    if len(settled) > 1:
        tested = sum(each.tested for each in synced)
        parts = [(len(synced) - tested, "synced"), (tested, "only tested"), (len(others), "not")]
        yield f"{', '.join(f'{n} {what}' for n, what in parts if n or what != 'only tested')}."
