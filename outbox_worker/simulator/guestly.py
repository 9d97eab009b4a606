"""The PMS's own API in the words of the Guestly contract."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from outbox_worker.simulator.body import parsed
from outbox_worker.simulator.effect import Operation, Write
from outbox_worker.simulator.front import Call, Front
from outbox_worker.simulator.ledger import Outcome
from outbox_worker.simulator.plan import Verdict
from outbox_worker.simulator.refusal import Answer, refusal
from outbox_worker.simulator.reservation import RequestRefusedError, Reservation, document
from outbox_worker.simulator.stand_in import StandIn, now

_DEFAULT_LIMIT = 25
_LARGEST_LIMIT = 100
_MOST_DIGITS = 9


class GuestlyApi:
    """The calls of the contract over one stand-in."""

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in
        self._front = Front(stand_in, self)

    def routes(self) -> list[Route]:
        """The routes under the API's base address."""
        return [
            Route("/reservations", self._front.answer, methods=["GET", "POST"]),
            Route("/reservations/{reservation_id}", self._front.answer, methods=["GET", "PUT"]),
            Route("/listings/{listing_id}", self._front.answer, methods=["GET"]),
        ]

    def admit(self, request: Request) -> None:
        """Check the key.

        Raises:
            RequestRefusedError: 401.
        """
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        expected = self._stand_in.api_key
        known = (
            bool(shown)
            if expected is None
            else hmac.compare_digest(shown.encode(), expected.encode())
        )
        if scheme.lower() != "bearer" or not known:
            raise RequestRefusedError(401, "UNAUTHORIZED", "no such API key")

    def understood(self, request: Request, body: bytes, *, number: int) -> Call:
        """What is asked.

        Raises:
            RequestRefusedError: 400 or 415.
        """
        payload: object = None
        if request.method in {"POST", "PUT"}:
            payload = parsed(request, body)
        asked = payload if isinstance(payload, Mapping) else {}
        reservation_id = request.path_params.get("reservation_id")
        listing_id = request.path_params.get("listing_id") or _text(asked, "listingId")
        reference = request.query_params.get("confirmationCode") or _text(asked, "confirmationCode")
        held = self._stand_in.ledger.peek(reservation_id)
        return Call(
            operation=_operation(request, asked),
            reference=held.reference if held else reference,
            listing_id=held.listing_id if held else listing_id,
            reservation_id=reservation_id,
            query=dict(request.query_params),
            payload=payload,
            write=Write(
                request=number,
                idempotency_key=request.headers.get("idempotency-key"),
                body_sha256=hashlib.sha256(body).hexdigest(),
            ),
        )

    def refused(self, error: RequestRefusedError) -> Answer:
        """A refusal in the contract's form."""
        return refusal(error.status, error.code, str(error))

    def headers(self) -> Mapping[str, str]:
        """None."""
        return {}

    async def perform(self, call: Call, verdict: Verdict) -> Answer:
        """Carry a call out.

        Raises:
            RequestRefusedError: Nothing was changed.
            StorageError: The effect could not be made durable.
        """
        stand_in = self._stand_in
        match call.operation:
            case Operation.CREATE:
                return _written(await stand_in.create(call.payload, call.write))
            case Operation.CHANGE | Operation.CANCEL:
                reservation_id = call.reservation_id or ""
                return _written(await stand_in.change(reservation_id, call.payload, call.write))
            case Operation.READ:
                found = await stand_in.get(call.reservation_id or "")
                return Answer(status=200, document=document(found))
            case Operation.FIND | Operation.LIST:
                page = self._page(call.query, verdict)
                await stand_in.journal.flushed()
                return Answer(status=200, document=page)
            case Operation.LISTING:
                return self._listing(call.listing_id or "")
            case _:
                raise RequestRefusedError(404, "NOT_FOUND", "the API has no such call")

    def _listing(self, listing_id: str) -> Answer:
        listing = self._stand_in.ledger.listings.get(listing_id)
        if listing is None:
            return refusal(404, "LISTING_NOT_FOUND", "no such listing")
        found = {"_id": listing.listing_id, "title": listing.title, "active": listing.active}
        return Answer(status=200, document=found)

    def _page(self, query: Mapping[str, str], verdict: Verdict) -> dict[str, Any]:
        skip = _whole(query, "skip", 0, least=0, most=10**_MOST_DIGITS)
        limit = _whole(query, "limit", _DEFAULT_LIMIT, least=1, most=_LARGEST_LIMIT)
        known_until = now() - timedelta(seconds=verdict.stale_s)
        hits = [
            held
            for held in self._filtered({} if verdict.unfiltered else query)
            if not verdict.stale_s or held.created_at <= known_until
        ]
        return {
            "results": [document(held) for held in hits[skip : skip + limit]],
            **({} if verdict.uncounted else {"count": len(hits)}),
            "limit": limit,
            "skip": skip,
        }

    def _filtered(self, query: Mapping[str, str]) -> Iterator[Reservation]:
        reference, source = query.get("confirmationCode"), query.get("source")
        since = _moment(query, "createdFrom")
        ledger = self._stand_in.ledger
        for held in ledger if reference is None else ledger.find(reference):
            if source in {None, held.source} and (since is None or held.created_at >= since):
                yield held


def _operation(request: Request, asked: Mapping[str, Any]) -> Operation:
    if "listing_id" in request.path_params:
        return Operation.LISTING
    if "reservation_id" in request.path_params:
        if request.method == "PUT":
            return Operation.CANCEL if asked.get("status") == "canceled" else Operation.CHANGE
        return Operation.READ
    if request.method == "POST":
        return Operation.CREATE
    return Operation.FIND if "confirmationCode" in request.query_params else Operation.LIST


def _written(outcome: Outcome) -> Answer:
    repeated = outcome.effect is None
    return Answer(
        status=outcome.status,
        document=outcome.document,
        headers={"idempotent-replayed": "true"} if repeated else {},
        effect=outcome.effect,
        repeated=repeated,
    )


def _text(asked: Mapping[str, Any], name: str) -> str | None:
    value = asked.get(name)
    return value if isinstance(value, str) else None


def _whole(query: Mapping[str, str], name: str, default: int, *, least: int, most: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise RequestRefusedError(400, "INVALID_PARAMETER", f"{name} must be a whole number")
    return max(least, min(int(text), most))


def _moment(query: Mapping[str, str], name: str) -> datetime | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise RequestRefusedError(400, "INVALID_PARAMETER", f"{name} must be ISO 8601") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
