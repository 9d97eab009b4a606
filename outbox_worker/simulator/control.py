"""The rehearsal's own API under ``/_simulator``: what is held, what goes wrong next, a fresh start.

It needs no key, so the stand-in belongs on a loopback or private address. Writes must say
``application/json``: no page in a browser can send that to another origin unasked.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from outbox_worker.simulator.body import parsed, read
from outbox_worker.simulator.effect import Write
from outbox_worker.simulator.fault import FaultError, Rule, parse
from outbox_worker.simulator.guesty_switches import switched
from outbox_worker.simulator.ledger import KeyPolicy, Switches
from outbox_worker.simulator.listings import listed, listings_from
from outbox_worker.simulator.reservation import RequestRefusedError, document
from outbox_worker.simulator.stand_in import StandIn, now


class ControlApi:
    """The control calls over one stand-in."""

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in

    def routes(self) -> list[Route]:
        """The routes, all under ``/_simulator``."""
        root = "/_simulator"
        return [
            Route(f"{root}/state", self._state, methods=["GET"]),
            Route(f"{root}/faults", self._faults, methods=["GET", "PUT", "DELETE"]),
            Route(f"{root}/faults/once", self._once, methods=["POST"]),
            Route(f"{root}/switches", self._switches, methods=["GET", "PATCH"]),
            Route(f"{root}/listings", self._listings, methods=["GET", "POST"]),
            Route(f"{root}/keys", self._keys, methods=["DELETE"]),
            Route(f"{root}/reservations/{{reservation_id}}", self._delete, methods=["DELETE"]),
            Route(f"{root}/reset", self._reset, methods=["POST"]),
        ]

    async def _state(self, request: Request) -> Response:  # noqa: ARG002 # Starlette's signature
        stand_in = self._stand_in
        account = stand_in.account
        await stand_in.journal.flushed()
        return JSONResponse(
            {
                "pms": "guestly" if account is None else "guesty",
                "reservations": [document(held) for held in stand_in.ledger],
                "listings": listed(stand_in.ledger.listings.values()),
                "counters": stand_in.traffic.counters(),
                "faults": stand_in.plan.describe(),
                "switches": self._shown_switches(),
                "recent": [exchange.line() for exchange in stand_in.traffic.recent],
                **({} if account is None else account.described(now=now())),
            }
        )

    async def _faults(self, request: Request) -> Response:
        plan = self._stand_in.plan
        if request.method == "PUT":
            body = await _body(request)
            rules = body.get("rules") if isinstance(body, Mapping) else body
            if not isinstance(rules, list):
                raise RequestRefusedError(422, "INVALID_FAULT", "send a list of rules")
            plan.arm([_rule(raw) for raw in rules])
        elif request.method == "DELETE":
            plan.clear()
        return JSONResponse(plan.describe())

    async def _once(self, request: Request) -> Response:
        body = await _body(request)
        for raw in body if isinstance(body, list) else [body]:
            rule, source = _rule({"times": 1, **raw} if isinstance(raw, Mapping) else raw)
            if rule.times is None:
                raise RequestRefusedError(422, "INVALID_FAULT", "times must be 1 or more")
            self._stand_in.plan.queue(rule, source)
        return JSONResponse(self._stand_in.plan.describe(), status_code=201)

    async def _switches(self, request: Request) -> Response:
        stand_in = self._stand_in
        if request.method == "PATCH":
            body = await _body(request)
            known = self._shown_switches()
            if not isinstance(body, Mapping) or set(body) - set(known):
                raise RequestRefusedError(
                    422, "INVALID_SWITCH", f"the switches are {', '.join(known)}"
                )
            shared = {name: body[name] for name in body if name in _switches(stand_in.switches)}
            own = {name: body[name] for name in body if name not in shared}
            switches = _switched(stand_in.switches, shared)
            if stand_in.account is not None:
                stand_in.account.switches = switched(stand_in.account.switches, own)
            stand_in.switches = switches
        return JSONResponse(self._shown_switches())

    def _shown_switches(self) -> dict[str, Any]:
        shared, account = _switches(self._stand_in.switches), self._stand_in.account
        if account is None:
            return shared
        # the API knows no idempotency keys
        return {"availability": shared["availability"], **account.switches.document()}

    async def _listings(self, request: Request) -> Response:
        if request.method == "POST":
            self._stand_in.list_anew(listings_from(await _body(request)))
        return JSONResponse(listed(self._stand_in.ledger.listings.values()))

    async def _keys(self, request: Request) -> Response:  # noqa: ARG002 # Starlette's signature
        await self._stand_in.forget_keys()
        return Response(status_code=204)

    async def _delete(self, request: Request) -> Response:
        write = Write(
            request=self._stand_in.traffic.last_request,
            idempotency_key=None,
            body_sha256=hashlib.sha256(b"").hexdigest(),
        )
        await self._stand_in.delete(request.path_params["reservation_id"], write)
        return Response(status_code=204)

    async def _reset(self, request: Request) -> Response:
        await _body(request)
        await self._stand_in.reset()
        return Response(status_code=204)


def _rule(raw: object) -> tuple[Rule, Mapping[str, Any]]:
    try:
        return parse(raw), dict(raw) if isinstance(raw, Mapping) else {}
    except FaultError as error:
        raise RequestRefusedError(422, "INVALID_FAULT", f"{error} {error.hint}".strip()) from error


def _switches(switches: Switches) -> dict[str, Any]:
    ttl = switches.key_ttl
    return {
        "idempotency": switches.idempotency.value,
        "key_ttl_s": None if ttl is None else ttl.total_seconds(),
        "availability": switches.availability,
    }


def _switched(switches: Switches, body: Mapping[str, Any]) -> Switches:
    if "idempotency" in body:
        try:
            switches = dataclasses.replace(switches, idempotency=KeyPolicy(body["idempotency"]))
        except ValueError as error:
            known = ", ".join(KeyPolicy)
            raise RequestRefusedError(
                422, "INVALID_SWITCH", f"idempotency must be one of {known}"
            ) from error
    if "key_ttl_s" in body:
        switches = dataclasses.replace(switches, key_ttl=_ttl(body["key_ttl_s"]))
    if "availability" in body:
        if not isinstance(body["availability"], bool):
            raise RequestRefusedError(422, "INVALID_SWITCH", "availability must be true or false")
        switches = dataclasses.replace(switches, availability=body["availability"])
    return switches


def _ttl(seconds: object) -> timedelta | None:
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 1e9:  # noqa: PLR2004 # thirty years
        raise RequestRefusedError(422, "INVALID_SWITCH", "key_ttl_s must be seconds or null")
    return timedelta(seconds=seconds)


async def _body(request: Request) -> object:
    # plain floats: rules and switches hold no money, and they are shown as JSON again
    value = parsed(request, await read(request))
    return json.loads(json.dumps(value, default=float))
