"""Settling one result in a test, and reading what it raised."""

from __future__ import annotations

from outbox_worker.alerts.alert import AlertKind, NewAlert
from outbox_worker.database import Connection
from outbox_worker.handlers.effect import AlertRaised, Effect, Result
from outbox_worker.outbox.delivery import Claim, Destination, WorkerId
from outbox_worker.outbox.outcome import (
    Outcome,
    Park,
    Retry,
)
from outbox_worker.outbox.retry import RetryPolicy
from outbox_worker.worker.execute import Finished
from outbox_worker.worker.settle import Settled, settle
from tests.support_engine import (
    A,
    policy,
)

POLICIES: dict[Destination, RetryPolicy] = dict.fromkeys(Destination, policy())
FAILED = Retry(code="http_503", message="the PMS answered 503")
REFUSED = Park(code="listing_missing", message="no listing for sea-loft")


async def record(
    conn: Connection,
    claim: Claim,
    outcome: Outcome,
    *,
    owner: WorkerId = A,
    effects: tuple[Effect, ...] = (),
    booking: bool = False,
    rules: RetryPolicy | None = None,
) -> Settled:
    from uuid import UUID

    result = Result(
        outcome=outcome, effects=effects, booking_id=UUID(claim.key) if booking else None
    )
    return await settle(
        conn,
        [Finished(claim=claim, result=result, seconds=0.1)],
        owner=owner,
        policies=POLICIES if rules is None else dict.fromkeys(Destination, rules),
    )


def alert() -> AlertRaised:
    raised = NewAlert(kind=AlertKind.SYNC_FAILED, fingerprint="guestly:http_503")
    return AlertRaised(alert=raised, only_if_given_up=True, names_delivery=True)


async def alerts_in(conn: Connection) -> list[dict[str, object]]:
    cursor = await conn.execute("select * from outbox.alert order by id")
    return await cursor.fetchall()
