"""``outbox stats``: figures over time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from outbox_worker.cli.examples import examples
from outbox_worker.cli.invocation import Invocation, standard_options
from outbox_worker.cli.layout import columns, counted, labelled, span
from outbox_worker.cli.reply import Reply
from outbox_worker.cli.since import Since
from outbox_worker.operations.moments import moment

if TYPE_CHECKING:
    from outbox_worker.operations.figures import Figures

#: Shorter times are told in tenths of a second.
_SHORT = timedelta(seconds=60)
_FAILURES = 10


@click.command(
    "stats",
    short_help="Figures over time: success rate, attempts, payment to reservation.",
    epilog=examples("outbox stats", "outbox stats --since 7d", "outbox stats --since 24h --json"),
)
@click.option(
    "--since", type=Since(), help="Only what ended since then (24h, 7d, 2026-11-20). Else all."
)
@standard_options
@click.pass_obj
def command(invocation: Invocation, *, since: datetime | None) -> Reply:
    """Count how bookings reach the PMS, how soon, and what went wrong.

    pending: owed and not given up, now. synced: taken by the PMS, which holds it as it
    is. failed: given up and not repaired. success rate: synced of synced and failed.
    attempts: of a synced booking, in its last round. payment to reservation: from the
    moment its Stripe event was received (for a booking that the site's own programs
    asked for: from its confirmed_at) to the PMS's answer with its first reservation.
    failures: calls that did not succeed, those that were repeated included.
    """
    database = invocation.database()
    from outbox_worker.operations.figures import read_figures

    figures = invocation.on_database(
        database, "stats", lambda conn: read_figures(conn, since=since)
    )
    return Reply(data=figures, lines=tuple(_lines(figures)))


def _lines(figures: Figures) -> Iterator[str]:
    if figures.since is None:
        yield "Since the beginning"
    else:
        yield f"Since {moment(figures.since)}"
    yield from labelled(
        [
            ("pending", _pending(figures)),
            ("synced", f"{figures.synced:,}"),
            ("failed", _failed(figures)),
            ("tested", f"{figures.tested:,} in test mode only" if figures.tested else ""),
            ("success rate", _rate(figures)),
            ("attempts", _attempts(figures)),
            ("payment to reservation", _latency(figures)),
        ]
    )
    if figures.failures:
        yield ""
        rows = [("FAILED CALLS", "CALLS", "BOOKINGS")]
        rows += [
            (each.code, f"{each.attempts:,}", f"{each.bookings:,}")
            for each in figures.failures[:_FAILURES]
        ]
        yield from columns(rows)
        if len(figures.failures) > _FAILURES:
            yield f"and {counted(len(figures.failures) - _FAILURES, 'code')} more"
    yield ""
    bookings = figures.bookings
    yield (
        f"All bookings of the site by guestly_sync_status: {bookings.pending:,} pending,"
        f" {bookings.synced:,} synced, {bookings.failed:,} failed."
    )
    owed = figures.failed or figures.pending
    yield f"next: {'outbox list' if owed else 'outbox status'}"


def _pending(figures: Figures) -> str:
    if figures.oldest_owed_at is None:
        return f"{figures.pending:,}"
    return f"{figures.pending:,}, the oldest for {span(figures.now - figures.oldest_owed_at)}"


def _failed(figures: Figures) -> str:
    if not figures.failed:
        return "0"
    waiting = figures.failed - figures.retried
    return f"{figures.failed:,} ({figures.retried:,} tried again by itself, {waiting:,} rejected)"


def _rate(figures: Figures) -> str:
    if figures.success_rate is None:
        return "nothing was synced or given up"
    # 99.996 % is not all of them
    shown = min(figures.success_rate * 100, 99.9) if figures.failed else 100.0
    return f"{shown:.1f} %"


def _attempts(figures: Figures) -> str:
    if figures.average_attempts is None:
        return "none was needed" if figures.synced else "nothing was synced"
    return f"{figures.average_attempts:.2f} on average"


def _latency(figures: Figures) -> str:
    latency = figures.latency
    if latency.p50 is None or latency.p95 is None:
        return "nothing to measure"
    text = f"p50 {_time(latency.p50)}, p95 {_time(latency.p95)}"
    left = latency.reservations - latency.measured
    return f"{text} (without {left:,} of unknown beginning)" if left else text


def _time(value: timedelta) -> str:
    return f"{value.total_seconds():.1f} s" if value < _SHORT else span(value)
