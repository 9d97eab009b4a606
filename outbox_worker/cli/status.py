"""``outbox status``: whether a person is needed, and what is owed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import click

from outbox_worker.cli.exits import ExitCode
from outbox_worker.cli.invocation import Invocation, standard_options
from outbox_worker.cli.layout import columns, counted, day, span, until, wrapped
from outbox_worker.cli.reply import Reply
from outbox_worker.operations.moments import moment
from outbox_worker.settings import NEEDED_TO_CALL
from outbox_worker.settings_catalogue import KEPT_IN

if TYPE_CHECKING:
    from outbox_worker.operations.status import DestinationCounts, OpenAlert, Status
    from outbox_worker.operations.trouble import Overdue, Trouble


@click.command("status", short_help="Whether a person is needed, and what is owed.")
@standard_options
@click.pass_obj
def command(invocation: Invocation) -> Reply:
    """Say whether a person is needed, what is owed to whom, and who is working.

    Exit code 5 when a person is needed: something was given up, has been owed for over five
    minutes or cannot be told, a live payment was handled in test mode, or no worker is running.
    """
    database, sync = invocation.database_and_sync()
    from outbox_worker.operations.fleet import SyncMode
    from outbox_worker.operations.status import read_status

    ours = SyncMode.of(sync)
    status = invocation.on_database(database, "status", lambda conn: read_status(conn, ours))
    return Reply(
        data=status,
        lines=tuple(_lines(status, pms=sync.pms)),
        code=ExitCode.NEEDS_PERSON if status.needs else ExitCode.DONE,
    )


def _lines(status: Status, *, pms: str) -> Iterator[str]:
    yield from _banners(status)
    if status.needs:
        yield "NEEDS YOU"
        yield from _needs(status, pms=pms)
    else:
        yield "Nothing needs you."
    yield ""
    for each in status.destinations:
        yield from _destination(each, off=each.destination in status.trouble.unconfigured)
    yield from _oldest(status)
    yield from _waiting(status)
    yield ""
    yield from _workers(status)
    for warning in status.warnings:
        yield from wrapped(warning, first="warning: ")


def _banners(status: Status) -> Iterator[str]:
    from outbox_worker.operations.fleet import disabled

    mode = status.fleet.mode
    pms, off = status.fleet.pms, disabled(mode.pms)
    if not mode.enabled:
        yield from wrapped(f"{off}: bookings are held, none is lost.")
    elif mode.test_mode:
        yield f"TEST MODE (GUESTLY_TEST_MODE=true): nothing is sent to {pms}."
    if status.tested and not (mode.enabled and mode.test_mode):
        yield from wrapped(
            f"TEST: {counted(status.tested, 'booking')} handled in test mode only, not in {pms}."
            " Send with: outbox requeue --test-mode"
        )
    elif status.tested:
        yield f"TEST: {counted(status.tested, 'booking')} handled so far."
    for each in status.destinations:
        if each.closed and each.closed != off:
            yield from wrapped(f"{each.destination} is held: {each.closed}")


def _needs(status: Status, *, pms: str) -> Iterator[str]:
    if status.parked_total:
        yield from _parked(status)
    if status.missing_total:
        yield f"  {counted(status.missing_total, 'confirmed booking')} never requested"
        rows = [(each.name, f"check-in {day(each.check_in)}") for each in status.missing]
        yield from columns(rows, indent="    ")
        yield from _more(status.missing_total, len(status.missing))
        yield "    fix: outbox requeue --missing"
    if any("event has waited" in need for need in status.needs):
        yield "  a payment event could not be applied for more than 10 minutes"
        for event in status.waiting_events:
            said = f"{event.outcome}, {event.type}, since {moment(event.received_at)}"
            yield from wrapped(said, first=f"    {event.id}  ", rest="      ")
        yield f"    fix: outbox show {status.waiting_events[0].id}"
    if status.open_alerts_total:
        yield f"  {counted(status.open_alerts_total, 'alert is', 'alerts are')} open"
        for alert in status.open_alerts:
            about = f" about {alert.booking}" if alert.booking else ""
            said = f"{alert.kind}{about}, since {moment(alert.first_seen_at)}"
            yield from wrapped(said, first="    ", rest="      ")
            yield from _fix(alert, pms=pms)
        yield from _more(status.open_alerts_total, len(status.open_alerts))
    yield from _trouble(status.trouble, status.fleet.pms)
    if not status.fleet.workers:
        yield f"  {status.needs[-1]}"
        yield "    fix: outbox worker run (or: systemctl start outbox-worker)"


def _trouble(trouble: Trouble, pms: str) -> Iterator[str]:
    for each in trouble.channels:
        code = f" ({each.error_code})" if each.error_code else ""
        yield from wrapped(f"{each.sentence}, since {moment(each.since)}{code}", first="  ")
        settings = (
            "ALERT_CHAT_WEBHOOK_URL"
            if each.channel == "chat"
            else "ADMIN_ALERT_EMAIL, EMAIL_FROM and EMAIL_API_KEY or SMTP_URL"
        )
        if each.error:
            yield from wrapped(each.error, first="    why: ")
        yield from wrapped(f"check {settings}, then restart the worker", first="    fix: ")
    if trouble.live_tested:
        what = counted(trouble.live_tested, "live payment was", "live payments were")
        yield f"  {what} handled in test mode: not in {pms}"
        yield "    fix: set GUESTLY_TEST_MODE=false and restart the worker, then"
        yield "         outbox requeue --test-mode"
    if late := trouble.overdue:
        yield f"  {late.destination} has been owed something for {span(late.waited)}"
        yield f"    fix: outbox show {_overdue_ref(late)}"


def _overdue_ref(overdue: Overdue) -> str:
    from outbox_worker.alerts.shown import token

    known = overdue.destination in {"guestly", "inbox"} and token(overdue.name)
    return known or str(overdue.delivery_id)


def _fix(alert: OpenAlert, *, pms: str) -> Iterator[str]:
    from outbox_worker.alerts.alert import AlertKind
    from outbox_worker.alerts.words_access import ACCESS

    shut = alert.kind in {AlertKind.MISCONFIGURED, AlertKind.CIRCUIT_OPEN}
    known = ACCESS.get(alert.code or "") if shut else None
    if known is None:
        yield from wrapped(_remedy(alert, pms=pms), first="      fix: ")
        return
    yield from wrapped(f"{known.symptom} ({alert.code})", first="      why: ")
    yield from wrapped(known.step.text, first="      fix: ")
    for command in known.step.commands:
        yield f"           {command}"


def _remedy(alert: OpenAlert, *, pms: str) -> str:
    from outbox_worker.alerts.alert import AlertKind
    from outbox_worker.alerts.shown import token

    if alert.kind is AlertKind.MISCONFIGURED:
        code = f" ({alert.code})" if alert.code else ""
        settings = " / ".join(reversed(NEEDED_TO_CALL[pms]))
        kept = f" {KEPT_IN}" if pms == "guesty" else ""
        return f"correct {settings}{kept}{code} and restart the worker"
    ref = (token(alert.booking) if alert.booking else None) or alert.booking_id
    if ref:
        return f"outbox show {ref}"
    if alert.kind is AlertKind.EVENT_MALFORMED:
        return "look the event up in Stripe"
    return "outbox destinations" if alert.kind is AlertKind.CIRCUIT_OPEN else "outbox alerts list"


def _parked(status: Status) -> Iterator[str]:
    what = counted(status.parked_total, "delivery was", "deliveries were")
    yield f"  {what} given up"
    rows = [("REF", "CHECK-IN", "STATE", "NEXT TRY", "ERROR")]
    rows += [
        (
            each.name,
            day(each.check_in) if each.check_in else "-",
            each.state.value,
            _next_try(each.due_at, status.fleet.now),
            each.error_code or "-",
        )
        for each in status.parked
    ]
    yield from columns(rows, indent="    ")
    yield from _more(status.parked_total, len(status.parked))
    yield f"    fix: outbox show {status.parked[0].name}"


def _next_try(at: datetime | None, now: datetime) -> str:
    if at is None:
        return "never"
    return until(at - now) if at > now else "now"


def _more(total: int, shown: int) -> Iterator[str]:
    if total > shown:
        yield f"    and {total - shown:,} more"


def _destination(each: DestinationCounts, *, off: bool) -> Iterator[str]:
    told = each.destination in {"email", "chat"}
    parts = [
        f"{'told' if told and state == 'synced' else state} {number:,}"
        f"{'+' if state == 'synced' and each.synced_at_least else ''}"
        for state, number in each.counts.items()
        if number and not (off and state == "synced")
    ]
    if off:
        parts.insert(0, "not set up")
    if parts or each.destination != "chat":
        yield from wrapped(", ".join(parts) or "nothing yet", first=f"{each.destination:<9}")


def _oldest(status: Status) -> Iterator[str]:
    owed = [
        (each.oldest_owed_at, each.destination)
        for each in status.destinations
        if each.oldest_owed_at is not None
    ]
    if owed:
        at, destination = min(owed)
        yield f"Oldest owed: {span(status.fleet.now - at)} ({destination})."


def _waiting(status: Status) -> Iterator[str]:
    if status.waiting_events_total:
        number = counted(status.waiting_events_total, "payment event waits", "payment events wait")
        yield f"{number} to be applied."


def _workers(status: Status) -> Iterator[str]:
    workers = status.fleet.workers
    if not workers:
        yield "No worker is running."
        return
    yield f"{counted(len(workers), 'worker')} running"
    rows = []
    for worker in workers:
        mode = "TEST" if worker.test_mode else "LIVE"
        rows.append(
            (
                worker.id,
                mode if worker.sync_enabled else "DISABLED",
                "listening" if worker.listening else "polling",
                f"{worker.in_flight} in flight",
                f"seen {span(worker.seen_ago)} ago",
            )
        )
    yield from columns(rows, indent="  ")
