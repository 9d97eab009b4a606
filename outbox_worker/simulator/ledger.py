"""What the stand-in holds in memory, listings, reservations, keys, and the rules of changing it.

No I/O: every accepted write returns the effect that the caller must make durable before it answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from outbox_worker.simulator.effect import Effect, EffectKind, Write
from outbox_worker.simulator.reservation import (
    RequestRefusedError,
    Reservation,
    Status,
    changed,
    created,
    document,
)


class KeyPolicy(StrEnum):
    """What happens to a repeated Idempotency-Key.

    ``honour``: the first answer again, whatever the body. ``ignore``: the header means nothing.
    ``refuse``: the first answer again for the same body, 409 for another one.
    """

    HONOUR = "honour"
    IGNORE = "ignore"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """Standing behaviour of the stand-in.

    Args:
        idempotency: See `KeyPolicy`.
        key_ttl: Idempotency keys older than this are forgotten; None: never.
        availability: Whether two confirmed reservations of one listing may not overlap.
    """

    idempotency: KeyPolicy = KeyPolicy.HONOUR
    key_ttl: timedelta | None = None
    availability: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A property of the PMS; ``currency`` None: nobody has said."""

    listing_id: str
    title: str
    active: bool = True
    currency: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The answer to an accepted write.

    Args:
        effect: None when a honoured key repeated an earlier answer.
    """

    status: int
    document: Mapping[str, Any]
    effect: Effect | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Remembered:
    at: datetime
    body_sha256: str
    status: int
    document: Mapping[str, Any]


@dataclass(slots=True)
class Ledger:
    """Everything that the PMS holds. Not thread-safe: one event loop owns it."""

    listings: dict[str, Listing] = field(default_factory=dict)
    last_n: int = 0
    _reservations: dict[str, Reservation] = field(default_factory=dict)
    _by_listing: dict[str, dict[str, None]] = field(default_factory=dict)
    _by_reference: dict[str, dict[str, None]] = field(default_factory=dict)
    _keys: dict[str, _Remembered] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Reservation]:
        """All reservations, oldest first."""
        return iter(self._reservations.values())

    def __len__(self) -> int:
        return len(self._reservations)

    def get(self, reservation_id: str) -> Reservation:
        """One reservation.

        Raises:
            RequestRefusedError: 404.
        """
        found = self._reservations.get(reservation_id)
        if found is None:
            raise RequestRefusedError(404, "RESERVATION_NOT_FOUND", "no such reservation")
        return found

    def peek(self, reservation_id: str | None) -> Reservation | None:
        """One reservation, or None."""
        return None if reservation_id is None else self._reservations.get(reservation_id)

    def find(self, reference: str) -> list[Reservation]:
        """All reservations under a reference, oldest first."""
        hits = [self._reservations[one] for one in self._by_reference.get(reference, ())]
        return sorted(hits, key=lambda held: held.created_at)

    def create(
        self, body: object, *, write: Write, switches: Switches, reservation_id: str, now: datetime
    ) -> Outcome:
        """Create a reservation, or repeat the answer of a honoured key.

        Raises:
            RequestRefusedError: Nothing was changed.
        """
        if repeated := self._repeated(write, switches, now):
            return repeated
        wanted = created(body, reservation_id=reservation_id, now=now)
        self._check_bookable(wanted, switches)
        return self.accept(EffectKind.CREATE, wanted, write, altered=True, answer=201, now=now)

    def change(
        self, reservation_id: str, body: object, *, write: Write, switches: Switches, now: datetime
    ) -> Outcome:
        """Change or cancel a reservation, or repeat the answer of a honoured key.

        Raises:
            RequestRefusedError: Nothing was changed.
        """
        if repeated := self._repeated(write, switches, now):
            return repeated
        current = self.get(reservation_id)
        wanted = changed(current, body, now=now)
        asked = body.get("status") if isinstance(body, Mapping) else None
        if wanted.status is not Status.CANCELED or wanted.listing_id != current.listing_id:
            self._check_bookable(wanted, switches)
        kind = EffectKind.CANCEL if asked == Status.CANCELED else EffectKind.CHANGE
        altered = document(wanted) | {"lastUpdatedAt": ""} != document(current) | {
            "lastUpdatedAt": ""
        }
        return self.accept(kind, wanted, write, altered=altered, answer=200, now=now)

    def delete(self, reservation_id: str, *, write: Write, now: datetime) -> Outcome:
        """A person removes a reservation.

        Raises:
            RequestRefusedError: 404.
        """
        gone = self.get(reservation_id)
        return self.accept(EffectKind.DELETE, gone, write, altered=True, answer=200, now=now)

    def apply(self, effect: Effect) -> None:
        """Make an effect so: also how the state is rebuilt from disk."""
        held = effect.reservation
        if before := self._reservations.get(held.reservation_id):
            self._by_listing[before.listing_id].pop(before.reservation_id)
            self._by_reference[before.reference].pop(before.reservation_id)
        if effect.kind is EffectKind.DELETE:
            self._reservations.pop(held.reservation_id, None)
        else:
            self._reservations[held.reservation_id] = held
            self._by_listing.setdefault(held.listing_id, {})[held.reservation_id] = None
            self._by_reference.setdefault(held.reference, {})[held.reservation_id] = None
        if effect.write.idempotency_key is not None:
            self._keys[effect.write.idempotency_key] = _Remembered(
                at=effect.at,
                body_sha256=effect.write.body_sha256,
                status=effect.answer,
                document=document(held),
            )
        self.last_n = effect.n

    def forget_keys(self) -> None:
        """Lose every idempotency key, as some servers do after a day or a failover."""
        self._keys.clear()

    def reset(self) -> None:
        """Forget everything but the listings."""
        self._reservations.clear()
        self._by_listing.clear()
        self._by_reference.clear()
        self._keys.clear()
        self.last_n = 0

    def list_anew(self, listings: Iterable[Listing]) -> None:
        """Replace all listings; reservations of a listing that is gone stay."""
        self.listings = {listing.listing_id: listing for listing in listings}

    def _repeated(self, write: Write, switches: Switches, now: datetime) -> Outcome | None:
        key = write.idempotency_key
        if key is None or switches.idempotency is KeyPolicy.IGNORE:
            return None
        first = self._keys.get(key)
        if first is None or (switches.key_ttl is not None and now - first.at >= switches.key_ttl):
            return None
        if switches.idempotency is KeyPolicy.REFUSE and first.body_sha256 != write.body_sha256:
            raise RequestRefusedError(
                409,
                "IDEMPOTENCY_KEY_REUSED",
                "the Idempotency-Key was used before with another body",
            )
        return Outcome(status=first.status, document=first.document, effect=None)

    def overlapping(self, wanted: Reservation) -> bool:
        """Whether it needs a night that another reservation of its listing has."""
        return wanted.status.blocks and any(
            other.status.blocks and other.overlaps(wanted)
            for other_id in self._by_listing.get(wanted.listing_id, ())
            if other_id != wanted.reservation_id
            for other in (self._reservations[other_id],)
        )

    def accept(
        self,
        kind: EffectKind,
        reservation: Reservation,
        write: Write,
        *,
        altered: bool,
        answer: int,
        now: datetime,
    ) -> Outcome:
        """Hold a reservation as it is after a write that was found good."""
        effect = Effect(
            n=self.last_n + 1,
            at=now,
            kind=kind,
            reservation=reservation,
            write=write,
            altered=altered,
            answer=answer,
        )
        self.apply(effect)
        return Outcome(status=answer, document=document(reservation), effect=effect)

    def _check_bookable(self, wanted: Reservation, switches: Switches) -> None:
        listing = self.listings.get(wanted.listing_id)
        if listing is None:
            raise RequestRefusedError(422, "LISTING_NOT_FOUND", "listingId is not a listing")
        if not listing.active:
            raise RequestRefusedError(422, "LISTING_NOT_ACTIVE", "the listing is not active")
        if switches.availability and self.overlapping(wanted):
            raise RequestRefusedError(
                409, "LISTING_NOT_AVAILABLE", "the listing is not available on these dates"
            )
