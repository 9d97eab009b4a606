"""Bodies of the Guesty API's writes: one parse function each. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from outbox_worker.simulator.guesty_fields import Fields
from outbox_worker.simulator.reservation import Status

_LONGEST_CODE = 50
_LONGEST_STAY_DAYS = 730
_LONGEST_NOTE = 20_000
_IGNORING = ("ignoreCalendar", "ignoreTerms", "ignoreBlocks")
_STAY = frozenset({"checkInDateLocalized", "checkOutDateLocalized"})
_CREATE = frozenset(
    {
        *_STAY,
        *_IGNORING,
        "listingId",
        "source",
        "status",
        "guestsCount",
        "guestId",
        "guest",
        "numberOfGuests",
        "couponCode",
        "ratePlanId",
        "accommodationFare",
        "cleaningFee",
        "applyPromotions",
        "confirmedAt",
        "reservedUntil",
        "confirmationCode",
        "origin",
        "originId",
    }
)
_GUEST = frozenset(
    {"firstName", "lastName", "email", "phones", "address", "preferredLanguage"},
)
_COUNTS = frozenset({"numberOfAdults", "numberOfChildren", "numberOfInfants", "numberOfPets"})
_NOTES = ("other", "cleaning", "guest", "specialRequests", "keyCode")


class CanceledBy(StrEnum):
    """Who cancels."""

    OWNER = "OWNER"
    GUEST = "GUEST"
    TEAM_MEMBER = "TEAM_MEMBER"
    HOST = "HOST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """The nights, and which ``ignore…`` flags are true."""

    check_in: date
    check_out: date
    ignored: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Who comes."""

    guests: int
    adults: int
    children: int
    infants: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """The guest of a create."""

    first_name: str
    last_name: str
    email: str | None
    phones: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """A create; a None of an amount means the PMS's own price."""

    listing_id: str
    stay: Stay
    party: Party
    status: Status
    source: str
    guest: Guest
    accommodation_fare: Decimal | None
    cleaning_fee: Decimal | None
    promotions: bool
    reference: str | None
    origin_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChange:
    """A change of status; the list of reasons is not known here."""

    status: Status
    canceled_by: CanceledBy | None
    reason: str | None
    note: str | None


def create(body: object, *, email_required: bool) -> Create:
    """A create.

    Raises:
        GuestyRefusedError: 400 with every wrong field.
    """
    fields = Fields(body, _CREATE)
    guest = fields.object("guest", _GUEST)
    wanted = Create(
        listing_id=fields.needed("listingId"),
        stay=_stay(fields),
        party=_party(fields, counted=False),
        status=fields.word("status", Status, Status.INQUIRY),
        source=fields.needed("source"),
        guest=Guest(
            first_name=guest.needed("firstName", limit=120),
            last_name=guest.needed("lastName", limit=120),
            email=guest.email("email", required=email_required),
            phones=guest.phones("phones"),
        ),
        accommodation_fare=fields.money("accommodationFare"),
        cleaning_fee=fields.money("cleaningFee"),
        promotions=fields.flag("applyPromotions", default=True),
        reference=fields.text("confirmationCode", required=False, limit=_LONGEST_CODE),
        origin_id=fields.text("originId", required=False, limit=_LONGEST_CODE),
    )
    fields.check()
    return wanted


def status(body: object) -> StatusChange:
    """A change of status.

    Raises:
        GuestyRefusedError: 400 with every wrong field.
    """
    fields = Fields(
        body, frozenset({"status", "canceledBy", "cancellationReason", "cancellationNote"})
    )
    by = fields.word("canceledBy", CanceledBy, CanceledBy.HOST) if "canceledBy" in fields else None
    change = StatusChange(
        status=fields.word("status", Status, Status.INQUIRY),
        canceled_by=by,
        reason=fields.any_text("cancellationReason", limit=255),
        note=fields.any_text("cancellationNote", limit=_LONGEST_NOTE),
    )
    fields.check()
    return change


def dates(body: object) -> Stay:
    """A change of dates.

    Raises:
        GuestyRefusedError: 400 with every wrong field.
    """
    fields = Fields(body, _STAY | frozenset(_IGNORING))
    stay = _stay(fields)
    fields.check()
    return stay


def guests(body: object) -> Party:
    """A change of guests.

    Raises:
        GuestyRefusedError: 400 with every wrong field.
    """
    fields = Fields(body, frozenset({"guestsCount", "numberOfGuests"}))
    party = _party(fields, counted=True)
    fields.check()
    return party


def relocate(body: object) -> tuple[str, tuple[str, ...]]:
    """A move to another listing: its id, and which ``ignore…`` flags are true.

    Raises:
        GuestyRefusedError: 400 with every wrong field.
    """
    fields = Fields(body, frozenset({"listingId", *_IGNORING}))
    listing_id, ignored = fields.needed("listingId"), _ignored(fields)
    fields.check()
    return listing_id, ignored


def notes(body: object) -> dict[str, str]:
    """Notes by kind, those that are named.

    Raises:
        GuestyRefusedError: 400 with every wrong field.
    """
    fields = Fields(body, frozenset({"notes"}))
    if "notes" not in fields:
        fields.refuse("notes", "Required")
    given = fields.object("notes", frozenset(_NOTES))
    kinds = {kind: given.any_text(kind, limit=_LONGEST_NOTE) for kind in _NOTES}
    fields.check()
    return {kind: text for kind, text in kinds.items() if text is not None}


def _stay(fields: Fields) -> Stay:
    stay = Stay(
        check_in=fields.day("checkInDateLocalized"),
        check_out=fields.day("checkOutDateLocalized"),
        ignored=_ignored(fields),
    )
    if date.min not in {stay.check_in, stay.check_out}:
        nights = (stay.check_out - stay.check_in).days
        if not 0 < nights <= _LONGEST_STAY_DAYS:
            fields.refuse(
                "checkOutDateLocalized",
                f"must be 1 to {_LONGEST_STAY_DAYS} days after checkInDateLocalized",
            )
    return stay


def _party(fields: Fields, *, counted: bool) -> Party:
    guests = fields.whole("guestsCount", least=1)
    numbers = fields.object("numberOfGuests", _COUNTS)
    broken_down = counted or "numberOfGuests" in fields
    adults = numbers.whole("numberOfAdults", least=1) if broken_down else guests
    numbers.whole("numberOfPets", least=0, default=0)
    return Party(
        guests=guests,
        adults=adults,
        children=numbers.whole("numberOfChildren", least=0, default=0),
        infants=numbers.whole("numberOfInfants", least=0, default=0),
    )


def _ignored(fields: Fields) -> tuple[str, ...]:
    return tuple(name for name in _IGNORING if fields.flag(name, default=False))
