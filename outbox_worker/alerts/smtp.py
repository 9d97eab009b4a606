"""Alerts through a mail server."""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from urllib.parse import parse_qsl, unquote, urlsplit

from outbox_worker.alerts import mime, shown
from outbox_worker.alerts.port import Accepted, AlertMessage
from outbox_worker.errors import AlertChannelError, SettingsError
from outbox_worker.settings_types import Secret

_TIMEOUT = timedelta(seconds=15)
_REPLY_LIMIT = 200
#: What smtplib itself says where a machine has no full name.
_OWN_NAME = "[127.0.0.1]"


class Encryption(Enum):
    """When a connection is encrypted; certificates are always verified."""

    FROM_THE_START = auto()
    REQUIRED = auto()
    IF_OFFERED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """Where to hand mail in, and as whom."""

    host: str
    port: int
    encryption: Encryption
    user: str | None
    password: Secret | None


def parse_url(url: Secret) -> SmtpServer:
    """Read ``SMTP_URL``.

    Args:
        url: ``smtps://user:password@host:port`` (port 465 if left out), or ``smtp://…`` (587 with a
            user, else 25), which is encrypted where the server offers it and with ``?starttls``
            always. User and password are percent-encoded.

    Raises:
        SettingsError: It is not such an address.
    """
    parts = urlsplit(url.reveal())
    try:
        port = parts.port
    except ValueError:
        raise SettingsError(("SMTP_URL has no usable port: write for example :587",)) from None
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise SettingsError(
            ("SMTP_URL is not a mail server's address: write smtp://user:password@host:587",)
        )
    options = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    if options - {"starttls"}:
        raise SettingsError(("SMTP_URL has an unknown option: ?starttls is the only one",))
    if parts.scheme == "smtps":
        encryption, usual = Encryption.FROM_THE_START, smtplib.SMTP_SSL_PORT
    else:
        encryption = Encryption.REQUIRED if "starttls" in options else Encryption.IF_OFFERED
        usual = 587 if parts.username or "starttls" in options else smtplib.SMTP_PORT
    return SmtpServer(
        host=parts.hostname,
        port=port or usual,
        encryption=encryption,
        user=unquote(parts.username) if parts.username else None,
        password=Secret(unquote(parts.password)) if parts.password else None,
    )


