"""Whether the demo went as it should: what was found, against what the sample site says. Pure.

The PMS's own effect log and the database are asked; what the worker says about itself is not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from outbox_worker.demo.site import PARKED, RETRIED, Fate, SampleBooking, paid


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingState:
    """A booking as the database has it, and its outbox row.

    Args:
        total: In the booking's currency.
        delivered: Whether the outbox row says that the PMS holds the booking as it is.
        failed: Whether the outbox row waits for a person or a redrive.
        stumbles: Attempts that failed or had no trustworthy answer.
    """

    reference: str
    status: str
    payment_status: str
    total: Decimal
    sync_status: str
    reservation_id: str | None
    delivered: bool
    failed: bool
    stumbles: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEffect:
    """One line of the simulator's effect log; ``fare`` in the booking's currency."""

    at: datetime
    kind: str
    reservation_id: str
    reference: str
    status: str
    fare: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that the verdict rests on.

    Args:
        bookings: All of the site's, from the database.
        effects: The simulator's log, in order.
        events_kept: Rows of the inbox.
        deliveries_sent: Webhooks sent, repetitions included.
        sent_at: Reference to the moment when the payment's event was first sent; aware UTC.
        mails: Texts of the alert mails that arrived.
    """

    bookings: Sequence[BookingState]
    effects: Sequence[LoggedEffect]
    events_kept: int
    deliveries_sent: int
    sent_at: Mapping[str, datetime]
    mails: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One count: what it should be and what it is."""

    name: str
    expected: int
    found: int

    @property
    def passed(self) -> bool:
        """Whether they agree."""
        return self.expected == self.found


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """From sending the webhook to the reservation in the PMS's log."""

    p50: timedelta
    p95: timedelta


def checks_of_payments(samples: Sequence[SampleBooking], evidence: Evidence) -> tuple[Check, ...]:
    """What must be so once everything has been delivered or parked."""
    bought = paid(samples)
    parked = {sample.reference for sample in bought if sample.fate in PARKED}
    retried = {sample.reference for sample in bought if sample.fate in RETRIED}
    stumbled = {one.reference for one in evidence.bookings if one.stumbles}
    failed = {one.reference for one in evidence.bookings if one.failed}
    shown = {one for one in failed if any(one in mail for mail in evidence.mails)}
    return (
        Check(
            name="payments",
            expected=len(bought),
            found=sum(one.payment_status == "completed" for one in evidence.bookings),
        ),
        Check(
            name="confirmed",
            expected=len(bought),
            found=sum(one.status == "confirmed" for one in evidence.bookings),
        ),
        Check(
            name="synced: one reservation each",
            expected=len(bought) - len(parked),
            found=len(synced_once(evidence)),
        ),
        Check(
            name="retried, then synced",
            expected=len(retried),
            # a slow machine may have one more of them try again, which is as it should be
            found=len(retried & stumbled & synced_once(evidence)),
        ),
        Check(name="failed, alert shown", expected=len(parked), found=len(shown & parked)),
        Check(
            name="duplicates absorbed",
            expected=sum(2 for sample in samples if sample.fate is Fate.REPEATED),
            found=evidence.deliveries_sent - evidence.events_kept,
        ),
        *_never(samples, evidence),
    )


def checks_after_repair(samples: Sequence[SampleBooking], evidence: Evidence) -> tuple[Check, ...]:
    """What must be so once an operator has repaired what was parked."""
    return (
        Check(
            name="synced: one reservation each",
            expected=len(paid(samples)),
            found=len(synced_once(evidence)),
        ),
        Check(name="still failed", expected=0, found=sum(one.failed for one in evidence.bookings)),
        *_never(samples, evidence),
    )


def synced_once(evidence: Evidence) -> frozenset[str]:
    """References that the database calls synced and of which the PMS holds exactly one reservation.

    That one carries the id that the booking has, is confirmed, and costs what the guest has paid.
    """
    created = _creations(evidence.effects)
    latest = {effect.reservation_id: effect for effect in evidence.effects}
    good = set()
    for one in evidence.bookings:
        if not (one.delivered and one.sync_status == "synced" and one.reservation_id):
            continue
        held = latest.get(one.reservation_id)
        if (
            held is not None
            and created.get(one.reference) == [one.reservation_id]
            and held.status == "confirmed"
            and held.fare == one.total
        ):
            good.add(one.reference)
    return frozenset(good)


def latency(evidence: Evidence) -> Latency | None:
    """How long the reservations took; None when there are none."""
    first: dict[str, datetime] = {}
    for effect in evidence.effects:
        if effect.kind == "create" and effect.reference in evidence.sent_at:
            first.setdefault(effect.reference, effect.at)
    took = sorted(at - evidence.sent_at[reference] for reference, at in first.items())
    if not took:
        return None
    return Latency(p50=took[len(took) // 2], p95=took[min(len(took) - 1, len(took) * 95 // 100)])


def _never(samples: Sequence[SampleBooking], evidence: Evidence) -> tuple[Check, ...]:
    bought = {sample.reference for sample in paid(samples)}
    created = _creations(evidence.effects)
    return (
        Check(
            name="reserved twice",
            expected=0,
            found=sum(len(ids) > 1 for ids in created.values()),
        ),
        Check(name="reserved without payment", expected=0, found=len(created.keys() - bought)),
    )


def _creations(effects: Iterable[LoggedEffect]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for effect in effects:
        if effect.kind == "create":
            found[effect.reference].append(effect.reservation_id)
    return found
