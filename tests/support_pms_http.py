"""A `PmsHttp` for tests."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

from outbox_worker.pms.http import PmsHttp

PATIENT = timedelta(seconds=20)
SHORT = timedelta(seconds=1)


@contextlib.asynccontextmanager
async def client(
    url: str, *, within: timedelta = PATIENT, connections: int = 2
) -> AsyncIterator[PmsHttp]:
    http = PmsHttp(
        base_url=url,
        name="Guestly",
        headers={"Authorization": "Bearer key"},
        timeout=within,
        connections=connections,
    )
    try:
        yield http
    finally:
        await http.aclose()
