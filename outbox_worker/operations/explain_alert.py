"""What an open alert means for its booking, in plain words. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from outbox_worker.alerts.alert import PRICE_UNKNOWN, AlertKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """One kind of incident.

    Args:
        why: What was found.
        guest_sees: Empty: as the booking's own state says.
        act: What a person has to do.
    """

    headline: str
    why: str
    guest_sees: str
    act: str


_PRICE = Meaning(
    headline="Its price in the PMS was to be compared: a person has to look.",
    why="a change of listing, dates or guests makes the PMS set a price of its own",
    guest_sees="",
    act="Compare the price in the PMS with what was paid, if the stay is still there.",
)

#: The kinds that no delivery's success ends: a person closes them by asking for the booking again.
MEANINGS = MappingProxyType(
    {
        AlertKind.AMOUNT_MISMATCH: Meaning(
            headline="A payment does not fit this booking: a person has to decide.",
            why="Stripe reports a payment that does not fit in amount, currency or owner",
            guest_sees="Their card was charged; the payment did not confirm the booking.",
            act="Compare with the payment in Stripe, then refund it there or confirm the booking on"
            " the site.",
        ),
        AlertKind.PAID_AFTER_CANCELLATION: Meaning(
            headline="It was paid after it was cancelled: a person has to decide.",
            why="a payment arrived for a cancelled booking",
            guest_sees="A cancelled booking, and a charge on their card.",
            act="Refund the payment in Stripe, or confirm the booking on the site if its nights are"
            " free.",
        ),
        AlertKind.PAID_TWICE: Meaning(
            headline="It was paid twice: a person has to refund one payment.",
            why="a second payment arrived for a booking that was paid already",
            guest_sees="A confirmed booking, and two charges on their card.",
            act="Refund one of the two payments in Stripe.",
        ),
        AlertKind.CANCELED_AFTER_CONFIRMATION: Meaning(
            headline="It is confirmed, but its payment was called off: a person has to look.",
            why="in Stripe the payment was cancelled or ran out of time",
            guest_sees="A confirmed booking.",
            act="Check in Stripe whether another payment paid for it. If none did, ask the guest to"
            " pay or cancel the booking on the site.",
        ),
        AlertKind.REPORTED: Meaning(
            headline="A program of the site asked that a person looks at it.",
            why="reported by a program of the site",
            guest_sees="",
            act="Look at the booking on the site.",
        ),
    }
)


def meaning_of(kind: AlertKind, code: str | None) -> Meaning | None:
    """What an open alert means; None: the state of what it names says it.

    Args:
        kind: Of the alert.
        code: What it is about, where its kind does not say.
    """
    return _PRICE if code == PRICE_UNKNOWN else MEANINGS.get(kind)
