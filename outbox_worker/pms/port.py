"""What a property management system is to the rest of the house: six calls and their answers.

An adapter makes at most one network write per call, never retries by itself, and decides what an
HTTP answer means; nothing outside it looks at a status code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from datetime import date, timedelta
    from decimal import Decimal


#: What a PMS holds of one reservation, part by part: a part's name (the adapter's own word) to the
#: hash of its state there. A part that is missing is not known.
Parts: TypeAlias = Mapping[str, str]


_NO_PARTS: Parts = MappingProxyType({})

#: Told right before each call that an adapter makes beside the one it was asked for: a look at what
#: a refusal is worth, or at what a search leaves out. Calls are limited, so they are counted.
Further: TypeAlias = Callable[[], None]


def uncounted() -> None:
    """A `Further` for whoever counts no calls."""


class PmsName(StrEnum):
    """The adapters; the values are those of ``outbox.reservation.pms`` and the setting ``PMS``."""

    GUESTLY = "guestly"
    GUESTY = "guesty"

    @property
    def display_name(self) -> str:
        """As people call it, for sentences; the destination is ``guestly`` whichever it is."""
        return self.value.capitalize()


class Mode(StrEnum):
    """Whether a reservation is real; the values are those of ``outbox.reservation.mode``."""

    LIVE = "live"
    TEST = "test"


class ReservationStatus(StrEnum):
    """Status words of the Guestly contract."""

    INQUIRY = "inquiry"
    CONFIRMED = "confirmed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What some PMSes want apart that others take as one.

    Args:
        first_name, last_name: Never empty.
        adults: 1 or more.
        children, infants: 0 or more.
        cleaning_fee: The part of the fare that is for cleaning, between 0 and the fare.
    """

    first_name: str
    last_name: str
    adults: int
    children: int
    infants: int
    cleaning_fee: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A booking as the PMS should hold it.

    Args:
        listing_id: The property's id in the PMS.
        check_in: First night, local date of the property.
        check_out: Day of departure, after ``check_in``.
        guest_name: First and last name, one space between.
        guest_email: None when the booking has none.
        guest_phone: None when the booking has none.
        number_of_guests: Adults and children, 1 or more.
        status: Status word.
        fare: The booking's total in major units of ``currency``, never through float arithmetic.
        currency: ISO 4217 code, upper case.
        notes: Lines joined by newlines; may be empty.
        source: Where the booking came from, ``website``.
        reference: The booking reference: stable, ours, and what a look-up finds.
        detail: None for a PMS that takes the sums.
    """

    listing_id: str
    check_in: date
    check_out: date
    guest_name: str
    guest_email: str | None
    guest_phone: str | None
    number_of_guests: int
    status: ReservationStatus
    fare: Decimal
    currency: str
    notes: str
    source: str
    reference: str
    detail: Detail | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteReservation:
    """A reservation as the PMS answered it; what it left out is None.

    Args:
        fingerprint: `mapping.fingerprint` over the same fields as ours, when the answer has all of
            them; else None.
        parts: What the answer shows, part by part; empty for a PMS that is written as a whole.
        marked: Whether it bears a mark that only our own creates leave, beside the reference.
    """

    reservation_id: str
    reference: str
    listing_id: str | None
    check_in: date | None
    check_out: date | None
    guest_email: str | None
    status: str | None
    fingerprint: str | None
    parts: Parts = field(default_factory=dict)
    marked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The PMS says that it holds the reservation.

    Args:
        existed: Whether it was there before this call.
        parts: All that is known now of what it holds, part by part, for the next `Pms.update`.
        more: Whether parts are left to be written, each by a call of its own.
        repriced: Whether the PMS may have set another price by this write, or by an unknown one.
        fingerprint: `mapping.fingerprint` of the state that the answer shows, when it shows all of
            it; else None. After a create, one that differs from what was sent can be the answer to
            an earlier attempt, repeated for its idempotency key: the PMS then holds that state.
    """

    reservation_id: str
    existed: bool = False
    parts: Parts = field(default_factory=dict)
    more: bool = False
    repriced: bool = False
    fingerprint: str | None = None
    http_status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A look-up's hits under our reference, oldest first; never empty."""

    reservations: tuple[RemoteReservation, ...]
    http_status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """The PMS answered, and holds nothing under that reference or id."""

    http_status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimited:
    """Asked too often, or too early; nothing was done. ``retry_after`` is within [0, 1 h]."""

    retry_after: timedelta
    http_status: int | None = None
    code: str = "rate_limited"
    message: str = "the PMS asked to slow down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """What the PMS says of one of its limits.

    Args:
        length: Of the window.
        limit: Calls in it, whoever makes them.
        left: Calls that it still grants.
    """

    length: timedelta
    limit: int
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """Nothing was written: not reached, or a read that failed.

    Args:
        outage: Whether the PMS itself does not work, whatever it was asked: not reached, broken,
            timed out, or its own error.
        unasked: Whether it was not asked at all, for want of what every call needs, such as a
            token: no attempt of whoever wanted to call.
        rest: With ``unasked``: for how long it is no use to try again; None: not known.
    """

    code: str
    message: str
    outage: bool = False
    unasked: bool = False
    rest: timedelta | None = None
    http_status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ambiguous:
    """A write was sent and its effect is unknown.

    Args:
        finished: Whether the PMS itself answered in full, so that nothing is under way any more.
        outage: As of `Unavailable`.
    """

    code: str
    message: str
    finished: bool = False
    outage: bool = False
    http_status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """Understood and refused.

    Args:
        code: Stable and snake_case.
        message: At most 200 safe characters.
        dates_taken: Whether the refusal says that the dates are not available, which after an
            ambiguous call usually means our own first write.
    """

    code: str
    message: str
    dates_taken: bool = False
    http_status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Misconfigured:
    """Wrong key, address or permission: not the booking's fault.

    Args:
        everybodys: Whether whoever asks is refused, as by a wrong key; an address may be wrong for
            one booking alone.
    """

    code: str
    message: str
    everybodys: bool = False
    http_status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsupported:
    """This PMS cannot do that."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A property as the PMS lists it; ``currency`` None: the PMS does not say."""

    listing_id: str
    title: str
    active: bool
    currency: str | None = None


