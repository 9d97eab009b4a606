"""Reservations as the Guesty API shows them, and which of them a search finds. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from outbox_worker.simulator.guesty_fields import Fields
from outbox_worker.simulator.ledger import Listing
from outbox_worker.simulator.reservation import Reservation, timestamp

_ARRIVAL, _DEPARTURE = time(14, tzinfo=UTC), time(10, tzinfo=UTC)
_DEFAULT_LIMIT = 25
_LARGEST_LIMIT = 100
_MOST_DIGITS = 9
_MOST_IDS = 10
_FIELDS: Mapping[str, Callable[[Reservation], str]] = {
    "confirmationCode": lambda held: held.reference,
    "status": lambda held: held.status.value,
    "listingId": lambda held: held.listing_id,
    "source": lambda held: held.source,
}

_UNIT = {"unitId": "652f0000000000000000ffff"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What reads see.

    Args:
        now: Aware, UTC.
        status_lag: So long do they show the status before.
        units: Whether a listing has several units, of which they name one.
    """

    now: datetime
    status_lag: timedelta
    units: bool = False

    def status(self, held: Reservation) -> str:
        """The status that is shown."""
        word = held.status.value
        if held.guesty is None:
            return word
        return held.guesty.shown_status(word, now=self.now, lag=self.status_lag)


def codes(query: Mapping[str, str]) -> list[str]:
    """The values of ``filter[confirmationCode]``; none: the search is for something else."""
    return _wanted(query, "confirmationCode")


def ids(query: Mapping[str, str]) -> list[str]:
    """The values of ``reservationIds[0]``, ``reservationIds[1]`` and so on.

    Raises:
        GuestyRefusedError: 400; there are none, or more than ten.
    """
    found = [value for name, value in query.items() if name.startswith("reservationIds[")]
    if not 1 <= len(found) <= _MOST_IDS:
        fields = Fields({}, frozenset())
        fields.refuse("reservationIds", f"Expected 1 to {_MOST_IDS} ids")
        fields.check()
    return found


def found(held: Iterable[Reservation], query: Mapping[str, str]) -> Iterator[Reservation]:
    """Those that pass all filters; an unknown filter is ignored."""
    wanted = {name: _wanted(query, name) for name in _FIELDS}
    for one in held:
        if all(not values or _FIELDS[name](one) in values for name, values in wanted.items()):
            yield one


def page(hits: list[Reservation], query: Mapping[str, str], sight: Sight) -> dict[str, Any]:
    """One page of the hits, in the order that they come in.

    Raises:
        GuestyRefusedError: 400; limit or skip is no number.
    """
    fields = Fields({}, frozenset())
    limit = _whole(fields, query, "limit", _DEFAULT_LIMIT, least=1, most=_LARGEST_LIMIT)
    skip = _whole(fields, query, "skip", 0, least=0, most=10**_MOST_DIGITS)
    fields.check()
    return {
        "results": [_row(held, sight) for held in hits[skip : skip + limit]],
        "pagination": {"skip": skip, "limit": limit, "hasMore": len(hits) > skip + limit},
    }


def created(held: Reservation) -> dict[str, Any]:
    """The answer to a create: neither listing nor fare."""
    return {
        "reservationId": held.reservation_id,
        "confirmationCode": held.reference,
        "status": held.status.value,
        "guestId": held.guesty and held.guesty.guest_id,
        "guestsCount": held.number_of_guests,
        "numberOfGuests": held.guesty and held.guesty.number_of_guests,
        "source": held.source,
        "creationTime": timestamp(held.created_at),
        **_instants(held),
    }


def whole(held: Reservation, sight: Sight) -> dict[str, Any]:
    """One reservation by id."""
    return {
        "_id": held.reservation_id,
        "confirmationCode": held.reference,
        "status": sight.status(held),
        "source": held.source,
        "originId": held.guesty and held.guesty.origin_id,
        "guestId": held.guesty and held.guesty.guest_id,
        "stay": [
            {
                "checkInDateLocalized": held.check_in.isoformat(),
                "checkOutDateLocalized": held.check_out.isoformat(),
                "guestsCount": held.number_of_guests,
                "unitTypeId": held.listing_id,
                **(_UNIT if sight.units else {"numberOfGuests": _by_kind(held)}),
            }
        ],
        "createdAt": timestamp(held.created_at),
        "lastUpdatedAt": timestamp(held.updated_at),
    }


def listed(listing: Listing, currency: str) -> dict[str, Any]:
    """A listing."""
    return {
        "_id": listing.listing_id,
        "title": listing.title,
        "active": listing.active,
        "isListed": listing.active,
        "prices": {"currency": currency},
    }


def _row(held: Reservation, sight: Sight) -> dict[str, Any]:
    instants = _instants(held)
    return {
        "reservationId": held.reservation_id,
        "confirmationCode": held.reference,
        "status": sight.status(held),
        "listingId": held.listing_id,
        **(_UNIT if sight.units else {}),
        "source": held.source,
        "checkIn": instants["checkInDate"],
        "checkOut": instants["checkOutDate"],
        "checkInDateLocalized": held.check_in.isoformat(),
        "checkOutDateLocalized": held.check_out.isoformat(),
        "guestsCount": held.number_of_guests,
        "createdAt": timestamp(held.created_at),
    }


def _by_kind(held: Reservation) -> Any:
    return held.guesty and held.guesty.number_of_guests


def _instants(held: Reservation) -> dict[str, str]:
    return {
        "checkInDate": timestamp(datetime.combine(held.check_in, _ARRIVAL)),
        "checkOutDate": timestamp(datetime.combine(held.check_out, _DEPARTURE)),
    }


def _wanted(query: Mapping[str, str], name: str) -> list[str]:
    keys = (f"filter[{name}]", f"filter[{name}][eq]", f"filter[{name}][in]")
    text = next((query[key] for key in keys if key in query), "")
    return [value for value in text.split(",") if value]


def _whole(
    fields: Fields, query: Mapping[str, str], name: str, default: int, *, least: int, most: int
) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        fields.refuse(name, "Expected a whole number")
        return default
    return max(least, min(int(text), most))
