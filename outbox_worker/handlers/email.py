"""(email, <alert id>): the administrator should know this alert as it is now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from outbox_worker.alerts import pending, render
from outbox_worker.alerts.alert import SPACING, AlertId, Incident
from outbox_worker.alerts.port import AlertChannel
from outbox_worker.database import Connection
from outbox_worker.errors import AlertChannelError
from outbox_worker.events import Event
from outbox_worker.handlers.effect import AlertMailed, Result
from outbox_worker.handlers.protocol import Deadline
from outbox_worker.outbox.delivery import Claim, DeliveryId, Destination
from outbox_worker.outbox.outcome import Abandon, AttemptOutcome, Done, Retry, Wait
from outbox_worker.outbox.retry import RetryPolicy
from outbox_worker.telemetry import logger

_LONGEST_KEY = 18


class EmailHandler:
    """Mails what is new about an alert, one mail per claim. Never raises an alert itself.

    Args:
        channel: Where mail is handed in; None: there is none, or nobody to write to.
        policy: Without a limit of attempts: an alert is never given up.
        currency: Of every booking's total, ISO 4217.
    """

    def __init__(self, channel: AlertChannel | None, *, policy: RetryPolicy, currency: str) -> None:
        self._channel = channel
        self._policy = policy
        self._currency = currency

    @property
    def destination(self) -> Destination:
        """Alerts by e-mail."""
        return Destination.EMAIL

    @property
    def policy(self) -> RetryPolicy:
        """How soon a failed mail is repeated."""
        return self._policy

    async def load(
        self, conn: Connection, claims: Sequence[Claim]
    ) -> Mapping[DeliveryId, Incident | None]:
        """Choose what the mails will name, and read it; None where the alert is gone."""
        keys = {claim.id: _alert_id(claim.key) for claim in claims}
        certain = {
            key: claim.uncertain_at is None
            for claim in claims
            if (key := keys[claim.id]) is not None
        }
        async with conn.transaction():
            await pending.plan(conn, certain)
            found = await pending.read(conn, list(certain))
        return {delivery: None if key is None else found.get(key) for delivery, key in keys.items()}

    async def run(self, claim: Claim, state: Incident | None, deadline: Deadline) -> Result:
        """Send one mail if there is news and the last one is long enough ago."""
        if state is None or not state.has_news:
            return Result(outcome=Done(record=AttemptOutcome.NOTHING))
        if self._channel is None:
            logger().warning(
                Event.ALERT_UNCONFIGURED,
                message=f"Alert {state.id} is mailed to nobody: no recipient or no mail service",
                alert_id=state.id,
                kind=state.kind,
                delivery_id=claim.id,
            )
            return Result(outcome=Done(record=AttemptOutcome.NOT_CONFIGURED))
        rest = _rest(state, claim)
        if rest > timedelta(0):
            return Result(
                outcome=Wait(
                    due_in=rest,
                    code="mail_spacing",
                    message="the last mail about this incident is less than five minutes ago",
                )
            )
        if not deadline.allows(self._channel.timeout):
            return Result(outcome=Abandon(code="lease_too_short"))
        return await self._send(claim, state, self._channel)

    def failed(self, claim: Claim, retry: Retry) -> Result:  # noqa: ARG002 - the protocol's shape
        """An attempt that ended without an answer of `run`: the mail may be out."""
        return Result(outcome=retry)

    async def _send(self, claim: Claim, incident: Incident, channel: AlertChannel) -> Result:
        message = render.message(incident, currency=self._currency)
        try:
            accepted = await channel.send(message)
        except AlertChannelError as error:
            return Result(
                outcome=Retry(
                    code=error.code,
                    message=str(error),
                    ambiguous=error.ambiguous,
                    http_status=error.http_status,
                )
            )
        named = tuple(delivery.delivery_id for delivery in incident.unmailed)
        refused = f", {accepted.refused} recipients refused it" if accepted.refused else ""
        logger().info(
            Event.ALERT_SENT,
            message=f"Alert {incident.id}: mail {incident.mails + 1} accepted{refused}",
            alert_id=incident.id,
            kind=incident.kind,
            delivery_id=claim.id,
            count=len(named),
        )
        mailed = AlertMailed(
            alert_id=incident.id,
            delivery_ids=named,
            resolved_told=incident.resolved_at is not None,
        )
        return Result(outcome=Done(http_status=accepted.http_status), effects=(mailed,))


def _rest(incident: Incident, claim: Claim) -> timedelta:
    """How long the next mail has to wait, by the database's clock."""
    if incident.mailed_at is None:
        return timedelta(0)
    return incident.mailed_at + SPACING - claim.seen_at


def _alert_id(key: str) -> AlertId | None:
    known = key.isascii() and key.isdigit() and len(key) <= _LONGEST_KEY
    return AlertId(int(key)) if known else None
