"""Calls, and what an accepted one does to a reservation. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from outbox_worker.simulator.reservation import Reservation, timestamp


class Operation(StrEnum):
    """The calls, as rules of faults and counters name them.

    The Guestly contract has those up to ``listing``; Guesty has a call of its own for each thing
    that can change, in place of ``change``, and one for tokens.
    """

    CREATE = "create"
    CHANGE = "change"
    CANCEL = "cancel"
    FIND = "find"
    READ = "read"
    LIST = "list"
    LISTING = "listing"
    STATUS = "status"
    DATES = "dates"
    GUESTS = "guests"
    RELOCATE = "relocate"
    NOTES = "notes"
    TOKEN = "token"  # noqa: S105 # a call's name


class EffectKind(StrEnum):
    """What happened to a reservation; ``delete`` is a person's doing, the API has no such call."""

    CREATE = "create"
    CHANGE = "change"
    CANCEL = "cancel"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Where an effect comes from.

    Args:
        request: Number of the HTTP request.
        idempotency_key: The header, or None.
        body_sha256: Hex digest of the body as it was received.
        fault: The fault that was injected into this request, or None.
        step: The Guesty call that wrote it; None: it came by the Guestly contract.
    """

    request: int
    idempotency_key: str | None
    body_sha256: str
    fault: str | None = None
    step: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One change of what the PMS holds.

    Args:
        n: 1, 2, 3, … without gaps.
        at: Aware, UTC.
        reservation: As it is after the effect (before it, for a deletion).
        altered: Whether the reservation differs from before.
        answer: HTTP status of the answer that a honoured key repeats.
    """

    n: int
    at: datetime
    kind: EffectKind
    reservation: Reservation
    write: Write
    altered: bool
    answer: int

    def line(self) -> dict[str, Any]:
        """The effect for the public log: no guest data."""
        held = self.reservation
        own = held.guesty
        return {
            "n": self.n,
            "at": timestamp(self.at),
            "op": self.kind.value,
            "reservation_id": held.reservation_id,
            "reference": held.reference,
            "idempotency_key": self.write.idempotency_key,
            "body_sha256": self.write.body_sha256,
            "status": held.status.value,
            "listing_id": held.listing_id,
            "check_in": held.check_in.isoformat(),
            "check_out": held.check_out.isoformat(),
            "fare": str(held.fare),
            "currency": held.currency,
            "altered": self.altered,
            "request": self.write.request,
            "fault": self.write.fault,
            **(
                {}
                if own is None
                else {
                    "step": self.write.step,
                    "repriced": own.repriced > 0,
                    "overlapping": own.overlapping,
                }
            ),
        }
