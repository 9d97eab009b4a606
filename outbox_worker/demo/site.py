"""The sample site: properties, bookings, and what each booking is going to meet. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import NAMESPACE_URL, UUID, uuid5


class Fate(StrEnum):
    """What happens to a booking in the demo."""

    PLAIN = "paid"
    REPEATED = "paid, and Stripe delivers the event three times"
    CHECKOUT = "paid through a checkout session"
    DECLINED = "the card is declined"
    UNPAID = "nobody pays"
    FAULT = "paid; the PMS fails once, before it has done anything"
    BROKEN = "paid; the PMS creates the reservation, then the connection breaks"
    TIMEOUT = "paid; the PMS creates the reservation, but its answer comes too late"
    OUTAGE = "paid; the PMS fails until no attempt is left"
    UNLISTED = "paid; its property has no listing in the PMS yet"


#: Fates of bookings that are paid for.
PAID = frozenset(Fate) - {Fate.DECLINED, Fate.UNPAID}
#: Fates that need a person.
PARKED = frozenset({Fate.OUTAGE, Fate.UNLISTED})
#: Fates of bookings that reach the PMS by themselves, but not at the first attempt.
RETRIED = frozenset({Fate.FAULT, Fate.BROKEN, Fate.TIMEOUT})

#: Fates of the bookings in the order in which they were made; the rest is plain.
_FATES = {
    1: Fate.REPEATED,
    3: Fate.CHECKOUT,
    4: Fate.FAULT,
    6: Fate.REPEATED,
    7: Fate.DECLINED,
    9: Fate.BROKEN,
    11: Fate.REPEATED,
    12: Fate.OUTAGE,
    14: Fate.CHECKOUT,
    16: Fate.UNLISTED,
    18: Fate.TIMEOUT,
    20: Fate.UNPAID,
    21: Fate.REPEATED,
    24: Fate.FAULT,
    27: Fate.CHECKOUT,
    29: Fate.UNPAID,
    30: Fate.REPEATED,
}
_BOOKINGS = 36
_FIRST_NAMES = ("Zoë", "Łukasz", "Amélie", "Søren", "Chiara", "Noah", "Ines", "Oisín", "Marta")
_LAST_NAMES = ("Müller", "Nowak", "Lefèvre", "Ødegård", "Rossi", "de Vries", "Pinto", "Byrne")
_COUNTRIES = ("DE", "PL", "FR", "NO", "IT", "NL", "PT", "IE")
_WISHES = ("A cot, please.", None, "We arrive late.", None, None)
_NAMESPACE = uuid5(NAMESPACE_URL, "https://booking-outbox.example.com/demo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """A property of the site and its listing in the PMS.

    Args:
        nightly, cleaning: Prices in EUR.
        listed: Whether the operator has told the outbox about the listing already.
    """

    id: UUID
    slug: str
    name: str
    listing_id: str
    nightly: Decimal
    cleaning: Decimal
    listed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleBooking:
    """A booking as the site would have stored it, unpaid."""

    id: UUID
    reference: str
    place: Property
    fate: Fate
    intent_id: str
    first_name: str
    last_name: str
    email: str
    phone: str
    country: str
    check_in: date
    nights: int
    adults: int
    children: int
    special_requests: str | None

    @property
    def check_out(self) -> date:
        """The day of departure."""
        return self.check_in + timedelta(days=self.nights)

    @property
    def total(self) -> Decimal:
        """What the guest pays, in EUR."""
        return self.place.nightly * self.nights + self.place.cleaning


PROPERTIES = (
    Property(
        id=uuid5(_NAMESPACE, "harbour-loft"),
        slug="harbour-loft",
        name="Harbour Loft",
        listing_id="652f00000000000000000001",
        nightly=Decimal("145.50"),
        cleaning=Decimal("60.00"),
    ),
    Property(
        id=uuid5(_NAMESPACE, "garden-house"),
        slug="garden-house",
        name="Garden House",
        listing_id="652f00000000000000000002",
        nightly=Decimal("210.00"),
        cleaning=Decimal("85.25"),
    ),
    Property(
        id=uuid5(_NAMESPACE, "old-mill"),
        slug="old-mill",
        name="Old Mill",
        listing_id="652f00000000000000000003",
        nightly=Decimal("99.99"),
        cleaning=Decimal("45.00"),
        listed=False,
    ),
)


def sample_bookings(today: date) -> tuple[SampleBooking, ...]:
    """All bookings, no two of one property overlapping.

    Args:
        today: Stays begin two weeks later.
    """
    return tuple(_booking(number, today) for number in range(1, _BOOKINGS + 1))


def paid(bookings: Sequence[SampleBooking]) -> tuple[SampleBooking, ...]:
    """Those that are paid for in the demo."""
    return tuple(booking for booking in bookings if booking.fate in PAID)


def _booking(number: int, today: date) -> SampleBooking:
    fate = _FATES.get(number, Fate.PLAIN)
    place = PROPERTIES[2] if fate is Fate.UNLISTED else PROPERTIES[number % 2]
    nights = 2 + number % 4
    first, last = _FIRST_NAMES[number % len(_FIRST_NAMES)], _LAST_NAMES[number % len(_LAST_NAMES)]
    return SampleBooking(
        id=uuid5(_NAMESPACE, f"booking {number}"),
        reference=f"LA{today.year}-{48200 + number}",
        place=place,
        fate=fate,
        intent_id=f"pi_demo{number:04}",
        first_name=first,
        last_name=last,
        email=f"guest{number:02}@example.com",
        phone=f"+1202555{100 + number:04}",
        country=_COUNTRIES[number % len(_COUNTRIES)],
        check_in=today + timedelta(days=14 + 7 * number),
        nights=nights,
        adults=1 + number % 3,
        children=number % 2,
        special_requests=_WISHES[number % len(_WISHES)],
    )
