"""The worker's life: connect patiently, run the loop, stop in bounded time."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import backoff

from outbox_worker.database import CONNECT_OPTIONS, Connection, bounded, cancel, connect
from outbox_worker.errors import DatabaseError, DatabaseUnreachableError, OutboxError
from outbox_worker.events import Event
from outbox_worker.telemetry import logger
from outbox_worker.worker.deadman import DeadMan
from outbox_worker.worker.heartbeat import BEAT_EVERY, Heartbeat
from outbox_worker.worker.liveness import Liveness
from outbox_worker.worker.loop import Loop
from outbox_worker.worker.systemd import Notifier
from outbox_worker.worker.wakeup import Wakeup

#: Longest wait between two tries to reach Postgres.
_RECONNECT_CAP_S = 5
#: After a statement of the loop itself was refused, such as on a schema that is not migrated.
_AFTER_REFUSAL = timedelta(seconds=5)
#: How long a stop waits for a statement that is under way.
_STATEMENT_AFTER_STOP = timedelta(seconds=2)
#: How long the last settle may take once everything has ended.
_LAST_SETTLE = timedelta(seconds=5)
#: How long after a second signal the process ends if Postgres is away; what of it a statement under
#: way may take, and what is left in any case for the connection of the last settle.
_HURRY = timedelta(seconds=2)
_STATEMENT_AFTER_SECOND = timedelta(seconds=1)
_SHORTEST_CONNECT = timedelta(seconds=0.5)
_SHORTEST_SETTLE = timedelta(milliseconds=50)
#: Between two tries to cut off handlers that go on all the same.
_CUT_OFF_EVERY_S = 1.0


def longest_silence(patience: timedelta) -> timedelta:
    """Longest time between two signs of life of a worker that is well: a limit has to be above it.

    Args:
        patience: Longest time of one cycle's statements.
    """
    waiting = max(BEAT_EVERY, timedelta(seconds=_RECONNECT_CAP_S))
    return patience + waiting + timedelta(seconds=CONNECT_OPTIONS["connect_timeout"])


class Supervisor:
    """Runs one loop until a signal, or until nothing is due.

    Args:
        url: Database for claim and settle.
        loop: The loop.
        wakeup: Its wake-up; its listener runs beside the loop.
        heartbeat: The worker's own row.
        liveness: Told of every completed cycle, and of every failed try to reach Postgres.
        deadman: Told of every completed turn, for whoever watches from outside.
        notifier: Tells the service manager how the worker is.
        shutdown: How long a stop waits for calls that have begun.
        patience: Longest time of one cycle's statements, well below the lease.
    """

    def __init__(
        self,
        url: str,
        *,
        loop: Loop,
        wakeup: Wakeup,
        heartbeat: Heartbeat,
        liveness: Liveness,
        deadman: DeadMan,
        notifier: Notifier,
        shutdown: timedelta,
        patience: timedelta,
    ) -> None:
        self._url = url
        self._loop = loop
        self._wakeup = wakeup
        self._heartbeat = heartbeat
        self._liveness = liveness
        self._deadman = deadman
        self._notifier = notifier
        self._shutdown = shutdown
        self._patience = patience
        self._stop = asyncio.Event()
        self._second = asyncio.Event()
        self._hurry_ends = 0.0
        #: Whether the settling of a stop has a connection.
        self._reached = False
        self._lost = False
        self._failed = ""
        self._failures = 0

    async def run(self, *, drain: bool, announce: Callable[[], Awaitable[None]]) -> None:
        """Work until SIGTERM or SIGINT, or, with ``drain``, until nothing is due any more.

        The first signal stops claiming and lets calls that have begun end within the shutdown
        time; a second one cuts them off at once, records what it can, and waits for no Postgres
        that is away. ``announce`` is awaited first, with the signals handled already.
        """
        running = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            running.add_signal_handler(number, self._signalled)
        listener = asyncio.create_task(self._wakeup.listen())
        self._notifier.ready()
        notifying = asyncio.create_task(self._notifier.run())
        try:
            await announce()
            await self._work(drain=drain)
            await self._drain()
        finally:
            await cancel(listener)
            await cancel(notifying)
            for number in (signal.SIGTERM, signal.SIGINT):
                running.remove_signal_handler(number)

    def _signalled(self) -> None:
        if self._stop.is_set():
            if not self._second.is_set():
                self._hurry_ends = time.monotonic() + _HURRY.total_seconds()
            self._second.set()
            self._loop.cancel()
            return
        logger().info(Event.SERVICE_DRAINING, message="stopping: finishing what has begun")
        self._notifier.stopping()
        self._stop.set()
        self._loop.stop()

    async def _work(self, *, drain: bool) -> None:
        while not self._stop.is_set():
            try:
                async with self._connected(until_stop=True) as conn:
                    await self._cycles(conn, drain=drain)
                    return
            except DatabaseUnreachableError as error:
                self._say_lost(error)
            except OutboxError as error:
                self._say_failed(error)
            # a server that takes connections and refuses every statement is not asked all the time
            self._failures += 1
            await self._sleep(min(_AFTER_REFUSAL, timedelta(seconds=0.1 * 2**self._failures)))

    async def _cycles(self, conn: Connection, *, drain: bool) -> None:
        while not self._stop.is_set():
            await self._turn_in_time(conn)
            if drain and self._loop.drained:
                return
            # however seldom the loop polls, its beats and signs of life come
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_EVERY.total_seconds()):
                    await self._loop.pause()

    async def _turn(self, conn: Connection) -> None:
        await self._loop.cycle(conn)
        self._say_works()
        await self._heartbeat.beat(
            conn, listening=self._wakeup.listening, in_flight=self._loop.in_flight
        )
        await self._notifier.look(conn)

    async def _turn_in_time(self, conn: Connection) -> None:
        """One cycle in bounded time: a statement may wait for a lock that somebody never frees.

        Raises:
            DatabaseUnreachableError: Postgres did not answer in time; the connection is no good.
        """
        turn = asyncio.create_task(self._turn(conn))
        stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait(
                {turn, stop},
                timeout=self._patience.total_seconds(),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if stop.done() and not turn.done():
                await asyncio.wait({turn}, timeout=_STATEMENT_AFTER_STOP.total_seconds())
        finally:
            stop.cancel()
            await cancel(turn)
        if turn.cancelled():
            raise DatabaseUnreachableError("Postgres did not answer a statement in time")
        turn.result()

    async def _drain(self) -> None:
        """Let calls end, record them, give the rest back; bounded even without Postgres."""
        self._loop.stop()
        ends = time.monotonic() + self._shutdown.total_seconds()
        while self._loop.in_flight and time.monotonic() < ends and not self._second.is_set():
            await self._settle_some(timedelta(seconds=ends - time.monotonic()))
        while self._loop.in_flight:
            # again: a handler that waits for Postgres obeys the second time
            self._loop.cancel()
            cut_off_at = time.monotonic()
            while self._loop.in_flight and time.monotonic() - cut_off_at < _CUT_OFF_EVERY_S:
                await self._wakeup.wait(timedelta(milliseconds=50))
        await self._settle_some(_LAST_SETTLE, last=True)
        if not self._loop.settled:
            logger().warning(
                Event.DATABASE_LOST,
                message="stopped without recording every result; the leases end by themselves",
            )

    async def _settle_some(self, bound: timedelta, *, last: bool = False) -> None:
        """Record results for so long; after a second signal, for as long as Postgres is there."""
        ends = time.monotonic() + max(_SHORTEST_SETTLE, bound).total_seconds()
        self._reached = False
        settling = asyncio.create_task(self._settle_through(last=last))
        second = asyncio.create_task(self._second.wait())
        try:
            await asyncio.wait(
                {settling, second}, timeout=_until(ends), return_when=asyncio.FIRST_COMPLETED
            )
            if second.done() and not settling.done():
                await asyncio.wait({settling}, timeout=_until(min(ends, self._hurry(last=last))))
            if last and self._reached and not settling.done():
                await asyncio.wait({settling}, timeout=_until(ends))
            recorded = settling.done()
            if recorded:
                settling.result()
        except (TimeoutError, DatabaseError):
            recorded = False
        finally:
            second.cancel()
            await cancel(settling)
        if not recorded:
            self._liveness.database_missed()

    def _hurry(self, *, last: bool) -> float:
        """Until when a settle goes on that the second signal meets, on the monotonic clock."""
        now = time.monotonic()
        if last:
            return max(self._hurry_ends, now + _SHORTEST_CONNECT.total_seconds())
        return now + _STATEMENT_AFTER_SECOND.total_seconds() if self._reached else now

    async def _settle_through(self, *, last: bool) -> None:
        async with self._connected(until_stop=False) as conn:
            self._reached = True
            while self._loop.in_flight and not self._second.is_set():
                await self._settle_once(conn)
                await self._loop.pause()
            while not self._loop.settled:
                await self._settle_once(conn)
                if not self._loop.settled:
                    await self._loop.pause()
            if last:
                await self._heartbeat.last(conn)

    async def _settle_once(self, conn: Connection) -> None:
        await bounded(self._loop.cycle(conn), within=self._patience)
        self._liveness.cycle_ended()

    @contextlib.asynccontextmanager
    async def _connected(self, *, until_stop: bool) -> AsyncIterator[Connection]:
        conn = await self._connect(until_stop=until_stop)
        try:
            yield conn
        finally:
            await conn.close()

    async def _connect(self, *, until_stop: bool) -> Connection:
        """A connection, however long it takes; ``until_stop``: or until the stop signal."""

        @backoff.on_exception(
            backoff.expo,
            DatabaseUnreachableError,
            base=2,
            factor=0.1,
            max_value=_RECONNECT_CAP_S,
            jitter=backoff.full_jitter,
            on_backoff=lambda details: self._say_lost(details["exception"]),
            logger=None,
        )
        async def attempt() -> Connection:
            return await connect(self._url, application_name="outbox worker", prepares=True)

        trying = asyncio.create_task(attempt())
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait(
                {trying, stopping} if until_stop else {trying},
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not trying.done():
                raise DatabaseUnreachableError("stopped while waiting for Postgres")
            conn = trying.result()
        finally:
            stopping.cancel()
            trying.cancel()
        return conn

    def _say_lost(self, error: BaseException) -> None:
        self._liveness.database_missed()
        if not self._lost:
            self._lost = True
            logger().warning(Event.DATABASE_LOST, message=f"{error}; waiting for it")

    def _say_failed(self, error: OutboxError) -> None:
        self._liveness.database_missed()
        if self._failed != str(error):
            self._failed = str(error)
            logger().error(
                Event.SERVICE_FAILED, message=f"nothing can be claimed: {error}", hint=error.hint
            )

    def _say_works(self) -> None:
        self._liveness.cycle_ended()
        self._deadman.cycle_ended()
        self._failed, self._failures = "", 0
        if self._lost:
            self._lost = False
            logger().info(Event.DATABASE_RESTORED, message="Postgres is back")

    async def _sleep(self, length: timedelta) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(length.total_seconds()):
                await self._stop.wait()


def _until(moment: float) -> float:
    """Seconds from now on, none below zero."""
    return max(0.0, moment - time.monotonic())
