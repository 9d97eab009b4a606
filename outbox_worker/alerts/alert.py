"""What a person is told: incidents as values, without guest data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NewType
from uuid import UUID

from outbox_worker.outbox.delivery import Destination, State

AlertId = NewType("AlertId", int)

#: Where alerts are told. A channel that is not set up settles them as ``not_configured``.
ALERT_CHANNELS = (Destination.EMAIL, Destination.CHAT)

#: Code of the alert that the price of a stay in the PMS is not known to be what was paid.
PRICE_UNKNOWN = "price_unknown"

#: Fact of an alert: the last change that it was raised for. Not shown.
CHANGE = "change"

#: How many deliveries one mail names at most; those beyond it go into the next mail.
PAGE = 500

#: Messages of one channel about one incident are at least this far apart; one that is back sooner
#: is the same.
SPACING = timedelta(minutes=5)


class AlertKind(StrEnum):
    """Kinds of incident; the values are those of ``outbox.alert.kind``."""

    SYNC_FAILED = "sync_failed"
    SYNC_REJECTED = "sync_rejected"
    SYNC_UNCERTAIN = "sync_uncertain"
    CIRCUIT_OPEN = "circuit_open"
    MISCONFIGURED = "misconfigured"
    AMOUNT_MISMATCH = "amount_mismatch"
    PAID_AFTER_CANCELLATION = "paid_after_cancellation"
    PAID_TWICE = "paid_twice"
    CANCELED_AFTER_CONFIRMATION = "canceled_after_confirmation"
    PAID_WITHOUT_BOOKING = "paid_without_booking"
    EVENT_FAILED = "event_failed"
    EVENT_MALFORMED = "event_malformed"
    REPORTED = "reported"
    CHANNEL_FAILING = "channel_failing"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAlert:
    """An incident to raise, or to add to when it is open.

    Args:
        kind: Kind of incident.
        fingerprint: What makes two reports one incident, such as ``guestly:http_503`` or a payment
            intent; 1 to 300 characters.
        booking_id: The booking that it is about, when it is about one.
        facts: Ids, codes and amounts for its text, by snake_case name; never guest data. They are
            cleaned and cut when they are stored.
        change: What it is raised for, such as a version. An incident that is open already is told
            once more for each; None: it is not.
        joins: Kind and fingerprint of other incidents that it belongs to: if one of them is open,
            and its own is not, it is reported there instead.
    """

    kind: AlertKind
    fingerprint: str
    booking_id: UUID | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    change: str | None = None
    joins: tuple[tuple[AlertKind, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RaisedAlert:
    """What became of a report.

    Args:
        id: The open alert of its incident.
        opened: Whether it was not open before; one that was solved a moment ago is opened again.
        named: How many deliveries it names now that it did not name before.
    """

    id: AlertId
    opened: bool
    named: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """A booking as an alert may show it: nothing in it identifies the guest.

    Args:
        reference: As the site stores it; anybody may have written it.
        nights: Between the two dates; None when one of them is missing.
        adults, children, infants: 0 where the site left them empty.
        total: Major units of the site's currency.
        payment_status, status: The site's words, shown as they are.
        reservation_id: What the PMS is known to hold for it; None: nothing.
        test: Whether that reservation stands for a call that test mode did not make.
    """

    id: UUID
    reference: str
    property_name: str | None
    slug: str | None
    check_in: date | None
    check_out: date | None
    nights: int | None
    adults: int
    children: int
    infants: int
    total: Decimal | None
    payment_status: str
    status: str
    reservation_id: str | None
    test: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedDelivery:
    """A delivery that an alert names, as it is now.

    Args:
        key: Booking id or event id, as text.
        stay: Its booking; None when there is none (any more).
        state: None when the delivery's row is gone.
        failed_at, healed_at, due_at: Aware UTC.
        untold: Whether the channel has not named it yet.
    """

    delivery_id: int
    destination: Destination | None
    key: str
    stay: Stay | None
    state: State | None
    attempts: int
    error_code: str | None
    error: str | None
    failed_at: datetime
    healed_at: datetime | None
    due_at: datetime | None
    untold: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """An alert as it is now to one channel, with the deliveries that its next message is to name.

    Args:
        stay: The booking that the alert itself is about.
        count: How often it was reported.
        messages: Those that the channel took so far; the next one's number is one more.
        told_at, solved_told_at: When it took the last one, and the same again if that one calls it
            solved; aware UTC.
        named: At most a page of them; of a resolved alert the untold ones first, then the others.
        named_to: What the channel has told once it takes the next message; a mark in the order in
            which the alert's deliveries were named.
        total: Deliveries named by it, ever.
        standing: Those among them that are not healed.
        told_standing: Those among the standing ones that an earlier message has named.
        untold: Those that no message has named yet, healed or not; ``named`` may hold fewer.
        now: The database's clock when it was read; aware UTC.
    """

    id: AlertId
    kind: AlertKind
    fingerprint: str
    stay: Stay | None
    facts: Mapping[str, str]
    count: int
    messages: int
    told_at: datetime | None
    solved_told_at: datetime | None
    first_seen_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None
    named: tuple[NamedDelivery, ...]
    named_to: int
    total: int
    standing: int
    told_standing: int
    untold: int
    now: datetime

    @property
    def fresh(self) -> tuple[NamedDelivery, ...]:
        """The deliveries among ``named`` that the channel has not named yet."""
        return tuple(delivery for delivery in self.named if delivery.untold)

    @property
    def has_news(self) -> bool:
        """Whether there is anything that the channel has not told yet."""
        if self.fresh or self.messages == 0:
            return True
        if self.kind is AlertKind.TEST:
            return False
        if self.facts.get("code") == PRICE_UNKNOWN and self.resolved_at is None:
            # names no delivery: what came after the last message is told by the next one
            return self.told_at is None or self.told_at < self.last_seen_at
        # solved and not told, or back again after it was told to be solved
        return (self.resolved_at is None) != (self.solved_told_at is None)
