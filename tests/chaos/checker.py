"""Whether a history is one that may happen. Pure: it looks at a `History` and at nothing else."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from uuid import UUID

from tests.chaos.history import CANCELED, Booking, Effect, History, Named, State

_MESSAGE_ID = re.compile(r"<alert-(\d+)\.")
#: States of a booking whose stay the PMS holds as confirmed.
LIVE = frozenset({"confirmed", "completed"})


class Rule(StrEnum):
    """What may never happen."""

    LOST = "lost"
    DOUBLED = "doubled"
    STALE = "stale"
    WRONG = "not in its final state"
    UNWANTED = "reserved, and should not be"
    UNRECORDED = "not on record as it is"
    UNFINISHED = "still owed after the faults ended"
    OVERLAPPED = "claimed while somebody else's lease was live"
    SILENT = "failed, and nobody was told"
    STANDING = "delivered, and its alert still stands"
    TOLD_TWICE = "told twice under different Message-IDs"
    UNSTOPPED = "did not stop cleanly when it was told to"
    LEAKED = "guest data outside of the site and the PMS"
    SPENT = "a token was spent that nothing forced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One broken rule.

    Args:
        reference: The booking's; None: it is about something else.
    """

    rule: Rule
    detail: str
    reference: str | None = None

    def __str__(self) -> str:
        about = "" if self.reference is None else f"{self.reference}: "
        return f"{self.rule}: {about}{self.detail}"


def check(history: History) -> tuple[Violation, ...]:
    """Every broken rule; none for a history that may happen."""
    return (
        *_answered(history),
        *_reservations(history),
        *_records(history),
        *_order(history),
        *_leases(history),
        *_drained(history),
        *_told(history),
        *(
            Violation(rule=Rule.UNSTOPPED, detail=f"{name} ended with {code}")
            for name, code in history.exits.items()
            if code != 0
        ),
        *(
            Violation(rule=Rule.LEAKED, detail=f"{leak.canary} in {leak.where}")
            for leak in history.leaks
        ),
    )


def alert_of(message_id: str) -> int | None:
    """Id of the alert that a mail is about; None: of none."""
    match = _MESSAGE_ID.match(message_id)
    return int(match[1]) if match else None


def _answered(history: History) -> Iterator[Violation]:
    """A 2xx means that the event, its booking and its outbox row are committed."""
    bookings = {booking.id: booking for booking in history.bookings}
    rows = {row.key for row in history.deliveries if row.destination == "guestly"}
    for ack in history.acks:
        booking = bookings.get(ack.booking_id)
        reference = str(ack.booking_id) if booking is None else booking.reference
        if ack.event_id not in history.events:
            yield _lost(reference, f"{ack.event_id} was answered with a 2xx and is not kept")
        if booking is None:
            yield _lost(reference, f"{ack.event_id} was answered with a 2xx, its booking is gone")
        elif ack.pays and booking.final.status == "pending":
            yield _lost(reference, f"{ack.event_id} was answered with a 2xx, it is still pending")
        elif ack.pays and booking.ever_confirmed and str(booking.id) not in rows:
            yield _lost(reference, f"{ack.event_id} was answered with a 2xx, it has no outbox row")


def _lost(reference: str, detail: str) -> Violation:
    return Violation(rule=Rule.LOST, reference=reference, detail=detail)


def _reservations(history: History) -> Iterator[Violation]:
    effects = _by_reference(history.effects)
    known = {booking.reference for booking in history.bookings}
    for booking in history.bookings:
        mine = effects.get(booking.reference, [])
        created = [effect for effect in mine if effect.op == "create"]
        latest = {effect.reservation_id: effect for effect in mine}
        live = [effect for effect in latest.values() if effect.status != CANCELED]
        if len(created) > 1:
            yield Violation(
                rule=Rule.DOUBLED,
                reference=booking.reference,
                detail=f"{len(created)} reservations were created:"
                f" {', '.join(effect.reservation_id for effect in created)}",
            )
        if booking.final.status in LIVE:
            yield from _must_be_held(booking, created, live)
        else:
            for effect in live:
                yield Violation(
                    rule=Rule.UNWANTED,
                    reference=booking.reference,
                    detail=f"it is {booking.final.status}, and {effect.reservation_id} is"
                    f" {effect.status}",
                )
    for reference in effects.keys() - known:
        yield Violation(
            rule=Rule.UNWANTED, reference=reference, detail="the site has no such booking"
        )


def _must_be_held(
    booking: Booking, created: Sequence[Effect], live: Sequence[Effect]
) -> Iterator[Violation]:
    if not created:
        yield _lost(booking.reference, "it is confirmed, and no reservation was ever created")
    elif not live:
        yield _lost(booking.reference, "it is confirmed, and its reservation is cancelled")
    for effect in live:
        if not _shows(effect, booking.final):
            yield Violation(
                rule=Rule.WRONG,
                reference=booking.reference,
                detail=f"{effect.reservation_id} shows {effect.check_in} to {effect.check_out},"
                f" {effect.fare}; the booking {booking.final.check_in} to"
                f" {booking.final.check_out}, {booking.final.total}",
            )


