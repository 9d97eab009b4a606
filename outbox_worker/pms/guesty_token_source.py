"""One access token for all workers of a database: read, requested by one of them, shared.

The transaction that stays open during the request to the token endpoint holds an advisory lock and
nothing else; Postgres ends it, and the lock with it, when this process dies or is frozen. What must
outlive it (the request is counted, the token is stored) is committed on other connections.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

import psycopg

from outbox_worker.database import Connection, bounded, cancel, translated
from outbox_worker.errors import DatabaseBusyError, DatabaseError, OutboxError
from outbox_worker.events import Event
from outbox_worker.gate import token as store
from outbox_worker.gate.token_state import TokenRow, identity
from outbox_worker.outbox.delivery import Destination
from outbox_worker.pms import guesty_token as rules
from outbox_worker.pms import guesty_token_words as words
from outbox_worker.pms.guesty_token import Plan, Refusal, Token
from outbox_worker.pms.guesty_token_answer import Minted, NotMinted
from outbox_worker.pms.guesty_token_endpoint import Endpoint
from outbox_worker.pms.port import Misconfigured, Unavailable
from outbox_worker.telemetry import logger
from outbox_worker.worker.lease import boot_time

Answer: TypeAlias = Token | Unavailable | Misconfigured
Connect: TypeAlias = Callable[[], AbstractAsyncContextManager[Connection]]

_DESTINATION = Destination.GUESTLY
#: The row is read again after so long: another worker may have a newer token.
_READ_AGAIN_S = 60.0
#: The same when that has failed.
_READ_AGAIN_SOON_S = 5.0
#: Postgres waits so much longer than the request may take.
_IDLE_MARGIN = timedelta(seconds=2)
#: Between looks at what somebody else requests: doubles up to the second.
_POLL_S = (0.05, 0.5)
#: Statements that take so long in all have failed.
_PATIENCE = timedelta(seconds=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cached:
    """A good token, and its end on the scale of `boot_time`."""

    token: Token
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """One request for a token: the row before it, and when it was charged."""

    before: TokenRow
    at: datetime
    failures: int


class FleetToken:
    """A `guesty_token.TokenSource` shared by all workers of a database.

    Args:
        connect: Opens a connection in autocommit mode.
        api_url: Guesty's address; the endpoint is ``/oauth2/token`` under it.
        client_id: Of the account's API client.
        client_secret: Its secret.
        timeout: Bounds the request for a token, and the wait of each caller.
        clock: Seconds on `boot_time`'s scale.

    Raises:
        ValueError: The address cannot be used in HTTP.
    """

    def __init__(
        self,
        *,
        connect: Connect,
        api_url: str,
        client_id: str,
        client_secret: str,
        timeout: timedelta,
        clock: Callable[[], float] = boot_time,
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._ours = identity(api_url=api_url, client_id=client_id, client_secret=client_secret)
        self._endpoint = Endpoint(
            api_url=api_url, client_id=client_id, client_secret=client_secret, timeout=timeout
        )
        self._timeout = timeout
        self._cached: _Cached | None = None
        self._read_again = 0.0
        #: By serial, so that the moment of the early renewal stays as it was drawn.
        self._share = (-1, 0.0)
        #: The serial of the token that the API has refused.
        self._dropped = -1
        self._unsaved: tuple[_Request, Minted] | None = None
        self._task: asyncio.Task[Answer] | None = None

    async def token(self) -> Answer:
        """The token to send; see `guesty_token.TokenSource.token`.

        Costs no statement while the known one is good; waits no longer than the time-out.
        """
        now = self._clock()
        known = self._known(now)
        if known is not None and now < self._read_again:
            return known
        task = self._looking()
        if known is not None:
            return known  # it is good as long as another one is being seen to
        ends = now + self._timeout.total_seconds()
        while (left := ends - self._clock()) > 0:
            # the look belongs to all callers: one that is cancelled takes nobody's token with it
            await asyncio.wait({task}, timeout=left)
            if not task.done():
                break
            answer = task.result()
            if not isinstance(answer, Token) or answer.serial != self._dropped:
                return answer
            task = self._looking()  # it began before the token was refused
        return words.not_there_yet()

    async def refused(self, token: Token, *, http_status: int) -> Unavailable | Misconfigured:
        """The API refused ``token``; see `guesty_token.TokenSource.refused`."""
        try:
            row, verdict = await bounded(self._judge(token), within=self._timeout)
        except (OutboxError, TimeoutError) as error:
            return words.unreadable(error)
        if verdict is Refusal.FORBIDDEN:
            return words.forbidden(http_status)
        if verdict is Refusal.SPENT:
            return words.quota_spent(rules.QUOTA, rules.next_request_at(row, self._ours))
        self._dropped = token.serial
        if self._cached is not None and self._cached.token.serial == token.serial:
            self._cached = None
        return words.ended(http_status)

    async def aclose(self) -> None:
        """Give up what is under way, and close the connections."""
        if self._task is not None:
            await cancel(self._task)
        await self._endpoint.aclose()

    def _known(self, now: float) -> Token | None:
        cached = self._cached
        if cached is None or cached.token.serial == self._dropped or now >= cached.end:
            return None
        return cached.token

    def _looking(self) -> asyncio.Task[Answer]:
        """The look at the row, and the request if one is due: one at a time in a process."""
        if self._task is None or self._task.done():
            self._read_again = self._clock() + _READ_AGAIN_SOON_S
            self._task = asyncio.create_task(self._look())
        return self._task

    async def _look(self) -> Answer:
        try:
            return await bounded(self._looked(), within=2 * self._timeout + _PATIENCE)
        except (OutboxError, TimeoutError) as error:
            return words.unreadable(error)

    async def _looked(self) -> Answer:
        ends = self._clock() + self._timeout.total_seconds()
        pause, longest = _POLL_S
        async with self._connect() as conn:
            await self._save_late()
            while True:
                plan = await self._read(conn, locked=False)
                if (answer := _decided(plan)) is not None:
                    return answer
                try:
                    answer = await self._alone(conn)
                except DatabaseBusyError:
                    answer = None  # the row is somebody's gate too
                if answer is not None:
                    return answer
                if plan.token is not None:
                    return plan.token  # somebody else renews it
                if self._clock() >= ends:
                    return words.not_there_yet()
                await asyncio.sleep(pause * (0.5 + secrets.randbelow(100) / 100))
                pause = min(2 * pause, longest)

    async def _alone(self, conn: Connection) -> Answer | None:
        """Request a token unless somebody else is about to; None: look again."""
        answer: Answer | None = None
        try:
            with translated():
                async with conn.transaction():
                    idle = self._timeout + _IDLE_MARGIN
                    if await store.try_lock(conn, _DESTINATION, idle=idle):
                        answer = await self._locked(conn)
        except DatabaseError:
            # a lock that was lost takes nothing back: what happened is on record
            if answer is None:
                raise
        return answer

    async def _locked(self, conn: Connection) -> Answer | None:
        row = await store.read(conn, _DESTINATION)
        plan = self._planned(row, locked=True)
        if (answer := _decided(plan)) is not None:
            return answer
        failures = rules.failures(row, self._ours) + 1
        async with self._connect() as other:
            charged = await store.charge(
                other,
                _DESTINATION,
                row,
                self._ours,
                failures=failures,
                pace=rules.pace(failures),
            )
        if charged is None:
            return None
        request = _Request(before=row, at=charged, failures=failures)
        try:
            await store.still_locked(conn)
        except psycopg.OperationalError:
            await self._record(request, NotMinted(code="lock_lost", sent=False))
            raise
        return await self._requested(request, plan)

    async def _requested(self, request: _Request, plan: Plan) -> Answer | None:
        result = await self._endpoint.request()
        if isinstance(result, NotMinted):
            refusal = await self._record(request, result)
            return plan.token if plan.token is not None else refusal
        self._unsaved = (request, result)
        await self._save_late()
        # what is on record counts: somebody else may have been quicker
        async with self._connect() as other:
            return _decided(await self._read(other, locked=False))

    async def _record(self, request: _Request, result: NotMinted) -> Unavailable | Misconfigured:
        pause = rules.pause_after(
            result.code,
            in_a_row=request.failures,
            counted=rules.spent(request.before, self._ours) + result.sent,
            retry_after=result.retry_after,
        )
        async with self._connect() as other:
            await store.fail(
                other,
                _DESTINATION,
                code=result.code,
                pause=pause,
                sent=result.sent,
                charged_at=request.at,
                serial=request.before.serial,
            )
        logger().warning(
            Event.TOKEN_FAILED,
            message=f"Guesty gave no access token ({result.code})",
            destination=_DESTINATION,
            error_code=result.code,
            http_status=result.http_status,
        )
        return words.failed(result.code, wait=pause, http_status=result.http_status)

    async def _save_late(self) -> None:
        """Store a token that could not be stored before, unless there is a newer one."""
        if self._unsaved is None:
            return
        request, minted = self._unsaved
        async with self._connect() as other:
            stored = await store.store(
                other,
                _DESTINATION,
                self._ours,
                value=minted.value,
                life=minted.life,
                charged_at=request.at,
                serial=request.before.serial,
            )
        self._unsaved = None
        if stored:
            count = rules.spent(request.before, self._ours) + 1
            logger().info(
                Event.TOKEN_RENEWED,
                message=f"a new access token for all workers, request {count} of {rules.QUOTA}"
                " within 24 hours",
                destination=_DESTINATION,
                count=count,
            )

    async def _judge(self, token: Token) -> tuple[TokenRow, Refusal]:
        async with self._connect() as conn:
            row = await store.read(conn, _DESTINATION)
            verdict = rules.judge(row, token, self._ours)
            match verdict:
                case Refusal.ENDED:
                    await store.refuse(conn, _DESTINATION, serial=token.serial)
                case Refusal.FORBIDDEN:
                    await store.forbid(conn, _DESTINATION, serial=token.serial)
                case Refusal.REPLACED | Refusal.SPENT:
                    pass
        return row, verdict

    async def _read(self, conn: Connection, *, locked: bool) -> Plan:
        return self._planned(await store.read(conn, _DESTINATION), locked=locked)

    def _planned(self, row: TokenRow, *, locked: bool) -> Plan:
        """What to do about the row; a good token in it is remembered."""
        if self._share[0] != row.serial:
            self._share = (row.serial, secrets.randbelow(1000) / 1000)
        share = self._share[1]
        plan = rules.decide(row, self._ours, share=share, locked=locked)
        good = rules.times(row, self._ours, share=share)
        now = self._clock()
        if plan.token is not None and good is None:
            self._dropped = -1  # it was dropped, and is all that there is
        if row.credentials not in {None, self._ours.credentials}:
            # workers with other credentials run too, as while they are exchanged: each keeps its
            # own token to its end instead of taking turns in replacing the other's
            known = self._known(now)
            self._read_again = now + _READ_AGAIN_S
            return plan if known is None else Plan(token=known)
        if plan.token is not None and good is not None:
            early = now + (good.early - row.now).total_seconds()
            end = now + (good.end - row.now).total_seconds()
            self._cached = _Cached(token=plan.token, end=end)
            again = now + _READ_AGAIN_S
            self._read_again = min(again, early) if early > now else again
        return plan


def _decided(plan: Plan) -> Answer | None:
    """The answer if no token has to be requested."""
    return None if plan.request else plan.token or plan.refusal
