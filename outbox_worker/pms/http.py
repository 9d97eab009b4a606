"""One HTTP exchange with a PMS, reported as what is known to have happened.

A call that fails is worth little without knowing whether the PMS may have seen it. So nothing is
raised for a failed exchange: it ends as `Answered`, `NotSent` (proved) or `Broken` (all the rest).

httpx's transports are used without its client: no cookies kept, no redirect followed, no variable
of the environment read, by construction. Each transport serves one call at a time, because httpx
searches all connections of a pool for every request (one pool of fifty did a quarter of the calls
of five pools of ten).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

import httpx

from outbox_worker import __version__

MAX_BODY = 1_048_576

_CONNECT_S = 3.0
#: Below the five seconds after which common servers close an idle connection: a request that
#: meets a closing connection has an unknown outcome.
_KEEP_ALIVE_S = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The PMS, or something before it, answered.

    Args:
        headers: By lower-case name.
        body: At most `MAX_BODY` bytes.
        whole: Whether ``body`` is all of it; the rest of a larger one is not read.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSent:
    """No byte of the request has left this machine. ``code`` is stable and snake_case."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The request, or a part of it, was sent, and no whole answer came back.

    Args:
        status: Of an answer that broke off in its body.
    """

    code: str
    message: str
    status: int | None = None


Exchange: TypeAlias = Answered | NotSent | Broken


class PmsHttp:
    """Connections to one PMS.

    Args:
        base_url: ``https://host[:port][/path]``; the settings have checked its scheme.
        name: The PMS as messages call it.
        headers: Sent with every request, the authorization among them.
        timeout: Bounds each whole call, waiting for a free connection included.
        connections: Calls at the same time; more of them wait.

    Raises:
        ValueError: An address or a header that HTTP cannot carry. Never names a header's value.
    """

    def __init__(
        self,
        *,
        base_url: str,
        name: str,
        headers: Mapping[str, str],
        timeout: timedelta,
        connections: int,
    ) -> None:
        self._name = name
        self._base_url = base_url.rstrip("/")
        try:
            https = httpx.URL(self._base_url).scheme == "https"
        except httpx.InvalidURL:
            raise ValueError(f"the address of {name} is not a URL") from None
        self._headers = {
            "Accept": "application/json",
            # compressed answers would have to be bounded twice
            "Accept-Encoding": "identity",
            "User-Agent": f"booking-outbox/{__version__}",
            **headers,
        }
        for header, value in self._headers.items():
            if not (value.isascii() and value.isprintable() and value == value.strip()):
                raise ValueError(f"the header {header} cannot be sent: it holds unusual characters")
        self._timeout = timeout.total_seconds()
        # without certificate authorities nothing is trusted, and nothing needs to be loaded
        context = (
            httpx.create_ssl_context(trust_env=False)
            if https
            else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        )
        # the last one used is the first one taken: its connection is the least likely to be stale
        self._free = [_transport(context) for _ in range(connections)]
        self._all = tuple(self._free)
        self._turns = asyncio.Semaphore(connections)

    async def exchange(
        self,
        method: str,
        path: tuple[str, ...],
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Exchange:
        """One request, at most one answer, nothing tried twice.

        Args:
            method: ``GET``, ``POST`` or ``PUT``.
            path: Segments under the base URL; each is percent-encoded.
            query: Percent-encoded likewise.
            headers: Added to those of every request.
            body: Sent as it is.
        """
        request = httpx.Request(
            method,
            self._url(path, query or {}),
            headers={**self._headers, **(headers or {})},
            content=body,
        )
        progress = _Progress()
        try:
            async with asyncio.timeout(self._timeout) as limit, self._turns:
                transport = self._free.pop()
                try:
                    return await _exchanged(transport, request, progress, limit)
                finally:
                    self._free.append(transport)
        except TimeoutError:
            return self._late(progress)
        except Exception as exc:  # noqa: BLE001 # a write of unknown outcome must not look like a crash
            return _failure(exc, progress, self._name)

    async def aclose(self) -> None:
        """Close the connections."""
        for transport in self._all:
            await transport.aclose()

    def _url(self, path: tuple[str, ...], query: Mapping[str, str]) -> str:
        segments = "".join(f"/{_segment(part)}" for part in path)
        return f"{self._base_url}{segments}" + (
            f"?{urlencode(query, quote_via=quote)}" if query else ""
        )

    def _late(self, progress: _Progress) -> NotSent | Broken:
        if progress.sent:
            return Broken(
                code="timeout",
                message=f"{self._name} did not answer in full within {self._timeout:g} s",
                status=progress.status,
            )
        return NotSent(
            code="connect_timeout",
            message=f"No connection to {self._name} was to be had within {self._timeout:g} s",
        )


class _Progress:
    """How far a request has come."""

    __slots__ = ("sent", "status")

    def __init__(self) -> None:
        self.sent = False
        self.status: int | None = None

    async def trace(self, event: str, _info: Mapping[str, Any]) -> None:
        """Called by httpcore before and after each of its steps.

        Whatever is not about making the connection counts as sent: a step that this version does
        not know must not pass for a proof.
        """
        if not event.startswith("connection."):
            self.sent = True


async def _exchanged(
    transport: httpx.AsyncHTTPTransport,
    request: httpx.Request,
    progress: _Progress,
    limit: asyncio.Timeout,
) -> Answered:
    left = (limit.when() or 0.0) - asyncio.get_running_loop().time()
    request.extensions = {
        # The call as a whole is bounded by ``limit``; httpx's own limits hold per chunk. Connecting
        # and TLS have the same limit each and must end before the whole does: cancelled in the
        # middle of a handshake, httpcore would leave the socket open.
        "timeout": {"connect": max(0.0, min(_CONNECT_S, 0.45 * left))},
        "trace": progress.trace,
    }
    response = await transport.handle_async_request(request)
    progress.status = response.status_code
    try:
        body, whole = await _bounded(response)
    finally:
        await response.aclose()
    return Answered(
        status=response.status_code,
        headers={name.lower(): value for name, value in response.headers.items()},
        body=body,
        whole=whole,
    )


async def _bounded(response: httpx.Response) -> tuple[bytes, bool]:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_BODY:
            return bytes(body[:MAX_BODY]), False
    return bytes(body), True


def _transport(context: ssl.SSLContext) -> httpx.AsyncHTTPTransport:
    # No limit of its own: a connection that a cancelled call left behind must not block the next.
    limits = httpx.Limits(
        max_connections=None, max_keepalive_connections=1, keepalive_expiry=_KEEP_ALIVE_S
    )
    return httpx.AsyncHTTPTransport(verify=context, trust_env=False, limits=limits, retries=0)


def _segment(text: str) -> str:
    # a segment of dots alone would be taken for a step up the path
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")


def _failure(exc: Exception, progress: _Progress, name: str) -> NotSent | Broken:
    """What an exception of httpx proves.

    httpcore raises the two connect errors, and passes on what name resolution and TLS raise,
    before its first step of sending; `_Progress` has to agree. A read that fails on a connection
    kept alive proves nothing: the PMS may have read the request before it closed.
    """
    before_sending = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, OSError)
    if not progress.sent and isinstance(exc, before_sending):
        code, message = _not_sent(exc, name)
        return NotSent(code=code, message=message)
    return Broken(
        code="connection_lost",
        message=f"The connection broke before {name}'s answer was whole ({type(exc).__name__})",
        status=progress.status,
    )


def _not_sent(exc: Exception, name: str) -> tuple[str, str]:
    # first, because a handshake that ran out of time has a TLS error ("want read") among its causes
    if isinstance(exc, httpx.TimeoutException):
        return "connect_timeout", f"No connection to {name} was made in time"
    for cause in _causes(exc):
        match cause:
            case ssl.SSLCertVerificationError():
                return "tls_failed", f"{name}'s certificate is not trusted: {cause.verify_message}"
            case ssl.SSLError():
                return "tls_failed", f"No TLS connection to {name}: {cause.reason or 'handshake'}"
            case socket.gaierror():
                return "dns_failed", f"The host name of {name} was not resolved"
            case ConnectionRefusedError():
                return "connection_refused", f"{name} refused the connection"
            case _:
                continue
    return "connect_failed", f"No connection to {name} could be made"


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        if isinstance(exc, BaseExceptionGroup):  # anyio tries several addresses
            for member in exc.exceptions:
                yield from _causes(member)
        exc = exc.__cause__ or exc.__context__
