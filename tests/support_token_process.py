"""A worker process that asks for the token once: run with database, endpoint and time-out."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import timedelta

from outbox_worker.pms.guesty_token import Token
from tests.support_token import source


async def _ask(database_url: str, url: str, seconds: str) -> None:
    worker = source(database_url, url, timeout=timedelta(seconds=float(seconds)))
    told = await worker.token()
    sys.stdout.write(told.value if isinstance(told, Token) else type(told).__name__)
    await worker.aclose()


def asking(database_url: str, url: str, *, timeout: timedelta) -> subprocess.Popen[str]:
    """One that has begun; what it was told is its output."""
    command = [sys.executable, "-m", __name__, database_url, url, str(timeout.total_seconds())]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


if __name__ == "__main__":
    asyncio.run(_ask(*sys.argv[1:]))
