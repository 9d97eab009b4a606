"""The receiver's connections to Postgres: a pool whose every wait is bounded."""

from __future__ import annotations

import select
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from outbox_worker.database import CONNECT_OPTIONS, Connection, PreparingConnection, translated

#: Transactions under way at once, and requests that wait for one of them to end. A transaction
#: takes milliseconds, so a queue this long is served in a fraction of a second.
_MOST_CONNECTIONS = 10
_MOST_WAITING = 128
#: The pool doubles its pauses until it gives up and only tries again when it is asked: with this
#: bound it never pauses for longer than two seconds.
_GIVE_UP_S = 3.0
_ONE_HOUR_S = 3600.0


class Pool:
    """Connections in autocommit mode that also work through a transaction pooler.

    Args:
        url: libpq URL or keyword string.
    """

    def __init__(self, url: str) -> None:
        self._pool: AsyncConnectionPool[PreparingConnection] = AsyncConnectionPool(
            url,
            connection_class=PreparingConnection,
            configure=PreparingConnection.prepare_if_direct,
            kwargs={
                "autocommit": True,
                "prepare_threshold": None,
                "row_factory": dict_row,
                "application_name": "webhook-receiver",
                **CONNECT_OPTIONS,
            },
            min_size=2,
            max_size=_MOST_CONNECTIONS,
            max_waiting=_MOST_WAITING,
            max_lifetime=_ONE_HOUR_S,
            reconnect_timeout=_GIVE_UP_S,
            open=False,
            name="receiver",
        )

    async def open(self) -> None:
        """Begin to connect, in the background and for as long as it takes."""
        await self._pool.open()

    async def close(self) -> None:
        """Close all connections; bounded."""
        await self._pool.close(timeout=2.0)

    @asynccontextmanager
    async def connection(self, *, within: timedelta) -> AsyncIterator[Connection]:
        """One idle connection for the length of a block.

        Args:
            within: Longest wait for it.

        Raises:
            DatabaseUnreachableError: None was free in time, too many are waiting, or it was lost.
        """
        with translated():
            conn = await self._usable(within)
            try:
                yield conn
            finally:
                await self._pool.putconn(conn)

    async def _usable(self, within: timedelta) -> PreparingConnection:
        deadline = time.monotonic() + within.total_seconds()
        while True:
            conn = await self._pool.getconn(timeout=deadline - time.monotonic())
            if not conn.outdated and not _is_closed(conn):
                return conn
            # The pool's own check pauses for a second, then for two, at each connection that it
            # finds closed, and after a restart they all are.
            await conn.close()
            await self._pool.putconn(conn)


def _is_closed(conn: Connection) -> bool:
    """Whether the server has closed an idle connection, without a round trip.

    Postgres says nothing on an idle connection but its farewell. Asking it instead would cost every
    request a round trip, and hang on a server that is gone without one.
    """
    poll = select.poll()
    poll.register(conn.fileno(), select.POLLIN)
    return bool(poll.poll(0))
