"""``outbox check``: ask the PMS what it holds for one booking."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import click

from outbox_worker.cli.examples import examples
from outbox_worker.cli.exits import ExitCode
from outbox_worker.cli.invocation import Invocation, pms_name, standard_options
from outbox_worker.cli.layout import day, fixes, wrapped
from outbox_worker.cli.price import price_lines
from outbox_worker.cli.reply import Reply
from outbox_worker.cli.spared import spared
from outbox_worker.operations.moments import moment

if TYPE_CHECKING:
    from outbox_worker.database import Connection
    from outbox_worker.operations.check import Checked
    from outbox_worker.operations.remote import Remote
    from outbox_worker.settings import DatabaseSettings, SyncSettings


@click.command(
    "check",
    short_help="Ask the PMS what it holds for a booking.",
    epilog=examples("outbox check LA2026-48213", "outbox check LA2026-48213 --json"),
)
@click.argument("ref")
@standard_options
@click.pass_obj
def command(invocation: Invocation, *, ref: str) -> Reply:
    """Ask the PMS now what it holds for a booking, and compare.

    Nothing is written to the PMS. Where the answer to an earlier call was lost, this
    answer settles the matter as soon as it proves something. Exit code 5 when a person
    is needed. Needs the PMS's address and credentials, whatever the mode.
    """
    reader = invocation.settings()
    database, sync = reader.database(), reader.sync()
    reader.pms_access(sync)
    reader.finish()
    actor = invocation.actor()
    checked = invocation.on_database(
        database, "check", lambda conn: _check(conn, ref, (database, sync), actor=actor)
    )
    return Reply(
        data=checked,
        lines=tuple(_lines(checked, pms=pms_name(sync))),
        code=ExitCode.NEEDS_PERSON if checked.needs_person else ExitCode.DONE,
    )


async def _check(
    conn: Connection, ref: str, settings: tuple[DatabaseSettings, SyncSettings], *, actor: str
) -> Checked:
    from outbox_worker.operations.check import check
    from outbox_worker.operations.explained import read_explained
    from outbox_worker.operations.fleet import SyncMode
    from outbox_worker.operations.plan import PmsView
    from outbox_worker.operations.refs import resolve
    from outbox_worker.pms.port import PmsName
    from outbox_worker.wiring import open_pms

    database, sync = settings
    target = await resolve(conn, ref)
    async with open_pms(sync, database, connections=1) as pms:
        if pms is None:
            raise AssertionError("the settings that it needs have been demanded")
        view = PmsView(pms=PmsName(sync.pms), currency=sync.currency)
        done = await check(
            conn, target, pms=spared(pms, conn, sync), view=view, quiet=sync.quiet, actor=actor
        )
    # the record as it is now, after a doubt has ended
    said = await read_explained(conn, target, ours=SyncMode.of(sync), view=view)
    steps = said.explanation.steps if _explains(done) else ()
    return replace(done, fixed=said.fixed, steps=steps)


def _explains(done: Checked) -> bool:
    """Whether the booking's state says what to do, and not what the PMS holds."""
    if not done.needs_person or done.finding.value in {"several", "another", "foreign"}:
        return False
    if done.finding.value == "absent" and done.on_record:
        return False
    # with nothing on record a synced one was handled in test mode
    return done.state == "rejected" or (done.state == "synced" and done.finding.value == "absent")


def _lines(done: Checked, *, pms: str) -> Iterator[str]:
    state = done.state.value if done.state else "never requested"
    yield f"{done.name}  {state}"
    yield from wrapped(_finding(done, pms))
    for each in done.found:
        yield from _reservation(each, done, pms)
    if done.fixed and done.finding.value == "differs":
        yield from wrapped(f"On record it has {_fixed(done)}, too.")
    if settled := _settled(done):
        yield from wrapped(settled)
    yield from price_lines(done.price, with_steps=not done.steps)
    yield from _next(done, pms)


