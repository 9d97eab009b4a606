"""One HTTP request of a channel: bounded in time and size, never repeated, never redirected."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import httpx

from outbox_worker.errors import AlertChannelError

#: Nothing of the request has left, whatever follows.
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """An answer.

    Args:
        response: Its status and headers; its body has been read only as far as ``beginning``.
        beginning: Of the body, decoded as its headers say.
    """

    response: httpx.Response
    beginning: bytes

    @property
    def is_page(self) -> bool:
        """Whether a web page answered, which no API does."""
        return "html" in self.response.headers.get("content-type", "")


class BoundedPost:
    """Posts for one channel.

    Args:
        code: Prefix of its error codes, such as ``chat``.
        name: What it is called in a sentence, such as ``the chat``.
        timeout: Longest time of one `send`.
        body_limit: Bytes of an answer that are read.
    """

    def __init__(self, *, code: str, name: str, timeout: timedelta, body_limit: int) -> None:
        self._code = code
        self._name = name
        self._limit = body_limit
        self.timeout = timeout
        self._client = httpx.AsyncClient(
            timeout=timeout.total_seconds(), trust_env=False, follow_redirects=False
        )

    async def send(self, url: str, *, content: bytes, headers: Mapping[str, str]) -> Posted:
        """Post once.

        Raises:
            AlertChannelError: Not reached, or no answer in time. It never shows the address.
        """
        try:
            # httpx bounds each read; a server that answers byte by byte would hold us for ever
            async with (
                asyncio.timeout(self.timeout.total_seconds()),
                self._client.stream("POST", url, content=content, headers=headers) as response,
            ):
                return Posted(response=response, beginning=await self._beginning(response))
        except TimeoutError as error:
            raise AlertChannelError(
                f"{self._code}_timeout", f"{self._name} did not answer in time", ambiguous=True
            ) from error
        except _NOT_SENT as error:
            raise AlertChannelError(
                f"{self._code}_unreachable", f"{self._name} cannot be reached: {_kind(error)}"
            ) from error
        except httpx.HTTPError as error:
            raise AlertChannelError(
                f"{self._code}_broken",
                f"the connection to {self._name} broke: {_kind(error)}",
                ambiguous=True,
            ) from error

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _beginning(self, response: httpx.Response) -> bytes:
        read = b""
        async for chunk in response.aiter_bytes():
            read += chunk
            if len(read) >= self._limit:
                break
        return read[: self._limit]


def _kind(error: Exception) -> str:
    # the text of the error may quote the address, which may hold a key
    return type(error).__name__
