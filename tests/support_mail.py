"""A mail service's HTTP API and a mail server, over real sockets, with faults."""

from __future__ import annotations

import asyncio
import contextlib
import email.message
import email.policy
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """One request as it arrived; header names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed

    @property
    def message_id(self) -> str:
        return str(self.json["headers"]["Message-ID"])


Answer: TypeAlias = Callable[[asyncio.StreamWriter], Awaitable[None]]


def answer(
    status: int, body: bytes = b"", *, content_type: str = "application/json", **headers: str
) -> Answer:
    """An answer in full."""
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = (
        f"HTTP/1.1 {status} Said\r\nContent-Type: {content_type}\r\n{more}"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode() + body)
        await writer.drain()

    return write


async def broken(writer: asyncio.StreamWriter) -> None:
    """The connection breaks after the mail was taken."""
    writer.transport.abort()


async def silent(writer: asyncio.StreamWriter) -> None:
    """Never answers."""
    del writer
    await asyncio.Event().wait()


async def dripping(writer: asyncio.StreamWriter) -> None:
    """Answers byte by byte without end."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X")
        await writer.drain()
        await asyncio.sleep(0.02)


@dataclass(slots=True)
class MailApi:
    """Takes all mail with a 202; ``script`` holds other answers, each used up once."""

    url: str = ""
    posted: list[Posted] = field(default_factory=list)
    accepted: list[Posted] = field(default_factory=list)
    script: deque[Answer] = field(default_factory=deque)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        body = await reader.readexactly(int(headers["content-length"]))
        posted = Posted(path=head[0].split(" ")[1], headers=headers, body=body)
        self.posted.append(posted)
        if self.script:
            await self.script.popleft()(writer)
        else:
            self.accepted.append(posted)
            await answer(202)(writer)


Serve: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve, port: int = 0) -> AsyncIterator[int]:
    """A server whose connections are all over when the block is; yields its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError):
            pass  # the end of the block, or the peer's
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            tasks.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        left = list(tasks)
        for task in left:
            task.cancel()
        # one that was cancelled before it began says so
        await asyncio.gather(*left, return_exceptions=True)


@asynccontextmanager
async def mail_api(port: int = 0) -> AsyncIterator[MailApi]:
    """An API on a port of this machine, without faults at first."""
    api = MailApi()
    async with listening(api.serve, port) as chosen:
        api.url = f"http://127.0.0.1:{chosen}/v3/mail/send"
        yield api


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One mail that the server took."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    encrypted: bool
    user: str | None

    @property
    def mail(self) -> email.message.EmailMessage:
        return email.message_from_bytes(self.raw, policy=email.policy.default)


# No slots: aiosmtpd looks at every member, which Python 3.11.2 cannot bear of a slotted dataclass.
@dataclass
class MailServer:
    """A real SMTP server. ``refuse`` are recipients that it does not take."""

    port: int = 0
    taken: list[Taken] = field(default_factory=list)
    refuse: set[str] = field(default_factory=set)
    reply: str = "250 OK"
    break_after_content: bool = False
    silent_after_content: bool = False
    silent_at_the_end: bool = False

    async def handle_QUIT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        del server, session, envelope
        if self.silent_at_the_end:
            await asyncio.Event().wait()
        return "221 bye"

    async def handle_RCPT(  # noqa: N802 - as above
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del server, session, options
        if address in self.refuse:
            return f"550 no such mailbox {address}"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - as above
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if not self.reply.startswith("250"):
            return self.reply
        raw = envelope.content
        assert isinstance(raw, bytes)
        self.taken.append(
            Taken(
                sender=str(envelope.mail_from),
                recipients=tuple(envelope.rcpt_tos),
                raw=raw,
                encrypted=session.ssl is not None,
                user=session.auth_data,
            )
        )
        if self.break_after_content:
            _abort(server)
        if self.silent_after_content:
            await asyncio.Event().wait()
        return self.reply


@asynccontextmanager
async def mail_server(
    *,
    port: int = 0,
    password: str | None = None,
    tls: ssl.SSLContext | None = None,
    implicit_tls: bool = False,
) -> AsyncIterator[MailServer]:
    """A mail server on a port of this machine.

    Args:
        port: 0: any free one.
        password: Of every user, taken without encryption too.
        tls: STARTTLS is offered with it.
        implicit_tls: ``tls`` is used from the first byte instead.
    """
    handler = MailServer()
    loop = asyncio.get_running_loop()
    open_ones: list[SMTP] = []

    def authenticate(
        server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        del server, session, envelope, mechanism
        assert isinstance(data, LoginPassword)
        good = data.password.decode() == password
        return AuthResult(success=good, handled=good, auth_data=data.login.decode())

    def factory() -> SMTP:
        server = SMTP(
            handler,
            hostname="mail.example.com",
            loop=loop,
            tls_context=None if implicit_tls else tls,
            authenticator=authenticate,
            auth_require_tls=False,
        )
        open_ones.append(server)
        return server

    accepting = await loop.create_server(
        factory, "127.0.0.1", port, ssl=tls if implicit_tls else None
    )
    handler.port = accepting.sockets[0].getsockname()[1]
    try:
        yield handler
    finally:
        accepting.close()
        for server in open_ones:
            _abort(server)
        async with asyncio.timeout(5):
            for server in open_ones:
                while server.transport is not None:  # noqa: ASYNC110 - aiosmtpd tells nobody
                    await asyncio.sleep(0)


def _abort(server: SMTP) -> None:
    if isinstance(server.transport, asyncio.Transport):
        # an encrypted one that was closed twice has forgotten what early 3.11 then calls
        with contextlib.suppress(AttributeError):
            server.transport.abort()
