"""``outbox migrate``: bring the database to this version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from outbox_worker.cli.exits import ExitCode
from outbox_worker.cli.invocation import Invocation, standard_options
from outbox_worker.cli.layout import wrapped
from outbox_worker.cli.prompt import require_consent
from outbox_worker.cli.reply import Reply

if TYPE_CHECKING:
    from outbox_worker.migrate import MigrationReport


@click.command("migrate", short_help="Create or update the tables of this project.")
@click.option("--dry-run", is_flag=True, help="Only list what would be applied.")
@click.option(
    "--with-booking-trigger",
    is_flag=True,
    help="Also sync bookings that other programs change, by a trigger on public.bookings.",
)
@click.option("--rollback", is_flag=True, help="Remove schema outbox and all that it holds.")
@click.option("--yes", is_flag=True, help="Do not ask before a rollback.")
@standard_options
@click.pass_obj
def command(
    invocation: Invocation, *, dry_run: bool, with_booking_trigger: bool, rollback: bool, yes: bool
) -> Reply:
    """Apply the migrations that are missing, over the direct connection.

    Safe to repeat, safe to run on several machines at once. Sends nothing to the PMS.
    """
    if rollback and (dry_run or with_booking_trigger):
        raise click.UsageError("--rollback stands alone: it takes --yes and nothing else.")
    reader = invocation.settings()
    url = reader.database().listen_url
    reader.finish()
    from outbox_worker import migrate

    if rollback:
        require_consent(
            "This removes schema outbox: every delivery and its history.\n"
            "Tables of the site keep their rows, reservation ids included.",
            question="Remove it?",
            assume_yes=yes,
        )
        undone = migrate.rollback(url.reveal())
        lines = tuple(f"rolled back {name}" for name in undone)
        return Reply(data={"rolled_back": undone}, lines=lines or ("Nothing to roll back.",))
    if dry_run:
        report = migrate.pending(url.reveal(), with_booking_trigger=with_booking_trigger)
        lines = tuple(f"would apply {name}" for name in report.pending)
    else:
        report = migrate.apply(url.reveal(), with_booking_trigger=with_booking_trigger)
        lines = tuple(f"applied {name}" for name in report.applied)
    if report.trigger_created is not None:
        lines += (_trigger_line(created=report.trigger_created, dry_run=dry_run),)
    return Reply(
        data=report,
        lines=(
            *(lines or ("Nothing to do: the database is up to date.",)),
            *(line for text in report.warnings for line in wrapped(text, first="warning: ")),
            f"next: outbox {_next(report, planned=dry_run, trigger=with_booking_trigger)}",
        ),
        code=ExitCode.DONE,
    )


def _next(report: MigrationReport, *, planned: bool, trigger: bool) -> str:
    if not planned or not (report.pending or report.trigger_created):
        return "status"
    return "migrate --with-booking-trigger" if trigger else "migrate"


def _trigger_line(*, created: bool, dry_run: bool) -> str:
    name = "trigger outbox_booking_changed on public.bookings"
    if not created:
        return f"{name} already there"
    return f"would create {name}" if dry_run else f"{name} created"