ReadFailure: TypeAlias = RateLimited | Unavailable | Misconfigured
LookupAnswer: TypeAlias = Found | Absent | Rejected | ReadFailure
WriteAnswer: TypeAlias = (
    Held | Absent | RateLimited | Unavailable | Ambiguous | Rejected | Misconfigured | Unsupported
)
ListingAnswer: TypeAlias = Listing | Absent | Rejected | ReadFailure
ReservationAnswer: TypeAlias = RemoteReservation | Absent | Rejected | ReadFailure


class Pms(Protocol):
    """A property management system."""

    @property
    def name(self) -> PmsName:
        """Which one."""

    @property
    def most_calls(self) -> int:
        """Most calls that bringing a booking one step further takes, looks and write together.

        So many are taken out of the common limit before a claim; see `settings.LEAST_RATE`, too.
        """

    def tells_enough(self, held: Parts) -> bool:
        """Whether a reservation can be changed by its record alone, without a look at it first."""

    async def ready(self) -> ReadFailure | None:
        """See to all that a write needs, such as a token; None: it may be sent at once.

        Asked right before the lease is, so that no write leaves long after it was allowed.
        """

    async def find(self, reference: str, *, further: Further = uncounted) -> LookupAnswer:
        """Reservations under our reference; every hit's own reference has been compared."""

    async def reservation(self, reservation_id: str) -> ReservationAnswer:
        """One reservation by id, whatever its reference: for a person who names it."""

    async def create(self, reservation: Reservation, *, idempotency_key: str) -> WriteAnswer:
        """Create one reservation: with `Held.more`, without some parts yet."""

    async def update(
        self,
        reservation_id: str,
        reservation: Reservation,
        *,
        held: Parts,
        shown: Parts | None,
        doubtful: bool = False,
        idempotency_key: str,
        further: Further = uncounted,
    ) -> WriteAnswer:
        """Write the next part that differs, or the full state if it is one call.

        Args:
            reservation_id: Which.
            reservation: The full state wanted.
            held: What is on record of the parts it holds.
            shown: What a read has just shown, where the record does not tell enough; None: it
                does. A read may hide a part for good: what is written counts as held from then on.
            doubtful: Whether a write of unknown outcome has ended since the record was made. If
                not, the record stands and ``shown`` adds to it; in doubt ``shown`` comes first.
            idempotency_key: The same for every attempt at this write.
            further: See `Further`.

        Returns:
            `Absent`: no such reservation (any more).
        """

    async def cancel(
        self,
        reservation_id: str,
        *,
        reference: str,
        held: Parts = _NO_PARTS,
        idempotency_key: str,
        further: Further = uncounted,
    ) -> WriteAnswer:
        """Cancel; `Absent`: no such reservation, which is as good.

        `Held.parts` keeps of ``held`` what only a create can write, for whoever revives it.
        """

    async def listing(self, listing_id: str) -> ListingAnswer:
        """One listing by id."""

    def heard(self) -> tuple[Remaining, ...]:
        """What it said of its limits since this was asked last; empty: nothing."""

    async def aclose(self) -> None:
        """Close the connections."""
