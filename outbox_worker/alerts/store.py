"""Alerts in Postgres: raising, healing, and recording that a channel has told of one.

The caller owns the transaction. Lock order: bookings, deliveries, alerts by id, then the alerts'
own deliveries. A transaction that calls several of these functions locks all its alerts with `lock`
first; one that settles an alert's own delivery locks that alert before it touches the delivery.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TypeAlias
from uuid import UUID

from outbox_worker.alerts.alert import (
    CHANGE,
    SPACING,
    AlertId,
    AlertKind,
    NewAlert,
    RaisedAlert,
)
from outbox_worker.database import Connection, Row
from outbox_worker.outbox.delivery import Destination
from outbox_worker.sql import query

_FINGERPRINT_LIMIT = 300
_FACTS_LIMIT = 30
_NAME_LIMIT = 60
_VALUE_LIMIT = 500

#: Kind and fingerprint as they are stored.
_Incident: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """The open alert of an incident; ``change``: what it was raised for before this report."""

    id: AlertId
    opened: bool
    change: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Raise:
    """One report of an incident and the deliveries that it names."""

    alert: NewAlert
    deliveries: tuple[int, ...] = ()


async def lock(
    conn: Connection,
    *,
    ids: Iterable[AlertId] = (),
    alerts: Iterable[NewAlert] = (),
    deliveries: Iterable[int] = (),
) -> frozenset[AlertId]:
    """Lock alerts by id: these ones, the open ones of these incidents, those that name these rows.

    Args:
        conn: Inside the caller's transaction.
        ids: Alerts, open or not, such as the keys of e-mail deliveries about to be settled.
        alerts: Raises about to be raised.
        deliveries: Rows about to be healed.

    Returns:
        The alerts that are locked and open.
    """
    incidents = sorted({_incident(each) for alert in alerts for each in (alert, *_others(alert))})
    cursor = await conn.execute(
        query("alert_lock"),
        {
            "ids": sorted(set(ids)),
            "kinds": [kind for kind, _ in incidents],
            "fingerprints": [fingerprint for _, fingerprint in incidents],
            "deliveries": sorted(set(deliveries)),
        },
    )
    return frozenset(AlertId(row["id"]) for row in await cursor.fetchall() if row["open"])


async def raise_alert(
    conn: Connection,
    alert: NewAlert,
    *,
    deliveries: Sequence[int] = (),
    channels: Sequence[Destination],
) -> RaisedAlert:
    """Open the alert of an incident, or add to the open one; see `raise_alerts`."""
    report = Raise(alert=alert, deliveries=tuple(deliveries))
    return (await raise_alerts(conn, [report], channels=channels))[0]


async def raise_alerts(
    conn: Connection, reports: Sequence[Raise], *, channels: Sequence[Destination]
) -> tuple[RaisedAlert, ...]:
    """Open or add to alerts, and ask that the channels tell what is new.

    Raises of one incident are merged first: a later one's facts win. A delivery that an open alert
    names already is not named again until it is healed. An incident that was solved, or last
    told, less than `SPACING` ago is opened again rather than anew.

    Args:
        conn: Inside the transaction that changes what the alert is about; it holds the deliveries.
        reports: In any order.
        channels: Where alerts are told: ``(channel, alert id)`` is requested for each alert that is
            new, names something new, or is raised for another change than the last time.

    Returns:
        One result for each report, in the same order.
    """
    if not reports:
        return ()
    await lock(conn, alerts=[report.alert for report in reports])
    reports = [await _joined(conn, report) for report in reports]
    incidents: dict[_Incident, list[Raise]] = {}
    for report in reports:
        incidents.setdefault(_incident(report.alert), []).append(report)
    opened = await _upsert(conn, incidents)
    named = await _name(
        conn,
        {(opened[key].id, d) for key, of in incidents.items() for r in of for d in r.deliveries},
    )
    raised = {
        key: RaisedAlert(id=each.id, opened=each.opened, named=named[each.id])
        for key, each in opened.items()
    }
    again = {
        key
        for key, of in incidents.items()
        if (change := _change(of)) is not None and change != opened[key].change
    }
    news = [each.id for key, each in raised.items() if each.opened or each.named or key in again]
    await _request(conn, news, channels)
    return tuple(raised[_incident(report.alert)] for report in reports)


async def heal(
    conn: Connection, delivery_ids: Iterable[int], *, channels: Sequence[Destination]
) -> tuple[AlertId, ...]:
    """Close what open alerts say of these deliveries: they work again, or a person took them over.

    Args:
        conn: Inside the transaction that settles, requeues or discards them; it holds the rows.
        delivery_ids: In any order; most of them are named nowhere.
        channels: Asked to tell that an alert is solved.

    Returns:
        The alerts that are resolved by this: the last delivery that they name is healed.
    """
    wanted = sorted(set(delivery_ids))
    held = await lock(conn, deliveries=wanted)
    if not held:
        return ()
    cursor = await conn.execute(
        query("alert_heal_deliveries"), {"deliveries": wanted, "ids": sorted(held)}
    )
    touched = {AlertId(row["alert_id"]) for row in await cursor.fetchall()}
    # a statement of its own: only after the lock does it see what others have named meanwhile
    return await resolve_healed(conn, touched, channels=channels)


async def resolve_healed(
    conn: Connection, ids: Iterable[AlertId], *, channels: Sequence[Destination]
) -> tuple[AlertId, ...]:
    """Resolve those of these alerts that name nothing, or nothing that is not healed.

    What tells why a gate is shut is left open until that is not.

    Args:
        conn: Inside the caller's transaction, which has locked them with `lock`.
        ids: In any order.
        channels: Asked to tell that an alert is solved.
    """
    cursor = await conn.execute(query("alert_resolve_healed"), {"ids": sorted(set(ids))})
    return await _tell_resolved(conn, await cursor.fetchall(), channels)


async def resolve(
    conn: Connection, kind: AlertKind, fingerprint: str, *, channels: Sequence[Destination]
) -> tuple[AlertId, ...]:
    """Resolve the open alert of an incident that names no deliveries: what it told of is over.

    Args:
        conn: Inside the transaction that ends it; it locks no other alert, or has locked them all.
        kind: Kind of incident.
        fingerprint: Which one of them.
        channels: Asked to tell that it is solved.
    """
    cursor = await conn.execute(query("alert_resolve"), {"kind": kind, "fingerprint": fingerprint})
    return await _tell_resolved(conn, await cursor.fetchall(), channels)


async def open_about(
    conn: Connection, bookings: Sequence[UUID], kinds: Iterable[AlertKind]
) -> dict[AlertId, UUID]:
    """The open alerts of these kinds about these bookings, with the booking; locks nothing.

    Without those that a person cannot call dealt with by naming the booking: that the price of a
    stay in the PMS is not known. They end when somebody has compared it, or with the stay.
    """
    cursor = await conn.execute(
        query("alert_open_about"), {"bookings": list(bookings), "kinds": [str(k) for k in kinds]}
    )
    return {AlertId(row["id"]): row["booking_id"] for row in await cursor.fetchall()}


async def open_of_gate(conn: Connection, destination: Destination) -> tuple[AlertId, ...]:
    """The open alerts that nothing gets through to a destination, whatever the cause.

    Locks nothing. Without the one that it asked to be left alone for long.
    """
    cursor = await conn.execute(query("alert_open_of_gate"), {"destination": destination})
    return tuple(AlertId(row["id"]) for row in await cursor.fetchall())


async def is_open(conn: Connection, alert: NewAlert) -> bool:
    """Whether its incident is open; locks nothing."""
    kind, fingerprint = _incident(alert)
    cursor = await conn.execute(query("alert_is_open"), {"kind": kind, "fingerprint": fingerprint})
    return await cursor.fetchone() is not None


async def close(
    conn: Connection, ids: Iterable[AlertId], *, channels: Sequence[Destination]
) -> tuple[AlertId, ...]:
    """Resolve these alerts, with all that they name: a person has dealt with them.

    Args:
        conn: Inside the caller's transaction, which has locked them with `lock`.
        ids: Those that are resolved already are left as they are.
        channels: Asked to tell that an alert is solved.
    """
    wanted = sorted(set(ids))
    if not wanted:
        return ()
    cursor = await conn.execute(query("alert_close"), {"ids": wanted})
    return await _tell_resolved(conn, await cursor.fetchall(), channels)


async def mark_told(
    conn: Connection,
    alert_id: AlertId,
    *,
    channel: Destination,
    told_to: int,
    count: int,
    resolved_told: bool,
) -> None:
    """Record that a message was accepted, and ask for another while something is still unnamed.

    Args:
        conn: Inside the transaction that settles the alert's own delivery, after it; `lock` has
            been called before.
        alert_id: The alert that the message was about.
        channel: Where it was told; what the other one has told is left as it is.
        told_to: ``named_to`` of the incident that it was made of.
        count: Of that incident: a price that was reported once more since is not told yet.
        resolved_told: Whether the message said that the incident is solved.
    """
    cursor = await conn.execute(
        query("alert_mark_told"),
        {
            "id": alert_id,
            "channel": channel,
            "told_to": told_to,
            "count": count,
            "solved_told": resolved_told,
        },
    )
    row = await cursor.fetchone()
    if row is not None and row["unnamed"]:
        await _request(conn, [alert_id], [channel])


def _others(alert: NewAlert) -> tuple[NewAlert, ...]:
    """The same as a report of the incidents that it belongs to."""
    return tuple(
        replace(alert, kind=kind, fingerprint=fingerprint) for kind, fingerprint in alert.joins
    )


async def _joined(conn: Connection, report: Raise) -> Raise:
    """The report as one of the incident that it goes into: the first of them that is open."""
    others = _others(report.alert)
    if not others or await is_open(conn, report.alert):
        return report
    for other in others:
        if await is_open(conn, other):
            return replace(report, alert=other)
    return report


async def _upsert(
    conn: Connection, incidents: Mapping[_Incident, Sequence[Raise]]
) -> dict[_Incident, _Opened]:
    """The open alert of each incident, and whether this opened it."""
    keys = sorted(incidents)
    cursor = await conn.execute(
        query("alert_reopen"),
        {
            "kinds": [kind for kind, _ in keys],
            "fingerprints": [fingerprint for _, fingerprint in keys],
            "spacing": SPACING,
        },
    )
    back = {row["id"] for row in await cursor.fetchall()}
    cursor = await conn.execute(
        query("alert_upsert"),
        {
            "kinds": [kind for kind, _ in keys],
            "fingerprints": [fingerprint for _, fingerprint in keys],
            "booking_ids": [_booking_id(incidents[key]) for key in keys],
            "facts": [_facts(incidents[key]) for key in keys],
            "counts": [len(incidents[key]) for key in keys],
        },
    )
    return {
        (row["kind"], row["fingerprint"]): _Opened(
            id=AlertId(row["id"]),
            opened=row["opened"] or row["id"] in back,
            change=row["change_before"],
        )
        for row in await cursor.fetchall()
    }


async def _name(conn: Connection, pairs: Collection[tuple[AlertId, int]]) -> Counter[AlertId]:
    """Name deliveries, given with the alert that is to name each; count the new names."""
    if not pairs:
        return Counter()
    ordered = sorted(pairs)
    cursor = await conn.execute(
        query("alert_name_deliveries"),
        {"alert_ids": [a for a, _ in ordered], "delivery_ids": [d for _, d in ordered]},
    )
    return Counter(AlertId(row["alert_id"]) for row in await cursor.fetchall())


async def _request(
    conn: Connection, ids: Iterable[AlertId], channels: Sequence[Destination]
) -> None:
    wanted = sorted(set(ids))
    if wanted and channels:
        await conn.execute(
            query("alert_request_channels"),
            {"ids": wanted, "channels": sorted({str(channel) for channel in channels})},
        )


async def _tell_resolved(
    conn: Connection, rows: Sequence[Row], channels: Sequence[Destination]
) -> tuple[AlertId, ...]:
    resolved = tuple(sorted(AlertId(row["id"]) for row in rows))
    await _request(conn, resolved, channels)
    return resolved


def _incident(alert: NewAlert) -> _Incident:
    """What `alert_open` is unique over; long fingerprints stay apart by a hash."""
    fingerprint = _clean(alert.fingerprint, len(alert.fingerprint)) or "-"
    if len(fingerprint) > _FINGERPRINT_LIMIT:
        digest = sha256(fingerprint.encode()).hexdigest()[:32]
        fingerprint = f"{fingerprint[: _FINGERPRINT_LIMIT - 33]}:{digest}"
    return alert.kind.value, fingerprint


def _booking_id(reports: Sequence[Raise]) -> UUID | None:
    return next((r.alert.booking_id for r in reports if r.alert.booking_id is not None), None)


def _facts(reports: Sequence[Raise]) -> str:
    facts = {
        _clean(name, _NAME_LIMIT): _clean(value, _VALUE_LIMIT)
        for report in reports
        for name, value in report.alert.facts.items()
    }
    kept = dict(list(facts.items())[:_FACTS_LIMIT])
    change = _change(reports)
    return json.dumps(kept if change is None else {**kept, CHANGE: change})


def _change(reports: Sequence[Raise]) -> str | None:
    return next((r.alert.change for r in reversed(reports) if r.alert.change is not None), None)


def _clean(text: str, limit: int) -> str:
    """What Postgres can store: no NUL, no lone surrogate, at most ``limit`` characters."""
    return text.replace("\0", "").encode("utf-8", "ignore").decode()[:limit]
