"""Settle: one transaction records what became of many claims, and applies their effects.

Lock order: bookings, deliveries, alerts, the alerts' own deliveries. A settle may be repeated: the
first commit burns the fences, so a lost answer to COMMIT costs nothing.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

from outbox_worker.alerts import store as alerts
from outbox_worker.alerts.alert import ALERT_CHANNELS, AlertId, AlertKind, NewAlert
from outbox_worker.bookings import store as bookings
from outbox_worker.database import Connection, translated
from outbox_worker.errors import DatabaseError
from outbox_worker.handlers.effect import (
    AlertEnded,
    AlertRaised,
    AlertTold,
    Effect,
    ReservationHeld,
)
from outbox_worker.outbox import store
from outbox_worker.outbox.delivery import DeliveryId, Destination, WorkerId
from outbox_worker.outbox.outcome import Retry, Wait
from outbox_worker.outbox.retry import RetryPolicy
from outbox_worker.worker.columns import Plan, plan, storable
from outbox_worker.worker.execute import Finished

E = TypeVar("E", bound=Effect)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What one settle did.

    Args:
        accepted: Results that are on record now.
        refused: Results of claims that were not ours any more; they changed nothing.
        deferred: Results whose booking somebody else holds; to be settled again soon.
        gave_up: Rows that this settle parked.
        waits: Wait before the next attempt, of rows that will be tried again in this round.
        more: Whether it made anything due at once: a newer version, a booking's next call, or an
            alert to deliver.
    """

    accepted: tuple[Finished, ...]
    refused: tuple[Finished, ...]
    deferred: tuple[Finished, ...]
    gave_up: frozenset[DeliveryId]
    waits: Mapping[DeliveryId, timedelta]
    more: bool


