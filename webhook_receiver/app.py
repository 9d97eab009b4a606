"""The receiver's three routes. A 2xx means committed; every other answer makes Stripe come back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from outbox_worker.errors import DatabaseError
from outbox_worker.events import Event
from outbox_worker.payments import inbox, stripe_event
from outbox_worker.payments.inbox import InboxRules, Receipt
from outbox_worker.payments.readiness import Readiness
from outbox_worker.payments.stripe_event import StripeEvent
from outbox_worker.settings import StripeSettings
from outbox_worker.telemetry import logger
from webhook_receiver.health import Health
from webhook_receiver.pool import Pool
from webhook_receiver.signature import refusal
from webhook_receiver.wakeup import Wakeup

_LARGEST_BODY = 256 * 1024
_CONNECTION = timedelta(seconds=3)
_CONNECTION_IN_DOUBT = timedelta(seconds=1)
_FIRST_LOOK = timedelta(seconds=3)
_RETRY_AFTER = {"Retry-After": "5"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long one request may take.

    Args:
        body: From the headers to the end of the body.
        answer: From there to the answer; the sender is told to come back before it gives up.
    """

    body: timedelta = timedelta(seconds=10)
    answer: timedelta = timedelta(seconds=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """Why an event could not be recorded now."""

    reason: str


def create(
    database_url: str,
    stripe: StripeSettings,
    *,
    limits: Limits | None = None,
    told: Callable[[str], object] = str,
) -> Starlette:
    """Build the application; it connects when it is started.

    Args:
        database_url: libpq URL.
        stripe: Signing secrets and which events are wanted.
        limits: None: those of `Limits`.
        told: Called with a sentence at every change of whether events are taken.
    """
    pool = Pool(database_url)
    receiver = Receiver(
        secrets=tuple(secret.reveal() for secret in stripe.webhook_secrets),
        rules=InboxRules(
            currency=stripe.currency, livemode=stripe.livemode, account=stripe.account
        ),
        pool=pool,
        health=Health(database_url, told=told),
        wakeup=Wakeup(pool),
        limits=limits or Limits(),
    )
    app = Starlette(
        routes=[
            Route("/webhooks/stripe", receiver.stripe, methods=["POST"]),
            Route("/healthz", receiver.healthz, methods=["GET"]),
            Route("/readyz", receiver.readyz, methods=["GET"]),
        ],
        lifespan=receiver.lifespan,
    )
    # a redirect is a failure to Stripe, as good as any other
    app.router.redirect_slashes = False
    return app


class Receiver:
    """Verifies, records, answers.

    Args:
        secrets: Signing secrets, never empty.
        rules: Which events are wanted.
        pool: Connections to Postgres.
        health: Whether Postgres takes events.
        wakeup: Tells the workers.
        limits: How long one request may take.
    """

    def __init__(
        self,
        *,
        secrets: tuple[str, ...],
        rules: InboxRules,
        pool: Pool,
        health: Health,
        wakeup: Wakeup,
        limits: Limits,
    ) -> None:
        self._secrets = secrets
        self._rules = rules
        self._pool = pool
        self._health = health
        self._wakeup = wakeup
        self._limits = limits
        self._under_way: set[asyncio.Task[Receipt | Unanswered]] = set()

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Connect, watch and notify for as long as requests are served."""
        del app
        await self._pool.open()
        watch = [asyncio.create_task(self._health.run()), asyncio.create_task(self._wakeup.run())]
        try:
            yield
        finally:
            tasks = [*watch, *self._under_way]
            for task in tasks:
                task.cancel()
            # what has not ended by now was answered long ago, and its sender comes back
            await asyncio.wait(tasks, timeout=2.0)
            await self._pool.close()

    async def healthz(self, request: Request) -> Response:
        """The process answers; Postgres is not asked."""
        del request
        return JSONResponse({"status": "ok"})

    async def readyz(self, request: Request) -> Response:
        """Whether events can be taken, asked now."""
        del request
        now = await self._health.look()
        ready = now is Readiness.READY
        return JSONResponse(
            {"ready": ready, "reason": now.value}, status_code=200 if ready else 503
        )

    async def stripe(self, request: Request) -> Response:
        """One event of Stripe's."""
        began = time.monotonic()
        body = await _read(request, within=self._limits.body)
        if isinstance(body, Response):
            return body
        why = refusal(
            body,
            request.headers.getlist("stripe-signature"),
            secrets=self._secrets,
            now=time.time(),
        )
        if why is not None:
            return _refused(400, why.value)
        event = stripe_event.read(body)
        result = await self._record_in_time(event, body)
        if isinstance(result, Unanswered):
            logger().warning(
                Event.WEBHOOK_UNAVAILABLE,
                message="the event could not be recorded now; its sender will come back",
                reason=result.reason,
                **_ids(event, began),
            )
            self._health.doubt()
            return Response(status_code=503, headers=_RETRY_AFTER)
        outcome = "duplicate" if result.outcome is None else result.outcome.value
        logger().info(
            Event.WEBHOOK_RECEIVED,
            message=f"event recorded: {result.detail}",
            outcome=outcome,
            booking_id=None if result.booking_id is None else str(result.booking_id),
            **_ids(event, began),
        )
        return JSONResponse({"outcome": outcome})

    async def _record_in_time(self, event: StripeEvent, body: bytes) -> Receipt | Unanswered:
        task = asyncio.create_task(self._record(event, body))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        # A task that is too late is cancelled, and cancelling a statement may wait for a server
        # that does not answer: so the answer does not wait for the task. Should it commit after
        # all, the sender's next attempt is a duplicate.
        done, _ = await asyncio.wait([task], timeout=self._limits.answer.total_seconds())
        if done:
            return task.result()
        task.cancel()
        return Unanswered(reason="too_slow")

    async def _record(self, event: StripeEvent, body: bytes) -> Receipt | Unanswered:
        await self._health.started(_FIRST_LOOK)
        seen = self._health.seen
        if seen in {Readiness.BLINDED, Readiness.NOT_MIGRATED}:
            return Unanswered(reason=seen.value)
        # while Postgres is down nobody should wait long to be told so
        within = _CONNECTION if seen is Readiness.READY else _CONNECTION_IN_DOUBT
        try:
            async with self._pool.connection(within=within) as conn:
                receipt = await inbox.receive(
                    conn, event, body, rules=self._rules, may_notify=self._wakeup.take
                )
        except DatabaseError as error:
            return Unanswered(reason=_cause(error))
        except Exception as error:  # noqa: BLE001 - the edge of one request: a bug of ours must not cost the event
            logger().error(
                Event.WEBHOOK_CRASHED,
                message=f"recording an event raised {type(error).__name__}; this is a bug",
                event_id=event.id,
                event_type=event.type,
                exc_info=True,
            )
            return Unanswered(reason="crashed")
        if receipt.wake:
            self._wakeup.request()
        return receipt


async def _read(request: Request, *, within: timedelta) -> bytes | Response:
    """The body, byte by byte as it was sent, or the answer to a request that goes too far."""
    if "content-encoding" in request.headers:
        return _refused(415, "content_encoding")
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or len(declared) > 6 or int(declared) > _LARGEST_BODY:  # noqa: PLR2004 - digits of the bound
        return _refused(413, "body_too_large")
    body = bytearray()
    try:
        async with asyncio.timeout(within.total_seconds()):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _LARGEST_BODY:
                    return _refused(413, "body_too_large")
    except TimeoutError:
        return _refused(408, "body_too_slow")
    except ClientDisconnect:
        return Response(status_code=400)  # nobody is there to read it
    return bytes(body)


def _refused(status: int, reason: str) -> Response:
    logger().info(
        Event.WEBHOOK_REFUSED, message=f"request refused: {reason}", status=status, reason=reason
    )
    return Response(status_code=status)


def _ids(event: StripeEvent, began: float) -> dict[str, object]:
    """What a line about an event tells: ids and durations, nothing of its body."""
    return {
        "event_id": event.id,
        "event_type": event.type,
        "object_id": event.object_id,
        "duration_ms": round((time.monotonic() - began) * 1000, 1),
    }


def _cause(error: DatabaseError) -> str:
    sqlstate = getattr(error.__cause__, "sqlstate", None)
    name = type(error.__cause__ or error).__name__
    return f"{name} {sqlstate}" if sqlstate else name
