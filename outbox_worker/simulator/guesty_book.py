"""The rules of the Guesty API over the ledger: prices, calendar, statuses, one step per call.

Pure: every function returns the reservation as it would be; the caller holds it and makes it
durable.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, assert_never

from outbox_worker.simulator import guesty_body as bodies
from outbox_worker.simulator.effect import EffectKind
from outbox_worker.simulator.guesty_reasons import REASONS
from outbox_worker.simulator.guesty_refusal import (
    GuestyRefusedError,
    unavailable,
    unknown_reservation,
)
from outbox_worker.simulator.guesty_state import Cancellation, GuestyState
from outbox_worker.simulator.guesty_step import Step
from outbox_worker.simulator.guesty_switches import GuestySwitches
from outbox_worker.simulator.ledger import Ledger, Listing
from outbox_worker.simulator.reservation import Reservation, Status, document

DEFAULT_CURRENCY = "EUR"

_CANCELLABLE = frozenset({Status.CONFIRMED, Status.INQUIRY, Status.AWAITING_PAYMENT})
_NIGHT = Decimal("100.00")
_FURTHER_GUEST = Decimal("10.00")
_CENT = Decimal("0.01")
#: What differs after any write and says nothing of the reservation.
_BOOKKEEPING = frozenset({"lastUpdatedAt"})
_OWN_BOOKKEEPING = frozenset({"written", "statusAt", "statusBefore", "ignored"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ids:
    """Fresh ids for a create; ``reference`` is for one that names no confirmationCode."""

    reservation_id: str
    guest_id: str
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An accepted write, not held yet.

    Args:
        altered: Whether the reservation differs from before, but for the counting.
    """

    kind: EffectKind
    reservation: Reservation
    altered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """The rules as they stand for one call.

    Args:
        availability: Whether two stays of one listing may not overlap.
        now: Aware, UTC.
    """

    ledger: Ledger
    switches: GuestySwitches
    availability: bool
    now: datetime

    def create(self, body: object, ids: Ids) -> Written:
        """Create a reservation; the same code twice makes two.

        Raises:
            GuestyRefusedError: Nothing would change.
        """
        wanted = bodies.create(body, email_required=self.switches.email_required)
        listing = self._listing(wanted.listing_id)
        state = self._first_state(wanted, ids)
        reservation = Reservation(
            reservation_id=ids.reservation_id,
            reference=wanted.reference or ids.reference,
            status=wanted.status,
            listing_id=wanted.listing_id,
            check_in=wanted.stay.check_in,
            check_out=wanted.stay.check_out,
            guest_name=f"{state.first_name} {state.last_name}",
            guest_email=state.email,
            guest_phone=next(iter(state.phones), None),
            number_of_guests=wanted.party.guests,
            fare=state.accommodation_fare + state.cleaning_fee,
            currency=listing.currency or DEFAULT_CURRENCY,
            notes="",
            source=wanted.source,
            created_at=self.now,
            updated_at=self.now,
            guesty=state,
        )
        placed = self._placed(reservation, state, wanted.stay.ignored)
        return Written(kind=EffectKind.CREATE, reservation=placed, altered=True)

    def step(self, reservation_id: str, step: Step, body: object) -> Written:
        """Change one thing of a reservation.

        Raises:
            GuestyRefusedError: Nothing would change.
        """
        current = self.held(reservation_id)
        state = current.guesty
        settled_at = current.created_at + timedelta(seconds=self.switches.change_lag_s)
        if state is None or self.now < settled_at:
            raise unknown_reservation()
        kind = EffectKind.CHANGE
        match step:
            case Step.STATUS:
                change = bodies.status(body)
                wanted = self._status(current, state, change)
                if change.status is Status.CANCELED:
                    kind = EffectKind.CANCEL
            case Step.DATES:
                wanted = self._dates(current, state, bodies.dates(body))
            case Step.GUESTS:
                wanted = self._guests(current, state, bodies.guests(body))
            case Step.RELOCATE:
                wanted = self._relocated(current, state, *bodies.relocate(body))
            case Step.NOTES:
                wanted = _noted(current, state, bodies.notes(body))
            case _:
                assert_never(step)
        return Written(
            kind=kind,
            reservation=self._counted(wanted, step),
            altered=_comparable(wanted) != _comparable(current),
        )

    def held(self, reservation_id: str) -> Reservation:
        """A reservation by id.

        Raises:
            GuestyRefusedError: 404.
        """
        found = self.ledger.peek(reservation_id)
        if found is None:
            raise unknown_reservation()
        return found

    def _first_state(self, wanted: bodies.Create, ids: Ids) -> GuestyState:
        fare = wanted.accommodation_fare
        if fare is None:
            fare = _price(wanted.stay, wanted.party.guests)
        promotion = wanted.promotions and self.switches.promotion_percent > 0
        if promotion:
            share = Decimal(100 - self.switches.promotion_percent) / 100
            fare = (fare * share).quantize(_CENT, ROUND_HALF_UP)
        return GuestyState(
            guest_id=ids.guest_id,
            first_name=wanted.guest.first_name,
            last_name=wanted.guest.last_name,
            email=wanted.guest.email,
            phones=wanted.guest.phones,
            adults=wanted.party.adults,
            children=wanted.party.children,
            infants=wanted.party.infants,
            accommodation_fare=fare,
            cleaning_fee=wanted.cleaning_fee or Decimal("0.00"),
            promotion=promotion,
            status_before=wanted.status.value,
            status_at=self.now,
            origin_id=wanted.origin_id,
            written={"create": 1},
        )

    def _status(
        self, current: Reservation, state: GuestyState, change: bodies.StatusChange
    ) -> Reservation:
        cancellation = None
        if change.status is Status.CANCELED:
            if change.reason not in REASONS:
                raise GuestyRefusedError(
                    400, "VALIDATION_ERROR", "Cancellation reason is not valid"
                )
            if current.status not in _CANCELLABLE:
                raise GuestyRefusedError(422, "UNPROCESSABLE_ENTITY", "Reservation not cancellable")
            cancellation = Cancellation(
                reason=change.reason,
                by=None if change.canceled_by is None else change.canceled_by.value,
                note=change.note,
            )
        if change.status is current.status:
            return current
        state = replace(
            state,
            status_before=current.status.value,
            status_at=self.now,
            cancellation=cancellation,
        )
        wanted = replace(current, status=change.status, guesty=state)
        # only one that gives its nights back takes them anew
        return wanted if current.status.blocks else self._placed(wanted, state, ())

    def _dates(self, current: Reservation, state: GuestyState, stay: bodies.Stay) -> Reservation:
        wanted = replace(current, check_in=stay.check_in, check_out=stay.check_out)
        if (wanted.check_in, wanted.check_out) == (current.check_in, current.check_out):
            return current
        state = self._priced(state, stay, current.number_of_guests)
        return self._placed(wanted, state, stay.ignored)

    def _guests(self, current: Reservation, state: GuestyState, party: bodies.Party) -> Reservation:
        changed = replace(
            state, adults=party.adults, children=party.children, infants=party.infants
        )
        if changed == state and party.guests == current.number_of_guests:
            return current
        stay = bodies.Stay(check_in=current.check_in, check_out=current.check_out, ignored=())
        wanted = replace(current, number_of_guests=party.guests)
        return _with(wanted, self._priced(changed, stay, party.guests))

    def _relocated(
        self, current: Reservation, state: GuestyState, listing_id: str, ignored: tuple[str, ...]
    ) -> Reservation:
        if listing_id == current.listing_id:
            return current
        listing = self._listing(listing_id)
        currency = listing.currency or DEFAULT_CURRENCY
        moved = replace(current, listing_id=listing_id, currency=currency)
        stay = bodies.Stay(check_in=current.check_in, check_out=current.check_out, ignored=ignored)
        state = self._priced(state, stay, current.number_of_guests)
        return self._placed(moved, state, ignored)

    def _priced(self, state: GuestyState, stay: bodies.Stay, guests: int) -> GuestyState:
        if not self.switches.repricing:
            return state
        fare = _price(stay, guests)
        return replace(state, accommodation_fare=fare, repriced=state.repriced + 1)

    def _placed(
        self, wanted: Reservation, state: GuestyState, ignored: tuple[str, ...]
    ) -> Reservation:
        """The reservation in the calendar, or a refusal."""
        overlapping = self.ledger.overlapping(wanted)
        lets_in = bool({"ignoreCalendar", "ignoreBlocks"} & set(ignored))
        if overlapping and self.availability and not lets_in:
            raise unavailable(self.switches)
        return _with(
            wanted,
            replace(
                state,
                overlapping=overlapping,
                ignored=tuple(dict.fromkeys((*state.ignored, *ignored))),
            ),
        )

    def _listing(self, listing_id: str) -> Listing:
        listing = self.ledger.listings.get(listing_id)
        if listing is None:
            raise GuestyRefusedError(422, "LISTING_NOT_FOUND", "Listing not found")
        if not listing.active:
            raise GuestyRefusedError(422, "LISTING_NOT_ACTIVE", "Listing is not active")
        return listing

    def _counted(self, wanted: Reservation, step: Step) -> Reservation:
        state = wanted.guesty
        if state is None:
            return wanted
        written = {**state.written, step.value: state.written.get(step.value, 0) + 1}
        return replace(wanted, updated_at=self.now, guesty=replace(state, written=written))


def _noted(current: Reservation, state: GuestyState, notes: dict[str, str]) -> Reservation:
    merged = {**state.notes, **notes}
    return replace(current, notes=merged.get("other", ""), guesty=replace(state, notes=merged))


def _with(reservation: Reservation, state: GuestyState) -> Reservation:
    fare = state.accommodation_fare + state.cleaning_fee
    return replace(reservation, fare=fare, guesty=state)


def _price(stay: bodies.Stay, guests: int) -> Decimal:
    nights = (stay.check_out - stay.check_in).days
    return nights * (_NIGHT + (guests - 1) * _FURTHER_GUEST)


def _comparable(reservation: Reservation) -> dict[str, Any]:
    shown = document(reservation)
    own = {name: value for name, value in shown["guesty"].items() if name not in _OWN_BOOKKEEPING}
    return {name: value for name, value in shown.items() if name not in _BOOKKEEPING} | {
        "guesty": own
    }
