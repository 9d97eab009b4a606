"""The demo's course: a site, its payments, what goes wrong, what is left at the end, its repair."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
from rich.console import Console

from outbox_worker.database import Connection, connection
from outbox_worker.demo import observation
from outbox_worker.demo.observation import LogLine
from outbox_worker.demo.payment import webhooks
from outbox_worker.demo.sender import Sender
from outbox_worker.demo.site import (
    PARKED,
    PROPERTIES,
    Fate,
    Property,
    SampleBooking,
    paid,
    sample_bookings,
)
from outbox_worker.demo.stack import SHORTENED, Stack
from outbox_worker.demo.verdict import (
    Evidence,
    LoggedEffect,
    checks_after_repair,
    checks_of_payments,
    latency,
)
from outbox_worker.demo.view import Progress, mail_panel, results_table, view_on
from outbox_worker.errors import OutboxError

_DEADLINE_SECONDS = 90.0
_LOOK_EVERY_SECONDS = 0.2


class DemoError(OutboxError):
    """The demo could not go on."""


async def play(stack: Stack, console: Console, *, hidden: int | None) -> bool:
    """Play the demo to its end.

    Args:
        stack: Running, and its database empty.
        console: Where everything is shown.
        hidden: Leave this reservation (1 is the first) out of the effect log before counting, as
            if the simulator had lost it; None leaves the log as it is.

    Returns:
        Whether every count was as expected.

    Raises:
        OutboxError: Something ended or answered as it should not.
    """
    bookings = sample_bookings(datetime.now(tz=UTC).date())
    sender = Sender(
        url=stack.receiver_url,
        secret=stack.webhook_secret,
        events=webhooks(bookings, created=datetime.now(tz=UTC)),
    )
    async with connection(stack.database_url, application_name="demo") as conn:
        await observation.insert_site(conn, bookings)
        console.print(
            f"A site with {len(PROPERTIES)} properties and {len(bookings)} unpaid bookings. "
            f"Stripe now reports {len(paid(bookings))} payments, some of them three times. "
            f"{stack.pms_title} will fail, break off and be late. "
            "Waiting is shorter here than in production: "
            f"{SHORTENED}.\n",
            highlight=False,
        )
        known = [place for place in PROPERTIES if place.listed]
        listed = all([await _list(stack, console, place) for place in known])
        await _control(stack, "PUT", "/_simulator/faults", {"rules": _faults(bookings)})
        console.print()
        await _watch(stack, console, conn, bookings, sender)
        for mail in stack.mailbox.mails():
            console.print(mail_panel(mail.subject, mail.text))
        evidence = await _evidence(stack, conn, sender, hidden)
        checks = checks_of_payments(bookings, evidence)
        console.print()
        console.print(results_table(checks, "After the payments", latency=latency(evidence)))
        console.print("\nNow an operator repairs the failed ones.", style="bold")
        answered = await _repair(stack, console, bookings)
        evidence = await _evidence(stack, conn, sender, hidden)
        repaired = checks_after_repair(bookings, evidence)
        console.print()
        console.print(results_table(repaired, "After the repair"))
    return listed and answered and all(check.passed for check in (*checks, *repaired))


def _faults(bookings: Sequence[SampleBooking]) -> list[dict[str, Any]]:
    rules: Mapping[Fate, dict[str, Any]] = {
        Fate.FAULT: {"fault": "error", "operation": "create", "status": 500, "times": 1},
        Fate.BROKEN: {"fault": "break", "when": "after", "operation": "create", "times": 1},
        Fate.TIMEOUT: {"fault": "timeout", "when": "after", "operation": "create", "times": 1},
        Fate.OUTAGE: {"fault": "error", "status": 503},
    }
    return [
        rules[booking.fate] | {"reference": booking.reference}
        for booking in bookings
        if booking.fate in rules
    ]


async def _watch(
    stack: Stack,
    console: Console,
    conn: Connection,
    bookings: Sequence[SampleBooking],
    sender: Sender,
) -> None:
    """Send the events and show what happens, until nothing is on its way any more."""
    bought = {booking.reference for booking in paid(bookings)}
    deadline, position = time.monotonic() + _DEADLINE_SECONDS, 0
    with view_on(console, pms=stack.pms_title) as view:
        sending = asyncio.create_task(sender.send())
        try:
            while True:
                stack.check()
                states = [
                    state
                    for state in await observation.bookings_of(conn)
                    if state.reference in bought
                ]
                lines, position = observation.log_lines(stack.worker_log, since=position)
                lines = [_with_reference(line, bookings) for line in lines]
                rest = [state for state in states if not state.delivered and not state.failed]
                parked = {state.reference for state in states if state.failed}
                mails = stack.mailbox.texts()
                progress = Progress(
                    sent=(sender.delivered, sender.total),
                    paid=(sum(state.status == "confirmed" for state in states), len(bought)),
                    synced=(sum(state.delivered for state in states), len(bought)),
                    retrying=sum(state.stumbles > 0 for state in rest),
                    failed=len(parked),
                    mails=len(mails),
                )
                view.show(progress, lines)
                if sending.done():
                    sending.result()
                told = all(any(one in mail for mail in mails) for one in parked)
                if sending.done() and ((not rest and told) or time.monotonic() > deadline):
                    break
                await asyncio.sleep(_LOOK_EVERY_SECONDS)
        finally:
            sending.cancel()
            await asyncio.wait([sending])


async def _repair(stack: Stack, console: Console, bookings: Sequence[SampleBooking]) -> bool:
    """Mend the causes, then send the failed bookings again; False: a command has failed."""
    missing = {one.place.slug: one.place for one in bookings if one.fate is Fate.UNLISTED}
    listed = all([await _list(stack, console, place) for place in missing.values()])
    await _control(stack, "DELETE", "/_simulator/faults", None)
    console.print(f"\n({stack.pms_title} is well again.)")
    failed = [one.reference for one in bookings if one.fate in PARKED]
    return listed and await _operate(stack, console, "requeue", *failed, "--yes", "--wait")


async def _list(stack: Stack, console: Console, place: Property) -> bool:
    return await _operate(stack, console, "listings", "set", place.slug, place.listing_id)


async def _operate(stack: Stack, console: Console, *arguments: str) -> bool:
    """Run an operator's command and show it with its answer; False: it has failed."""
    command = " ".join(arguments)
    console.print(f"\n$ outbox {command}", style="bold cyan", highlight=False, soft_wrap=True)
    result = await asyncio.to_thread(stack.outbox, *arguments)
    console.print(result.output, markup=False, highlight=False, soft_wrap=True)
    if result.code != 0:
        console.print(f"(it ended with status {result.code})", style="red")
    return result.code == 0


