"""A real worker process, its log, and the bookings that it is to sync."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

from outbox_worker.database import Connection
from tests.pooler.route import listen_setting
from tests.support_engine import eventually
from tests.support_simulator import API_KEY, Simulator

#: Patience of a test for a process; far beyond what anything here takes.
PATIENCE_S = 20.0


def environment(database_url: str, pms: Simulator | None, **overrides: str) -> dict[str, str]:
    """Settings of a live worker with short waits."""
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        **listen_setting(database_url),
        "GUESTLY_SYNC_ENABLED": "true",
        "GUESTLY_TEST_MODE": "false",
        "GUESTLY_API_URL": "http://127.0.0.1:9" if pms is None else pms.url,
        "GUESTLY_API_KEY": API_KEY,
        "PMS_TIMEOUT_SECONDS": "2",
        "PMS_QUIET_SECONDS": "1",
        "SYNC_RETRY_BASE_SECONDS": "0.05",
        "WORKER_POLL_SECONDS": "0.2",
        "WORKER_LEASE_SECONDS": "5",
        "WORKER_SHUTDOWN_SECONDS": "5",
        "METRICS_ADDRESS": "",
        "LOG_FORMAT": "json",
        **overrides,
    }


_PROBES_OFTEN = """
from datetime import timedelta
from outbox_worker.worker import wakeup

wakeup.PROBE_EVERY, wakeup.PROBE_WITHIN = timedelta(seconds=0.2), timedelta(seconds={within})
"""
_MAIN = "from outbox_worker.cli import main; main()"


def probing(*, within: float) -> str:
    """A fault for `worker`: it looks all the time whether LISTEN delivers.

    Args:
        within: Seconds after which a probe that it has not heard was lost.
    """
    return _PROBES_OFTEN.format(within=within)


class WorkerProcess:
    """One ``outbox worker run`` and the lines that it has logged.

    Args:
        fault: Statements that its process runs first, which make a bug that there is not.
    """

    def __init__(
        self, log: Path, environ: Mapping[str, str], *arguments: str, fault: str = ""
    ) -> None:
        self._log = log
        self._file = log.open("wb")
        program = ["-c", f"{fault}\n{_MAIN}"] if fault else ["-m", "outbox_worker.cli"]
        self._process = subprocess.Popen(
            [sys.executable, *program, "worker", "run", *arguments],
            env=dict(environ),
            stdout=self._file,
            stderr=subprocess.STDOUT,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def text(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def lines(self) -> list[dict[str, Any]]:
        """The log lines so far; a line that is half written yet is left out."""
        found = []
        for line in self.text.splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                found.append(json.loads(line))
        return found

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line.get("event") == name]

    def messages(self) -> list[str]:
        return [str(line.get("message", "")) for line in self.lines()]

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def logged(self, name: str, *, within: float = PATIENCE_S) -> dict[str, Any]:
        """Wait until an event was logged; the last one."""

        async def there() -> bool:
            if self._process.poll() is not None and not self.events(name):
                raise AssertionError(f"the worker ended before {name}:\n{self.text}")
            return bool(self.events(name))

        await eventually(there, f"{name} in the worker's log", within=within)
        return self.events(name)[-1]

    async def ended(self, *, within: float = PATIENCE_S) -> int:
        """Wait until the process has ended; its exit code."""

        async def over() -> bool:
            return self._process.poll() is not None

        await eventually(over, "the end of the worker", within=within)
        return int(self._process.returncode)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._file.close()


async def at_work(conn: Connection, count: int) -> None:
    """Wait until so many workers have said that they live."""

    async def all_of_them() -> bool:
        cursor = await conn.execute("select count(*) as n from outbox.worker")
        return bool((await cursor.fetchone() or {})["n"] == count)

    await eventually(all_of_them, f"{count} workers", within=PATIENCE_S)


@contextlib.contextmanager
def worker(
    log: Path, environ: Mapping[str, str], *arguments: str, fault: str = ""
) -> Iterator[WorkerProcess]:
    """A worker for the length of a block, killed if it is still there at its end."""
    process = WorkerProcess(log, environ, *arguments, fault=fault)
    try:
        yield process
    finally:
        process.close()


@contextlib.asynccontextmanager
async def forwarder(port: int, host: str, target: int) -> AsyncIterator[asyncio.Server]:
    """Forward a port to another one: the moment at which a server becomes reachable."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    opened: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, target)
        opened.update((writer, back))
        await asyncio.gather(copy(reader, back), copy(there, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield server
    finally:
        server.close()
        for writer in opened:
            writer.close()
        for writer in opened:
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
