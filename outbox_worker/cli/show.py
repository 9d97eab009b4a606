"""``outbox show``: one booking, event or alert: where it stands and how it got there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from outbox_worker.cli.event_payment import named_words, payment_words
from outbox_worker.cli.invocation import Invocation, standard_options
from outbox_worker.cli.layout import day, fixes, labelled, until, wrapped
from outbox_worker.cli.reply import Reply
from outbox_worker.operations.moments import stamp

if TYPE_CHECKING:
    from outbox_worker.database import Connection
    from outbox_worker.operations.explain import Explanation
    from outbox_worker.operations.payload import Payload
    from outbox_worker.operations.timeline import BookingFacts, EventFacts, Timeline
    from outbox_worker.settings import SyncSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the command answers; ``payload`` None: not asked for."""

    timeline: Timeline
    explanation: Explanation
    payload: Payload | None


@click.command("show", short_help="Where one booking stands, and how it got there.")
@click.argument("ref")
@click.option("--payload", is_flag=True, help="Print what would be sent, guest data included.")
@standard_options
@click.pass_obj
def command(invocation: Invocation, *, ref: str, payload: bool) -> Reply:
    """Show where a booking (or event, or alert) stands: why, what to do, and its history.

    Guest data is shown with --payload only.
    """
    database, sync = invocation.database_and_sync()
    shown = invocation.on_database(
        database, "show", lambda conn: _read(conn, ref, sync, with_payload=payload)
    )
    return Reply(data=_for_programs(shown), lines=tuple(_lines(shown)))


async def _read(conn: Connection, ref: str, sync: SyncSettings, *, with_payload: bool) -> Shown:
    from outbox_worker.operations.explained import read_explained
    from outbox_worker.operations.fleet import SyncMode
    from outbox_worker.operations.payload import payload_of
    from outbox_worker.operations.plan import PmsView
    from outbox_worker.operations.refs import resolve
    from outbox_worker.pms.port import PmsName

    target = await resolve(conn, ref)
    view = PmsView(pms=PmsName(sync.pms), currency=sync.currency)
    found = await read_explained(conn, target, ours=SyncMode.of(sync), view=view)
    return Shown(
        timeline=found.timeline,
        explanation=found.explanation,
        payload=payload_of(found.known, view) if with_payload and found.known else None,
    )


def _for_programs(shown: Shown) -> Shown:
    """The same with the payload's amount as the JSON number that it is in the call."""
    if shown.payload is None or shown.payload.body is None:
        return shown
    from outbox_worker.pms.exact_json import encode

    body = json.loads(encode(shown.payload.body))
    return replace(shown, payload=replace(shown.payload, body=body))


def _lines(shown: Shown) -> Iterator[str]:
    timeline, said = shown.timeline, shown.explanation
    state = timeline.delivery.state.value if timeline.delivery else "never requested"
    yield f"{timeline.target.name}  {state}"
    yield from wrapped(said.headline)
    yield ""
    yield from labelled(
        [
            ("why", said.why),
            ("guest sees", said.guest_sees),
            ("risk", said.risk),
            ("price", said.price.sentence if said.price else ""),
            *(_booking(timeline.booking, said) if timeline.booking else ()),
            *(_event(timeline.event) if timeline.event else ()),
            ("ids", _ids(timeline)),
        ]
    )
    if timeline.entries:
        yield ""
        yield "HISTORY (times in UTC)"
        for entry in timeline.entries:
            took = f" [{entry.took.total_seconds():.1f} s]" if entry.took is not None else ""
            yield from wrapped(
                f"{entry.text}{took}",
                first=f"  {stamp(entry.at)}  {entry.kind:<7}  ",
            )
    if shown.payload is not None:
        yield ""
        yield from _payload(shown.payload)
    if said.steps:
        yield ""
        yield from fixes(said.steps)
    else:
        yield ""
        yield f"next: {said.then}"


def _booking(booking: BookingFacts, said: Explanation) -> Iterator[tuple[str, str]]:
    arrival = f" (arrival {until(said.arrival_in)})" if said.arrival_in is not None else ""
    yield "stay", f"{day(booking.check_in)} to {day(booking.check_out)}{arrival}"
    total = "no total" if booking.total is None else f"total {booking.total:,.2f}"
    guests = "1 guest" if booking.guests == 1 else f"{booking.guests} guests"
    yield "booking", f"{booking.status}, payment {booking.payment_status}, {total}, {guests}"
    yield "property", ", ".join(filter(None, [booking.property_name, booking.property_slug]))


def _event(event: EventFacts) -> Iterator[tuple[str, str]]:
    yield "payment", payment_words(event.payment)
    yield "names", named_words(event.payment)


def _ids(timeline: Timeline) -> str:
    booking, delivery = timeline.booking, timeline.delivery
    parts = []
    if booking is not None:
        parts.append(f"booking {booking.id}")
    if delivery is not None:
        parts.append(f"delivery {delivery.id}")
    if booking is not None and booking.payment_intent_id:
        parts.append(booking.payment_intent_id)
    for held in timeline.reservations:
        unsure = " (not verified)" if held.unverified else ""
        parts.append(f"{held.mode} reservation {held.reservation_id}{unsure}")
    return ", ".join(parts)


def _payload(payload: Payload) -> Iterator[str]:
    yield "PAYLOAD (guest data)"
    if payload.fault is not None:
        yield from wrapped(f"nothing can be sent: {payload.fault}", first="  ")
    for name, value in _flat(payload.body or {}):
        yield f"  {name}: {value}"
    for warning in payload.warnings:
        yield from wrapped(warning, first="  warning: ")


def _flat(body: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in body.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, Decimal):
            # the digits that are sent
            yield f"{prefix}{name}", format(value, "f")
        else:
            yield f"{prefix}{name}", json.dumps(value, ensure_ascii=False)
