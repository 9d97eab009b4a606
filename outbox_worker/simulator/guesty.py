"""The PMS's own API in the words of the Guesty Open API, version 3 of its reservations."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from outbox_worker.simulator import guesty_search as search
from outbox_worker.simulator.body import parsed
from outbox_worker.simulator.effect import Operation, Write
from outbox_worker.simulator.front import Call, Front
from outbox_worker.simulator.guesty_account import Account
from outbox_worker.simulator.guesty_book import DEFAULT_CURRENCY, Book, Ids
from outbox_worker.simulator.guesty_refusal import GuestyRefusedError, denied
from outbox_worker.simulator.guesty_step import Step
from outbox_worker.simulator.plan import Verdict
from outbox_worker.simulator.refusal import Answer, refusal
from outbox_worker.simulator.reservation import RequestRefusedError
from outbox_worker.simulator.stand_in import StandIn, now

_TOKEN = "/oauth2/token"  # noqa: S105 # a path
_RESERVATIONS = "/v1/reservations-v3"
_FORM = "application/x-www-form-urlencoded"


class GuestyApi:
    """The calls over one stand-in and its account."""

    def __init__(self, stand_in: StandIn, account: Account) -> None:
        self._stand_in = stand_in
        self._account = account
        self._front = Front(stand_in, self)

    def routes(self) -> list[Route]:
        """The routes under the API's base address."""
        one = f"{_RESERVATIONS}/{{reservation_id}}"
        return [
            Route(_TOKEN, self._answer, methods=["POST"]),
            Route(_RESERVATIONS, self._answer, methods=["GET", "POST"]),
            Route(f"{_RESERVATIONS}/search", self._answer, methods=["GET"]),
            *(Route(f"{one}/{step.value}", self._answer, methods=["PUT"]) for step in Step),
            Route("/v1/listings/{listing_id}", self._answer, methods=["GET"]),
        ]

    async def _answer(self, request: Request) -> Response:
        self._account.windows.under_way += 1
        try:
            return await self._front.answer(request)
        finally:
            self._account.windows.under_way -= 1

    def admit(self, request: Request) -> None:
        """Check the token, then the rate limit; who asks for a token needs neither.

        Raises:
            GuestyRefusedError: 401, 403 or 429.
        """
        if request.url.path == _TOKEN:
            return
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self._account.desk.good(token, now=now()):
            raise denied(self._account.switches)
        self._account.take_call()

    def understood(self, request: Request, body: bytes, *, number: int) -> Call:
        """What is asked.

        Raises:
            RequestRefusedError: 400 or 415.
        """
        operation, payload = _asked(request, body)
        fields = payload if isinstance(payload, Mapping) else {}
        query = dict(request.query_params)
        reservation_id = request.path_params.get("reservation_id")
        if operation is Operation.READ:
            reservation_id = search.ids(query)[0]
        held = self._stand_in.ledger.peek(reservation_id)
        reference = next(iter(search.codes(query)), None) or _text(fields, "confirmationCode")
        listing_id = request.path_params.get("listing_id") or _text(fields, "listingId")
        return Call(
            operation=operation,
            reference=held.reference if held else reference,
            listing_id=held.listing_id if held else listing_id,
            reservation_id=reservation_id,
            query=query,
            payload=payload,
            write=Write(
                request=number,
                idempotency_key=None,
                body_sha256=hashlib.sha256(body).hexdigest(),
                step=_step(request),
            ),
        )

    async def perform(self, call: Call, verdict: Verdict) -> Answer:
        """Carry a call out.

        Raises:
            RequestRefusedError: Nothing was changed.
            StorageError: The effect could not be made durable.
        """
        match call.operation:
            case Operation.TOKEN:
                return self._token(call)
            case Operation.CREATE:
                return await self._create(call)
            case Operation.READ:
                return await self._read(call)
            case Operation.FIND | Operation.LIST:
                return await self._search(call, verdict)
            case Operation.LISTING:
                return self._listing(call.listing_id or "")
            case _:
                return await self._change(call)

    def refused(self, error: RequestRefusedError) -> Answer:
        """A refusal in its own form, or in the one that a switch says."""
        own = error if isinstance(error, GuestyRefusedError) else None
        if own is None:
            own = GuestyRefusedError(error.status, error.code, str(error))
        return refusal(
            own.status,
            own.code,
            str(own),
            own.headers,
            form=self._account.switches.form or own.form,
            issues=own.issues,
        )

    def headers(self) -> Mapping[str, str]:
        """The state of the rate limit."""
        return self._account.headers()

    def _token(self, call: Call) -> Answer:
        asked = {name: str(value) for name, value in _mapping(call.payload).items()}
        try:
            granted = self._account.desk.grant(
                asked,
                switches=self._account.switches,
                token=secrets.token_urlsafe(48),
                now=now(),
            )
        finally:
            # a request that is refused counts too
            self._stand_in.keep_tokens(self._account)
        return Answer(status=200, document=granted, headers={"cache-control": "no-store"})

    async def _create(self, call: Call) -> Answer:
        ids = Ids(
            # random, not counted: an id must not come back in another state directory
            reservation_id=secrets.token_hex(12),
            guest_id=secrets.token_hex(12),
            reference=f"GY-{secrets.token_hex(4)}",
        )
        written = self._book().create(call.payload, ids)
        outcome = await self._stand_in.write(written, call.write, answer=201)
        document = search.created(written.reservation)
        return Answer(status=201, document=document, effect=outcome.effect)

    async def _change(self, call: Call) -> Answer:
        written = self._book().step(
            call.reservation_id or "", Step(call.write.step or ""), call.payload
        )
        outcome = await self._stand_in.write(written, call.write, answer=200)
        held = written.reservation
        document = {"reservationId": held.reservation_id, "status": held.status.value}
        return Answer(status=200, document=document, effect=outcome.effect)

    async def _read(self, call: Call) -> Answer:
        sight = self._sight()
        hits = [self._stand_in.ledger.peek(one) for one in search.ids(call.query)]
        document = [search.whole(held, sight) for held in hits if held is not None]
        await self._stand_in.journal.flushed()
        return Answer(status=200, document=document)

    async def _search(self, call: Call, verdict: Verdict) -> Answer:
        lag_s = max(verdict.stale_s, self._account.switches.search_lag_s)
        known_until = now() - timedelta(seconds=lag_s)
        held = [one for one in self._stand_in.ledger if not lag_s or one.created_at <= known_until]
        hits = list(search.found(reversed(held), {} if verdict.unfiltered else call.query))
        page = search.page(hits, call.query, self._sight())
        if verdict.uncounted:
            del page["pagination"]
        await self._stand_in.journal.flushed()
        return Answer(status=200, document=page)

    def _listing(self, listing_id: str) -> Answer:
        listing = self._stand_in.ledger.listings.get(listing_id)
        if listing is None:
            raise GuestyRefusedError(404, "NOT_FOUND", "Listing not found")
        document = search.listed(listing, listing.currency or DEFAULT_CURRENCY)
        return Answer(status=200, document=document)

    def _book(self) -> Book:
        return Book(
            ledger=self._stand_in.ledger,
            switches=self._account.switches,
            availability=self._stand_in.switches.availability,
            now=now(),
        )

    def _sight(self) -> search.Sight:
        lag = timedelta(seconds=self._account.switches.status_lag_s)
        return search.Sight(now=now(), status_lag=lag, units=self._account.switches.units)


