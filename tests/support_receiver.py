"""The receiver over real HTTP: in a thread, or as the process that users start."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from outbox_worker.settings import Address, Secret, StripeSettings
from tests.support_stripe import SECRET, Json, encoded, sign
from webhook_receiver import app, server
from webhook_receiver.protocol import BoundedProtocol

_PATIENCE_S = 20.0
#: Loading the authorities of the world for every plain request would cost more than the request.
_PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
WEBHOOK = "/webhooks/stripe"


class Receiver:
    """A running receiver as Stripe sees it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def client(self, *, connections: int = 100) -> httpx.AsyncClient:
        """A client for many requests; plain HTTP only."""
        limits = httpx.Limits(max_connections=connections)
        return httpx.AsyncClient(base_url=self.url, timeout=15, verify=_PLAIN, limits=limits)

    async def deliver(self, body: Json | bytes, **headers: str) -> httpx.Response:
        """Send one event, signed unless ``headers`` says otherwise."""
        async with self.client() as client:
            return await self.deliver_with(client, body, **headers)

    async def deliver_with(
        self, client: httpx.AsyncClient, body: Json | bytes, **headers: str
    ) -> httpx.Response:
        content = body if isinstance(body, bytes) else encoded(body)
        signed = {"stripe_signature": sign(content), **headers}
        return await client.post(
            WEBHOOK,
            content=content,
            headers={name.replace("_", "-"): value for name, value in signed.items()},
        )

    async def get(self, path: str) -> httpx.Response:
        async with self.client() as client:
            return await client.get(path)


def stripe_settings(**changes: Any) -> StripeSettings:
    values: dict[str, Any] = {
        "webhook_secrets": (Secret(SECRET),),
        "livemode": None,
        "account": None,
        "currency": "EUR",
        **changes,
    }
    return StripeSettings(**values)


@contextlib.contextmanager
def receiver_in_thread(
    database_url: str,
    *,
    limits: app.Limits | None = None,
    protocol: type[BoundedProtocol] = BoundedProtocol,
    **stripe: Any,
) -> Iterator[Receiver]:
    """The application behind the real server, without the cost of a process."""
    listener = server.bound(Address(host="127.0.0.1", port=0))
    application = app.create(database_url, stripe_settings(**stripe), limits=limits)
    listening = uvicorn.Server(server.configured(application, protocol=protocol))
    thread = threading.Thread(target=listening.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield Receiver(f"http://127.0.0.1:{listener.getsockname()[1]}")
    finally:
        listening.should_exit = True
        thread.join(_PATIENCE_S)
        assert not thread.is_alive(), "the receiver did not stop"


class ReceiverProcess(Receiver):
    """``webhook-receiver`` as a process; its log lines are kept."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        super().__init__("")
        self.process = process
        self.lines: list[Json] = []
        self._came = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_until_ready(self) -> None:
        """Wait until it says that it takes events, even if its first look at Postgres took long."""
        self.wait_for("service.ready", "database.restored")

    def wait_for(self, *events: str, within: float = _PATIENCE_S) -> Json:
        """The first log line of one of these, whether it has come already or comes in time."""

        def there() -> Json | None:
            return next((line for line in self.lines if line["event"] in events), None)

        with self._came:
            self._came.wait_for(lambda: there() or not self._reader.is_alive(), within)
            line = there()
        assert line is not None, f"no line {' or '.join(events)}, but {self.lines}"
        return line

    def rest(self) -> list[Json]:
        """All lines of a process that has ended."""
        self._reader.join(_PATIENCE_S)
        return self.lines

    def _read(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            with self._came:
                self.lines.append(json.loads(text))
                self._came.notify_all()
        with self._came:
            self._came.notify_all()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_PATIENCE_S)


def environment(database_url: str, **more: str) -> dict[str, str]:
    """All that the receiver is told; the port is the system's choice."""
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "RECEIVER_ADDRESS": "127.0.0.1:0",
        "LOG_FORMAT": "json",
        **more,
    }


@contextlib.contextmanager
def receiver_process(
    environ: dict[str, str], *, prefix: tuple[str, ...] = (), **options: Any
) -> Iterator[ReceiverProcess]:
    """The console script; ``prefix`` is a command that runs it."""
    program = Path(sys.executable).with_name("webhook-receiver")
    with subprocess.Popen(
        [*prefix, str(program)],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    ) as process:
        running = ReceiverProcess(process)
        try:
            address = running.wait_for("service.started")["address"]
            running.url = f"http://{address}"
            yield running
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(_PATIENCE_S)
            # leaving closes what is still being read
            running.rest()