def _finding(done: Checked, pms: str) -> str:
    match done.finding.value:
        case "absent":
            record = f"; {done.on_record} is on record" if done.on_record else ""
            return f"{pms} holds nothing under its reference{record}."
        case "as_wanted" | "agrees" if done.fixed:
            return (
                f"On record it has {_fixed(done)} in {pms}; otherwise it is as it is here, as far"
                " as the answer shows."
            )
        case "as_wanted":
            return f"{pms} holds it as it is here."
        case "agrees":
            return f"{pms} holds it as it is here, as far as its answer shows."
        case "differs":
            return f"{pms} holds it, but not as it is here."
        case "foreign":
            return f"{pms} holds another stay under its reference."
        case "several":
            return f"{pms} holds several reservations of it."
        case _:
            return f"{pms} holds it under another id; {done.on_record} is on record."


def _fixed(done: Checked) -> str:
    names = {"fare": "another price", "contact": "another guest (name, e-mail or phone)"}
    return " and ".join(names[part.value] for part in done.fixed)


def _reservation(remote: Remote, done: Checked, pms: str) -> Iterator[str]:
    marks = [remote.status or "status unknown"]
    marks += [] if remote.ours or remote.reservation_id == done.on_record else ["another stay"]
    yield f"  {remote.reservation_id}  {', '.join(marks)}"
    for each in remote.differences:
        here, there = _value(each.what, each.here), _value(each.what, each.there)
        values = f": {here} here, {there} in {pms}" if there else " differs"
        yield from wrapped(f"{each.what}{values}", first="    ")


def _value(what: str, value: str | None) -> str | None:
    """A day as all others are written; --json has it in ISO 8601."""
    if what not in {"check-in", "check-out"} or value in {None, "none"}:
        return value
    return day(date.fromisoformat(value or ""))


def _settled(done: Checked) -> str:
    match done.settlement.value:
        case "adopted":
            if done.state == "discarded":
                return "It is on record now. It stays set aside: a person said that it is not owed."
            return "It is on record now, and the doubt is over."
        case "ended":
            if done.state == "discarded":
                return "The doubt is over. It stays set aside: a person said that it is not owed."
            return "The doubt is over: the worker goes on from here."
        case "too_early" if done.quiet_until is not None:
            return (
                "This proves nothing yet: the answer to an earlier call was lost, and that call"
                f" may still take effect until {moment(done.quiet_until)}."
            )
        case "in_flight":
            return "A worker is at it now: nothing was changed."
        case _:
            return ""


def _next(done: Checked, pms: str) -> Iterator[str]:
    ref = _word(done)
    show = f"next: outbox show {ref}"
    finding = done.finding.value
    if finding in {"several", "another"}:
        what = (
            f"Cancel all but one of them in {pms}, then say which one is left:"
            if finding == "several"
            else "Find out which one is right, and say so:"
        )
        yield from wrapped(what, first="fix: ")
        own = [each.reservation_id for each in done.found if each.ours]
        yield f"     outbox link {ref} {own[0] if own else 'RESERVATION_ID'}"
    elif finding == "foreign":
        yield from wrapped(
            f"Correct the confirmation code of the other stay in {pms}, then:", first="fix: "
        )
        yield f"     outbox requeue {ref} --wait"
    elif not done.needs_person:
        again = done.settlement.value == "too_early"
        yield f"next: outbox check {ref}" if again else show
    elif finding == "absent" and done.on_record:
        yield from wrapped(
            f"It is never created a second time by itself. Enter the stay in {pms}, then:",
            first="fix: ",
        )
        yield f"     outbox link {ref} RESERVATION_ID"
    elif done.state == "discarded":
        yield show
    elif done.steps:
        yield from fixes(done.steps)
    else:
        yield f"next: outbox requeue {ref} --wait"


def _word(done: Checked) -> str:
    from outbox_worker.alerts.shown import token

    return token(done.name) or str(done.booking_id)
