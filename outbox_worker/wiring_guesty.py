"""Puts the Guesty adapter together; imported only where ``PMS=guesty``."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from outbox_worker.database import Connection, connection
from outbox_worker.pms.guesty import Guesty
from outbox_worker.pms.guesty_token_source import FleetToken
from outbox_worker.settings_types import DatabaseSettings, SyncSettings


@contextlib.asynccontextmanager
async def open_guesty(
    sync: SyncSettings, database: DatabaseSettings, *, connections: int
) -> AsyncIterator[Guesty]:
    """The adapter, with the token that all processes on this database share.

    Args:
        sync: With ``access``.
        database: Where the token is kept.
        connections: Calls at the same time.
    """
    if sync.api_url is None or sync.client_id is None or sync.client_secret is None:
        raise AssertionError("the caller has seen that all is set")
    url = database.url.reveal()

    def connect() -> contextlib.AbstractAsyncContextManager[Connection]:
        return connection(url, application_name="outbox token")

    tokens = FleetToken(
        connect=connect,
        api_url=sync.api_url,
        client_id=sync.client_id.reveal(),
        client_secret=sync.client_secret.reveal(),
        timeout=sync.timeout,
    )
    adapter = Guesty(
        api_url=sync.api_url, tokens=tokens, timeout=sync.timeout, connections=connections
    )
    async with contextlib.aclosing(tokens), contextlib.aclosing(adapter):
        yield adapter
