"""The administrator's mailbox: a mail API on a loopback port that keeps every alert."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One mail as it arrived; ``text`` is its plain part."""

    subject: str
    text: str


@dataclass(slots=True)
class Mailbox:
    """What has arrived so far, oldest first; written by the server's threads."""

    url: str
    _mails: list[Mail] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, mail: Mail) -> None:
        """Keep a mail."""
        with self._lock:
            self._mails.append(mail)

    def mails(self) -> tuple[Mail, ...]:
        """All mails, oldest first."""
        with self._lock:
            return tuple(self._mails)

    def texts(self) -> tuple[str, ...]:
        """Subject and plain text of each mail."""
        return tuple(f"{mail.subject}\n{mail.text}" for mail in self.mails())


@contextlib.contextmanager
def mailbox() -> Iterator[Mailbox]:
    """Serve a mail API in SendGrid's form for the length of a block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            try:
                box.put(_mail(body))
            except (ValueError, KeyError, TypeError):
                self.send_error(HTTPStatus.BAD_REQUEST)
                return
            self.send_response(HTTPStatus.ACCEPTED)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the parent's name for it)
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    box = Mailbox(url=f"http://127.0.0.1:{server.server_port}/v3/mail/send")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield box
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _mail(body: bytes) -> Mail:
    fields = json.loads(body)
    plain = [part["value"] for part in fields["content"] if part["type"] == "text/plain"]
    return Mail(subject=fields["subject"], text="\n".join(plain))
