"""Reads what a run left behind: the simulator's effect log, the database, the logs, the mails."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from outbox_worker.database import Connection
from tests.chaos.checker import alert_of
from tests.chaos.history import (
    Ack,
    Booking,
    Claim,
    Delivery,
    Effect,
    GaveUp,
    Held,
    History,
    Leak,
    Mail,
    Named,
    State,
    TokenChange,
    Tokens,
)
from tests.chaos.scenario import CANARY
from tests.chaos.statements import rows
from tests.support_mail import Posted


async def owed(conn: Connection, taken: Iterable[Posted]) -> tuple[list[str], list[str]]:
    """Keys of what is still owed: first what comes by itself, then what waits for a person.

    Args:
        conn: To the run's database.
        taken: Mails that may have been taken; an alert is owed until one is about it.
    """
    found = await rows(conn, "owed")
    told = {alert_of(one.message_id) for one in taken}
    alerts = [row["id"] for row in await rows(conn, "alerts")]
    return (
        [
            *(row["key"] for row in found if not row["parked"]),
            *(f"alert {one}" for one in alerts if one not in told),
        ],
        [row["key"] for row in found if row["parked"]],
    )


async def history(
    conn: Connection,
    *,
    held: Sequence[Mapping[str, Any]],
    requested: Mapping[str, int] | None,
    revoked: Sequence[float],
    effects: Path,
    logs: Iterable[Path],
    acks: Sequence[Ack],
    posted: Sequence[Posted],
    exits: Mapping[str, int | None],
    drained_in: timedelta | None,
    bound: timedelta,
    still_owed: Sequence[str],
) -> History:
    """Everything that the checker looks at."""
    mails = [_mail(one) for one in posted]
    texts = [
        *((row["place"], row["text"]) for row in await rows(conn, "texts_without_guests")),
        *((log.name, log.read_text(encoding="utf-8", errors="replace")) for log in logs),
        *((f"mail {mail.message_id}", mail.text) for mail in mails),
    ]
    return History(
        bookings=await _bookings(conn),
        deliveries=await _deliveries(conn),
        effects=[_effect(line) for line in lines(effects)],
        acks=acks,
        events=frozenset(row["id"] for row in await rows(conn, "events")),
        claims=[
            Claim(
                delivery_id=row["delivery_id"],
                fence=row["fence"],
                at=row["at"],
                previous_until=row["previous_until"] if row["previous_owner"] else None,
            )
            for row in await rows(conn, "claims")
        ],
        gave_up=[
            GaveUp(delivery_id=row["delivery_id"], at=row["at"])
            for row in await rows(conn, "gave_up")
        ],
        named=[
            Named(
                alert_id=row["alert_id"],
                delivery_id=row["delivery_id"],
                failed_at=row["failed_at"],
                healed_at=row["healed_at"],
            )
            for row in await rows(conn, "named")
        ],
        alerts=frozenset(row["id"] for row in await rows(conn, "alerts")),
        mails=mails,
        leaks=list(_leaks(texts)),
        exits=exits,
        drained_in=drained_in,
        bound=bound,
        owed=still_owed,
        held=[_held(one) for one in held],
        tokens=None if requested is None else await _tokens(conn, requested, revoked),
    )


async def _tokens(
    conn: Connection, requested: Mapping[str, int], revoked: Sequence[float]
) -> Tokens:
    (charges,) = await rows(conn, "token_charges")
    return Tokens(
        changes=[
            TokenChange(
                serial=row["serial"],
                since=row["since"],
                before_since=row["before_since"],
                before_until=row["before_until"],
                before_refused=row["before_refused"],
            )
            for row in await rows(conn, "tokens")
        ],
        revoked=[datetime.fromtimestamp(at, tz=UTC) for at in revoked],
        charged=charges["n"],
        arrived=requested["requests"],
        limited=requested["limited"],
    )


def _held(document: Mapping[str, Any]) -> Held:
    return Held(
        reservation_id=document["_id"],
        reference=document["confirmationCode"],
        status=document["status"],
        guests=document["numberOfGuests"],
        notes=document["notes"],
    )


def lines(file: Path) -> list[dict[str, Any]]:
    """The whole lines of a file of JSON objects; one that a kill has cut short is left out."""
    if not file.exists():
        return []
    whole = file.read_bytes().rpartition(b"\n")[0]
    found = []
    for line in whole.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def _leaks(texts: Iterable[tuple[str, str]]) -> Iterator[Leak]:
    for where, text in texts:
        for found in sorted(set(CANARY.findall(text))):
            yield Leak(where=where, canary=found)


async def _bookings(conn: Connection) -> list[Booking]:
    states: dict[UUID, list[State]] = defaultdict(list)
    for row in await rows(conn, "states"):
        states[row["booking_id"]].append(
            State(
                status=row["status"],
                check_in=row["check_in"],
                check_out=row["check_out"],
                total=row["total"],
            )
        )
    return [
        Booking(
            id=row["id"],
            reference=row["booking_reference"],
            states=states[row["id"]],
            wish=row["special_requests"],
            sync_status=row["guestly_sync_status"],
            reservation_id=row["guestly_reservation_id"],
        )
        for row in await rows(conn, "bookings")
    ]


async def _deliveries(conn: Connection) -> list[Delivery]:
    return [
        Delivery(
            id=row["id"],
            destination=row["destination"],
            key=row["key"],
            requested=row["requested"],
            delivered=row["delivered"],
            failed=row["failed_at"] is not None,
            error_code=row["last_error_code"],
        )
        for row in await rows(conn, "deliveries")
    ]


def _effect(line: Mapping[str, Any]) -> Effect:
    return Effect(
        n=line["n"],
        at=datetime.fromisoformat(line["at"]),
        op=line["op"],
        reservation_id=line["reservation_id"],
        reference=line["reference"],
        status=line["status"],
        check_in=date.fromisoformat(line["check_in"]),
        check_out=date.fromisoformat(line["check_out"]),
        fare=Decimal(line["fare"]),
        fault=line["fault"],
        repriced=line.get("repriced", False),
    )


def _mail(posted: Posted) -> Mail:
    content = "\n".join(part["value"] for part in posted.json["content"])
    return Mail(message_id=posted.message_id, text=f"{posted.json['subject']}\n{content}")
