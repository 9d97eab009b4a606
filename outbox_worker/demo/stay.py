"""``make run``: the same stack with the same site, up until Ctrl-C, and how to talk to it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from rich.console import Console

from outbox_worker.database import connection
from outbox_worker.demo import observation
from outbox_worker.demo.payment import payment_succeeded
from outbox_worker.demo.site import PROPERTIES, SampleBooking, sample_bookings
from outbox_worker.demo.stack import SHORTENED, Stack
from outbox_worker.demo.view import folded
from outbox_worker.pms.port import PmsName

_LOOK_EVERY_SECONDS = 0.3


async def stay(stack: Stack, console: Console) -> None:
    """Insert the site, print how to talk to the stack, then relay the logs until cancelled.

    Raises:
        OutboxError: A process has ended.
    """
    bookings = sample_bookings(datetime.now(tz=UTC).date())
    async with connection(stack.database_url, application_name="demo") as conn:
        await observation.insert_site(conn, bookings)
    for place in PROPERTIES:
        await asyncio.to_thread(stack.outbox, "listings", "set", place.slug, place.listing_id)
    for instruction in _instructions(stack, bookings):
        _print(console, instruction)
    positions = {program.name: 0 for program in stack.programs}
    read = 0
    while True:
        stack.check()
        for program in stack.programs:
            lines, end = observation.log_lines(program.log, since=positions[program.name])
            positions[program.name] = end
            for line in lines:
                _tell(console, program.name, line.message)
        mails = stack.mailbox.mails()
        for mail in mails[read:]:
            _tell(console, "mail", mail.subject)
        read = len(mails)
        await asyncio.sleep(_LOOK_EVERY_SECONDS)


def _tell(console: Console, who: str, message: str) -> None:
    """One line of a log; folded for a terminal alone, so that others can search it."""
    first = f"{who:9} "
    width = console.width if console.is_terminal else len(first) + len(message)
    for part in folded(message, width, first=first):
        _print(console, part)


def _print(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _instructions(stack: Stack, bookings: tuple[SampleBooking, ...]) -> tuple[str, ...]:
    first, second = bookings[0], bookings[1]
    body = payment_succeeded(first, created=datetime.now(tz=UTC)).decode()
    forward = stack.receiver_url.removeprefix("http://")
    signing = f"openssl dgst -sha256 -hmac {stack.webhook_secret} | sed 's/.*= *//'"
    trigger = " --override payment_intent:".join(
        (
            "stripe trigger payment_intent.succeeded",
            f"amount={int(second.total * 100)}",
            "currency=eur",
            f"metadata.booking_reference={second.reference}",
        )
    )
    # what it was started with; make's own default is the other one
    pms = "" if stack.pms is PmsName.GUESTLY else f" PMS={stack.pms}"
    return (
        f"{stack.postgres}, simulator, receiver and worker are up; Ctrl-C stops them all.",
        f"{len(bookings)} bookings wait for their payment, {first.reference} is the first.",
        f"Shorter than in production: {SHORTENED}.",
        "",
        f"{f'What {stack.pms_title} holds:':21} {stack.simulator_url}/",
        "Operators' commands, such as status, show and requeue, with these settings:",
        f"  .venv/bin/outbox status --env-file {stack.settings_file}",
        "",
        f"Pay for {first.reference}, as Stripe would report it:",
        f"  body='{body}'",
        f"""  t=$(date +%s); v1=$(printf '%s.%s' "$t" "$body" | {signing})""",
        f"""  curl -i {stack.receiver_url} -H "Stripe-Signature: t=$t,v1=$v1" -d "$body\"""",
        "",
        "With Stripe's own command, in test mode: start this with",
        f"""  make run{pms} ARGS="--stripe-secret $(stripe listen --print-secret)\"""",
        "and then, elsewhere,",
        f"  stripe listen --forward-to {forward}",
        f"  {trigger}",
        "",
    )
