"""(email, <alert id>) and (chat, <alert id>): people should know this alert as it is now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from outbox_worker.alerts import pending
from outbox_worker.alerts.alert import SPACING, AlertId, AlertKind, Incident, NewAlert
from outbox_worker.alerts.port import AlertChannel
from outbox_worker.database import Connection
from outbox_worker.errors import AlertChannelError
from outbox_worker.events import Event
from outbox_worker.handlers.effect import AlertRaised, AlertTold, Effect, Result
from outbox_worker.handlers.protocol import Deadline
from outbox_worker.outbox.delivery import Claim, DeliveryId, Destination
from outbox_worker.outbox.outcome import Abandon, AttemptOutcome, Done, Outcome, Retry, Wait
from outbox_worker.outbox.retry import RetryPolicy
from outbox_worker.telemetry import logger

Message = TypeVar("Message")

#: A channel that fails so often, or for so long, with one alert is reported in the other channel.
FAILING_AFTER = 5
FAILING_FOR = timedelta(minutes=30)

_LONGEST_KEY = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling(Generic[Message]):
    """How one channel tells of incidents.

    Args:
        destination: One of `ALERT_CHANNELS`.
        channel: Where messages are handed in; None: it is not set up.
        compose: Makes the next message about an incident.
        page: How many deliveries one message names at most.
        alone: Whether no other channel is set up, so that an alert that is not told here is told
            nowhere.
    """

    destination: Destination
    channel: AlertChannel[Message] | None
    compose: Callable[[Incident], Message]
    page: int
    alone: bool


class AlertHandler(Generic[Message]):
    """Tells what is new about an alert in one channel, one message per claim.

    What fails is tried again for ever. A channel that keeps failing becomes an alert of its own,
    which is never told in that channel itself.

    Args:
        telling: The channel and its messages.
        policy: Without a limit of attempts: an alert is never given up.
    """

    def __init__(self, telling: Telling[Message], *, policy: RetryPolicy) -> None:
        self._telling = telling
        self._policy = policy

    @property
    def destination(self) -> Destination:
        """The channel."""
        return self._telling.destination

    @property
    def policy(self) -> RetryPolicy:
        """How soon a failed message is repeated."""
        return self._policy

    async def load(
        self, conn: Connection, claims: Sequence[Claim]
    ) -> Mapping[DeliveryId, Incident | None]:
        """Choose what the messages will name, and read it; None where the alert is gone."""
        keys = {claim.id: _alert_id(claim.key) for claim in claims}
        certain = {
            key: claim.uncertain_at is None
            for claim in claims
            if (key := keys[claim.id]) is not None
        }
        channel, page = self._telling.destination, self._telling.page
        async with conn.transaction():
            await pending.plan(conn, certain, channel=channel, page=page)
            found = await pending.read(conn, list(certain), channel=channel, page=page)
        return {delivery: None if key is None else found.get(key) for delivery, key in keys.items()}

    async def run(self, claim: Claim, state: Incident | None, deadline: Deadline) -> Result:
        """Send one message if there is news and the last one is long enough ago."""
        if state is None or not state.has_news:
            return Result(outcome=Done(record=AttemptOutcome.NOTHING))
        channel = self._telling.channel
        if channel is None:
            self._say_unconfigured(claim, state)
            return Result(outcome=Done(record=AttemptOutcome.NOT_CONFIGURED))
        rest = _rest(state, claim)
        if rest > timedelta(0):
            return Result(
                outcome=Wait(
                    due_in=rest,
                    code="spacing",
                    message="the last message about this incident is less than five minutes ago",
                )
            )
        if not deadline.allows(channel.timeout):
            return Result(outcome=Abandon(code="lease_too_short"))
        return await self._send(claim, state, channel)

    def failed(self, claim: Claim, retry: Retry) -> Result:
        """An attempt that ended without an answer of `run`: the message may be out."""
        return self._missed(claim, retry, code=retry.code, message=retry.message)

    async def _send(
        self, claim: Claim, incident: Incident, channel: AlertChannel[Message]
    ) -> Result:
        message = self._telling.compose(incident)
        try:
            accepted = await channel.send(message)
        except AlertChannelError as error:
            return self._missed(claim, _after(error), code=error.code, message=str(error))
        refused = f", {accepted.refused} recipients refused it" if accepted.refused else ""
        logger().info(
            Event.ALERT_SENT,
            message=f"Alert {incident.id}: {self.destination} message {incident.messages + 1}"
            f" accepted{refused}",
            destination=self.destination,
            alert_id=incident.id,
            kind=incident.kind,
            delivery_id=claim.id,
            count=len(incident.fresh),
        )
        told = AlertTold(
            alert_id=incident.id,
            channel=self.destination,
            told_to=incident.named_to,
            count=incident.count,
            resolved_told=incident.resolved_at is not None,
        )
        return Result(outcome=Done(http_status=accepted.http_status), effects=(told,))

    def _missed(self, claim: Claim, outcome: Outcome, *, code: str, message: str) -> Result:
        """A message that was not taken; once that lasts, the other channel says so."""
        lasting = claim.seen_at - claim.requested_at >= FAILING_FOR
        effects: tuple[Effect, ...] = ()
        if claim.attempts >= FAILING_AFTER or lasting:
            effects = (
                AlertRaised(
                    alert=NewAlert(
                        kind=AlertKind.CHANNEL_FAILING,
                        fingerprint=self.destination,
                        facts={"channel": self.destination, "code": code, "error": message},
                    ),
                    only_if_given_up=False,
                    names_delivery=True,
                ),
            )
        return Result(outcome=outcome, effects=effects)

    def _say_unconfigured(self, claim: Claim, incident: Incident) -> None:
        if self._telling.alone:
            logger().warning(
                Event.ALERT_UNCONFIGURED,
                message=f"Alert {incident.id} is told to nobody: neither mail nor chat is set up",
                alert_id=incident.id,
                kind=incident.kind,
                delivery_id=claim.id,
            )


def _after(error: AlertChannelError) -> Outcome:
    """What follows a refusal: a server that asks for patience gets it, and that is no attempt."""
    if error.retry_after is not None:
        return Wait(
            # "Retry-After: 0" must not become a tight loop that costs no attempt
            due_in=max(error.retry_after, timedelta(seconds=1)),
            record=AttemptOutcome.RATE_LIMITED,
            code=error.code,
            message=str(error),
            http_status=error.http_status,
        )
    return Retry(
        code=error.code,
        message=str(error),
        ambiguous=error.ambiguous,
        http_status=error.http_status,
    )


def _rest(incident: Incident, claim: Claim) -> timedelta:
    """How long the next message has to wait, by the database's clock."""
    if incident.told_at is None:
        return timedelta(0)
    return incident.told_at + SPACING - claim.seen_at


def _alert_id(key: str) -> AlertId | None:
    known = key.isascii() and key.isdigit() and len(key) <= _LONGEST_KEY
    return AlertId(int(key)) if known else None
