"""What a channel's next message about an alert says: choosing its deliveries, and reading all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from outbox_worker.alerts import store
from outbox_worker.alerts.alert import PAGE, AlertId, AlertKind, Incident, NamedDelivery, Stay
from outbox_worker.database import Connection, Row
from outbox_worker.outbox.delivery import Destination, Snapshot, state_of
from outbox_worker.sql import query


async def plan(
    conn: Connection,
    alerts: Mapping[AlertId, bool],
    *,
    channel: Destination,
    page: int = PAGE,
) -> None:
    """Choose, for good, which deliveries the channel's next message about each open alert names.

    A message whose fate is unknown has to be repeated with the same content: as a mail it has the
    same Message-ID, and a mailbox that drops repeated mails would hide what was added.

    Args:
        conn: Inside a transaction of its own, before `read`.
        alerts: By id, whether it is certain that no message of unknown fate is under way: then the
            choice may be made anew.
        channel: One of `ALERT_CHANNELS`; each keeps its own account.
        page: How many deliveries one message names at most; the same for `read`.
    """
    ids = sorted(alerts)
    await store.lock(conn, ids=ids)
    await conn.execute(query("alert_begin_telling"), {"ids": ids, "channel": channel})
    await conn.execute(
        query("alert_plan_message"),
        {"ids": ids, "certain": [alerts[i] for i in ids], "channel": channel, "page": page},
    )


async def read(
    conn: Connection, ids: Sequence[AlertId], *, channel: Destination, page: int = PAGE
) -> dict[AlertId, Incident]:
    """The alerts that exist, by id, with what the channel's next message is to name."""
    wanted = sorted(set(ids))
    cursor = await conn.execute(query("alert_read"), {"ids": wanted, "channel": channel})
    alerts = await cursor.fetchall()
    cursor = await conn.execute(
        query("alert_read_named"), {"ids": wanted, "channel": channel, "page": page}
    )
    named: dict[int, list[Row]] = {}
    for row in await cursor.fetchall():
        named.setdefault(row["alert_id"], []).append(row)
    return {AlertId(row["id"]): _incident_from(row, named.get(row["id"], [])) for row in alerts}


def _once(rows: Sequence[Row]) -> list[Row]:
    """One row for each delivery: of one that healed and failed again, the newest to be told."""
    once: dict[int, Row] = {}
    for row in rows:
        if row["untold"] or row["delivery_id"] not in once:
            once[row["delivery_id"]] = row
    return list(once.values())


def _incident_from(row: Row, named: Sequence[Row]) -> Incident:
    return Incident(
        id=AlertId(row["id"]),
        kind=AlertKind(row["kind"]),
        fingerprint=row["fingerprint"],
        stay=_stay(row),
        facts={str(name): str(value) for name, value in row["facts"].items()},
        count=row["count"],
        messages=row["messages"],
        told_at=_utc(row["told_at"]),
        solved_told_at=_utc(row["solved_told_at"]),
        first_seen_at=row["first_seen_at"].astimezone(UTC),
        last_seen_at=row["last_seen_at"].astimezone(UTC),
        resolved_at=_utc(row["resolved_at"]),
        named=tuple(_named(each, now=row["now"]) for each in _once(named)),
        named_to=max((each["named_id"] for each in named if each["untold"]), default=0),
        total=row["total"],
        standing=row["standing"],
        told_standing=row["told_standing"],
        untold=row["untold"],
        now=row["now"].astimezone(UTC),
    )


def _named(row: Row, *, now: datetime) -> NamedDelivery:
    known = row["destination"] is not None
    snapshot = Snapshot(
        requested=row["requested"],
        delivered=row["delivered"],
        due_at=row["due_at"],
        failed_at=row["given_up_at"],
        discarded_at=row["discarded_at"],
        uncertain_at=row["uncertain_at"],
        attempts=row["attempts"],
        lease_until=row["lease_until"],
    )
    return NamedDelivery(
        delivery_id=row["delivery_id"],
        destination=Destination(row["destination"]) if known else None,
        key=row["key"] or "",
        stay=_stay(row),
        state=state_of(snapshot, now=now, held=False) if known else None,
        attempts=row["attempts"] or 0,
        error_code=row["last_error_code"],
        error=row["last_error"],
        failed_at=row["failed_at"].astimezone(UTC),
        healed_at=_utc(row["healed_at"]),
        due_at=_utc(row["due_at"]),
        untold=row["untold"],
    )


def _stay(row: Row) -> Stay | None:
    if row["site_id"] is None:
        return None
    check_in, check_out = row["check_in_date"], row["check_out_date"]
    both = check_in is not None and check_out is not None
    return Stay(
        id=row["site_id"],
        reference=row["booking_reference"] or "",
        property_name=row["property_name"],
        slug=row["slug"],
        check_in=check_in,
        check_out=check_out,
        nights=(check_out - check_in).days if both else None,
        adults=row["adults"] or 0,
        children=row["children"] or 0,
        infants=row["infants"] or 0,
        total=row["price"],
        payment_status=row["payment_status"] or "unknown",
        status=row["booking_status"] or "unknown",
        reservation_id=row["reservation_id"],
        test=row["mode"] == "test",
    )


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)