async def settle(
    conn: Connection,
    finished: Sequence[Finished],
    *,
    owner: WorkerId,
    policies: Mapping[Destination, RetryPolicy],
) -> Settled:
    """Record results in one transaction.

    Args:
        conn: In autocommit mode; the transaction is begun and committed here.
        finished: At most one per delivery, of one batch of `by_lock_order`; their calls ended.
        owner: This worker.
        policies: Of every destination among them.

    Raises:
        DatabaseUnreachableError: Whether it took effect may be unknown; repeat it.
        DatabaseError: Postgres refused; nothing took effect.
    """
    plain = random.Random()  # noqa: S311 - spreads retries, guards nothing
    with translated():
        async with conn.transaction():
            await bookings.begin_ours(conn, "outbox worker")
            deferred = await _lock(conn, finished)
            mine = [item for item in finished if item not in deferred]
            planned = plan(
                mine,
                policies=policies,
                jitter={
                    item.claim.id: plain.random()
                    for item in mine
                    if isinstance(item.result.outcome, Retry)
                },
            )
            await _lock_alerts(conn, mine)
            written = await _write(conn, planned, owner=owner)
            accepted = tuple(item for item in mine if item.claim.id in written.ids)
            told = await _apply(conn, accepted, written)
    return Settled(
        accepted=accepted,
        refused=tuple(item for item in mine if item.claim.id not in written.ids),
        deferred=tuple(deferred),
        gave_up=written.gave_up,
        waits=planned.waits,
        more=told or written.again or any(map(_at_once, accepted)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    held: tuple[DeliveryId, ...]
    ids: frozenset[DeliveryId]
    gave_up: frozenset[DeliveryId]
    tell: frozenset[DeliveryId]
    again: bool


def _at_once(item: Finished) -> bool:
    """Whether a row that was given back wants to be claimed again right away: its next call.

    Only one that has come further: one that was told to wait no time at all waits for the poll, or
    it would go round as fast as whoever refuses it.
    """
    outcome = item.result.outcome
    return isinstance(outcome, Wait) and outcome.certain and outcome.due_in == timedelta(0)


async def _lock(conn: Connection, finished: Sequence[Finished]) -> list[Finished]:
    ids = sorted({item.result.booking_id for item in finished if item.result.booking_id})
    if not ids:
        return []
    # Waiting for one booking would hold up every other result until the leases end.
    busy = await bookings.lock_free(conn, ids)
    return [item for item in finished if item.result.booking_id in busy]


async def _lock_alerts(conn: Connection, mine: Sequence[Finished]) -> None:
    """Lock what comes before the alerts' own deliveries: all that settling these may touch."""
    own = [item for item in mine if item.claim.destination in ALERT_CHANNELS]
    if own:
        await alerts.lock(
            conn,
            ids=[AlertId(int(i.claim.key)) for i in own if i.claim.key.isdecimal()],
            alerts=[effect.alert for effect in _of_type(own, AlertRaised)],
            # one of them may be named by the alert about its channel
            deliveries=[item.claim.id for item in own],
        )


async def _write(conn: Connection, planned: Plan, *, owner: WorkerId) -> _Written:
    kinds = [columns["ids"] for columns in (planned.held, planned.failed, planned.released)]
    if sum(map(bool, kinds)) > 1:
        # one statement locks them all by id; each of the following would only order its own
        await store.lock(conn, [row for ids in kinds for row in ids])
    held: list[store.SettledHeld] = []
    failed: list[store.SettledFailed] = []
    released: list[DeliveryId] = []
    if planned.held["ids"]:
        held = await store.settle_held(conn, planned.held, owner=owner)
    if planned.failed["ids"]:
        failed = await store.settle_failed(conn, planned.failed, owner=owner)
    if planned.released["ids"]:
        released = await store.release(conn, planned.released, owner=owner)
    return _Written(
        held=tuple(row.id for row in held),
        ids=frozenset([*(row.id for row in held), *(row.id for row in failed), *released]),
        gave_up=frozenset(row.id for row in failed if row.gave_up),
        tell=frozenset(row.id for row in failed if row.tell),
        again=any(row.again for row in held),
    )


async def _apply(conn: Connection, accepted: Sequence[Finished], written: _Written) -> bool:
    """Apply the effects of accepted results; whether an alert has to be delivered."""
    await _hold(conn, _of_type(accepted, ReservationHeld))
    mirrored = sorted({item.result.booking_id for item in accepted if item.result.booking_id})
    if mirrored:
        await bookings.mirror(conn, mirrored)
    return await _tell(conn, accepted, written)


async def _hold(conn: Connection, effects: Iterable[ReservationHeld]) -> None:
    rows = list(effects)
    if rows:
        await store.hold_reservations(
            conn,
            {
                "booking_ids": [row.booking_id for row in rows],
                "pms": [row.pms for row in rows],
                "reservation_ids": [storable(row.reservation_id) for row in rows],
                "modes": [row.mode for row in rows],
                "fingerprints": [row.fingerprint for row in rows],
                "parts": [json.dumps(dict(row.parts)) for row in rows],
            },
        )


async def _tell(conn: Connection, accepted: Sequence[Finished], written: _Written) -> bool:
    raised = [
        alerts.Raise(
            alert=effect.alert, deliveries=(item.claim.id,) if effect.names_delivery else ()
        )
        for item in accepted
        for effect in item.result.effects
        if isinstance(effect, AlertRaised)
        and (not effect.only_if_given_up or item.claim.id in written.tell)
    ]
    ended = [effect.alert for effect in _of_type(accepted, AlertEnded)]
    if ended or (raised and written.held):
        # all of them at once and by id: what heals and what is raised may be one incident
        touched = [*ended, *(item.alert for item in raised)]
        await alerts.lock(conn, alerts=touched, deliveries=written.held)
    told = False
    if written.held:
        told |= bool(await alerts.heal(conn, written.held, channels=ALERT_CHANNELS))
    for alert in ended:
        told |= bool(
            await alerts.resolve(conn, alert.kind, alert.fingerprint, channels=ALERT_CHANNELS)
        )
    if raised:
        await alerts.raise_alerts(conn, raised, channels=ALERT_CHANNELS)
        told = True
    for message in _of_type(accepted, AlertTold):
        await alerts.mark_told(
            conn,
            message.alert_id,
            channel=message.channel,
            told_to=message.told_to,
            count=message.count,
            resolved_told=message.resolved_told,
        )
    return told


def without_mirror(item: Finished, error: DatabaseError) -> Finished:
    """The same result without the booking's columns, and with an alert that says so.

    Args:
        item: A result that Postgres refuses together with its booking.
        error: Why; its text may quote a row of the site, so only its SQLSTATE is passed on.
    """
    sqlstate = getattr(error.__cause__, "sqlstate", None) or "unknown"
    told = AlertRaised(
        alert=NewAlert(
            kind=AlertKind.REPORTED,
            fingerprint=f"{item.result.booking_id}:mirror_refused",
            booking_id=item.result.booking_id,
            facts={
                "message": "the site's database refuses its guestly_* columns for this booking"
                f" (SQLSTATE {sqlstate}); what `outbox show` says is right"
            },
        ),
        only_if_given_up=False,
        names_delivery=False,
    )
    result = replace(item.result, booking_id=None, effects=(*item.result.effects, told))
    return replace(item, result=result)


def by_lock_order(finished: Sequence[Finished]) -> list[list[Finished]]:
    """Batches that may share a transaction: the alerts' own deliveries are locked last of all."""
    ours = [item for item in finished if item.claim.destination not in ALERT_CHANNELS]
    channels = [item for item in finished if item.claim.destination in ALERT_CHANNELS]
    return [batch for batch in (ours, channels) if batch]


def _of_type(items: Sequence[Finished], kind: type[E]) -> list[E]:
    return [effect for item in items for effect in item.result.effects if isinstance(effect, kind)]
