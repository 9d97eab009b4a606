"""What a reservation has in the Guesty API beyond the fields that every PMS has. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """Why and by whom, as the caller said."""

    reason: str
    by: str | None
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestyState:
    """The Guesty part of one reservation.

    Args:
        guest_id: Of the guest that the reservation made or named.
        phones: As sent.
        accommodation_fare, cleaning_fee: Major units, two decimals; their sum is the fare.
        promotion: Whether a promotion lowered the fare, for nobody had switched it off.
        repriced: How often a change of dates, guests or listing put a price of the PMS's own in
            place of the one that was sent.
        origin_id: The caller's own id, or None.
        ignored: The ``ignore…`` flags that were true in any accepted call.
        overlapping: Whether it was let in over another stay of its listing.
        notes: By kind, ``other`` among them.
        status_before: The status that reads show until the latest change of status has settled.
        status_at: When the status changed last; aware, UTC.
        cancellation: None unless it was cancelled.
        written: Accepted writes by step, the create among them.
    """

    guest_id: str
    first_name: str
    last_name: str
    email: str | None
    phones: tuple[str, ...]
    adults: int
    children: int
    infants: int
    accommodation_fare: Decimal
    cleaning_fee: Decimal
    promotion: bool
    status_before: str
    status_at: datetime
    repriced: int = 0
    origin_id: str | None = None
    ignored: tuple[str, ...] = ()
    overlapping: bool = False
    notes: Mapping[str, str] = field(default_factory=dict)
    cancellation: Cancellation | None = None
    written: Mapping[str, int] = field(default_factory=dict)

    @property
    def number_of_guests(self) -> dict[str, int]:
        """The break-down in the words of the API."""
        return {
            "numberOfAdults": self.adults,
            "numberOfChildren": self.children,
            "numberOfInfants": self.infants,
        }

    def shown_status(self, status: str, *, now: datetime, lag: timedelta) -> str:
        """What a read shows of ``status``: the one before, until the change has settled."""
        return status if now - self.status_at >= lag else self.status_before


def document_of(state: GuestyState) -> dict[str, Any]:
    """The state for the control API and the state file; floats of two decimals are exact."""
    cancelled = state.cancellation
    return {
        "guestId": state.guest_id,
        "guest": {
            "firstName": state.first_name,
            "lastName": state.last_name,
            "email": state.email,
            "phones": list(state.phones),
        },
        "numberOfGuests": state.number_of_guests,
        "accommodationFare": float(state.accommodation_fare),
        "cleaningFee": float(state.cleaning_fee),
        "promotion": state.promotion,
        "repriced": state.repriced,
        "originId": state.origin_id,
        "ignored": list(state.ignored),
        "overlapping": state.overlapping,
        "notes": dict(state.notes),
        "statusBefore": state.status_before,
        "statusAt": state.status_at.astimezone(UTC).isoformat(),
        "cancellation": cancelled
        and {"reason": cancelled.reason, "by": cancelled.by, "note": cancelled.note},
        "written": dict(state.written),
    }


def state_from(kept: Mapping[str, Any]) -> GuestyState:
    """The state that `document_of` wrote.

    Raises:
        KeyError, TypeError, ValueError: It is not one of ours.
    """
    guest, count, cancelled = kept["guest"], kept["numberOfGuests"], kept["cancellation"]
    return GuestyState(
        guest_id=kept["guestId"],
        first_name=guest["firstName"],
        last_name=guest["lastName"],
        email=guest["email"],
        phones=tuple(guest["phones"]),
        adults=count["numberOfAdults"],
        children=count["numberOfChildren"],
        infants=count["numberOfInfants"],
        accommodation_fare=_exact(kept["accommodationFare"]),
        cleaning_fee=_exact(kept["cleaningFee"]),
        promotion=kept["promotion"],
        repriced=kept["repriced"],
        origin_id=kept["originId"],
        ignored=tuple(kept["ignored"]),
        overlapping=kept["overlapping"],
        notes=dict(kept["notes"]),
        status_before=kept["statusBefore"],
        status_at=datetime.fromisoformat(kept["statusAt"]),
        cancellation=None if cancelled is None else Cancellation(**cancelled),
        written=dict(kept["written"]),
    )


def _exact(value: float | Decimal) -> Decimal:
    return Decimal(str(value)).quantize(Decimal("0.01"))
