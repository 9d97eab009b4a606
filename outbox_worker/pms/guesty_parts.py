"""A reservation in Guesty part by part: the hash of each, and which to write next. Pure.

Guesty takes the whole of a reservation once, when it is created; after that it has one call for
each thing that can be changed, and none for who the guest is and for what was paid.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import unicodedata
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from outbox_worker.pms.port import Detail, Parts, Reservation, ReservationStatus, Unsupported

#: Goes into every hash; raised when a part's fields or their canonical form change.
_VERSION = 1
_CENT = Decimal("0.01")


class Part(StrEnum):
    """The parts; the values are keys of `port.Parts`, and so are on record in the database."""

    LISTING = "listing"
    DATES = "dates"
    GUESTS = "guests"
    STATUS = "status"
    NOTES = "notes"
    FARE = "fare"
    CONTACT = "contact"


#: What can be written later, in the order in which it is: where and when before whether.
WRITABLE = (Part.LISTING, Part.DATES, Part.GUESTS, Part.STATUS, Part.NOTES)
#: What a read shows, but for what a property with several units hides; the notes not for sure.
SHOWN = frozenset({Part.LISTING.value, Part.DATES.value, Part.GUESTS.value, Part.STATUS.value})
#: What is written by the create alone.
FIXED = (Part.FARE, Part.CONTACT)
#: After each of these Guesty computes its price anew, whatever the guest has paid.
REPRICING = frozenset({Part.LISTING, Part.DATES, Part.GUESTS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """The next call: write this part."""

    part: Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """Only what no call can change is left; never empty, the fare first."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """Nothing is known to differ."""


def wanted(reservation: Reservation) -> dict[str, str]:
    """The hash of every part of a reservation as it should be."""
    stay, people = reservation, detail(reservation)
    return {
        Part.LISTING.value: listing(stay.listing_id),
        Part.DATES.value: dates(stay.check_in, stay.check_out),
        Part.GUESTS.value: guests(
            adults=people.adults, children=people.children, infants=people.infants
        ),
        Part.STATUS.value: status(stay.status.value),
        Part.NOTES.value: notes(stay.notes),
        # the total alone: how it is split up is not worth a person's time
        Part.FARE.value: _digest(Part.FARE, total=format(stay.fare.quantize(_CENT), "f")),
        Part.CONTACT.value: _digest(
            Part.CONTACT,
            first=people.first_name,
            last=people.last_name,
            email=stay.guest_email,
            phone=stay.guest_phone,
        ),
    }


def detail(reservation: Reservation) -> Detail:
    """The detail that a reservation for Guesty always has."""
    if reservation.detail is None:
        raise AssertionError("a reservation for Guesty is mapped with its detail")
    return reservation.detail


def next_step(held: Parts, target: Parts) -> Write | Fixed | Complete:
    """What is to be done to come from ``held`` to ``target``, where all parts are known.

    A part that can be written and is not known is written; one that cannot and is not known counts
    as it is, since a person who reads "wrong fare" must find a wrong fare.
    """
    for part in WRITABLE:
        if held.get(part) != target[part]:
            return Write(part=part)
    differing = fixed_otherwise(held, target)
    return Fixed(parts=differing) if differing else Complete()


def fixed_otherwise(held: Parts, target: Parts) -> tuple[Part, ...]:
    """The parts that no call can change and that are on record otherwise, the fare first.

    Args:
        held: What is on record.
        target: The parts as they should be; empty where nobody knows.
    """
    return tuple(
        part for part in FIXED if part in held and part in target and held[part] != target[part]
    )


def fixed_code(fixed: tuple[Part, ...]) -> str:
    """Error code of what no call can change; ``fixed`` as `Fixed.parts`."""
    return f"{'_and_'.join(part.value for part in fixed)}_fixed"


def by_hand(fixed: tuple[Part, ...], reservation_id: str, reservation: Reservation) -> Unsupported:
    """What a person has to do where only what no call can change is left to be changed."""
    link = f"outbox link {shlex.quote(reservation.reference)} {shlex.quote(reservation_id)}"
    what = " and ".join(
        f"the price ({reservation.fare} {reservation.currency} in all)"
        if part is Part.FARE
        else "the guest's name, e-mail or phone"
        for part in fixed
    )
    return Unsupported(
        code=fixed_code(fixed),
        message=f"Guesty takes no change of {what} by its API: change it in Guesty, then: {link}",
    )


def confirmed(target: Parts) -> dict[str, str]:
    """The record of a reservation that a person has seen: what no call can change is as wanted."""
    return {part.value: target[part] for part in FIXED}


def fixed(held: Parts) -> dict[str, str]:
    """What is on record of the parts that no call can change."""
    return {part.value: held[part] for part in FIXED if part in held}


def after_doubt(held: Parts, target: Parts) -> dict[str, str]:
    """What stays on record when a person ends a doubt: of the fixed parts what is still known.

    Args:
        held: What was on record.
        target: The parts as they should be; empty where nobody knows.
    """
    record = fixed(held)
    if any(part in held and held[part] != target.get(part, held[part]) for part in REPRICING):
        record.pop(Part.FARE, None)  # the unknown write may have set a price
    return record


def completed(held: Parts, shown: Parts) -> dict[str, str]:
    """The record after a read without doubt: a read adds what is missing, and changes nothing.

    What is on record was written by us and confirmed, or shown by an earlier read. A read that
    lags, or hides a part, must not have it written again and again. A part that is shown otherwise
    was changed by somebody else, and so was the price.
    """
    record = {**shown, **held}
    if any(part in shown and record[part] != shown[part] for part in REPRICING):
        record.pop(Part.FARE, None)
    return record


def seen(held: Parts, shown: Parts, target: Parts) -> dict[str, str]:
    """The record after a read in doubt: what it shows, and what the unknown write left alone.

    That write was of the first part that differs from what is wanted. So a part that the read hides
    stays on record if it is as wanted and another one differs; the notes, which cost nothing, do
    not. If none differs, the write was for a state that is not wanted any more, and whatever is
    hidden is written again.

    A write of unknown outcome that may have set the price anew makes the fare unknown. And a read
    may show the status before a cancellation for a while: a reservation that we have cancelled is
    not taken for confirmed.
    """
    record = {**fixed(held), **shown}
    if isinstance(next_step(held, target), Write):
        for part in SHOWN - record.keys():
            if held.get(part) == target[part]:
                record[part] = held[part]
    if any(part in held and held[part] != record.get(part) for part in REPRICING):
        record.pop(Part.FARE, None)
    canceled = status(ReservationStatus.CANCELED.value)
    if held.get(Part.STATUS) == canceled:
        record[Part.STATUS.value] = canceled
    return record


def after_cancel(held: Parts) -> dict[str, str]:
    """The record of a cancelled reservation: whoever revives it looks at the rest first."""
    return {**fixed(held), Part.STATUS.value: status(ReservationStatus.CANCELED.value)}


def after_create(target: Parts, *, notes: str) -> dict[str, str]:
    """The record of a reservation just created: all but the notes, if there are any to write."""
    return {part: digest for part, digest in target.items() if part != Part.NOTES or not notes}


def after_write(held: Parts, part: Part, target: Parts) -> dict[str, str]:
    """The record once a part is written; the fare is not known any more where Guesty re-prices."""
    record = {**held, part.value: target[part]}
    if part in REPRICING:
        record.pop(Part.FARE, None)
    return record


def listing(listing_id: str) -> str:
    """Hash of the part `Part.LISTING`."""
    return _digest(Part.LISTING, listing=listing_id)


def dates(check_in: date, check_out: date) -> str:
    """Hash of the part `Part.DATES`."""
    return _digest(Part.DATES, check_in=check_in.isoformat(), check_out=check_out.isoformat())


def guests(*, adults: int, children: int, infants: int) -> str:
    """Hash of the part `Part.GUESTS`, without their sum: it says nothing more."""
    return _digest(Part.GUESTS, adults=adults, children=children, infants=infants)


def status(word: str) -> str:
    """Hash of the part `Part.STATUS`."""
    return _digest(Part.STATUS, status=word)


def notes(text: str) -> str:
    """Hash of the part `Part.NOTES`."""
    return _digest(Part.NOTES, other=text)


def _digest(part: Part, **fields: str | int | None) -> str:
    canonical = {
        name: unicodedata.normalize("NFC", value) if isinstance(value, str) else value
        for name, value in fields.items()
    }
    text = json.dumps({"v": _VERSION, "part": part.value, **canonical}, sort_keys=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