def _records(history: History) -> Iterator[Violation]:
    """What the database says of a reservation is what the PMS has done."""
    effects = _by_reference(history.effects)
    rows = {row.key: row for row in history.deliveries if row.destination == "guestly"}
    for booking in history.bookings:
        if not booking.ever_confirmed:
            continue
        row = rows.get(str(booking.id))
        if row is None:
            yield _lost(booking.reference, "it was confirmed, and it has no outbox row")
            continue
        created = {e.reservation_id for e in effects.get(booking.reference, []) if e.op == "create"}
        if row.delivered < row.requested:
            continue  # said by `_drained`
        if booking.sync_status != "synced":
            yield Violation(
                rule=Rule.UNRECORDED,
                reference=booking.reference,
                detail=f"delivered, and guestly_sync_status is {booking.sync_status}",
            )
        if created and booking.reservation_id not in created:
            yield Violation(
                rule=Rule.UNRECORDED,
                reference=booking.reference,
                detail=f"guestly_reservation_id is {booking.reservation_id},"
                f" created was {', '.join(sorted(created))}",
            )


def _order(history: History) -> Iterator[Violation]:
    """Effects of one reservation never go back to an older state of the booking."""
    bookings = {booking.reference: booking for booking in history.bookings}
    for reference, mine in _by_reference(history.effects).items():
        booking = bookings.get(reference)
        if booking is None:
            continue
        by_reservation: dict[str, list[tuple[Effect, int]]] = defaultdict(list)
        for effect in mine:
            place = _place(effect, booking.states)
            if place is None:
                yield Violation(
                    rule=Rule.WRONG,
                    reference=reference,
                    detail=f"effect {effect.n} ({effect.op}) shows a state that it never had",
                )
            else:
                by_reservation[effect.reservation_id].append((effect, place))
        for places in by_reservation.values():
            for (before, newer), (after, older) in pairwise(places):
                if older < newer:
                    yield Violation(
                        rule=Rule.STALE,
                        reference=reference,
                        detail=f"effect {after.n} ({after.op}) went back to its state"
                        f" {older + 1} after effect {before.n} had shown state {newer + 1}",
                    )


def _place(effect: Effect, states: Sequence[State]) -> int | None:
    """Which state of the booking an effect shows: the first one that looks so."""
    for place, state in enumerate(states):
        cancelled = state.status == "cancelled"
        if effect.status == CANCELED and cancelled:
            return place
        if effect.status != CANCELED and state.status in LIVE and _shows(effect, state):
            return place
    return None


def _shows(effect: Effect, state: State) -> bool:
    # of a PMS that has set its own price by then, nothing follows from it
    same_stay = (effect.check_in, effect.check_out) == (state.check_in, state.check_out)
    return same_stay and (effect.repriced or effect.fare == state.total)


def _leases(history: History) -> Iterator[Violation]:
    names = _names(history)
    for claim in history.claims:
        if claim.previous_until is not None and claim.at < claim.previous_until:
            yield Violation(
                rule=Rule.OVERLAPPED,
                reference=names.get(claim.delivery_id),
                detail=f"fence {claim.fence} was given out"
                f" {claim.previous_until - claim.at} before the lease ended",
            )


def _drained(history: History) -> Iterator[Violation]:
    if history.drained_in is None or history.drained_in > history.bound:
        references = {str(booking.id): booking.reference for booking in history.bookings}
        for key in history.owed or ("everything",):
            yield Violation(
                rule=Rule.UNFINISHED,
                reference=references.get(key),
                detail=f"{key} is still owed {history.bound.total_seconds():g} s after the faults",
            )


def _told(history: History) -> Iterator[Violation]:
    names = _names(history)
    named: dict[int, list[Named]] = defaultdict(list)
    for one in history.named:
        named[one.delivery_id].append(one)
    for fall in history.gave_up:
        standing = [
            one
            for one in named[fall.delivery_id]
            if one.failed_at <= fall.at and (one.healed_at is None or one.healed_at >= fall.at)
        ]
        if not standing:
            yield Violation(
                rule=Rule.SILENT,
                reference=names.get(fall.delivery_id),
                detail=f"delivery {fall.delivery_id} was given up at {fall.at:%H:%M:%S.%f},"
                " and no alert names it",
            )
    delivered = {row.id for row in history.deliveries if row.delivered == row.requested}
    for one in history.named:
        if one.healed_at is None and one.delivery_id in delivered:
            yield Violation(
                rule=Rule.STANDING,
                reference=names.get(one.delivery_id),
                detail=f"alert {one.alert_id} names delivery {one.delivery_id} still",
            )
    mailed = {alert_of(mail.message_id) for mail in history.mails}
    for alert in sorted(history.alerts - mailed):
        yield Violation(rule=Rule.SILENT, detail=f"alert {alert} was never mailed")
    ids: dict[tuple[int | None, str], set[str]] = defaultdict(set)
    for mail in history.mails:
        ids[alert_of(mail.message_id), mail.text].add(mail.message_id)
    for same in ids.values():
        if len(same) > 1:
            yield Violation(rule=Rule.TOLD_TWICE, detail=", ".join(sorted(same)))


def _names(history: History) -> dict[int, str]:
    """Delivery to booking reference."""
    references: dict[UUID | str, str] = {str(b.id): b.reference for b in history.bookings}
    return {row.id: references[row.key] for row in history.deliveries if row.key in references}


def _by_reference(effects: Sequence[Effect]) -> dict[str, list[Effect]]:
    found: dict[str, list[Effect]] = defaultdict(list)
    for effect in sorted(effects, key=lambda one: one.n):
        found[effect.reference].append(effect)
    return found
