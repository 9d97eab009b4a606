from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from psycopg.rows import dict_row

from outbox_worker.database import Connection
from tests.support_locks import Recording


@pytest.fixture
async def recording(database_url: str, conn: Connection) -> AsyncIterator[Recording]:
    """A connection whose locks are watched through the test's own."""
    async with await Recording.connect(
        database_url, autocommit=True, prepare_threshold=None, row_factory=dict_row
    ) as connection:
        connection.outside = conn
        yield connection
