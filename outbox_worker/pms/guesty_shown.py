"""What Guesty's answers show: one parse function for each kind. Pure.

What its documents leave open is read in every form that is known to be about. Source:
open-api-docs.guesty.com, "Reservations Open Api".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from outbox_worker.errors import DecodeError
from outbox_worker.pms import guesty_parts, safe_text
from outbox_worker.pms.answer_fields import day, moment, text, usable_id
from outbox_worker.pms.guesty_parts import Part
from outbox_worker.pms.port import Listing, RemoteReservation, ReservationStatus

_LONGEST_TITLE = 200
_LONGEST_STATUS = 40
_CURRENCY_LETTERS = 3
#: Where an answer says which listing a stay is in. One of a property with several units names the
#: property and the unit, under these names or those.
_LISTING_KEYS = ("listingId", "parentListingId", "unitTypeId", "unitId")


class UnfilteredError(DecodeError):
    """The filter looked for was ignored, so that the answer proves nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the answer to a write shows; a change leaves out the reference."""

    reservation_id: str
    reference: str | None
    status: str | None


def written(answer: Any) -> Shown:
    """The answer to a write.

    Raises:
        DecodeError: It is no reservation, or has no usable id.
    """
    shown = _reservation(answer)
    return Shown(
        reservation_id=_id_of(shown),
        reference=text(shown, "confirmationCode"),
        status=_status(shown),
    )


def hits(answer: Any, reference: str) -> tuple[RemoteReservation, ...]:
    """Reservations under our reference in the answer of a search, oldest first.

    Raises:
        UnfilteredError: Others' reservations and none of ours, or nothing and yet more to come.
        DecodeError: Not the answer of a search; or a hit of ours without a usable id.
    """
    results = answer.get("results") if isinstance(answer, Mapping) else None
    if not isinstance(results, list):
        raise DecodeError("the answer of the search has no list of results")
    pagination = answer.get("pagination")
    unfinished = isinstance(pagination, Mapping) and pagination.get("hasMore") is True
    ours = [
        hit
        for hit in results
        if isinstance(hit, Mapping) and hit.get("confirmationCode") == reference
    ]
    if not ours and (results or unfinished):
        raise UnfilteredError("Guesty ignored the reference looked for, so nothing is proved by it")
    if ours and all(_created_at(hit) is not None for hit in ours):
        ours.sort(key=lambda hit: _created_at(hit) or datetime.min.replace(tzinfo=UTC))
    found: dict[str, RemoteReservation] = {}
    for hit in map(reservation, ours):
        found.setdefault(hit.reservation_id, hit)
    return tuple(found.values())


def by_id(answer: Any, reservation_id: str) -> RemoteReservation | None:
    """The reservation asked for out of the list that a read by ids answers; None: not in it.

    Raises:
        DecodeError: Not such a list; or it holds others, so that it proves nothing.
    """
    results = answer.get("results") if isinstance(answer, Mapping) else answer
    if not isinstance(results, list):
        raise DecodeError("the answer has no list of reservations")
    for item in results:
        if isinstance(item, Mapping) and reservation_id in {item.get("_id"), _other_id(item)}:
            return reservation(item)
    if results:
        raise DecodeError("the answer is about other reservations than the one asked for")
    return None


def reservation(answer: Any) -> RemoteReservation:
    """A reservation as a search or a read by id shows it, each in its own form.

    Raises:
        DecodeError: It has no usable id or no ``confirmationCode``.
    """
    shown = _reservation(answer)
    reference = text(shown, "confirmationCode")
    if not reference:
        raise DecodeError("the reservation in the answer has no confirmationCode")
    stay = _stay(shown)
    check_in, check_out = (
        _agreed(day(shown, name), day(stay, name))
        for name in ("checkInDateLocalized", "checkOutDateLocalized")
    )
    listing_id = _listing_id(shown, stay)
    guest = shown.get("guest")
    return RemoteReservation(
        reservation_id=_id_of(shown),
        reference=reference,
        listing_id=listing_id,
        check_in=check_in,
        check_out=check_out,
        guest_email=text(guest, "email") if isinstance(guest, Mapping) else None,
        status=_status(shown),
        fingerprint=None,
        # nobody who enters a stay by hand can set it
        marked=text(shown, "originId") == reference,
        parts=_parts(shown, stay, listing_id=listing_id, check_in=check_in, check_out=check_out),
    )


def listing(answer: Any, listing_id: str) -> Listing:
    """The listing asked for; one that does not say so is active.

    Raises:
        DecodeError: It has no usable id, or another one.
    """
    if not isinstance(answer, Mapping) or usable_id(answer.get("_id")) != listing_id:
        raise DecodeError("the answer is not the listing asked for")
    title = safe_text.line(text(answer, "title")) or safe_text.line(text(answer, "nickname"))
    prices = answer.get("prices")
    currency = (text(prices, "currency") or "") if isinstance(prices, Mapping) else ""
    known = len(currency) == _CURRENCY_LETTERS and currency.isascii() and currency.isalpha()
    return Listing(
        listing_id=listing_id,
        title=safe_text.cut(title, _LONGEST_TITLE),
        active=answer.get("active") is not False,
        currency=currency.upper() if known else None,
    )


def _reservation(answer: Any) -> Mapping[str, Any]:
    if not isinstance(answer, Mapping):
        raise DecodeError("the answer is not a reservation")
    return answer


def _id_of(shown: Mapping[str, Any]) -> str:
    return usable_id(_other_id(shown) or shown.get("_id"))


def _other_id(shown: Mapping[str, Any]) -> Any:
    """Version 3 calls it so in some answers; a read by id has the older name."""
    return shown.get("reservationId")


def _stay(shown: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one stay of a reservation; one of several stays is none of ours, so nothing is read."""
    stays = shown.get("stay")
    alone = isinstance(stays, list) and len(stays) == 1 and isinstance(stays[0], Mapping)
    return stays[0] if isinstance(stays, list) and alone else {}