def _asked(request: Request, body: bytes) -> tuple[Operation, object]:
    path = request.url.path
    if path == _TOKEN:
        return Operation.TOKEN, _credentials(request, body)
    if "listing_id" in request.path_params:
        return Operation.LISTING, None
    if request.method == "GET":
        if not path.endswith("/search"):
            return Operation.READ, None
        by_code = search.codes(dict(request.query_params))
        return (Operation.FIND if by_code else Operation.LIST), None
    payload = parsed(request, body)
    if request.method == "POST":
        return Operation.CREATE, payload
    step = Step(_step(request) or "")
    if step is Step.STATUS and _mapping(payload).get("status") == "canceled":
        return Operation.CANCEL, payload
    return Operation(step.value), payload


def _credentials(request: Request, body: bytes) -> dict[str, str]:
    """The fields of a request for a token; a Basic header stands for the client's two."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != _FORM:
        raise RequestRefusedError(415, "UNSUPPORTED_MEDIA_TYPE", f"send {_FORM}")
    fields = dict(parse_qsl(body.decode("utf-8", "replace")))
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            pair = base64.b64decode(encoded, validate=True).decode()
        except ValueError as error:
            raise RequestRefusedError(400, "invalid_request", "not a Basic header") from error
        fields["client_id"], _, fields["client_secret"] = pair.partition(":")
    return fields


def _step(request: Request) -> str | None:
    if request.method == "PUT":
        return request.url.path.rpartition("/")[2]
    return "create" if request.method == "POST" else None


def _mapping(payload: object) -> Mapping[str, object]:
    return payload if isinstance(payload, Mapping) else {}


def _text(asked: Mapping[str, object], name: str) -> str | None:
    value = asked.get(name)
    return value if isinstance(value, str) else None
