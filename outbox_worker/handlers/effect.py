"""What a settled result changes beyond its own row.

Handlers return effects as values; `worker.settle` applies them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from outbox_worker.outbox.outcome import Outcome

if TYPE_CHECKING:
    from uuid import UUID

    from outbox_worker.alerts.alert import AlertId, NewAlert
    from outbox_worker.outbox.delivery import Destination
    from outbox_worker.pms.port import Mode, Parts, PmsName


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationHeld:
    """The PMS holds this reservation for the booking.

    Args:
        fingerprint: Hash of the state that was confirmed there; None: not known (a reservation
            found by look-up that differs, or one that has not got all its parts yet).
        parts: What is known of it part by part; see `pms.port.Parts`.
    """

    booking_id: UUID
    pms: PmsName
    reservation_id: str
    mode: Mode
    fingerprint: str | None
    parts: Parts = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRaised:
    """Tell a person.

    Args:
        alert: What to tell.
        names_delivery: Whether the alert names this delivery, whose success then heals it.
        only_if_given_up: Raise it only when this settle gives the row up for the first time since
            it last worked; the alert then names the delivery. Otherwise raise it whenever the
            result is accepted.
    """

    alert: NewAlert
    only_if_given_up: bool
    names_delivery: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertEnded:
    """What was told of is over by itself; ``alert``: as it was raised. It names no deliveries."""

    alert: NewAlert


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertTold:
    """A channel has taken a message about an alert.

    Args:
        told_to, count: ``named_to`` and ``count`` of the incident that the message was made of.
        resolved_told: Whether it said that the incident is solved.
    """

    alert_id: AlertId
    channel: Destination
    told_to: int
    count: int
    resolved_told: bool


Effect: TypeAlias = ReservationHeld | AlertRaised | AlertEnded | AlertTold


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one handler made of one claim.

    Args:
        outcome: See `outbox.outcome`.
        booking_id: Booking whose columns mirror this delivery; settle locks it first and refreshes
            them last.
        effects: Applied in the settling transaction, only when the settle is accepted.
        reservation_id: For the log sentence of a success.
    """

    outcome: Outcome
    booking_id: UUID | None = None
    effects: tuple[Effect, ...] = field(default=())
    reservation_id: str | None = None
