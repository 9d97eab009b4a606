"""Telling people of a destination that nothing gets through to, and of the end of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from outbox_worker.alerts import store as alerts
from outbox_worker.alerts.alert import ALERT_CHANNELS, AlertKind, NewAlert
from outbox_worker.database import Connection, translated
from outbox_worker.errors import DatabaseBusyError, DatabaseError, DatabaseUnreachableError
from outbox_worker.events import Event
from outbox_worker.gate.circuit import Cause, Circuit, State
from outbox_worker.gate.hold import Hold
from outbox_worker.outbox.delivery import Destination
from outbox_worker.telemetry import logger

#: Outages from here on are told: at the first failed probe, so that a hiccup wakes nobody.
_TOLD_FROM = 2
#: Who asks to be left alone for longer than this is told of.
_REST_PATIENCE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A gate before and after something was learnt about its destination."""

    before: Circuit
    after: Circuit
    was: Hold
    hold: Hold


async def tell(conn: Connection, destination: Destination, pms: str, turn: Turn) -> bool:
    """Raise and resolve what a turn of the gate means; whether there is something to deliver.

    Args:
        conn: Inside the transaction that writes the gate. What Postgres refuses here takes nothing
            of that back: a gate nobody is told of is better than none.
        destination: Whose gate.
        pms: The PMS as alerts name it, such as ``guestly``.
        turn: What has changed.

    Raises:
        DatabaseBusyError: Somebody else was in the way; the whole transaction is to be repeated.
        DatabaseUnreachableError: The connection is gone.
    """
    raised, resolved = _raised(destination, pms, turn), _resolved(destination, pms, turn)
    if not raised and not resolved:
        return False
    try:
        with translated():
            async with conn.transaction():
                await alerts.lock(conn, alerts=[*raised, *resolved])
                told = [
                    await alerts.raise_alert(conn, alert, channels=ALERT_CHANNELS)
                    for alert in raised
                ]
                over = [
                    await alerts.resolve(
                        conn, alert.kind, alert.fingerprint, channels=ALERT_CHANNELS
                    )
                    for alert in resolved
                ]
    except (DatabaseBusyError, DatabaseUnreachableError):
        raise
    except DatabaseError as error:
        logger().error(
            Event.GATE_FAILED,
            message=f"nobody can be told about the gate of {destination}: {error}",
            destination=destination,
            hint=error.hint,
        )
        return False
    return any(each.opened for each in told) or any(over)


def _raised(destination: Destination, pms: str, turn: Turn) -> list[NewAlert]:
    found = []
    after = turn.after
    if after != turn.before:
        if after.cause is Cause.OUTAGE and after.opens >= _TOLD_FROM:
            found.append(_outage(destination, pms, after.code))
        if after.cause is Cause.MISCONFIGURED and turn.before.cause is Cause.OUTAGE:
            # while it is closed, the rows that are refused tell it themselves
            found.append(_misconfigured(destination, pms, after.code))
    if turn.hold != turn.was and turn.hold.length > _REST_PATIENCE:
        found.append(_resting(destination, pms))
    return found


def _resolved(destination: Destination, pms: str, turn: Turn) -> list[NewAlert]:
    found = []
    if turn.after.state is State.CLOSED and turn.before.state is not State.CLOSED:
        # whatever kept it shut last: it may have begun as the other
        found = [_outage(destination, pms, None), _misconfigured(destination, pms, None)]
    if turn.hold.since is None and turn.was.since is not None:
        found.append(_resting(destination, pms))
    return found


def _outage(destination: Destination, pms: str, code: str | None) -> NewAlert:
    return NewAlert(
        kind=AlertKind.CIRCUIT_OPEN,
        fingerprint=str(destination),
        facts={"code": code or "", "pms": pms},
    )


def _misconfigured(destination: Destination, pms: str, code: str | None) -> NewAlert:
    return NewAlert(
        kind=AlertKind.MISCONFIGURED,
        fingerprint=str(destination),
        facts={"code": code or "", "pms": pms},
    )


def _resting(destination: Destination, pms: str) -> NewAlert:
    return NewAlert(
        kind=AlertKind.CIRCUIT_OPEN,
        fingerprint=f"{destination}:rate_limited",
        facts={"code": "rate_limited", "pms": pms},
    )