async def _control(stack: Stack, method: str, path: str, body: object) -> None:
    async with httpx.AsyncClient(timeout=10.0, trust_env=False) as client:
        answer = await client.request(method, f"{stack.simulator_url}{path}", json=body)
    if not answer.is_success:
        raise DemoError(f"the simulator answers {answer.status_code} to {method} {path}")


async def _evidence(stack: Stack, conn: Connection, sender: Sender, hidden: int | None) -> Evidence:
    return Evidence(
        bookings=await observation.bookings_of(conn),
        effects=_without(observation.effects_in(stack.effects), hidden),
        events_kept=await observation.events_kept(conn),
        deliveries_sent=sender.delivered,
        sent_at=sender.sent_at,
        mails=stack.mailbox.texts(),
    )


def _with_reference(line: LogLine, bookings: Sequence[SampleBooking]) -> LogLine:
    """The line with the booking's short reference in place of its id: the picture is narrow."""
    message = line.message
    for booking in bookings:
        message = message.replace(str(booking.id), booking.reference)
    return replace(line, message=message)


def _without(effects: Sequence[LoggedEffect], hidden: int | None) -> tuple[LoggedEffect, ...]:
    ids = list(dict.fromkeys(effect.reservation_id for effect in effects))
    lost = None if hidden is None else ids[hidden - 1]
    return tuple(effect for effect in effects if effect.reservation_id != lost)
