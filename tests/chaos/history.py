"""What a run left behind, as values: everything that the checker looks at, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

CANCELED = "canceled"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A booking as it was committed at some time; the site gives every change another check-out."""

    status: str
    check_in: date
    check_out: date
    total: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """A booking of the site.

    Args:
        wish: What the guest wishes by now; None: nothing.
        states: Every committed one, oldest first; never empty.
        sync_status, reservation_id: Its columns of ours.
    """

    id: UUID
    reference: str
    states: Sequence[State]
    wish: str | None = None
    sync_status: str | None = None
    reservation_id: str | None = None

    @property
    def final(self) -> State:
        """As it is now."""
        return self.states[-1]

    @property
    def ever_confirmed(self) -> bool:
        """Whether the PMS ever had to hold it."""
        return any(state.status == "confirmed" for state in self.states)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One line of the simulator's effect log; ``status`` is the PMS's word.

    ``repriced``: the PMS has put a price of its own in place of the fare.
    """

    n: int
    at: datetime
    op: str
    reservation_id: str
    reference: str
    status: str
    check_in: date
    check_out: date
    fare: Decimal
    fault: str | None = None
    repriced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A reservation as the PMS holds it in the end; ``guests`` is their number."""

    reservation_id: str
    reference: str
    status: str
    guests: int
    notes: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenChange:
    """A token that was put on record, and the one before it.

    Args:
        since: When it was requested.
        before_since, before_until: Life of the one before; None: there was none.
        before_refused: Whether the PMS had refused that one.
    """

    serial: int
    since: datetime
    before_since: datetime | None = None
    before_until: datetime | None = None
    before_refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What was asked for tokens.

    Args:
        changes: In order.
        revoked: When tokens were ended from outside.
        charged: Requests that were put on record before they were sent.
        arrived: Requests that reached the PMS.
        limited: Of these, those over the day's quota.
    """

    changes: Sequence[TokenChange]
    revoked: Sequence[datetime]
    charged: int
    arrived: int
    limited: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """An event that was answered with a 2xx; ``pays``: whether it tells that the guest has paid."""

    event_id: str
    booking_id: UUID
    pays: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One outbox row."""

    id: int
    destination: str
    key: str
    requested: int
    delivered: int
    failed: bool = False
    error_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claim as the database saw it.

    Args:
        previous_until: End of the lease that it took over from somebody; None: the row was free.
    """

    delivery_id: int
    fence: int
    at: datetime
    previous_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GaveUp:
    """A row that began to be failed."""

    delivery_id: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A row that an alert names."""

    alert_id: int
    delivery_id: int
    failed_at: datetime
    healed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail that may have been taken, in the order of arrival."""

    message_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A piece of guest data where none may be; ``canary`` is whose."""

    where: str
    canary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One run.

    Args:
        events: Ids of the events in the inbox.
        alerts: Ids of all alerts, open or not.
        exits: What each process answered to SIGTERM when all was over; None: it did not end.
        drained_in: From the end of the faults until nothing was owed; None: not within ``bound``.
        owed: Keys of what was still owed then.
        held: What the PMS held when all was over; None: it was not asked.
        tokens: None: the PMS gives none.
    """

    bookings: Sequence[Booking]
    deliveries: Sequence[Delivery]
    effects: Sequence[Effect]
    acks: Sequence[Ack]
    events: frozenset[str]
    claims: Sequence[Claim]
    gave_up: Sequence[GaveUp]
    named: Sequence[Named]
    alerts: frozenset[int]
    mails: Sequence[Mail]
    leaks: Sequence[Leak]
    exits: Mapping[str, int | None]
    drained_in: timedelta | None
    bound: timedelta
    owed: Sequence[str] = ()
    held: Sequence[Held] | None = None
    tokens: Tokens | None = None
