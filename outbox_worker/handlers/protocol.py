"""What the engine asks of a handler: one per destination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Protocol, TypeVar

from outbox_worker.database import Connection
from outbox_worker.handlers.effect import Result
from outbox_worker.outbox.delivery import Claim, DeliveryId, Destination
from outbox_worker.outbox.outcome import Retry
from outbox_worker.outbox.retry import RetryPolicy

State = TypeVar("State")


class Deadline(Protocol):
    """How long a claim may still send."""

    def allows(self, call: timedelta) -> bool:
        """Ask for permission right before the first byte of a write.

        Args:
            call: Longest time that the call may take.

        Returns:
            Whether the lease, less ``call``, is not used up yet and nobody has called the work off.
            Once it said yes, the claim counts as begun: it is never given back, only settled.
        """

    def reads(self) -> None:
        """Say that a call follows that changes nothing; writes are counted by `allows`."""


class Handler(Protocol[State]):
    """Brings one destination to the current state of a key."""

    @property
    def destination(self) -> Destination:
        """Which deliveries it takes."""

    @property
    def policy(self) -> RetryPolicy:
        """How often and how soon a failed attempt is repeated."""

    async def load(self, conn: Connection, claims: Sequence[Claim]) -> Mapping[DeliveryId, State]:
        """Read what the claims need, in one statement after they have committed.

        Read any earlier, a change made in between would be settled without being sent.
        """

    async def run(self, claim: Claim, state: State, deadline: Deadline) -> Result:
        """Make the destination hold the state; expected failures are outcomes, not exceptions."""

    def failed(self, claim: Claim, retry: Retry) -> Result:
        """What follows an attempt without an answer of `run`: crashed, cut off, or lost."""
