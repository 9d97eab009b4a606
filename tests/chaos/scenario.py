"""What happens to the bookings of one seed: payments, edits, cancellations. Pure."""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

from tests.support_simulator import LISTINGS
from tests.support_stripe import Json, encoded, event, intent, session

#: What the guest data of every booking looks like, and nothing else does.
CANARY = re.compile(r"kanarienvogel\w*|geheimrat\w*|canary\.\w+|\+999\d{10}", re.IGNORECASE)

_FIRST_DAY = date(2027, 1, 10)
#: Room of one booking in the calendar of its listing: edits lengthen the stay within it.
_ROOM = timedelta(days=14)
_NIGHTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One event and how it is delivered.

    Args:
        after: Seconds after the booking's beginning.
        copies: Deliveries at the same moment; each is repeated until it is answered with a 2xx.
    """

    event_id: str
    body: bytes
    after: float
    copies: int
    pays: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What the site does to its booking.

    Args:
        after: Seconds after the one before.
        check_out: None: it cancels the booking.
        holds: Seconds for which it keeps its transaction open.
    """

    after: float
    check_out: date | None
    wish: str = ""
    holds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One booking and everything that happens to it.

    Args:
        begins: Seconds after the start of the run.
        inserted_after: Seconds later the site has it; more than 0: its payment comes first.
        confirmed_first: Whether the edits wait for its confirmation; a cancellation may not.
        refused: Whether the PMS refuses it once, so that a person has to repeat it.
    """

    id: UUID
    reference: str
    slug: str
    intent_id: str
    first_name: str
    last_name: str
    email: str
    phone: str
    check_in: date
    check_out: date
    total: Decimal
    begins: float
    inserted_after: float
    webhooks: tuple[Webhook, ...]
    edits: tuple[Edit, ...]
    confirmed_first: bool
    refused: bool


def dice(seed: int, *what: object) -> random.Random:
    """Chance that is the same for the same seed and purpose."""
    text = "/".join(map(str, (seed, *what)))
    return random.Random(int(hashlib.sha256(text.encode()).hexdigest()[:16], 16))  # noqa: S311 - chaos, not secrets


def slug_of(listing_id: str) -> str:
    """The property of a listing."""
    return f"chaos-{listing_id[-4:]}"


def plots(seed: int, count: int, *, seconds: float) -> tuple[Plot, ...]:
    """The bookings of one seed, in the order in which they begin.

    Args:
        seed: Same seed, same plots.
        count: How many.
        seconds: The last one begins by then.
    """
    return tuple(_plot(seed, number, seconds * number / count) for number in range(count))


def _plot(seed: int, number: int, begins: float) -> Plot:
    chance = dice(seed, "plot", number)
    listings = tuple(LISTINGS)
    tag = f"{seed}x{number:04}"
    check_in = _FIRST_DAY + (number // len(listings)) * _ROOM
    total = Decimal(chance.randrange(10_000, 90_000)) / 100
    booking_id = UUID(int=chance.getrandbits(128), version=4)
    reference = f"CH{seed:04}-{number:05}"
    intent_id = f"pi_chaos{tag}"
    email = f"canary.{tag}@guest.example.com"
    facts = {"booking_id": str(booking_id), "booking_reference": reference}
    early = chance.random() < 0.06
    cancelled_unpaid = not early and chance.random() < 0.04
    edits = _edits(chance, check_in + timedelta(days=_NIGHTS), cancelled_unpaid=cancelled_unpaid)
    return Plot(
        id=booking_id,
        reference=reference,
        slug=slug_of(listings[number % len(listings)]),
        intent_id=intent_id,
        first_name=f"Kanarienvogel{tag}",
        last_name=f"Geheimrat{tag}",
        email=email,
        phone=f"+999{seed:04}{number:06}",
        check_in=check_in,
        check_out=check_in + timedelta(days=_NIGHTS),
        total=total,
        begins=begins,
        inserted_after=chance.uniform(0.3, 1.5) if early else 0.0,
        webhooks=_webhooks(chance, tag, intent_id, int(total * 100), facts, email),
        edits=edits,
        confirmed_first=not cancelled_unpaid,
        refused=chance.random() < 0.02,
    )


def _webhooks(
    chance: random.Random,
    tag: str,
    intent_id: str,
    amount: int,
    facts: dict[str, str],
    email: str,
) -> tuple[Webhook, ...]:
    paid = intent(intent_id, amount=amount, metadata=facts, receipt_email=email)
    failed = {**paid, "status": "requires_payment_method", "amount_received": 0}
    bought = session(intent_id, amount=amount, metadata=facts, id=f"cs_{tag}")
    first = ("payment_intent.succeeded", paid)
    second = ("checkout.session.completed", bought)
    main = [first] if chance.random() < 0.8 else [second]
    if chance.random() < 0.15:
        main = [first, second]
        chance.shuffle(main)
    kinds: list[tuple[str, Json, bool]] = [(name, thing, True) for name, thing in main]
    if chance.random() < 0.15:
        # before or after the payment, whichever way chance puts it
        kinds.append(("payment_intent.processing", {**paid, "status": "processing"}, False))
    if chance.random() < 0.1:
        kinds.append(("payment_intent.payment_failed", failed, False))
    chance.shuffle(kinds)
    return tuple(
        Webhook(
            event_id=f"evt_{tag}_{place}",
            body=encoded(event(name, thing, id=f"evt_{tag}_{place}")),
            after=chance.uniform(0.0, 1.0) if place else 0.0,
            copies=chance.choice((1, 1, 1, 1, 2, 3, 5)),
            pays=pays,
        )
        for place, (name, thing, pays) in enumerate(kinds)
    )


def _edits(chance: random.Random, check_out: date, *, cancelled_unpaid: bool) -> tuple[Edit, ...]:
    if cancelled_unpaid:
        return (Edit(after=0.0, check_out=None),)
    edits = []
    for number in range(chance.choice((0, 0, 1, 1, 2, 3, 5))):
        # while the last one is being sent, retried, or at rest
        after = chance.choice((0.01, 0.1, 0.5, 2.0, 6.0)) * chance.random()
        day = check_out + timedelta(days=1 + number)
        holds = chance.choice((0.0, 0.0, 0.0, 0.3, 0.8))
        edits.append(Edit(after=after, check_out=day, wish=f"wish {number}", holds=holds))
    if chance.random() < 0.15:
        after = chance.choice((0.0, 0.05, 0.5, 3.0)) * chance.random()
        edits.append(Edit(after=after, check_out=None))
    return tuple(edits)