def _agreed(first: date | None, second: date | None) -> date | None:
    return first if second is None or first == second else second if first is None else None


def _listing_id(shown: Mapping[str, Any], stay: Mapping[str, Any]) -> str | None:
    """None where a property and a unit of it are both named: either may be what was asked for."""
    named = {text(where, key) for where in (shown, stay) for key in _LISTING_KEYS} - {None, ""}
    return named.pop() if len(named) == 1 else None


def _status(shown: Mapping[str, Any]) -> str | None:
    word = text(shown, "status")
    if word == "cancelled":
        return ReservationStatus.CANCELED.value  # both spellings are about
    return word[:_LONGEST_STATUS] if word else None


def _parts(
    shown: Mapping[str, Any],
    stay: Mapping[str, Any],
    *,
    listing_id: str | None,
    check_in: date | None,
    check_out: date | None,
) -> dict[str, str]:
    parts: dict[Part, str | None] = {
        Part.LISTING: guesty_parts.listing(listing_id) if listing_id else None,
        Part.DATES: guesty_parts.dates(check_in, check_out) if check_in and check_out else None,
        Part.GUESTS: _people(shown) or _people(stay),
        Part.STATUS: guesty_parts.status(word) if (word := _status(shown)) else None,
        Part.NOTES: _notes(shown),
    }
    return {part.value: digest for part, digest in parts.items() if digest is not None}


def _people(where: Mapping[str, Any]) -> str | None:
    """Hash of the guests, whole numbers all; children and infants that are left out are none."""
    shown = where.get("numberOfGuests")
    if not isinstance(shown, Mapping):
        return None
    counts = [
        shown.get("numberOfAdults"),
        shown.get("numberOfChildren", 0),
        shown.get("numberOfInfants", 0),
    ]
    numbers = [count for count in counts if isinstance(count, int) and not isinstance(count, bool)]
    if len(numbers) != len(counts):
        return None
    adults, children, infants = numbers
    return guesty_parts.guests(adults=adults, children=children, infants=infants)


def _notes(shown: Mapping[str, Any]) -> str | None:
    notes = shown.get("notes")
    other = text(notes, "other") if isinstance(notes, Mapping) else None
    return None if other is None else guesty_parts.notes(safe_text.block(other))


def _created_at(hit: Mapping[str, Any]) -> datetime | None:
    return moment(hit, "createdAt") or moment(hit, "creationTime")
