"""From a request to its answer, with the faults that are armed for it, whatever API it speaks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from outbox_worker import telemetry
from outbox_worker.events import Event
from outbox_worker.simulator.body import read
from outbox_worker.simulator.effect import Operation, Write
from outbox_worker.simulator.journal_lines import StorageError
from outbox_worker.simulator.plan import Verdict
from outbox_worker.simulator.refusal import Answer
from outbox_worker.simulator.reservation import RequestRefusedError
from outbox_worker.simulator.stand_in import StandIn, now
from outbox_worker.simulator.strike import NO_ANSWER, STORAGE_FAILED, goes_on, struck
from outbox_worker.simulator.traffic import Exchange
from outbox_worker.simulator.transport import Broken, Woken, pause


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One authorised request, understood as far as faults need it.

    Args:
        query: By name; of a repeated one the last.
        payload: The body, parsed; None for a read.
    """

    operation: Operation
    reference: str | None
    listing_id: str | None
    reservation_id: str | None
    query: Mapping[str, str]
    payload: object
    write: Write


class Dialect(Protocol):
    """What an API does its own way."""

    def admit(self, request: Request) -> None:
        """Check that the caller may ask.

        Raises:
            RequestRefusedError: It may not.
        """

    def understood(self, request: Request, body: bytes, *, number: int) -> Call:
        """What is asked.

        Raises:
            RequestRefusedError: Nothing that could be carried out.
        """

    async def perform(self, call: Call, verdict: Verdict) -> Answer:
        """Carry it out.

        Raises:
            RequestRefusedError: Nothing was changed.
            StorageError: The effect could not be made durable.
        """

    def refused(self, error: RequestRefusedError) -> Answer:
        """A refusal in the API's words."""

    def headers(self) -> Mapping[str, str]:
        """What every answer carries now."""


class Front:
    """Requests in one dialect to one stand-in."""

    def __init__(self, stand_in: StandIn, dialect: Dialect) -> None:
        self._stand_in = stand_in
        self._dialect = dialect
        self._log = telemetry.logger()

    async def answer(self, request: Request) -> Response:
        """Answer, count and log one request."""
        began = time.perf_counter()
        exchange = Exchange(
            n=self._stand_in.traffic.begin(),
            at=now(),
            method=request.method,
            path=request.url.path,
            operation=None,
            reference=None,
            outcome=NO_ANSWER,
            code=None,
            fault=None,
            swallowed=False,
            effect=None,
            repeated=False,
            took_ms=0.0,
        )
        try:
            self._dialect.admit(request)
            call = self._dialect.understood(request, await read(request), number=exchange.n)
        except RequestRefusedError as refused:
            answer = self._dialect.refused(refused)
            exchange = replace(exchange, outcome=str(answer.status), code=answer.code)
            response = answer.response()
        except ClientDisconnect:
            response = Broken()
        else:
            exchange, response = await self._carried_out(call, exchange)
        response.headers.update(self._dialect.headers())
        exchange = replace(exchange, took_ms=(time.perf_counter() - began) * 1000)
        self._stand_in.traffic.finish(exchange)
        self._log.info(
            Event.SIMULATOR_ANSWERED,
            message="the simulator has answered",
            kind=exchange.operation,
            reference=exchange.reference,
            outcome=exchange.outcome,
            code=exchange.code,
            detail=exchange.fault,
            duration_ms=round(exchange.took_ms, 1),
        )
        return response

    async def _carried_out(self, call: Call, exchange: Exchange) -> tuple[Exchange, Response]:
        """Carry the call out as the faults allow."""
        stand_in = self._stand_in
        verdict = stand_in.plan.judge(
            call.operation, reference=call.reference, listing_id=call.listing_id
        )
        rule = verdict.strike
        fault = None if rule is None else rule.kind.value
        call = replace(call, write=replace(call.write, fault=fault))
        exchange = replace(
            exchange, operation=call.operation.value, reference=call.reference, fault=fault
        )
        if (
            verdict.wait_s
            and await pause(verdict.wait_s, stopping=stand_in.stopping) is Woken.STOPPING
        ):
            return exchange, Broken()
        answer = Answer(status=200, document={})
        if rule is not None and not goes_on(rule):
            exchange = replace(exchange, swallowed=True)
        else:
            answer = await self._performed(call, verdict)
        if rule is None:
            outcome, response = str(answer.status), answer.response()
        else:
            # what begins to answer and breaks off sends these headers too
            headers = {**answer.headers, **self._dialect.headers()}
            answer = replace(answer, headers=headers)
            outcome, response = struck(rule, answer, now=now(), stopping=stand_in.stopping)
        exchange = replace(
            exchange,
            outcome=outcome,
            code=answer.code,
            effect=None if answer.effect is None else answer.effect.n,
            repeated=answer.repeated,
        )
        return exchange, response

    async def _performed(self, call: Call, verdict: Verdict) -> Answer:
        try:
            return await self._dialect.perform(call, verdict)
        except RequestRefusedError as refused:
            return self._dialect.refused(refused)
        except StorageError as error:
            return self._dialect.refused(RequestRefusedError(500, STORAGE_FAILED, str(error)))
