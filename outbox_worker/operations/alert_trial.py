"""A TEST alert, told in the way of every alert, so that one knows before that it would arrive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from uuid import uuid4

from outbox_worker.alerts import store as alerts
from outbox_worker.alerts.alert import ALERT_CHANNELS, AlertId, AlertKind, NewAlert
from outbox_worker.database import Connection, Row
from outbox_worker.operations.actions import record_action
from outbox_worker.operations.fleet import SyncMode, read_fleet
from outbox_worker.outbox import store as outbox_store
from outbox_worker.outbox.delivery import Destination
from outbox_worker.outbox.outcome import AttemptOutcome
from outbox_worker.pms.port import PmsName
from outbox_worker.sql import query

_LOOK_EVERY = timedelta(seconds=0.2)
#: Without a result for so long, the reason is told.
_STALLED = timedelta(seconds=5)
#: A worker that is being restarted is waited for so long.
_WORKER_PATIENCE = timedelta(seconds=10)


class Trial(StrEnum):
    """What became of the TEST alert in one channel."""

    ACCEPTED = "accepted"
    #: The worker that tried has no such channel.
    NOT_CONFIGURED = "not_configured"
    #: Not accepted yet, and tried again.
    RETRIED = "retried"
    #: Nobody has tried yet.
    WAITING = "waiting"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """One channel's result.

    Args:
        code, error: Why it was not accepted, or what it waits for; None where it was.
    """

    channel: Destination
    became: Trial
    code: str | None
    error: str | None


async def raise_trial(conn: Connection, *, actor: str) -> AlertId:
    """Raise a new TEST alert and ask every channel to tell it; close the ones before it.

    Args:
        conn: In autocommit mode; one transaction.
        actor: For the history.
    """
    async with conn.transaction():
        cursor = await conn.execute(query("open_test_alerts"))
        before = [AlertId(row["id"]) for row in await cursor.fetchall()]
        held = await alerts.lock(conn, ids=before)
        # nobody needs to hear that a test is over
        await alerts.close(conn, sorted(held), channels=())
        raised = await alerts.raise_alert(
            conn,
            NewAlert(
                kind=AlertKind.TEST, fingerprint=f"test:{uuid4()}", facts={"requested_by": actor}
            ),
            channels=ALERT_CHANNELS,
        )
        await record_action(
            conn, actor=actor, action="test alert", target=str(raised.id), affected=1
        )
    await outbox_store.notify(conn)
    return raised.id


async def wait_for_channels(
    conn: Connection,
    alert_id: AlertId,
    *,
    patience: timedelta,
    stalled: Callable[[str], None] | None = None,
    stalled_after: timedelta = _STALLED,
) -> tuple[TrialResult, ...]:
    """Look again and again until every channel has accepted the alert, or is not set up.

    Args:
        conn: In autocommit mode.
        alert_id: The TEST alert.
        patience: After so long what is still waited for is answered as it is.
        stalled: Told why it takes so long, once for each reason.
        stalled_after: So long without a result.

    Returns:
        One result for each channel.
    """
    # how bookings are synced is of no consequence here
    ours = SyncMode(enabled=True, test_mode=False, pms=PmsName.GUESTLY)
    began, alone_since, told = time.monotonic(), None, ""
    while True:
        fleet = await read_fleet(conn, ours)
        cursor = await conn.execute(query("alert_channel_progress"), {"id": alert_id})
        results = tuple(_result(row) for row in await cursor.fetchall())
        waiting = [each for each in results if each.became in {Trial.RETRIED, Trial.WAITING}]
        waited = time.monotonic() - began
        reasons = {
            each.channel: _reason(each, fleet.closed.get(each.channel), bool(fleet.workers))
            for each in waiting
        }
        alone_since = None if fleet.workers else alone_since or time.monotonic()
        alone = alone_since is not None and (
            time.monotonic() - alone_since > _WORKER_PATIENCE.total_seconds()
        )
        if not waiting or alone or waited >= patience.total_seconds():
            return tuple(
                replace(each, error=reasons[each.channel]) if each.channel in reasons else each
                for each in results
            )
        why = next(iter(reasons.values()))
        if waited >= stalled_after.total_seconds() and stalled is not None and why != told:
            stalled(why)
            told = why
        await asyncio.sleep(_LOOK_EVERY.total_seconds())


def _result(row: Row) -> TrialResult:
    channel = Destination(row["destination"])
    if row["owed"]:
        tried = row["last_error_code"] is not None
        return TrialResult(
            channel=channel,
            became=Trial.RETRIED if tried else Trial.WAITING,
            code=row["last_error_code"],
            error=row["last_error"],
        )
    missing = row["outcome"] == AttemptOutcome.NOT_CONFIGURED
    became = Trial.NOT_CONFIGURED if missing else Trial.ACCEPTED
    return TrialResult(channel=channel, became=became, code=None, error=None)


def _reason(each: TrialResult, closed: str | None, workers: bool) -> str:  # noqa: FBT001 - a fact
    if closed is not None:
        return f"{each.channel} is {closed}"
    if not workers:
        return "no worker is running"
    if each.code is None:
        return f"no worker has tried {each.channel} yet"
    return each.error or "no details"
