"""What the next mail about an alert has to say: choosing its deliveries, and reading it all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from outbox_worker.alerts import store
from outbox_worker.alerts.alert import PAGE, AlertId, AlertKind, Incident, NamedDelivery, Stay
from outbox_worker.database import Connection, Row
from outbox_worker.outbox.delivery import Destination, Snapshot, state_of
from outbox_worker.sql import query


async def plan(conn: Connection, alerts: Mapping[AlertId, bool], *, page: int = PAGE) -> None:
    """Choose, for good, which deliveries the next mail of each open alert names.

    A mail whose fate is unknown has to be repeated with the same content under the same Message-ID,
    or a mailbox that drops repeated mails would hide what was added.

    Args:
        conn: Inside a transaction of its own, before `read`.
        alerts: By id, whether it is certain that no mail of unknown fate is under way: then the
            choice may be made anew.
        page: How many deliveries one mail names at most; the same for `read`.
    """
    ids = sorted(alerts)
    await store.lock(conn, ids=ids)
    await conn.execute(
        query("alert_plan_mail"), {"ids": ids, "certain": [alerts[i] for i in ids], "page": page}
    )


async def read(
    conn: Connection, ids: Sequence[AlertId], *, page: int = PAGE
) -> dict[AlertId, Incident]:
    """The alerts that exist, by id, with the deliveries that their next mail is to name."""
    wanted = sorted(set(ids))
    cursor = await conn.execute(query("alert_read"), {"ids": wanted})
    alerts = await cursor.fetchall()
    cursor = await conn.execute(query("alert_read_named"), {"ids": wanted, "page": page})
    named: dict[int, dict[int, Row]] = {}
    for row in await cursor.fetchall():
        once = named.setdefault(row["alert_id"], {})
        # one that healed and failed again has several rows: the newest that is still to be told
        if row["mailed_at"] is None or row["delivery_id"] not in once:
            once[row["delivery_id"]] = row
    return {
        AlertId(row["id"]): _incident_from(row, list(named.get(row["id"], {}).values()))
        for row in alerts
    }


def _incident_from(row: Row, named: Sequence[Row]) -> Incident:
    return Incident(
        id=AlertId(row["id"]),
        kind=AlertKind(row["kind"]),
        fingerprint=row["fingerprint"],
        stay=_stay(row),
        facts={str(name): str(value) for name, value in row["facts"].items()},
        count=row["count"],
        mails=row["mails"],
        mailed_at=_utc(row["mailed_at"]),
        solved_mailed_at=_utc(row["solved_mailed_at"]),
        first_seen_at=row["first_seen_at"].astimezone(UTC),
        last_seen_at=row["last_seen_at"].astimezone(UTC),
        resolved_at=_utc(row["resolved_at"]),
        named=tuple(_named(each, now=row["now"]) for each in named),
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
        unmailed=row["mailed_at"] is None,
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