class SmtpChannel:
    """Mails alerts by one SMTP session each.

    Args:
        server: See `parse_url`.
        sender: Bare address.
        recipients: Bare addresses, at least one.
        timeout: Longest time of one `send`.
        context: For tests; else certificates are verified against the system's authorities.
    """

    def __init__(
        self,
        server: SmtpServer,
        *,
        sender: str,
        recipients: Sequence[str],
        timeout: timedelta = _TIMEOUT,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._server = server
        self._sender = sender
        self._recipients = tuple(recipients)
        self._timeout = timeout
        self._context = context or ssl.create_default_context()

    @property
    def timeout(self) -> timedelta:
        """Longest time of one `send`."""
        return self._timeout

    async def send(self, message: AlertMessage) -> Accepted:
        """Hand in one mail; it counts as taken when at least one recipient was.

        Raises:
            AlertChannelError: Not reached, not safe, refused, or no answer in time.
        """
        made = mime.mail(message, sender=self._sender, recipients=self._recipients)
        seconds = self._timeout.total_seconds()
        session = _Session(self._server, self._context, seconds)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.to_thread(
                    session.deliver, made.as_bytes(), self._sender, self._recipients
                )
        except TimeoutError as error:
            raise AlertChannelError(
                "smtp_timeout",
                "the mail server did not answer in time",
                ambiguous=session.handing_over,
            ) from error
        finally:
            session.cut()

    async def aclose(self) -> None:
        """Nothing is kept open between two mails."""


class _Session:
    """One blocking session in a thread of its own, which others can end.

    smtplib's time-out is per read and a thread cannot be cancelled, so that a server that answers
    byte by byte would hold it for ever: `cut` closes the socket under it.
    """

    def __init__(self, server: SmtpServer, context: ssl.SSLContext, seconds: float) -> None:
        self._server = server
        self._context = context
        self._client = (
            _EncryptedClient(server.host, seconds, context)
            if server.encryption is Encryption.FROM_THE_START
            else _Client(server.host, seconds)
        )
        self._ended = False
        self._connected = False
        #: Whether the mail itself may have left.
        self.handing_over = False

    def deliver(self, mail: bytes, sender: str, recipients: Sequence[str]) -> Accepted:
        with self._translated():
            self._open()
            self._log_in()
            refused = self._envelope(sender, recipients)
            self.handing_over = True
            code, reply = self._client.data(mail)
            if code != 250:  # noqa: PLR2004 - "requested mail action okay", RFC 5321
                raise smtplib.SMTPDataError(code, reply)
            with contextlib.suppress(smtplib.SMTPException, OSError):
                # not quit(), which would wait for a reply that changes nothing any more
                self._client.putcmd("quit")
            return Accepted(refused=refused)

    def cut(self) -> None:
        """End the session from outside; harmless when it has ended by itself."""
        self._ended = True
        sock = self._client.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _open(self) -> None:
        code, reply = self._client.connect(self._server.host, self._server.port)
        self._connected = True
        if code != 220:  # noqa: PLR2004 - "service ready", RFC 5321
            raise smtplib.SMTPConnectError(code, reply)
        if self._ended:
            raise smtplib.SMTPServerDisconnected
        self._client.ehlo_or_helo_if_needed()
        if self._server.encryption is Encryption.FROM_THE_START:
            return
        if self._client.has_extn("starttls"):
            self._client.starttls(context=self._context)
            self._client.ehlo_or_helo_if_needed()
        elif self._server.encryption is Encryption.REQUIRED:
            raise AlertChannelError(
                "smtp_starttls_missing", "the mail server does not offer encryption (STARTTLS)"
            )
        elif self._server.user is not None and not _is_loopback(self._client.sock):
            raise AlertChannelError(
                "smtp_insecure",
                "the mail server does not offer encryption, and the password stays here",
            )

    def _log_in(self) -> None:
        if self._server.user is not None:
            password = self._server.password
            self._client.login(self._server.user, password.reveal() if password else "")

    def _envelope(self, sender: str, recipients: Sequence[str]) -> int:
        """Name sender and recipients; how many of these the server does not take."""
        code, reply = self._client.mail(sender)
        if code != 250:  # noqa: PLR2004 - as above
            raise smtplib.SMTPResponseException(code, reply)
        answers = [self._client.rcpt(recipient) for recipient in recipients]
        refusals = [answer for answer in answers if answer[0] not in {250, 251}]
        if len(refusals) == len(answers):
            raise smtplib.SMTPResponseException(*refusals[0])
        return len(refusals)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except smtplib.SMTPResponseException as error:
            reply = error.smtp_error
            text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
            raise AlertChannelError(
                f"smtp_{error.smtp_code}",
                f"the mail server answered {error.smtp_code}: {shown.clean(text, _REPLY_LIMIT)}",
            ) from error
        except smtplib.SMTPNotSupportedError as error:
            raise AlertChannelError(
                "smtp_login_unsupported", "the mail server offers no way to log in"
            ) from error
        except (smtplib.SMTPException, OSError) as error:
            if isinstance(error, ssl.SSLError) and not self.handing_over:
                code, what = "smtp_tls", "no trusted encryption with the mail server"
            elif self._connected:
                code, what = "smtp_broken", "the connection to the mail server broke"
            else:
                code, what = "smtp_unreachable", "the mail server cannot be reached"
            raise AlertChannelError(
                code, f"{what}: {type(error).__name__}", ambiguous=self.handing_over
            ) from error
        finally:
            self._client.close()


class _Client(smtplib.SMTP):
    """smtplib's client, made before it connects."""

    def __init__(self, host: str, seconds: float) -> None:
        # smtplib would look our own name up, which can block for long
        super().__init__(local_hostname=_OWN_NAME, timeout=seconds)
        self._host = host  # starttls() verifies the certificate against it


class _EncryptedClient(smtplib.SMTP_SSL):
    """The same, encrypted from the first byte."""

    def __init__(self, host: str, seconds: float, context: ssl.SSLContext) -> None:
        super().__init__(local_hostname=_OWN_NAME, timeout=seconds, context=context)
        self._host = host


def _is_loopback(sock: socket.socket | None) -> bool:
    if sock is None:
        return False
    address = str(sock.getpeername()[0])
    return address == "::1" or address.startswith("127.")
