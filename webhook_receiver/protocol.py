"""HTTP connections that may not hang: uvicorn waits for ever for a request to begin or to end."""

from __future__ import annotations

from asyncio import BaseTransport, TimerHandle

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LARGEST_HEAD = 65536


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a deadline for the headers and a bound on their size.

    The application bounds what comes after them: the body's time and size, and its own.
    """

    #: Seconds from the first byte, or from the connection itself, to the end of the headers; and
    #: from an answer to the end of a body that nobody reads any more.
    patience_s = 10.0
    #: Seconds in which a request may still come that was under way to a server that stops.
    last_request_s = 3.0

    _deadline: TimerHandle | None = None
    _in_head = True
    _heads = 0
    _head_bytes = 0
    _leaving = False

    def connection_made(self, transport: BaseTransport) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)  # type: ignore[arg-type]  # asyncio says BaseTransport
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._wait_no_longer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Let a kept connection begin its next request, within the same bounds."""
        if self._in_head and self._deadline is None:
            self._wait()
        before = self._in_head, self._heads
        super().data_received(data)
        # all of it was headers, and they have not ended yet
        if before == (True, self._heads) and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > _LARGEST_HEAD:
                self.send_400_response("The headers are too large.")

    def on_headers_complete(self) -> None:
        """Hand the request to the application."""
        self._in_head = False
        self._heads += 1
        self._head_bytes = 0
        self._wait_no_longer()
        super().on_headers_complete()
        if self._leaving:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The body has ended."""
        self._in_head = True
        self._wait_no_longer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer may come before the end of the body; the rest is skipped, but not for ever."""
        super().on_response_complete()
        if not self._in_head:
            self._wait()

    def shutdown(self) -> None:
        """End after the answer that is under way, or that a new connection was made for.

        A connection that was accepted only now has its request on the way, and so has one whose
        headers have begun: to close it would lose the request.
        """
        idle = not self._heads or self.cycle.response_complete
        if idle and self._deadline is not None and self._in_head:
            self._leaving = True
            self._deadline.cancel()
            self._deadline = self.loop.call_later(self.last_request_s, self.transport.close)
            return
        super().shutdown()

    def _wait(self) -> None:
        self._wait_no_longer()
        self._deadline = self.loop.call_later(self.patience_s, self.transport.close)

    def _wait_no_longer(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
