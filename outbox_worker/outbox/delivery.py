"""The engine's nouns: what a delivery is, and what a claim of it carries."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, NewType

if TYPE_CHECKING:
    from datetime import datetime

DeliveryId = NewType("DeliveryId", int)
Fence = NewType("Fence", int)
WorkerId = NewType("WorkerId", str)


class Destination(StrEnum):
    """Where something is owed; the values are those of ``outbox.delivery.destination``."""

    GUESTLY = "guestly"
    EMAIL = "email"
    CHAT = "chat"
    INBOX = "inbox"


class Reason(StrEnum):
    """Why a delivery was asked for; the values are those of ``outbox.request.reason``."""

    STRIPE = "stripe"
    OPERATOR = "operator"
    REDRIVE = "redrive"
    DATABASE = "database"
    TAKEOVER = "takeover"
    ALERT = "alert"


class State(StrEnum):
    """A delivery's state as operators see it; derived from the row, stored nowhere."""

    WAITING = "waiting"
    SENDING = "sending"
    RETRYING = "retrying"
    CHECKING = "checking"
    HELD = "held"
    SYNCED = "synced"
    FAILED = "failed"
    REJECTED = "rejected"
    DISCARDED = "discarded"


class Claim(NamedTuple):
    """One claimed row: the right to make one attempt, until the lease ends.

    A tuple, as one is made for every row of a drain: a frozen dataclass takes far longer.

    Args:
        id: The delivery row.
        destination: Where to.
        key: Booking id, alert id or event id, as text.
        version: ``requested`` at the claim; what a success may set ``delivered`` to.
        fence: Token of this claim; settle and release match it together with the owner.
        attempts: Attempts of this round, this one included.
        round: Count of rounds; a new one begins with new work.
        failed_at: Given up since, if this is a redrive; aware UTC.
        uncertain_at: Until then a write of unknown outcome may have been under way; aware UTC.
        delivered_at: Last success; aware UTC.
        requested_at: When the newest version was asked for; aware UTC.
        seen_at: The database's clock at the claim; aware UTC.
        lost_owner: Worker that claimed the row before and never settled it.
        probe: Claimed to find out whether its destination works again.
    """

    id: DeliveryId
    destination: Destination
    key: str
    version: int
    fence: Fence
    attempts: int
    round: int
    failed_at: datetime | None
    uncertain_at: datetime | None
    delivered_at: datetime | None
    requested_at: datetime
    seen_at: datetime
    lost_owner: WorkerId | None
    probe: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The columns of a delivery that decide its state."""

    requested: int
    delivered: int
    due_at: datetime | None
    failed_at: datetime | None
    discarded_at: datetime | None
    uncertain_at: datetime | None
    attempts: int
    lease_until: datetime | None


def state_of(row: Snapshot, *, now: datetime, held: bool) -> State:
    """The word that operators see for a row.

    Args:
        row: The delivery's columns.
        now: The database's clock, aware UTC.
        held: Whether the destination takes nothing at present: disabled, paused, circuit open.

    Returns:
        Exactly one state; a live lease wins over what the row was before.
    """
    if row.lease_until is not None and row.lease_until > now:
        return State.SENDING
    if row.discarded_at is not None:
        return State.DISCARDED
    if row.failed_at is not None:
        return State.FAILED if row.due_at is not None else State.REJECTED
    if row.delivered == row.requested:
        return State.SYNCED
    if held:
        return State.HELD
    if row.uncertain_at is not None:
        return State.CHECKING
    return State.RETRYING if row.attempts > 0 else State.WAITING
