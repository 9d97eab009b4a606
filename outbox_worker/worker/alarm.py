"""Telling people of a destination that nothing gets through to, and of the end of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from outbox_worker.alerts import shut_gate
from outbox_worker.alerts import store as alerts
from outbox_worker.alerts.alert import ALERT_CHANNELS, NewAlert
from outbox_worker.database import Connection, translated
from outbox_worker.errors import DatabaseBusyError, DatabaseError, DatabaseUnreachableError
from outbox_worker.events import Event
from outbox_worker.gate.circuit import Cause, Circuit, State
from outbox_worker.gate.hold import Hold
from outbox_worker.outbox.delivery import Destination
from outbox_worker.telemetry import logger

#: Told is from the first failed probe on, so that a hiccup wakes nobody.
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
    raised, rested = _raised(destination, pms, turn), _rested(destination, pms, turn)
    closed = turn.after.state is State.CLOSED and turn.before.state is not State.CLOSED
    if not raised and not rested and not closed:
        return False
    try:
        with translated():
            async with conn.transaction():
                # whatever kept it shut: it may have begun as another cause
                shut = await alerts.open_of_gate(conn, destination) if closed else ()
                await alerts.lock(conn, ids=shut, alerts=[*raised, *rested])
                told = await alerts.raise_alerts(
                    conn, [alerts.Raise(alert=alert) for alert in raised], channels=ALERT_CHANNELS
                )
                over = [
                    *await alerts.resolve_healed(conn, shut, channels=ALERT_CHANNELS),
                    *[
                        await alerts.resolve(
                            conn, alert.kind, alert.fingerprint, channels=ALERT_CHANNELS
                        )
                        for alert in rested
                    ],
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
    return any(each.opened for each in told) or bool(over)


def _raised(destination: Destination, pms: str, turn: Turn) -> list[NewAlert]:
    found = []
    after = turn.after
    if after.opens > turn.before.opens and after.opens >= _TOLD_FROM:
        # each failed probe reports its cause: told is what is new, as each has one incident. The
        # first refusal is told by the rows that meet it.
        incident = shut_gate.refused if after.cause is Cause.MISCONFIGURED else shut_gate.unanswered
        found.append(incident(destination, pms=pms, code=after.code))
    if turn.hold != turn.was and turn.hold.length > _REST_PATIENCE:
        found.append(shut_gate.resting(destination, pms=pms))
    return found


def _rested(destination: Destination, pms: str, turn: Turn) -> list[NewAlert]:
    over = turn.hold.since is None and turn.was.since is not None
    return [shut_gate.resting(destination, pms=pms)] if over else []
