"""The Guesty adapter in front of a scripted server, with a token source that a test fills."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeAlias

from outbox_worker.pms import guesty_parts
from outbox_worker.pms.guesty import Guesty
from outbox_worker.pms.guesty_answer import Written
from outbox_worker.pms.guesty_token import Token
from outbox_worker.pms.http import Answered
from outbox_worker.pms.port import (
    Detail,
    Misconfigured,
    Parts,
    Pms,
    Reservation,
    Unavailable,
)
from tests.support_booking import LISTING_ID, a_reservation
from tests.support_scripted import Script, Server, answering, serving

REFERENCE = "LA2026-48213"
RESERVATION_ID = "652f0000000000000000b001"
PATIENT = timedelta(seconds=20)
#: Half of it is what connecting may take.
SHORT = timedelta(seconds=1)
DETAIL = Detail(
    first_name="Zoë",
    last_name="Müller-Łęcki",
    adults=2,
    children=1,
    infants=1,
    cleaning_fee=Decimal("90.25"),
)
#: What the tokens of these tests say after a refusal.
EXPIRED = Unavailable(code="token_renewed", message="the token had expired", http_status=403)

Call: TypeAlias = Callable[[Pms], Awaitable[Any]]


def a_stay(**changes: Any) -> Reservation:
    """The booking of the other tests, as it is mapped for Guesty."""
    for_guesty = a_reservation(detail=DETAIL, guest_phone="+493055501234")
    return dataclasses.replace(for_guesty, **changes)


HTML = b"<!DOCTYPE html><html><head><title>403 Forbidden</title></head><body>No</body></html>"

CREATE = Written(reference=REFERENCE, sent=a_stay(), reservation_id=None)
CHANGE = Written(reference=REFERENCE, sent=a_stay(), reservation_id=RESERVATION_ID)
CANCEL = Written(reference=REFERENCE, sent=None, reservation_id=RESERVATION_ID)
WRITTEN = (CREATE, CHANGE, CANCEL)


def answer(status: int, body: Any = None, **headers: str) -> Answered:
    """An answer as the HTTP client reports it; ``_`` in a header's name stands for a hyphen."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answered(
        status=status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        body=raw,
        whole=True,
    )


def known(**changes: str) -> Parts:
    """The record of a reservation that is as wanted, but for ``changes``."""
    return {**guesty_parts.wanted(a_stay()), **changes}


def find(pms: Pms) -> Awaitable[Any]:
    return pms.find(REFERENCE)


def by_id(pms: Pms) -> Awaitable[Any]:
    return pms.reservation(RESERVATION_ID)


def listing(pms: Pms) -> Awaitable[Any]:
    return pms.listing(LISTING_ID)


def create(pms: Pms) -> Awaitable[Any]:
    return pms.create(a_stay(), idempotency_key="k")


def update(pms: Pms) -> Awaitable[Any]:
    """Writes the notes, the only part that is not as wanted."""
    return pms.update(
        RESERVATION_ID, a_stay(), held=known(notes="old"), shown=None, idempotency_key="k"
    )


def cancel(pms: Pms) -> Awaitable[Any]:
    return pms.cancel(RESERVATION_ID, reference=REFERENCE, idempotency_key="k")


READS: tuple[Call, ...] = (find, by_id, listing)
CHANGES: tuple[Call, ...] = (update, cancel)
WRITES: tuple[Call, ...] = (create, *CHANGES)
CALLS = READS + WRITES


class Tokens:
    """A `TokenSource` that says what a test has put into it, and remembers what it was told."""

    def __init__(self) -> None:
        self.answer: Token | Unavailable | Misconfigured = Token("secret-1", 1)
        self.refusals: list[tuple[int, int]] = []

    async def token(self) -> Token | Unavailable | Misconfigured:
        return self.answer

    async def refused(self, token: Token, *, http_status: int) -> Unavailable | Misconfigured:
        self.refusals.append((token.serial, http_status))
        return EXPIRED


@contextlib.asynccontextmanager
async def guesty(
    script: Script, *, within: timedelta = PATIENT, tokens: Tokens | None = None
) -> AsyncIterator[tuple[Guesty, Server]]:
    async with serving(script) as server:
        pms = Guesty(api_url=server.url, tokens=tokens or Tokens(), timeout=within, connections=2)
        try:
            yield pms, server
        finally:
            await pms.aclose()


async def outcomes(call: Call, answers: Sequence[bytes]) -> list[Any]:
    """What the adapter makes of each answer, a new server for each: some are followed by a read."""
    results = []
    for answer in answers:
        async with guesty(answering(answer)) as (pms, server):
            results.append(await call(pms))
            writes = [request for request in server.requests if request.method != "GET"]
            assert len(writes) <= 1, "an adapter never tries again by itself"
    return results


async def outcome(call: Call, *answers: bytes) -> Any:
    """What the adapter makes of these answers, one for each of its requests."""
    async with guesty(answering(*answers)) as (pms, server):
        result = await call(pms)
        assert len(server.requests) == len(answers)
        return result


def created(**changes: Any) -> dict[str, Any]:
    """The answer to a create."""
    return {
        "reservationId": RESERVATION_ID,
        "quoteId": "q1",
        "confirmationCode": REFERENCE,
        "status": "confirmed",
        "guestId": "g1",
        "checkInDate": "2026-12-01T14:00:00.000Z",
        **changes,
    }


def changed(**changes: Any) -> dict[str, Any]:
    """The answer to a change."""
    return {"reservationId": RESERVATION_ID, "money": {"currency": "EUR"}, **changes}


def hit(**changes: Any) -> dict[str, Any]:
    """One result of a search."""
    return {
        "reservationId": RESERVATION_ID,
        "confirmationCode": REFERENCE,
        "status": "confirmed",
        "createdAt": "2026-11-21T10:00:00.000Z",
        "checkIn": "2026-12-01T14:00:00.000Z",
        "checkOut": "2026-12-05T10:00:00.000Z",
        "checkInDateLocalized": "2026-12-01",
        "checkOutDateLocalized": "2026-12-05",
        "stay": [
            {
                "listingId": LISTING_ID,
                "checkInDateLocalized": "2026-12-01",
                "checkOutDateLocalized": "2026-12-05",
            }
        ],
        **changes,
    }


def item(**changes: Any) -> dict[str, Any]:
    """One entry of a read by ids."""
    return {
        "_id": RESERVATION_ID,
        "confirmationCode": REFERENCE,
        "status": "confirmed",
        "createdAt": "2026-11-21T10:00:00.000Z",
        "notes": {"other": a_stay().notes},
        "stay": [
            {
                "unitTypeId": LISTING_ID,
                "unitId": LISTING_ID,
                "checkInDateLocalized": "2026-12-01",
                "checkOutDateLocalized": "2026-12-05",
                "guestsCount": 3,
                "numberOfGuests": {
                    "numberOfAdults": 2,
                    "numberOfChildren": 1,
                    "numberOfInfants": 1,
                },
            }
        ],
        **changes,
    }


def page(*results: dict[str, Any], more: bool = False) -> dict[str, Any]:
    """The answer of a search."""
    return {
        "results": list(results),
        "pagination": {"skip": 0, "limit": 20, "hasMore": more},
    }
